//! Taking an entry from who holds it.

use std::time::Duration;

use millstream::domain::{JobRef, JobState};
use millstream::ops::Mode;
use millstream::queue::keys::PARKED;
use millstream::store::Fence;

use super::{ada, due, held, last_action, named, parked, refusals};
use crate::support::{Gated, World};

#[tokio::test]
async fn a_claimed_entry_is_due_at_once_and_its_worker_writes_nothing_more() {
    let world = World::new().await;
    let runs = held(&world, "one").await;
    let outcome = ada(&world)
        .claim(&named([runs.job]), Mode::Real)
        .await
        .expect("claim");
    assert_eq!(outcome.done, [runs.job.to_string()]);
    assert_eq!(
        world
            .holder(runs.entry)
            .await
            .map(|(holder, _)| holder)
            .as_deref(),
        Some(PARKED)
    );
    let now = world.queue.server_ms().await.expect("time");
    assert!(due(&world, runs.entry).await.is_some_and(|at| at <= now));
    assert_eq!(world.job(runs.job).await.status, "waiting");
    assert_eq!(world.outcomes(runs.job).await, ["handed_back"]);
    let attempts = world.store.attempts_of(runs.job).await.expect("attempts");
    assert_eq!(attempts[0].error.as_deref(), Some("claimed by cli:ada"));
    let written = world.store.finish(&runs.lease, &(), None).await.expect("finish");
    assert_eq!(written, Fence::Closed);
    assert_eq!(last_action(&world).await.1, "claim");
    let worker = world.worker(&Gated::open(), World::engine());
    let row = world.until_state(runs.job, JobState::Done).await;
    assert_eq!(row.attempt, 2);
    worker.drain().await;
}

#[tokio::test]
async fn a_foreign_consumers_entry_is_claimed_and_its_row_left_alone() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let job = world.accept("one").await;
    let entry = world.enqueue(job, "one").await;
    let _one: redis::Value = redis::cmd("XREADGROUP")
        .arg(&[
            "GROUP",
            &world.settings.group,
            "worker-4711",
            "STREAMS",
            &world.queue.keys().own,
            ">",
        ])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("read");
    let before = world.job(job).await.attempt;
    let outcome = ada(&world)
        .claim(&[JobRef::Entry(entry), JobRef::Id(job)], Mode::Real)
        .await
        .expect("claim");
    assert_eq!(outcome.done, [entry.to_string()]);
    assert_eq!(
        refusals(&outcome),
        [(
            job.to_string(),
            "nobody runs it, its entry is parked: use `millstream retry`".to_owned()
        )]
    );
    assert_eq!(
        world.holder(entry).await.map(|(holder, _)| holder).as_deref(),
        Some(PARKED)
    );
    let row = world.job(job).await;
    assert_eq!((row.status.as_str(), row.attempt), ("waiting", before));
}

#[tokio::test]
async fn what_nobody_holds_cannot_be_claimed() {
    let world = World::new().await;
    let (fails, waits) = (parked(&world, "one").await, world.submit("two").await);
    let entry = "1763800000000-7".parse().expect("an entry id");
    let names = [JobRef::Id(fails.job), JobRef::Id(waits), JobRef::Entry(entry)];
    let outcome = ada(&world).claim(&names, Mode::Real).await.expect("claim");
    assert!(outcome.done.is_empty());
    let whys: Vec<String> = refusals(&outcome).into_iter().map(|(_, why)| why).collect();
    assert!(whys[0].contains("millstream retry"), "{whys:?}");
    assert!(
        whys[1..].iter().all(|why| why == "no consumer holds its entry"),
        "{whys:?}"
    );
}

#[tokio::test]
async fn a_claimed_entry_without_its_payload_is_acknowledged_and_its_job_waits_for_another() {
    let world = World::new().await;
    let runs = held(&world, "one").await;
    let _one: u64 = redis::cmd("XDEL")
        .arg(&world.queue.keys().own)
        .arg(runs.entry.to_string())
        .query_async(&mut world.valkey.clone())
        .await
        .expect("xdel");
    let outcome = ada(&world)
        .claim(&named([runs.job]), Mode::Real)
        .await
        .expect("claim");
    assert_eq!((outcome.done.len(), outcome.notes.len()), (1, 1), "{outcome:?}");
    assert_eq!(world.queue.depth().await.expect("depth").pending, 0);
    let entry: Option<String> = sqlx::query_scalar("select entry_id from millstream.jobs where id = $1")
        .bind(runs.job.0)
        .fetch_one(&world.sql)
        .await
        .expect("its row");
    assert_eq!(
        (entry, world.job(runs.job).await.status.as_str()),
        (None, "waiting")
    );
}

#[tokio::test]
async fn the_worker_that_loses_its_entry_gives_the_handler_up() {
    let world = World::new().await;
    let (stuck, heir) = (Gated::shut(), Gated::open());
    let settings = millstream::settings::EngineSettings {
        concurrency: 1,
        visibility_timeout: Duration::from_secs(3),
        ..World::engine()
    };
    let first = world.worker(&stuck, settings);
    let job = world.submit("one").await;
    stuck.next_start().await;
    let second = world.worker(&heir, World::engine());
    ada(&world).claim(&named([job]), Mode::Real).await.expect("claim");
    assert_eq!(stuck.next_end().await.attempt, 1, "it gave the handler up");
    // The entry is due for anybody, the loser too.
    stuck.let_through(1);
    let row = world.until_state(job, JobState::Done).await;
    assert_eq!((row.attempt, stuck.runs() + heir.runs()), (2, 1));
    first.drain().await;
    second.drain().await;
}
