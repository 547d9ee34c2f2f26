//! The ladder, asked directly: who may only look writes nothing, however it calls.

use millstream::domain::Terms;
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Consent, Mode, Operator, OpsError, Refused, Rights, Selection};
use millstream::store::actions::ActionId;
use millstream::store::dead::Exported;

use super::dead::{matching, pile};
use super::{ada, dead, deaths, footprint, guarded, held, named, parked, typed};
use crate::support::World;

fn refused<T: std::fmt::Debug>(what: Result<T, OpsError>) -> Refused {
    match what {
        Err(OpsError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_may_only_look_is_refused_by_every_move() {
    let world = World::new().await;
    let (buried, fails, runs) = (
        dead(&world, "one", "no such pull request").await,
        parked(&world, "two").await,
        held(&world, "three").await,
    );
    ada(&world)
        .requeue_dead(&named([buried]), Mode::Real)
        .await
        .expect("requeue");
    let action: i64 = sqlx::query_scalar("select max(id) from millstream.actions")
        .fetch_one(&world.sql)
        .await
        .expect("an action");
    let others = pile(&world, "model", 3).await;
    let sure = Consent {
        name: Some(world.settings.name.clone()),
        ..typed(3)
    };
    let (store, queue) = (world.store.clone(), world.queue.clone());
    let reader = Operator::new(store, queue, "console:eve", Rights::ReadOnly).with(sure);
    let before = footprint(&world).await;
    let plan = reader
        .plan_requeue(&matching("class:model"), None)
        .await
        .expect("a reader may look");
    assert_eq!(plan.tally().eligible, 3);
    assert!(
        reader.undoing(Some(ActionId(action))).await.is_ok(),
        "and see what could come back"
    );
    let which = Selection::Named(named(others.clone()));
    let run = millstream::domain::RunId(1);
    let source = Source::PullRequest(
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address"),
    );
    let submitter = world.submitter();
    let answers = [
        refused(reader.retry(&named([fails.job]), Mode::Real).await),
        refused(reader.cancel(&named([runs.job]), Mode::Real).await),
        refused(reader.bury(&named([runs.job]), "harm", Mode::Real).await),
        refused(reader.claim(&named([runs.job]), Mode::Real).await),
        refused(reader.requeue_dead(&named([others[0]]), Mode::Real).await),
        refused(reader.drop_dead(&which, None, Exported::Waived, Mode::Real).await),
        refused(reader.note_export(&deaths(&world, &others).await).await),
        refused(reader.pause(None, Mode::Real).await),
        refused(reader.resume(Mode::Real).await),
        refused(reader.begin_run(&plan, Terms::AT_ONCE).await),
        refused(reader.drive_run(run, |_| ()).await),
        refused(reader.pause_run(run).await),
        refused(reader.abort_run(run).await),
        refused(reader.resume_run(run).await),
        refused(reader.undo(ActionId(action)).await),
        refused(submitter.submit_as(&reader, Submission::now(source)).await),
    ];
    assert!(
        answers.iter().all(|answer| *answer == Refused::ReadOnly),
        "{answers:?}"
    );
    assert_eq!(footprint(&world).await, before);
}

#[tokio::test]
async fn at_a_console_one_job_moves_at_once_and_more_want_their_number() {
    let world = World::new().await;
    let jobs = [
        world.submit("one").await,
        world.submit("two").await,
        world.submit("three").await,
    ];
    let before = footprint(&world).await;
    let silent = guarded(&world, Consent::default());
    assert_eq!(
        refused(silent.cancel(&named(jobs), Mode::Real).await),
        Refused::NoReason(3)
    );
    let wrong = guarded(&world, typed(2));
    assert_eq!(
        refused(wrong.cancel(&named(jobs), Mode::Real).await),
        Refused::WrongCount { typed: 2, will: 3 }
    );
    assert_eq!(footprint(&world).await, before);
    silent.cancel(&named([jobs[0]]), Mode::Real).await.expect("one");
    let outcome = guarded(&world, typed(2))
        .cancel(&named([jobs[1], jobs[2]]), Mode::Real)
        .await;
    assert_eq!(outcome.expect("two").done.len(), 2);
}

#[tokio::test]
async fn what_goes_for_ever_wants_its_name_and_an_export() {
    let world = World::new().await;
    let job = dead(&world, "one", "no such pull request").await;
    let (which, name) = (Selection::Named(named([job])), world.settings.name.clone());
    let before = footprint(&world).await;
    for wrong in [None, Some("reviews".to_owned())] {
        let operator = guarded(
            &world,
            Consent {
                name: wrong,
                ..typed(1)
            },
        );
        let answer = operator
            .drop_dead(&which, None, Exported::Waived, Mode::Real)
            .await;
        assert_eq!(refused(answer), Refused::WrongName(name.clone()));
    }
    assert_eq!(footprint(&world).await, before);
    let operator = guarded(
        &world,
        Consent {
            name: Some(name),
            ..typed(1)
        },
    );
    let outcome = operator
        .drop_dead(&which, None, Exported::Waived, Mode::Real)
        .await
        .expect("an answer");
    assert_eq!(
        outcome.refused[0].why.to_string(),
        "not exported since it died: use `millstream dead export` first"
    );
    let seen = deaths(&world, &[job]).await;
    operator.note_export(&seen).await.expect("an export");
    let outcome = operator
        .drop_dead(&which, None, Exported::Waived, Mode::Real)
        .await
        .expect("a drop");
    assert_eq!(outcome.done, [job.to_string()]);
}

#[tokio::test]
async fn an_export_counts_for_the_death_that_it_shows() {
    let world = World::new().await;
    let job = dead(&world, "one", "no such pull request").await;
    let which = Selection::Named(named([job]));
    let ada = ada(&world);
    let seen = deaths(&world, &[job]).await;
    ada.note_export(&seen).await.expect("an export");
    sqlx::query("update millstream.jobs set finished_at = finished_at + interval '1 s' where id = $1")
        .bind(job.0)
        .execute(&world.sql)
        .await
        .expect("it died again");
    let drop_it = async || {
        let outcome = ada.drop_dead(&which, None, Exported::Wanted, Mode::Real).await;
        outcome.expect("an answer").done
    };
    assert!(drop_it().await.is_empty());
    // A copy that was made before it died again is noted after.
    ada.note_export(&seen).await.expect("an export");
    assert!(drop_it().await.is_empty(), "nobody has seen this death");
    let seen = deaths(&world, &[job]).await;
    ada.note_export(&seen).await.expect("an export");
    assert_eq!(drop_it().await, [job.to_string()]);
}
