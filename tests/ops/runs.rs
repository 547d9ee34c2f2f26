//! Runs: a frozen list, a canary, a pace; halted, ended, taken up again; and each job put back once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use millstream::domain::{Failure, FailureClass, JobId, JobState, RunId, RunState, Terms};
use millstream::ops::{DriveEnd, Mode, Operator, OpsError, Plan, Refused, Selection};
use millstream::reports;
use millstream::store::assess::Verdict;
use serde_json::Value;

use super::dead::{matching, pile};
use super::{ada, guarded, last_action, named, typed};
use crate::support::{Gated, World, until};

/// Terms that look at results: one at a time, after a canary.
const CAREFUL: Terms = Terms {
    canary: 1,
    rate: None,
    in_flight: Some(2),
    stop_over: Some(0.2),
};

async fn world_with_dead(count: i32) -> (World, Vec<JobId>) {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let jobs = pile(&world, "model", count).await;
    (world, jobs)
}

async fn planned(operator: &Operator, text: &str) -> Plan {
    operator
        .plan_requeue(&matching(text), Some(text))
        .await
        .expect("a plan")
}

async fn begun(world: &World, count: u64, terms: Terms) -> RunId {
    let ada = guarded(world, typed(count));
    let plan = planned(&ada, "class:model").await;
    ada.begin_run(&plan, terms).await.expect("a run")
}

async fn state(world: &World, run: RunId) -> RunState {
    ada(world).run_row(run).await.expect("the run").state
}

#[tokio::test]
async fn a_plan_writes_nothing_and_says_why_some_cannot_come_back() {
    let (world, jobs) = world_with_dead(6).await;
    let plan = planned(&ada(&world), "class:model").await;
    assert_eq!((plan.tally().eligible, plan.items.len()), (6, 6));
    let outcome = ada(&world)
        .requeue_dead(&named([jobs[0]]), Mode::Real)
        .await
        .expect("requeue");
    assert_eq!(outcome.done.len(), 1);
    let sql = [
        "update millstream.jobs set kind = 'review', payload = 'patch:0a1b2c3d4e5f' where id = $1",
        "insert into millstream.moved (action_id, job_id, how, attempt) select 0, $1, 'requeue', 0
         from generate_series(1, 5)",
        "update millstream.jobs set finished_at = now() where id = $1",
        "update millstream.jobs set state = 'dropped' where id = $1",
    ];
    for (sql, job) in sql.into_iter().zip(&jobs[1..]) {
        sqlx::query(sql)
            .bind(job.0)
            .execute(&world.sql)
            .await
            .expect("its row");
    }
    let before = super::footprint(&world).await;
    let mut again = plan.clone();
    ada(&world).judge_again(&mut again).await.expect("a look");
    assert_eq!(again.hash(), plan.hash(), "the list is frozen");
    let words: Vec<&str> = jobs
        .iter()
        .map(|job| {
            let one = again.items.iter().find(|one| one.death.job == *job);
            one.expect("it is on the list").verdict.word()
        })
        .collect();
    let expected = [
        "already_requeued",
        "payload_gone",
        "tries_used_up",
        "died_again",
        "not_dead",
        "eligible",
    ];
    assert_eq!(words, expected);
    let by = again
        .items
        .iter()
        .find(|one| one.death.job == jobs[0])
        .map(|one| one.verdict.to_string());
    assert!(by.is_some_and(|text| text.starts_with("already re-queued by cli:ada at 20")));
    assert_eq!(super::footprint(&world).await, before, "a look writes nothing");
    // Somebody who names a job that came back five times means it.
    let by_name = ada(&world)
        .plan_requeue(&Selection::Named(named([jobs[2]])), None)
        .await
        .expect("a plan");
    assert_eq!(by_name.items[0].verdict, Verdict::Eligible);
}

#[tokio::test]
async fn without_a_reason_and_the_right_number_nothing_is_written() {
    let (world, _) = world_with_dead(3).await;
    let before = super::footprint(&world).await;
    let silent = millstream::ops::Consent::default();
    let plan = planned(&guarded(&world, silent.clone()), "class:model").await;
    let refusal = async |consent| match guarded(&world, consent).begin_run(&plan, CAREFUL).await {
        Err(OpsError::Refused(refused)) => refused.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(silent).await, "3 will move: a reason is wanted");
    let mut consent = typed(4);
    assert_eq!(refusal(consent.clone()).await, "you typed 4, 3 will run");
    consent.count = millstream::ops::Count::Any;
    assert_eq!(
        refusal(consent.clone()).await,
        "3 will move: type the number to confirm it"
    );
    consent.reason = Some("  ".to_owned());
    assert_eq!(refusal(consent).await, "3 will move: a reason is wanted");
    let wild = Terms {
        rate: Some(-1.0),
        ..CAREFUL
    };
    let refused = guarded(&world, typed(3)).begin_run(&plan, wild).await;
    assert!(
        matches!(refused, Err(OpsError::Refused(Refused::Terms(_)))),
        "{refused:?}"
    );
    assert_eq!(super::footprint(&world).await, before);
    let run = guarded(&world, typed(3))
        .begin_run(&plan, CAREFUL)
        .await
        .expect("a run");
    let (actor, verb, outcome, _) = last_action(&world).await;
    assert_eq!(
        (actor.as_str(), verb.as_str(), outcome),
        ("console:ada", "requeue", None)
    );
    let book: (String, String, i32, String, Value) = sqlx::query_as(
        "select reason, filter, ids_count, ids_hash, detail from millstream.actions order by id desc limit 1",
    )
    .fetch_one(&world.sql)
    .await
    .expect("the intent");
    assert_eq!(
        (book.0.as_str(), book.1.as_str(), book.2),
        ("the model was slow", "class:model", 3)
    );
    assert_eq!((book.3, &book.4["run"]), (plan.hash(), &run.to_string().into()));
    assert_eq!(
        world
            .store
            .counts(&world.settings.name)
            .await
            .expect("counts")
            .dead,
        3,
        "nobody drives it yet"
    );
}

