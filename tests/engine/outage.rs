//! Servers that go away, fall silent, restart and forget.

use std::time::Duration;

use millstream::domain::{Failure, JobState};
use millstream::engine::{Handler, JobContext};
use millstream::queue::Wire;
use millstream::settings::EngineSettings;
use millstream::store::Store;
use tokio::sync::mpsc;

use crate::support::{Gated, Line, Running, TestJob, World, private, until};

/// A worker that reaches both servers by lines of the test's own.
async fn worker_by_lines(world: &World, handler: impl Handler<TestJob>) -> (Running, Line, Line) {
    worker_by_lines_with(world, handler, World::engine()).await
}

async fn worker_by_lines_with(
    world: &World,
    handler: impl Handler<TestJob>,
    settings: EngineSettings,
) -> (Running, Line, Line) {
    let valkey = Line::to(&world.valkey_url).await;
    let postgres = Line::to(&world.database_url).await;
    let (queue, store) = world.by_lines(&valkey, &postgres);
    let worker = World::run_on::<TestJob, _>(queue, store, handler, settings);
    (worker, valkey, postgres)
}

#[tokio::test]
async fn a_result_waits_until_postgres_is_back_and_is_recorded_once() {
    let world = World::new().await;
    let handler = Gated::shut();
    let (worker, _valkey, postgres) = worker_by_lines(&world, handler.clone()).await;
    let id = world.submit("one").await;
    let lease = handler.next_start().await;
    postgres.cut();
    handler.let_through(1);
    // The handler is through and its result has nowhere to go.
    assert_eq!(handler.next_end().await, lease);
    assert_eq!(world.job(id).await.status, "running");
    postgres.mend();
    let row = world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    assert_eq!(row.attempt, 1);
    assert_eq!(world.outcomes(id).await, ["done"]);
    worker.drain().await;
}

#[tokio::test]
async fn an_outage_of_postgres_longer_than_the_lease_robs_nobody() {
    let world = World::new().await;
    let (handler, other) = (Gated::shut(), Gated::open());
    let (worker, _valkey, postgres) = worker_by_lines(&world, handler.clone()).await;
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    handler.next_start().await;
    postgres.cut();
    // The clock of leases moves on beyond the visibility timeout, with a sweeper beside.
    let name = worker.id.to_string();
    world.age(entry, &name, Duration::from_secs(60)).await;
    let second = world.worker(&other, World::engine());
    // A lease is renewed without Postgres, within the visibility timeout.
    until("the lease is young again", || async {
        let idle = world.idle(entry, &name).await?;
        (idle < Duration::from_secs(15)).then_some(())
    })
    .await;
    handler.let_through(1);
    postgres.mend();
    world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    assert_eq!(world.outcomes(id).await, ["done"]);
    assert_eq!(other.runs(), 0);
    worker.drain().await;
    second.drain().await;
}

/// Keeps a checkpoint when it is told to.
struct Keeps {
    tell: mpsc::Sender<()>,
    gate: Gated,
}

impl Handler<TestJob> for Keeps {
    type Output = ();

    async fn run(&self, job: TestJob, context: JobContext) -> Result<(), Failure> {
        self.gate.run(job, context.clone()).await?;
        self.tell.send(()).await.expect("the test listens");
        context
            .save_checkpoint("turn", &serde_json::json!({ "paid": true }))
            .await
    }
}

