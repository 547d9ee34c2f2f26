//! No worker takes more than it can run, waits for ever, or is held up by others' failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream::domain::{Failure, FailureClass, JobState};
use millstream::engine::{Handler, JobContext};
use millstream::queue::keys::PARKED;
use millstream::settings::EngineSettings;

use crate::support::{Gated, Line, TestJob, World, until};

#[tokio::test]
async fn a_hung_handler_meets_its_deadline() {
    let world = World::new().await;
    let handler = Gated::shut();
    let settings = EngineSettings {
        deadline: Duration::from_millis(50),
        max_attempts: 2,
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    let id = world.submit("one").await;
    let row = world.until_state(id, JobState::Dead).await;
    assert!(row.error.is_some_and(|error| error.contains("deadline")));
    for attempt in 1..=2 {
        assert_eq!(handler.next_end().await.attempt, attempt, "its token fired");
    }
    assert_eq!((world.outcomes(id).await.len(), handler.runs()), (2, 0));
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_takes_no_more_than_it_has_slots() {
    let world = World::new().await;
    let handler = Gated::shut();
    let settings = EngineSettings {
        concurrency: 2,
        ..World::engine()
    };
    for word in ["a", "b", "c", "d", "e"] {
        world.submit(word).await;
    }
    let worker = world.worker(&handler, settings);
    handler.next_start().await;
    handler.next_start().await;
    // Several heartbeats would have shown a third one.
    until("it has renewed its leases", || async {
        let beat = world.queue.workers().await.expect("valkey is there");
        beat.first()?.card.as_ref()?.contains("\"busy\":2").then_some(())
    })
    .await;
    let depth = world.queue.depth().await.expect("valkey is there");
    assert_eq!((depth.entries, depth.pending), (5, 2));
    handler.let_through(5);
    world.until_empty().await;
    worker.drain().await;
}

/// Counts how many run at a time.
#[derive(Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Handler<TestJob> for Crowd {
    type Output = ();

    async fn run(&self, _job: TestJob, _context: JobContext) -> Result<(), Failure> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_far_from_its_server_takes_no_more_than_it_has_slots_either() {
    /// Many times what it has slots.
    const JOBS: usize = 200;
    let world = World::new().await;
    let (valkey, postgres) = (
        Line::to(&world.valkey_url).await,
        Line::to(&world.database_url).await,
    );
    for _ in 0..JOBS {
        world.submit("one").await;
    }
    // With answers that take longer it asks again while one is on its way.
    valkey.slow_down(Duration::from_millis(3));
    let (queue, store) = world.by_lines(&valkey, &postgres);
    let (handler, slots) = (Crowd::default(), 16);
    let settings = EngineSettings {
        concurrency: slots,
        ..World::engine()
    };
    let worker = World::run_on::<TestJob, _>(queue, store, handler.clone(), settings);
    world.until_empty().await;
    worker.drain().await;
    assert!(handler.most.load(Ordering::Relaxed) <= slots);
    let (done, delivered): (i64, i32) = sqlx::query_as(
        "select count(*) filter (where state = 'done'), max(delivery) from millstream.jobs where queue = $1",
    )
    .bind(&world.settings.name)
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there");
    assert_eq!(
        (done, delivered),
        (JOBS as i64, 1),
        "what is given back is delivered again"
    );
}

#[tokio::test]
async fn jobs_that_fail_hold_up_no_job_behind_them() {
    let world = World::new().await;
    let handler = Gated::open();
    let later = || Failure::passing(FailureClass::Model, "503").not_before(Duration::from_secs(60));
    handler.fail_with([later(), later(), later()]).await;
    let settings = EngineSettings {
        concurrency: 1,
        ..World::engine()
    };
    let poison = [
        world.submit("a").await,
        world.submit("b").await,
        world.submit("c").await,
    ];
    let good = world.submit("good").await;
    let worker = world.worker(&handler, settings);
    world.until_state(good, JobState::Done).await;
    for id in poison {
        world.until_state(id, JobState::Retrying).await;
    }
    let parked = world.queue.depth().await.expect("valkey is there").parked;
    assert_eq!(parked, 3);
    worker.drain().await;
}

#[tokio::test]
async fn what_is_due_waits_for_no_read_to_end() {
    let world = World::new().await;
    let handler = Gated::open();
    handler
        .fail_with((0..7).map(|_| Failure::passing(FailureClass::Model, "503")))
        .await;
    let settings = EngineSettings {
        max_attempts: 8,
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    // Seven waits of some milliseconds: seven ends of a read that blocks for 5 s are more than anybody waits.
    let id = world.submit("one").await;
    assert_eq!(world.until_state(id, JobState::Done).await.attempt, 8);
    worker.drain().await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease_and_is_started_once() {
    let world = World::new().await;
    let (handler, other) = (Gated::shut(), Gated::open());
    let worker = world.worker(&handler, World::engine());
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    handler.next_start().await;
    let second = world.worker(&other, World::engine());
    let name = worker.id.to_string();
    for _ in 0..2 {
        // The clock of leases moves on, far beyond any timeout.
        world.age(entry, &name, Duration::from_secs(600)).await;
        until("the lease is young again", || async {
            world
                .idle(entry, &name)
                .await
                .filter(|idle| *idle < Duration::from_secs(15))
        })
        .await;
    }
    assert_ne!(world.holder(entry).await.expect("it is pending").0, PARKED);
    handler.let_through(1);
    world.until_state(id, JobState::Done).await;
    assert_eq!(
        (world.outcomes(id).await, other.runs()),
        (vec!["done".to_owned()], 0)
    );
    worker.drain().await;
    second.drain().await;
}