#[tokio::test]
async fn a_run_sends_its_canary_first_and_then_the_rest() {
    let (world, jobs) = world_with_dead(5).await;
    let run = begun(&world, 5, CAREFUL).await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let ada = ada(&world);
    let most = AtomicU32::new(0);
    let drive = ada.drive_run(run, |row| {
        most.fetch_max(row.counts.open(), Ordering::Relaxed);
    });
    let watch = async {
        let canary = handler.next_start().await;
        let row = ada.run_row(run).await.expect("the run");
        assert_eq!((row.counts.requeued, row.driver.as_deref()), (1, Some("cli:ada")));
        handler.let_through(5);
        canary.job
    };
    let (end, canary) = tokio::join!(drive, watch);
    assert_eq!(end.expect("it runs"), DriveEnd::Over(RunState::Done));
    assert!(most.load(Ordering::Relaxed) <= 2, "two at a time");
    for job in &jobs {
        world.until_state(*job, JobState::Done).await;
    }
    worker.drain().await;
    let detail = reports::run(&world.store, &world.settings.name, run)
        .await
        .expect("the run")
        .expect("it is there");
    assert_eq!(detail.items[0].id, canary.to_string());
    assert!(
        detail
            .items
            .iter()
            .all(|item| item.result.as_deref() == Some("done")),
        "{detail:?}"
    );
    assert_eq!((detail.run.counts.done, detail.run.counts.failed), (5, 0));
    let (_, _, outcome, result) = last_action(&world).await;
    assert_eq!(outcome.as_deref(), Some("ok"));
    assert_eq!(result.expect("a result")["counts"]["requeued"], 5);
    assert!(world.dead_letters().await.is_empty(), "their letters are gone");
}

#[tokio::test]
async fn a_canary_that_dies_stops_the_run_and_a_resumed_one_begins_with_another() {
    let (world, _) = world_with_dead(4).await;
    let run = begun(&world, 4, CAREFUL).await;
    let handler = Gated::open();
    let lasting = || Failure::lasting(FailureClass::Model, "still slow");
    handler.fail_with([lasting()]).await;
    let worker = world.worker(&handler, World::engine());
    let ada = ada(&world);
    let end = ada.drive_run(run, |_| ()).await.expect("it stops");
    assert_eq!(end, DriveEnd::Over(RunState::Stopped));
    let row = ada.run_row(run).await.expect("the run");
    assert_eq!(
        (row.counts.requeued, row.counts.failed, row.counts.planned),
        (1, 1, 3)
    );
    assert!(
        row.why
            .as_deref()
            .is_some_and(|why| why.starts_with("the canary failed")),
        "{row:?}"
    );
    ada.resume_run(run).await.expect("it goes on");
    let end = ada.drive_run(run, |_| ()).await.expect("it ends");
    assert_eq!(end, DriveEnd::Over(RunState::Done));
    until("all have ended", || async {
        let counts = world.store.counts(&world.settings.name).await.expect("counts");
        (counts.done == 3 && counts.dead == 1).then_some(())
    })
    .await;
    worker.drain().await;
    let again = ada.resume_run(run).await;
    assert!(
        matches!(
            again,
            Err(OpsError::Refused(Refused::RunState(_, RunState::Done)))
        ),
        "{again:?}"
    );
}

#[tokio::test]
async fn too_many_failures_stop_a_run() {
    let (world, _) = world_with_dead(20).await;
    let terms = Terms {
        canary: 0,
        in_flight: Some(1),
        ..CAREFUL
    };
    let run = begun(&world, 20, terms).await;
    let handler = Gated::open();
    handler
        .fail_with((0..20).map(|_| Failure::lasting(FailureClass::Model, "still slow")))
        .await;
    let worker = world.worker(&handler, World::engine());
    let end = ada(&world).drive_run(run, |_| ()).await.expect("it stops");
    assert_eq!(end, DriveEnd::Over(RunState::Stopped));
    let row = ada(&world).run_row(run).await.expect("the run");
    assert_eq!((row.counts.failed, row.counts.planned), (2, 18), "{row:?}");
    assert_eq!(row.why.as_deref(), Some("2 of 2 failed, more than 20 %"));
    worker.drain().await;
}