#[tokio::test]
async fn a_checkpoint_waits_for_postgres_and_fails_nobody() {
    let world = World::new().await;
    let gate = Gated::shut();
    let (tell, mut told) = mpsc::channel(1);
    let handler = Keeps {
        tell,
        gate: gate.clone(),
    };
    let (worker, _valkey, postgres) = worker_by_lines(&world, handler).await;
    let id = world.submit("one").await;
    gate.next_start().await;
    postgres.cut();
    gate.let_through(1);
    told.recv().await.expect("the handler goes on");
    // Two calls fail beside it, one after the other: its own first one has failed by then.
    let address = postgres.through(&world.database_url);
    let beside = Store::open(&address.into(), "tests", 1).expect("an address of ours");
    for _ in 0..2 {
        beside.server_version().await.expect_err("nobody gets through");
    }
    postgres.mend();
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["done"]);
    let kept = world.store.load_checkpoint(id, "turn").await.expect("postgres");
    assert_eq!(kept, Some(serde_json::json!({ "paid": true })));
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_leaves_in_time_though_postgres_has_fallen_silent() {
    let world = World::new().await;
    let handler = Gated::shut();
    let (worker, _valkey, postgres) = worker_by_lines(&world, handler.clone()).await;
    let id = world.submit("one").await;
    handler.next_start().await;
    // Silent for who is connected, and closed to everybody else: nothing but the grace ends the waiting.
    postgres.silence();
    postgres.cut();
    handler.let_through(1);
    let patience = Duration::from_secs(30);
    let left = tokio::time::timeout(patience, worker.drain()).await;
    left.expect("its grace is five seconds");
    // What it could not record runs again.
    let next = world.worker(&Gated::open(), World::engine());
    let row = world.until_state(id, JobState::Done).await;
    assert!(row.attempt >= 1);
    let done = world.outcomes(id).await;
    assert_eq!(
        done.iter().filter(|outcome| *outcome == "done").count(),
        1,
        "{done:?}"
    );
    next.drain().await;
}

#[tokio::test]
async fn a_connection_to_valkey_that_fell_silent_is_replaced() {
    let world = World::new().await;
    let handler = Gated::open();
    // What the dead connection was given is looked for because a read failed, not because time is up.
    let settings = EngineSettings {
        visibility_timeout: Duration::from_secs(600),
        ..World::engine()
    };
    let (worker, valkey, _postgres) = worker_by_lines_with(&world, handler.clone(), settings).await;
    let first = world.submit("one").await;
    world.until_state(first, JobState::Done).await;
    valkey.silence();
    let second = world.submit("two").await;
    world.until_state(second, JobState::Done).await;
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_consumes_again_after_valkey_restarted_with_its_data() {
    let folder = private::folder();
    let servers = private::valkey_in(&folder).await;
    let line = Line::to(&servers.valkey_url).await;
    let world = World::on_valkey(&line.through(&servers.valkey_url), Wire::JOB).await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let running = world.submit("running").await;
    let lease = handler.next_start().await;
    servers.stop().await;
    let again = private::valkey_in(&folder).await;
    line.lead_to(&again.valkey_url);
    handler.let_through(10);
    world.until_state(running, JobState::Done).await;
    let fresh = until("the queue takes entries again", || async {
        let id = world.accept("fresh").await;
        let entry = millstream::queue::NewEntry {
            lane: millstream::domain::Lane::Own,
            job: id,
            payload: r#"{"word":"fresh"}"#.to_owned(),
            traceparent: None,
        };
        world.queue.enqueue(&[entry]).await.ok().map(|_| id)
    })
    .await;
    world.until_state(fresh, JobState::Done).await;
    assert_eq!((lease.attempt, world.job(running).await.attempt), (1, 1));
    worker.drain().await;
    again.stop().await;
}

#[tokio::test]
async fn a_flush_of_everything_in_flight_loses_nothing_and_records_nothing_twice() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::JOB).await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let mut ids = Vec::new();
    for word in ["a", "b", "c", "d", "e", "f"] {
        ids.push(world.submit(word).await);
    }
    for _ in 0..4 {
        handler.next_start().await;
    }
    let () = redis::cmd("FLUSHALL")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    handler.let_through(100);
    for id in &ids {
        world.until_state(*id, JobState::Done).await;
        let outcomes = world.outcomes(*id).await;
        let done = outcomes.iter().filter(|outcome| *outcome == "done").count();
        assert_eq!(done, 1, "{outcomes:?}");
    }
    world.until_empty().await;
    let counts = world.store.counts(&world.settings.name).await.expect("postgres");
    assert_eq!((counts.accepted, counts.done), (6, 6));
    worker.drain().await;
    servers.stop().await;
}
