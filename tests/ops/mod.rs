//! An operator's moves on real servers: their effect in both, their refusals, and what they leave alone.

mod bulk;
mod claim;
mod dead;
mod editing;
mod glass;
mod intake;
mod jobs;
mod kills;
mod pause;
mod pending;
mod races;
mod readers;
mod rights;
mod runs;
mod undo;

use std::time::Duration;

use millstream::domain::{EntryId, Failure, FailureClass, JobId, JobRef, Lane, WorkerId};
use millstream::ops::{Consent, Count, Operator, Outcome, Rights};
use millstream::queue::fetch::Want;
use millstream::queue::keys::lane_number;
use millstream::store::assess::Death;
use millstream::store::dead::DeadRow;
use millstream::store::{Asked, Issued, Lease, Next, Start};

use crate::support::{World, first_parking};

/// The last deaths of these jobs.
async fn deaths(world: &World, jobs: &[JobId]) -> Vec<Death> {
    let rows = world.store.dead_rows(&world.settings.name, jobs).await;
    rows.expect("postgres is there")
        .iter()
        .map(DeadRow::death)
        .collect()
}

/// A job that somebody has started.
struct Held {
    job: JobId,
    entry: EntryId,
    lease: Lease,
}

/// Ada, who operates a world's queue.
fn ada(world: &World) -> Operator {
    Operator::new(
        world.store.clone(),
        world.queue.clone(),
        "cli:ada",
        Rights::Explicit,
    )
}

/// Ada at a console: she may write, and the ladder watches her.
fn guarded(world: &World, consent: Consent) -> Operator {
    let (store, queue) = (world.store.clone(), world.queue.clone());
    Operator::new(store, queue, "console:ada", Rights::Guarded).with(consent)
}

/// A reason, and a number that was typed.
fn typed(count: u64) -> Consent {
    Consent {
        reason: Some("the model was slow".to_owned()),
        count: Count::Typed(count),
        name: None,
    }
}

/// Names of jobs.
fn named(jobs: impl IntoIterator<Item = JobId>) -> Vec<JobRef> {
    jobs.into_iter().map(JobRef::Id).collect()
}

/// What was refused, as id and words.
fn refusals(outcome: &Outcome) -> Vec<(String, String)> {
    let refused = outcome.refused.iter();
    refused.map(|one| (one.id.clone(), one.why.to_string())).collect()
}

/// A job that a worker has fetched and started; the worker is only a name.
async fn held(world: &World, word: &str) -> Held {
    world.queue.ensure_groups().await.expect("groups");
    let job = world.submit(word).await;
    let worker = WorkerId::fresh();
    let fetched = world.queue.fetch(worker, 1, Want::Anything).await.expect("fetch");
    let entry = fetched.entries.first().expect("its entry").id;
    let asked = Asked {
        job,
        entry,
        lane: Lane::Own,
        payload: "p".to_owned(),
        delivery: 1,
    };
    let starts = world.store.start(&world.settings.name, worker, &[asked]).await;
    let Start::Begin(Issued { attempt, .. }) = starts.expect("start")[0] else {
        panic!("it begins");
    };
    let lease = Lease { job, attempt, worker };
    Held { job, entry, lease }
}

/// A job whose first attempt failed; it is due in ten minutes.
async fn parked(world: &World, word: &str) -> Held {
    let held = held(world, word).await;
    let (delay, failure) = (
        Duration::from_secs(600),
        Failure::passing(FailureClass::Model, "503"),
    );
    let next = Next::Retry(delay);
    world
        .store
        .fail(&held.lease, &failure, next, None)
        .await
        .expect("fail");
    let delays = [first_parking(held.entry, delay)];
    let parking = world.queue.park(Lane::Own, held.lease.worker, &delays);
    assert_eq!(parking.await.expect("park"), [true]);
    held
}

/// A job that was given up.
async fn dead(world: &World, word: &str, error: &str) -> JobId {
    let held = held(world, word).await;
    let failure = Failure::lasting(FailureClass::Input, error);
    world
        .store
        .fail(&held.lease, &failure, Next::Bury, None)
        .await
        .expect("fail");
    let fields = [
        ("jobId", held.job.to_string()),
        ("class", "input".to_owned()),
        ("error", error.to_owned()),
    ];
    let letter: Vec<(Vec<u8>, Vec<u8>)> = fields
        .into_iter()
        .map(|(name, value)| (name.into(), value.into_bytes()))
        .collect();
    let burying = world
        .queue
        .bury(Lane::Own, held.lease.worker, held.entry, &letter);
    assert!(burying.await.expect("bury"));
    held.job
}

/// A job that is held in Postgres for an hour.
async fn scheduled(world: &World, word: &str) -> JobId {
    let job = world.accept(word).await;
    sqlx::query(
        "update millstream.jobs set state = 'scheduled', run_at = now() + interval '1 h' where id = $1",
    )
    .bind(job.0)
    .execute(&world.sql)
    .await
    .expect("its row");
    job
}

/// When an entry is due, in ms.
async fn due(world: &World, entry: EntryId) -> Option<u64> {
    let score: Option<f64> = redis::cmd("ZSCORE")
        .arg(&world.queue.keys().due)
        .arg(format!("{}:{entry}", lane_number(Lane::Own)))
        .query_async(&mut world.valkey.clone())
        .await
        .expect("zscore");
    score.map(|ms| ms as u64)
}

/// The last entry of the book: actor, verb, outcome, result.
async fn last_action(world: &World) -> (String, String, Option<String>, Option<serde_json::Value>) {
    sqlx::query_as("select actor, verb, outcome, result from millstream.actions order by id desc limit 1")
        .fetch_one(&world.sql)
        .await
        .expect("an action")
}

/// Everything that a move could write, in both servers, as one text for each table and key.
async fn footprint(world: &World) -> Vec<String> {
    let mut parts = Vec::new();
    for table in [
        "reviews",
        "spans",
        "millstream.jobs",
        "millstream.all_attempts",
        "millstream.events",
        "millstream.actions",
        "millstream.moved",
        "millstream.runs",
        "millstream.run_items",
        "millstream.queues",
    ] {
        let sum =
            format!("select md5(coalesce(string_agg(t::text, ',' order by t::text), '')) from {table} t");
        let sum: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sum))
            .fetch_one(&world.sql)
            .await
            .expect(table);
        parts.push(format!("{table} {sum}"));
    }
    let keys = world.queue.keys();
    for key in [&keys.own, &keys.shared, &keys.due, &keys.dead, &keys.pause] {
        let dump: Option<Vec<u8>> = redis::cmd("DUMP")
            .arg(key)
            .query_async(&mut world.valkey.clone())
            .await
            .expect("dump");
        parts.push(format!("{key} {dump:?}"));
    }
    parts
}