#[tokio::test]
async fn a_paused_run_waits_and_an_aborted_one_is_over() {
    let (world, _) = world_with_dead(4).await;
    let run = begun(&world, 4, CAREFUL).await;
    let ada = ada(&world);
    // Nobody works, so the canary never ends, and the driver waits for it.
    let halting = async {
        until("the canary is out", || async {
            (ada.run_row(run).await.expect("the run").counts.requeued == 1).then_some(())
        })
        .await;
        let driven = ada.resume_run(run).await;
        assert!(
            matches!(driven, Err(OpsError::Refused(Refused::Driven(..)))),
            "{driven:?}"
        );
        ada.pause_run(run).await.expect("a pause")
    };
    let (end, row) = tokio::join!(ada.drive_run(run, |_| ()), halting);
    assert_eq!(end.expect("it halts"), DriveEnd::Over(RunState::Paused));
    assert_eq!(row.why.as_deref(), Some("paused by cli:ada"));
    let end = ada.drive_run(run, |_| ()).await.expect("it stays");
    assert_eq!(end, DriveEnd::Over(RunState::Paused));
    ada.abort_run(run).await.expect("an end");
    for refused in [
        ada.pause_run(run).await,
        ada.abort_run(run).await,
        ada.resume_run(run).await,
    ] {
        assert!(
            matches!(
                refused,
                Err(OpsError::Refused(Refused::RunState(_, RunState::Aborted)))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(state(&world, run).await, RunState::Aborted);
    let nobody = ada.pause_run(RunId(999)).await;
    assert!(
        matches!(nobody, Err(OpsError::Refused(Refused::NoRun(_)))),
        "{nobody:?}"
    );
    assert_eq!(
        world
            .store
            .counts(&world.settings.name)
            .await
            .expect("counts")
            .dead,
        3
    );
}

#[tokio::test]
async fn of_two_drivers_one_drives() {
    let (world, jobs) = world_with_dead(300).await;
    let run = begun(
        &world,
        300,
        Terms {
            in_flight: Some(20),
            ..Terms::AT_ONCE
        },
    )
    .await;
    let worker = world.worker(&Gated::open(), World::engine());
    let ada = ada(&world);
    let drives = (0..4).map(|_| ada.drive_run(run, |_| ()));
    let ends: Vec<DriveEnd> = futures_util::future::join_all(drives)
        .await
        .into_iter()
        .map(|end| end.expect("an end"))
        .collect();
    assert!(ends.contains(&DriveEnd::Over(RunState::Done)), "{ends:?}");
    for job in &jobs {
        world.until_state(*job, JobState::Done).await;
    }
    worker.drain().await;
    each_was_put_back_once(&world, run, &jobs).await;
}

/// The list, the notes and the attempts say of each job that it was put back once and is done once. A worker on a busy
/// machine may lose its lease and start one anew: that is the engine's business, and its attempts say so.
pub async fn each_was_put_back_once(world: &World, run: RunId, jobs: &[JobId]) {
    let detail = reports::run(&world.store, &world.settings.name, run)
        .await
        .expect("the run")
        .expect("it is there");
    let back = detail.items.iter().filter(|item| item.state == "requeued");
    let back: HashSet<JobId> = back.map(|item| item.id.parse().expect("an id")).collect();
    assert_eq!(back, jobs.iter().copied().collect::<HashSet<_>>(), "all of them");
    let odd: i64 = sqlx::query_scalar(
        "select count(*) from (
             select j.id from millstream.jobs j left join millstream.moved m on m.job_id = j.id and m.how = 'requeue'
             where j.id = any($1) group by j.id having count(m.id) <> 1) as odd",
    )
    .bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>())
    .fetch_one(&world.sql)
    .await
    .expect("a count");
    assert_eq!(odd, 0, "each was put back once");
    let odd: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', j.id, j.state, j.attempt, j.entry_id,
                          (select string_agg(concat_ws(' ', a.attempt, a.worker, a.outcome, a.error), ', ')
                           from millstream.all_attempts a where a.job_id = j.id))
         from millstream.jobs j
         where j.id = any($1) and (j.state <> 'done' or j.attempt < 6 or exists (
             select 1 from millstream.all_attempts a where a.job_id = j.id
             group by a.job_id having count(*) filter (where a.outcome = 'done') <> 1
                 or count(*) <> j.attempt - 5
                 or bool_or(a.outcome not in ('done', 'crashed', 'handed_back'))))",
    )
    .bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>())
    .fetch_all(&world.sql)
    .await
    .expect("their rows");
    assert!(odd.is_empty(), "each is done once: {odd:#?}");
}
