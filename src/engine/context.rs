//! What a running attempt can use: who it is, progress, spans, checkpoints, its input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::telemetry::Telemetry;
use crate::domain::{Failure, FailureClass, Progress, SpanEnd, SpanStart, StoredDiff};
use crate::store::telemetry::{EventRow, SpanRow, event_seq};
use crate::store::{Lease, StoreError};

/// Where an attempt keeps what a later one need not do again, and finds its input.
pub trait Memory: Send + Sync {
    /// The outcome of a step that an earlier attempt finished.
    fn load<'a>(
        &'a self,
        lease: &'a Lease,
        step: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, StoreError>>;
    /// Keeps the outcome of a step.
    fn save<'a>(
        &'a self,
        lease: &'a Lease,
        step: &'a str,
        body: &'a Value,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
    /// The diff that came with the submission.
    fn input<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<StoredDiff>, StoreError>>;
    /// The W3C `traceparent` that came with the submission.
    fn traceparent<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
}

/// Where a run begins to count whose attempt may have told something before: behind all that a run tells, and with room
/// for as much again before the numbers of an operator's events.
const EVENTS_BEFORE: u32 = 450_000;

/// One attempt's view of the engine. Cheap to clone.
#[derive(Clone)]
pub struct JobContext {
    lease: Lease,
    telemetry: Telemetry,
    memory: Arc<dyn Memory>,
    events: Arc<AtomicU32>,
    has_spans: Arc<AtomicBool>,
    cancelled: CancellationToken,
}

impl std::fmt::Debug for JobContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl JobContext {
    pub(super) fn new(lease: Lease, telemetry: Telemetry, memory: Arc<dyn Memory>) -> Self {
        Self {
            lease,
            telemetry,
            memory,
            events: Arc::new(AtomicU32::new(0)),
            has_spans: Arc::new(AtomicBool::new(false)),
            cancelled: CancellationToken::new(),
        }
    }

    /// The attempt may have been run before under its number, and have told something: what it tells from now on has
    /// other numbers, and its end is written down in full.
    pub(super) fn begin_again(&self) {
        self.events.store(EVENTS_BEFORE, Ordering::Relaxed);
    }

    /// The attempt is over for good: nothing it does counts any more.
    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Makes the attempt over for good when the guard goes.
    pub(super) fn cancel_when_dropped(&self) -> DropGuard {
        self.cancelled.clone().drop_guard()
    }

    /// Waits until the attempt is over for good: its job was cancelled, its lease lost, its deadline or the
    /// worker's grace is up. The handler's own future is dropped in that moment; what it has spawned or handed
    /// to a thread ends by this.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the attempt is over for good, for loops that cannot wait.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Which job, which attempt, which worker.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Tells how far the job is: to whoever listens now, and to whoever asks later.
    pub fn progress(&self, event: &Progress) {
        let row = self.event(event);
        self.telemetry.event(row);
    }

    /// The event with its place among the job's events.
    pub(super) fn event(&self, event: &Progress) -> EventRow {
        let nth = self.events.fetch_add(1, Ordering::Relaxed);
        let seq = event_seq(self.lease.attempt, nth);
        let at = crate::clock::now();
        let mut body = serde_json::to_value(event).unwrap_or_default();
        if let Value::Object(members) = &mut body {
            members.insert("seq".to_owned(), seq.into());
            members.insert("attempt".to_owned(), self.lease.attempt.into());
            members.insert(
                "at".to_owned(),
                at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true).into(),
            );
        }
        EventRow {
            lease: self.lease,
            seq,
            at,
            body,
        }
    }

    /// Whether the attempt has told anything yet.
    pub(super) fn has_told(&self) -> bool {
        self.events.load(Ordering::Relaxed) > 0 || self.has_spans.load(Ordering::Relaxed)
    }

    /// A span begins.
    pub fn span_start(&self, span: SpanStart) {
        self.has_spans.store(true, Ordering::Relaxed);
        self.telemetry.span(SpanRow::Start(self.lease, span));
    }

    /// A span ends.
    pub fn span_end(&self, span: SpanEnd) {
        self.telemetry.span(SpanRow::End(self.lease, span));
    }

    /// The outcome of a step that an earlier attempt finished. An outage of the store is waited out.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn load_checkpoint(&self, step: &str) -> Result<Option<Value>, Failure> {
        patiently(|| self.memory.load(&self.lease, step)).await
    }

    /// Keeps the outcome of a step for a later attempt. An outage of the store is waited out.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn save_checkpoint(&self, step: &str, body: &Value) -> Result<(), Failure> {
        patiently(|| self.memory.save(&self.lease, step, body)).await
    }

    /// The diff that came with the submission. An outage of the store is waited out.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn input(&self) -> Result<Option<StoredDiff>, Failure> {
        patiently(|| self.memory.input(&self.lease)).await
    }

    /// The W3C `traceparent` that came with the submission, as it was sent. An outage of the store is waited out.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn traceparent(&self) -> Result<Option<String>, Failure> {
        patiently(|| self.memory.traceparent(&self.lease)).await
    }
}

/// Repeats a call while the store is away: an outage is not the job's failure. The attempt's deadline bounds it.
async fn patiently<'a, T>(
    mut call: impl FnMut() -> BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, Failure> {
    let mut pause = Duration::from_millis(100);
    loop {
        match call().await {
            Err(error) if error.is_passing() => debug!("failed to {error}; the attempt waits for the store"),
            outcome => return outcome.map_err(|error| away(&error)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn away(error: &StoreError) -> Failure {
    Failure::passing(FailureClass::Store, format!("failed to {error}"))
}
