//! What runs: attempts without a row of their own yet, and where they are looked for.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream::domain::{EntryId, JobId, Lane, WorkerId};
use millstream::store::telemetry::event_seq;
use millstream::store::{AtWork, Fence, Lease, Start, Taken};

use super::{asked, new_job};
use crate::support::World;

const BACK: Duration = Duration::from_secs(60);

/// Accepts a job.
async fn accepted(world: &World) -> JobId {
    let job = new_job(world, "test", "p");
    world.store.accept(&job).await.expect("accept");
    job.id
}

/// Starts a job by the entry of its number, for a worker that says what it holds.
async fn start(world: &World, worker: WorkerId, job: JobId, ms: u64, at_work: AtWork) -> Lease {
    let queue = &world.settings.name;
    let begun = world
        .store
        .start_among(queue, worker, &[asked(job, ms)], &at_work)
        .await
        .expect("start");
    let [Start::Begin(issued)] = begun[..] else {
        panic!("it begins: {begun:?}");
    };
    Lease {
        job,
        attempt: issued.attempt,
        worker,
    }
}

async fn start_alone(world: &World, worker: WorkerId, job: JobId, ms: u64) -> Lease {
    let jobs = vec![job];
    start(
        world,
        worker,
        job,
        ms,
        AtWork {
            serial: ms as i64,
            jobs,
        },
    )
    .await
}

/// What a worker runs, as a screen finds it: in the order of its beginning.
async fn running(world: &World, worker: WorkerId) -> Vec<JobId> {
    let rows = world.store.stretches(&[worker.to_string()], BACK).await;
    let rows = rows.expect("stretches").into_iter();
    rows.filter(|row| row.ended_at.is_none())
        .map(|row| JobId(row.id))
        .collect()
}

/// What a worker of an earlier version does as it starts.
async fn begin_rows(world: &World) {
    change(
        world,
        "insert into millstream.attempts (job_id, attempt, worker, started_at)
         select id, attempt, worker, started_at from millstream.jobs",
    )
    .await;
}

async fn count(world: &World, what: &'static str) -> i64 {
    sqlx::query_scalar(what)
        .fetch_one(&world.sql)
        .await
        .expect("a count")
}

async fn change(world: &World, what: &'static str) {
    sqlx::raw_sql(what).execute(&world.sql).await.expect("a change");
}

#[tokio::test]
async fn what_a_worker_runs_is_found_by_the_latest_list_that_it_gave() {
    let world = World::new().await;
    let worker = WorkerId::fresh();
    let (one, two) = (accepted(&world).await, accepted(&world).await);
    let list = |serial: i64, jobs: &[JobId]| AtWork {
        serial,
        jobs: jobs.to_vec(),
    };
    let lease = start(&world, worker, one, 1, list(1, &[one])).await;
    start(&world, worker, two, 2, list(2, &[one, two])).await;
    // A job that has two entries is held twice.
    start(&world, worker, two, 2, list(2, &[one, two, two])).await;
    // The reply to the first question was lost: the same once more, with the list of then.
    assert_eq!(start(&world, worker, one, 1, list(1, &[one])).await, lease);
    assert_eq!(running(&world, worker).await, [one, two]);
    assert_eq!(count(&world, "select count(*) from millstream.attempts").await, 0);
    let open = "select count(*) from millstream.all_attempts where ended_at is null and attempt = 1";
    assert_eq!(count(&world, open).await, 2);

    let begun: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select started_at from millstream.jobs where id = $1")
            .bind(one.0)
            .fetch_one(&world.sql)
            .await
            .expect("a row");
    let fence = world.store.finish(&lease, &(), None).await.expect("finish");
    assert_eq!(fence, Fence::Open);
    assert_eq!(running(&world, worker).await, [two]);
    let attempts = world.store.attempts_of(one).await.expect("attempts");
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].started_at, attempts[0].outcome.as_deref()),
        (begun, Some("done"))
    );
}

