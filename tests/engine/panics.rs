//! Panics in what a job type brings along, and in the engine's own tasks: no slot leaks, no worker hangs.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::{EntryId, Failure, JobState, Lane, StoredDiff, WorkerId};
use millstream::engine::context::Memory;
use millstream::engine::{EngineError, Handler, Identity, JobContext, Ledger, NoLedger, Stop, Worker};
use millstream::settings::EngineSettings;
use millstream::store::telemetry::{EventRow, SpanRow};
use millstream::store::{Asked, AtWork, Fence, Lease, Next, Record, Start, Store, StoreError, Taken};
use serde_json::Value;
use sqlx::PgConnection;

use crate::support::{TestJob, World};

/// A result that panics when it is asked, or when it is dropped.
struct Trap {
    word: String,
}

impl Record for Trap {
    fn writes_nothing(&self) -> bool {
        assert_ne!(self.word, "asked", "as the test asked");
        self.word != "recorded"
    }

    fn record<'a>(
        &'a self,
        _transaction: &'a mut PgConnection,
        _lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let harmless = std::thread::panicking() || self.word == "asked" || self.word == "last";
        assert!(harmless, "as the test asked");
    }
}

/// Sets traps; hangs with one in its hands when the job says so, the first time.
struct Trapper;

impl Handler<TestJob> for Trapper {
    type Output = Trap;

    async fn run(&self, job: TestJob, context: JobContext) -> Result<Trap, Failure> {
        if job.word == "hangs" && context.lease().attempt == 1 {
            let _held = Trap { word: job.word };
            return std::future::pending().await;
        }
        let word = if job.word == "hangs" {
            "last".to_owned()
        } else {
            job.word
        };
        Ok(Trap { word })
    }
}

#[tokio::test]
async fn a_result_that_panics_in_the_clerks_hands_keeps_no_slot() {
    let world = World::new().await;
    let settings = EngineSettings {
        concurrency: 1,
        ..World::engine()
    };
    let worker = world.run::<TestJob, _>(Trapper, settings);
    for word in ["asked", "dropped", "recorded", "last"] {
        let id = world.submit(word).await;
        world.until_state(id, JobState::Done).await;
        world.until_empty().await;
        assert_eq!(world.outcomes(id).await, ["done"], "{word}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_handler_that_panics_as_its_deadline_drops_it_has_failed_and_keeps_no_slot() {
    let world = World::new().await;
    let settings = EngineSettings {
        concurrency: 1,
        deadline: Duration::from_millis(200),
        ..World::engine()
    };
    let worker = world.run::<TestJob, _>(Trapper, settings);
    let id = world.submit("hangs").await;
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["failed", "done"]);
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_whose_own_task_panics_ends_and_another_goes_on() {
    let world = World::new().await;
    let id = world.submit("last").await;
    let worker: Worker<TestJob, Trapper, Broken> = Worker::new(
        world.queue.clone(),
        Broken,
        Trapper,
        World::engine(),
        Identity::default(),
    );
    let ended = worker.run(Stop::new()).await;
    assert!(matches!(ended, Err(EngineError::Panicked(_))), "{ended:?}");
    let worker = world.run::<TestJob, _>(Trapper, World::engine());
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
}

/// A ledger whose question panics.
#[derive(Debug, Clone, Copy)]
struct Broken;

impl Ledger for Broken {
    fn store(&self) -> Option<&Store> {
        None
    }

    async fn start(&self, _: &str, _: WorkerId, _: &[Asked], _: &AtWork) -> Result<Vec<Start>, StoreError> {
        panic!("as the test asked")
    }

    async fn finish(
        &self,
        lease: &Lease,
        record: &dyn Record,
        event: &EventRow,
    ) -> Result<Fence, StoreError> {
        NoLedger.finish(lease, record, event).await
    }

    async fn finish_plain(&self, ends: &[Lease]) -> Result<Vec<bool>, StoreError> {
        NoLedger.finish_plain(ends).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        why: &Failure,
        next: Next,
        event: &EventRow,
    ) -> Result<Fence, StoreError> {
        NoLedger.fail(lease, why, next, event).await
    }

    async fn hand_back(&self, lease: &Lease) -> Result<Fence, StoreError> {
        NoLedger.hand_back(lease).await
    }

    async fn lost(&self, consumer: &str, taken: &[Taken]) -> Result<(), StoreError> {
        NoLedger.lost(consumer, taken).await
    }

    async fn gone(&self, queue: &str, lane: Lane, entry: EntryId) -> Result<(), StoreError> {
        NoLedger.gone(queue, lane, entry).await
    }

    async fn add_events(&self, events: &[EventRow]) -> Result<(), StoreError> {
        NoLedger.add_events(events).await
    }

    async fn add_spans(&self, spans: &[SpanRow]) -> Result<(), StoreError> {
        NoLedger.add_spans(spans).await
    }
}

impl Memory for Broken {
    fn load<'a>(&'a self, _: &'a Lease, _: &'a str) -> BoxFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn save<'a>(&'a self, _: &'a Lease, _: &'a str, _: &'a Value) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn input<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<Option<StoredDiff>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn traceparent<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}
