//! Taking back what was done, as far as nobody has started or moved it since.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream::domain::{JobId, JobState, RunState, Terms};
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Mode, OpsError, Refused};
use millstream::store::actions::ActionId;

use super::dead::{matching, pile};
use super::{ada, dead, guarded, held, named, parked, refusals, scheduled, typed};
use crate::support::{Gated, World};

async fn last_id(world: &World) -> ActionId {
    let id = sqlx::query_scalar("select max(id) from millstream.actions")
        .fetch_one(&world.sql)
        .await;
    ActionId(id.expect("an action"))
}

/// Everything of a dead job that an undo has to bring back.
async fn as_it_died(world: &World, job: JobId) -> String {
    sqlx::query_scalar(
        "select concat_ws('|', state, attempt, failures, crashes, error, error_class, fingerprint, finished_at, worker)
         from millstream.jobs where id = $1",
    )
    .bind(job.0)
    .fetch_one(&world.sql)
    .await
    .expect("its row")
}

#[tokio::test]
async fn what_no_worker_has_taken_is_dead_again_as_it_was() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let jobs = pile(&world, "model", 3).await;
    // A worker does so within seconds, which might be in the middle of this.
    let named = world.store.name_causes(&world.settings.name, 10).await;
    named.expect("postgres is there");
    let ada = guarded(&world, typed(3));
    let plan = ada
        .plan_requeue(&matching("class:model"), Some("class:model"))
        .await
        .expect("a plan");
    let before = [
        as_it_died(&world, jobs[1]).await,
        as_it_died(&world, jobs[2]).await,
    ];
    let terms = Terms {
        canary: 0,
        rate: None,
        in_flight: None,
        stop_over: None,
    };
    let run = ada.begin_run(&plan, terms).await.expect("a run");
    ada.drive_run(run, |_| ()).await.expect("it runs");
    // The newest one is first on the list, and in the hands of a worker by now.
    let handler = Gated::shut();
    let settings = millstream::settings::EngineSettings {
        concurrency: 1,
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    let started = handler.next_start().await.job;
    assert_eq!(started, jobs[0]);
    let undoing = ada.undoing(None).await.expect("something");
    assert_eq!(
        (undoing.in_words().as_str(), undoing.run),
        (
            "2 not yet started can come back, 1 already ran or moved",
            Some(run)
        )
    );
    let outcome = ada.undo(ActionId(undoing.action)).await.expect("undo");
    assert_eq!(outcome.done.len(), 2, "{outcome:?}");
    assert_eq!(
        refusals(&outcome),
        [(
            started.to_string(),
            "it is too late: it has been started or moved since, and is running".to_owned()
        )]
    );
    assert_eq!(
        [
            as_it_died(&world, jobs[1]).await,
            as_it_died(&world, jobs[2]).await
        ],
        before
    );
    // The worker has just begun, and its first pass writes letters for the dead that have none: until its next one, one
    // of them may have two.
    let letters = world.dead_letters().await;
    let about: BTreeSet<String> = letters
        .iter()
        .filter_map(|letter| letter.get("jobId").cloned())
        .collect();
    let dead_again: BTreeSet<String> = jobs[1..3].iter().map(ToString::to_string).collect();
    assert_eq!(about, dead_again, "each has a letter again");
    handler.let_through(9);
    world.until_state(started, JobState::Done).await;
    world.until_empty().await;
    worker.drain().await;
    assert_eq!(handler.runs(), 1, "nothing else ran");
    let again = ada.undo(ActionId(undoing.action)).await.expect("a repeat");
    assert!(again.done.is_empty());
    assert!(matches!(
        ada.undoing(None).await,
        Err(OpsError::Refused(Refused::NothingToUndo))
    ));
    let items: Vec<String> = sqlx::query_scalar("select state from millstream.run_items order by ord")
        .fetch_all(&world.sql)
        .await
        .expect("its list");
    assert_eq!(items, ["requeued", "undone", "undone"]);
}

#[tokio::test]
async fn an_undo_ends_a_run_that_is_not_over() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    pile(&world, "model", 3).await;
    let ada = guarded(&world, typed(3));
    let plan = ada
        .plan_requeue(&matching("class:model"), None)
        .await
        .expect("a plan");
    let run = ada
        .begin_run(
            &plan,
            Terms {
                canary: 1,
                ..Terms::AT_ONCE
            },
        )
        .await
        .expect("a run");
    let undoing = async {
        crate::support::until("the canary is out", || async {
            (ada.run_row(run).await.expect("the run").counts.requeued == 1).then_some(())
        })
        .await;
        let row = ada.run_row(run).await.expect("the run");
        ada.undo(row.action).await.expect("undo")
    };
    let (end, outcome) = tokio::join!(ada.drive_run(run, |_| ()), undoing);
    assert_eq!(
        end.expect("it ends"),
        millstream::ops::DriveEnd::Over(RunState::Aborted)
    );
    assert_eq!(outcome.done.len(), 1);
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.dead, counts.add_up()), (3, true));
}