#[tokio::test]
async fn an_attempt_that_an_earlier_version_began_is_ended_in_the_row_that_it_has() {
    let world = World::new().await;
    let worker = WorkerId::fresh();
    let (one, two) = (accepted(&world).await, accepted(&world).await);
    let (first, second) = (
        start_alone(&world, worker, one, 1).await,
        start_alone(&world, worker, two, 2).await,
    );
    begin_rows(&world).await;
    let open = "select count(*) from millstream.all_attempts where ended_at is null";
    assert_eq!(count(&world, open).await, 2, "none is told twice");

    let taken = Taken {
        job: one,
        entry: EntryId { ms: 1, seq: 0 },
        deliveries: 1,
    };
    let lost = world.store.lost(&worker.to_string(), &[taken]).await;
    assert_eq!(lost.expect("lost"), 1);
    assert_eq!(world.outcomes(one).await, ["crashed"]);
    assert_eq!(
        world.store.finish(&first, &(), None).await.expect("finish"),
        Fence::Closed
    );
    // Many ends at once are refused then, and the same one by one are not.
    world
        .store
        .finish_plain(&[second])
        .await
        .expect_err("there is a row");
    assert_eq!(
        world.store.finish(&second, &(), None).await.expect("finish"),
        Fence::Open
    );
    assert_eq!(world.outcomes(two).await, ["done"]);
    assert_eq!(count(&world, open).await, 0);
}

#[tokio::test]
async fn the_end_of_an_attempt_that_told_of_nothing_is_told_when_it_is_read() {
    let world = World::new().await;
    let job = accepted(&world).await;
    let lease = start_alone(&world, WorkerId::fresh(), job, 1).await;
    let events = async |after| world.store.events_after(job, after).await.expect("events");
    assert_eq!(events(-1).await, []);
    assert_eq!(
        world.store.finish_plain(&[lease]).await.expect("an answer"),
        [true]
    );
    let told = events(-1).await;
    let [last] = &told[..] else {
        panic!("one event: {told:?}");
    };
    assert_eq!((last.seq, last.attempt), (event_seq(1, 0), 1));
    let at = last.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(
        last.body,
        serde_json::json!({"type": "phase", "phase": "done", "seq": last.seq, "attempt": 1, "at": at})
    );
    assert_eq!(events(last.seq).await, []);
    // An operator had called it off before it ever ran, and put it back.
    sqlx::query(
        "insert into millstream.events (job_id, seq, attempt, at, body) values ($1, 900000, 0, now(), '{}')",
    )
    .bind(job.0)
    .execute(&world.sql)
    .await
    .expect("postgres is there");
    let seqs: Vec<i64> = events(-1).await.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [900_000, event_seq(1, 0)]);
    change(&world, "delete from millstream.events").await;
    assert_eq!(count(&world, "select count(*) from millstream.events").await, 0);
}

#[tokio::test]
async fn an_operator_takes_an_entry_from_who_runs_it_whatever_version_that_is_of() {
    let world = World::new().await;
    let (ours, earlier) = (WorkerId::fresh(), WorkerId::fresh());
    let (one, two) = (accepted(&world).await, accepted(&world).await);
    start_alone(&world, ours, one, 1).await;
    start_alone(&world, earlier, two, 2).await;
    sqlx::query("delete from millstream.at_work where worker = $1")
        .bind(earlier.to_string())
        .execute(&world.sql)
        .await
        .expect("it gave none");
    begin_rows(&world).await;
    let take = async |ms, from: WorkerId| {
        let at = (world.settings.name.as_str(), Lane::Shared, EntryId { ms, seq: 0 });
        let taken = world.store.take_from(at, &from.to_string(), "claimed").await;
        taken.expect("an answer")
    };
    assert_eq!(take(1, earlier).await, None, "another one runs it");
    assert_eq!(take(1, ours).await, Some(one));
    assert_eq!(running(&world, earlier).await, [two]);
    assert_eq!(take(2, earlier).await, Some(two));
    for job in [one, two] {
        assert_eq!(world.outcomes(job).await, ["handed_back"]);
    }
}

#[tokio::test]
async fn what_a_worker_said_is_forgotten_a_day_later_unless_it_runs_some_of_it_still() {
    let world = World::new().await;
    let (gone, busy, fresh) = (WorkerId::fresh(), WorkerId::fresh(), WorkerId::fresh());
    let jobs = [
        accepted(&world).await,
        accepted(&world).await,
        accepted(&world).await,
    ];
    let lease = start_alone(&world, gone, jobs[0], 1).await;
    world.store.finish(&lease, &(), None).await.expect("finish");
    start_alone(&world, busy, jobs[1], 2).await;
    change(
        &world,
        "update millstream.at_work set at = now() - interval '25 hours'",
    )
    .await;
    let lease = start_alone(&world, fresh, jobs[2], 3).await;
    world.store.finish(&lease, &(), None).await.expect("finish");
    assert_eq!(world.store.forget_at_work(10).await.expect("an answer"), 1);
    let left: Vec<String> = sqlx::query_scalar("select worker from millstream.at_work")
        .fetch_all(&world.sql)
        .await
        .expect("rows");
    let left: BTreeSet<String> = left.into_iter().collect();
    assert_eq!(left, BTreeSet::from([busy.to_string(), fresh.to_string()]));
}
