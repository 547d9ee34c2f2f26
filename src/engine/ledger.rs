//! The ledger: where attempts are issued and their ends are taken down.
//!
//! With Postgres all promises hold. Without a ledger a job type needs only the queue: attempts are
//! the server's delivery count, the dead-letter stream is the only record of a dead job, and what is
//! promised ends at the durability of Valkey.

use std::future::Future;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::context::Memory;
use crate::domain::{EntryId, Failure, Lane, StoredDiff, WorkerId};
use crate::store::telemetry::{EventRow, SpanRow};
use crate::store::{Asked, AtWork, Fence, Issued, Lease, Next, Record, Start, Store, StoreError, Taken};

/// Where attempts are issued and ended.
pub trait Ledger: Memory + Clone + 'static {
    /// The store that a reconciler can hold the stream against, if there is one.
    fn store(&self) -> Option<&Store>;

    /// Issues attempts for a batch of entries, for a worker that holds these jobs.
    fn start(
        &self,
        queue: &str,
        worker: WorkerId,
        asked: &[Asked],
        at_work: &AtWork,
    ) -> impl Future<Output = Result<Vec<Start>, StoreError>> + Send;

    /// Ends an attempt with its result.
    fn finish(
        &self,
        lease: &Lease,
        record: &dyn Record,
        event: &EventRow,
    ) -> impl Future<Output = Result<Fence, StoreError>> + Send;

    /// Ends first attempts of one worker that leave nothing behind and told of nothing. Answers which were; the others
    /// are to be ended one by one.
    fn finish_plain(&self, ends: &[Lease]) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Ends an attempt that failed.
    fn fail(
        &self,
        lease: &Lease,
        failure: &Failure,
        next: Next,
        event: &EventRow,
    ) -> impl Future<Output = Result<Fence, StoreError>> + Send;

    /// Ends an attempt that is given up.
    fn hand_back(&self, lease: &Lease) -> impl Future<Output = Result<Fence, StoreError>> + Send;

    /// Closes the fence behind a consumer that lost these jobs.
    fn lost(&self, consumer: &str, taken: &[Taken]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes down that the payload of an entry is gone from the stream.
    fn gone(
        &self,
        queue: &str,
        lane: Lane,
        entry: EntryId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps events.
    fn add_events(&self, events: &[EventRow]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps spans.
    fn add_spans(&self, spans: &[SpanRow]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Ledger for Store {
    fn store(&self) -> Option<&Store> {
        Some(self)
    }

    async fn start(
        &self,
        queue: &str,
        worker: WorkerId,
        asked: &[Asked],
        at_work: &AtWork,
    ) -> Result<Vec<Start>, StoreError> {
        self.bounded(self.start_among(queue, worker, asked, at_work))
            .await
    }

    async fn finish(
        &self,
        lease: &Lease,
        record: &dyn Record,
        event: &EventRow,
    ) -> Result<Fence, StoreError> {
        self.bounded(Self::finish(self, lease, record, Some(event))).await
    }

    async fn finish_plain(&self, ends: &[Lease]) -> Result<Vec<bool>, StoreError> {
        self.bounded(Self::finish_plain(self, ends)).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        failure: &Failure,
        next: Next,
        event: &EventRow,
    ) -> Result<Fence, StoreError> {
        self.bounded(Self::fail(self, lease, failure, next, Some(event)))
            .await
    }

    async fn hand_back(&self, lease: &Lease) -> Result<Fence, StoreError> {
        self.bounded(Self::hand_back(self, lease)).await
    }

    async fn lost(&self, consumer: &str, taken: &[Taken]) -> Result<(), StoreError> {
        self.bounded(Self::lost(self, consumer, taken))
            .await
            .map(|_count| ())
    }

    async fn gone(&self, queue: &str, lane: Lane, entry: EntryId) -> Result<(), StoreError> {
        self.bounded(self.reset_entry(queue, lane, entry)).await
    }

    async fn add_events(&self, events: &[EventRow]) -> Result<(), StoreError> {
        self.bounded(Self::add_events(self, events)).await
    }

    async fn add_spans(&self, spans: &[SpanRow]) -> Result<(), StoreError> {
        self.bounded(Self::add_spans(self, spans)).await
    }
}

impl Memory for Store {
    fn load<'a>(
        &'a self,
        lease: &'a Lease,
        step: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(self.bounded(self.load_checkpoint(lease.job, step)))
    }

    fn save<'a>(
        &'a self,
        lease: &'a Lease,
        step: &'a str,
        body: &'a Value,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        // Behind a closed fence nothing is kept; the attempt is about to be dropped.
        Box::pin(async move {
            let saving = self.save_checkpoint(lease, step, body);
            self.bounded(saving).await.map(|_fence| ())
        })
    }

    fn input<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<StoredDiff>, StoreError>> {
        Box::pin(self.bounded(self.load_input(lease.job)))
    }

    fn traceparent<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(self.bounded(self.load_traceparent(lease.job)))
    }
}

/// No ledger: the queue alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn store(&self) -> Option<&Store> {
        None
    }

    async fn start(
        &self,
        _queue: &str,
        _worker: WorkerId,
        asked: &[Asked],
        _at_work: &AtWork,
    ) -> Result<Vec<Start>, StoreError> {
        let begin = |one: &Asked| {
            Start::Begin(Issued {
                attempt: i32::try_from(one.delivery).unwrap_or(i32::MAX),
                failures: one.delivery.saturating_sub(1),
                crashes: 0,
                again: false,
            })
        };
        Ok(asked.iter().map(begin).collect())
    }

    async fn finish(&self, _: &Lease, _: &dyn Record, _: &EventRow) -> Result<Fence, StoreError> {
        Ok(Fence::Open)
    }

    async fn finish_plain(&self, ends: &[Lease]) -> Result<Vec<bool>, StoreError> {
        Ok(vec![true; ends.len()])
    }

    async fn fail(&self, _: &Lease, _: &Failure, _: Next, _: &EventRow) -> Result<Fence, StoreError> {
        Ok(Fence::Open)
    }

    async fn hand_back(&self, _: &Lease) -> Result<Fence, StoreError> {
        Ok(Fence::Open)
    }

    async fn lost(&self, _: &str, _: &[Taken]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn gone(&self, _: &str, _: Lane, _: EntryId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn add_events(&self, _: &[EventRow]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn add_spans(&self, _: &[SpanRow]) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Memory for NoLedger {
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