#[tokio::test]
async fn what_was_called_off_or_given_up_lives_again() {
    let world = World::new().await;
    let (runs, fails) = (held(&world, "one").await.job, parked(&world, "two").await.job);
    let (later, waits) = (scheduled(&world, "three").await, world.submit("four").await);
    let jobs = [runs, fails, later, waits];
    for bury in [false, true] {
        let ada = ada(&world);
        let outcome = if bury {
            ada.bury(&named(jobs), "harm", Mode::Real).await
        } else {
            ada.cancel(&named(jobs), Mode::Real).await
        };
        assert_eq!(outcome.expect("an end").done.len(), 4);
        let outcome = ada.undo(last_id(&world).await).await.expect("undo");
        assert_eq!(
            (outcome.done.len(), outcome.refused.len(), outcome.notes.len()),
            (4, 0, 0),
            "{outcome:?}"
        );
        let mut states = Vec::new();
        for job in jobs {
            let row = world.job(job).await;
            states.push((row.status, row.error));
        }
        let state = |word: &str, error: Option<&str>| (word.to_owned(), error.map(ToOwned::to_owned));
        // A retry that was minutes away is held for as long.
        let expected = [
            state("waiting", None),
            state("scheduled", Some("503")),
            state("scheduled", None),
            state("waiting", None),
        ];
        assert_eq!(states, expected);
        assert!(world.dead_letters().await.is_empty());
    }
    sqlx::query("update millstream.jobs set run_at = now() where state = 'scheduled'")
        .execute(&world.sql)
        .await
        .expect("their rows");
    let worker = world.worker(&Gated::open(), World::engine());
    for job in jobs {
        world.until_state(job, JobState::Done).await;
    }
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn what_was_submitted_is_called_off_unless_it_runs() {
    let world = World::with(millstream::queue::Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let submitter = world.submitter();
    let source = Source::PullRequest(
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address"),
    );
    let submitted = submitter
        .submit_as(&ada(&world), Submission::now(source))
        .await
        .expect("submit");
    let undoing = ada(&world).undoing(None).await.expect("something");
    assert_eq!(
        (undoing.verb.as_str(), undoing.in_words().as_str()),
        ("submit", "1 can come back")
    );
    ada(&world).undo(ActionId(undoing.action)).await.expect("undo");
    assert_eq!(world.job(submitted.id).await.status, "cancelled");
    assert_eq!(world.queue.depth().await.expect("depth").entries, 0);
}

#[tokio::test]
async fn a_pause_and_a_resume_are_taken_back_while_they_hold() {
    let world = World::new().await;
    let ada = ada(&world);
    ada.pause(Some("a look"), Mode::Real).await.expect("pause");
    let pause = last_id(&world).await;
    assert_eq!(ada.undo(pause).await.expect("undo").done.len(), 1);
    assert!(world.queue.pause_text().await.expect("valkey is there").is_none());
    let again = ada.undo(pause).await.expect("undo");
    assert!(again.done.is_empty() && again.refused.len() == 1, "{again:?}");
    ada.pause(None, Mode::Real).await.expect("pause");
    ada.resume(Mode::Real).await.expect("resume");
    assert_eq!(ada.undo(last_id(&world).await).await.expect("undo").done.len(), 1);
    assert!(world.queue.pause_text().await.expect("valkey is there").is_some());
}

#[tokio::test]
async fn what_has_no_way_back_says_so_and_what_was_moved_since_stays() {
    let world = World::new().await;
    let job = dead(&world, "one", "no such pull request").await;
    let ada = ada(&world);
    ada.requeue_dead(&named([job]), Mode::Real)
        .await
        .expect("requeue");
    let requeue = last_id(&world).await;
    ada.cancel(&named([job]), Mode::Real).await.expect("cancel");
    let cancel = last_id(&world).await;
    let outcome = ada.undo(requeue).await.expect("undo");
    assert!(
        outcome.done.is_empty(),
        "somebody has cancelled it since: {outcome:?}"
    );
    ada.undo(cancel).await.expect("undo");
    assert_eq!(
        ada.undo(requeue).await.expect("undo").done,
        [job.to_string()],
        "and then it can"
    );
    ada.drop_dead(
        &millstream::ops::Selection::Named(named([job])),
        None,
        millstream::store::dead::Exported::Waived,
        Mode::Real,
    )
    .await
    .expect("drop");
    let refused = ada.undo(last_id(&world).await).await;
    assert!(
        matches!(refused, Err(OpsError::Refused(Refused::NoWayBack(_)))),
        "{refused:?}"
    );
    let refused = ada.undo(ActionId(999_999)).await;
    assert!(
        matches!(refused, Err(OpsError::Refused(Refused::NoAction(_)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_undo_and_a_start_at_once_leave_a_job_that_ran_or_is_dead_and_never_both() {
    for _ in 0..20 {
        let world = World::new().await;
        world.queue.ensure_groups().await.expect("groups");
        let jobs = pile(&world, "model", 12).await;
        let handler = Gated::open();
        let worker = world.worker(&handler, World::engine());
        let ada = ada(&world);
        ada.requeue_dead(&named(jobs.clone()), Mode::Real)
            .await
            .expect("requeue");
        let outcome = ada.undo(last_id(&world).await).await.expect("undo");
        let back = outcome.done.len();
        for job in &jobs {
            let dead = outcome.done.contains(&job.to_string());
            let end = if dead { JobState::Dead } else { JobState::Done };
            let row = world.until_state(*job, end).await;
            assert_eq!(row.attempt, if dead { 5 } else { 6 });
        }
        tokio::time::timeout(Duration::from_secs(20), world.until_empty())
            .await
            .expect("nothing is left");
        worker.drain().await;
        assert_eq!(handler.runs(), jobs.len() - back);
    }
}
