//! How one attempt's end is taken down: in the ledger first, on and on while it is away.

use std::time::Duration;

use tracing::{error, info, warn};

use super::context::JobContext;
use super::dispatcher::Written;
use super::ledger::Ledger;
use super::outcome::RetryRules;
use super::telemetry::publish;
use crate::domain::{Failure, FailureClass, Phase, Progress};
use crate::queue::Queue;
use crate::store::telemetry::EventRow;
use crate::store::{Fence, Lease, Next, Record, StoreError};

/// How long a repeat of a failed call to the ledger waits at the most.
const LEDGER_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the ledger has taken down, with what follows from it.
pub struct TakenDown {
    /// What.
    pub written: Written,
    /// How long the next attempt waits.
    pub delay: Duration,
    /// Why it failed, for the dead letter.
    pub failure: Option<Failure>,
}

impl TakenDown {
    /// With nothing more to say.
    pub const fn plain(written: Written) -> Self {
        Self {
            written,
            delay: Duration::ZERO,
            failure: None,
        }
    }
}

/// Takes down how one attempt ended.
pub struct Clerk<L> {
    /// Where.
    pub ledger: L,
    /// Where listeners hear of it.
    pub queue: Queue,
    /// Which attempt.
    pub lease: Lease,
    /// What it told so far.
    pub context: JobContext,
    /// When a failure is followed by another attempt.
    pub rules: RetryRules,
    /// Failed attempts before it.
    pub failures: u32,
}

impl<L: Ledger> Clerk<L> {
    /// Takes down a result; one that the database refuses is a failure.
    pub async fn take_down_result(&self, record: &dyn Record) -> TakenDown {
        let event = self.context.event(&Progress::phase(Phase::Done));
        let (lease, ledger) = (&self.lease, &self.ledger);
        match attempt_to_persist("record a result", || ledger.finish(lease, record, &event)).await {
            Ok(Fence::Open) => {
                info!(job.id = %lease.job, "finished job {} attempt {}", lease.job, lease.attempt);
                publish(&self.queue, &[event]).await;
                TakenDown::plain(Written::Settled)
            }
            Ok(Fence::Closed) => self.fenced(),
            // What the database will not take is the job's failure, not the worker's.
            Err(refusal) => {
                let text = format!("failed to {refusal}");
                self.take_down_failure(Failure::passing(FailureClass::Store, text))
                    .await
            }
        }
    }

    /// Takes down a failure and decides what follows it.
    pub async fn take_down_failure(&self, failure: Failure) -> TakenDown {
        let (lease, ledger) = (&self.lease, &self.ledger);
        let next = match self.rules.next(&failure, self.failures, rand::random()) {
            // Nothing but the stream holds the job, so it stays there however long it waits.
            Next::Schedule(delay) if ledger.store().is_none() => Next::Retry(delay),
            next => next,
        };
        let event: EventRow = self.context.event(&Progress::Error {
            message: failure.message.clone(),
        });
        let fence = persist("take down a failure", || {
            ledger.fail(lease, &failure, next, &event)
        })
        .await;
        if fence == Fence::Closed {
            return self.fenced();
        }
        let (why, class) = (
            crate::untrusted::one_line(&failure.message, 200),
            failure.class.word(),
        );
        warn!(job.id = %lease.job, class, "job {} attempt {} failed: {why}", lease.job, lease.attempt);
        publish(&self.queue, &[event]).await;
        match next {
            Next::Retry(delay) => TakenDown {
                delay,
                ..TakenDown::plain(Written::Retrying)
            },
            Next::Schedule(_) => TakenDown::plain(Written::Settled),
            Next::Bury => TakenDown {
                failure: Some(failure),
                ..TakenDown::plain(Written::Dead)
            },
        }
    }

    fn fenced(&self) -> TakenDown {
        let Lease { job, attempt, .. } = self.lease;
        warn!(job.id = %job, "job {job} has moved on: attempt {attempt} writes nothing");
        TakenDown::plain(Written::Fenced)
    }
}

/// Repeats a call to the ledger until it is heard; a refusal is the answer.
async fn attempt_to_persist<T, F>(what: &str, mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = Duration::from_millis(50);
    loop {
        match call().await {
            Err(error) if error.is_passing() => warn!("could not {what}: failed to {error}; trying again"),
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LEDGER_PAUSE_MAX);
    }
}

/// Repeats a call to the ledger until it succeeds: there is nothing better to do with a refusal here
/// than to say it and let the grace or the lease end it.
pub async fn persist<T, F>(what: &str, mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match attempt_to_persist(what, &mut call).await {
            Ok(value) => return value,
            Err(error) => error!("could not {what}: failed to {error}; trying again"),
        }
        tokio::time::sleep(LEDGER_PAUSE_MAX).await;
    }
}
