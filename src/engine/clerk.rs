//! How the ends of attempts are taken down: in the ledger first, on and on while it is away.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::attempt::panicked;
use super::context::JobContext;
use super::dispatcher::{Ticket, Written};
use super::ledger::Ledger;
use super::outcome::{RetryRules, STARTS_AT_MOST};
use super::runtime::Message;
use super::telemetry::{Telemetry, publish};
use crate::domain::{Failure, FailureClass, Phase, Progress, Retry};
use crate::queue::Queue;
use crate::store::telemetry::EventRow;
use crate::store::{Fence, Lease, Next, Record, StoreError};

/// Ends that are taken down together.
const BATCH: usize = 512;
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

/// An attempt that has ended and is not taken down yet.
pub struct Paper {
    /// The ticket that it was run for.
    pub ticket: Ticket,
    /// Which attempt.
    pub lease: Lease,
    /// What it told so far.
    pub context: JobContext,
    /// Failed attempts before it.
    pub failures: u32,
    /// How it ended.
    pub end: Result<Box<dyn Record>, Failure>,
}

impl Paper {
    /// Whether it leaves nothing behind.
    fn is_plain(&self) -> bool {
        // What a job type says about its result is not the clerk's to fall over.
        let asked = |record: &dyn Record| catch_unwind(AssertUnwindSafe(|| record.writes_nothing()));
        let nothing = self
            .end
            .as_ref()
            .is_ok_and(|record| asked(record.as_ref()).unwrap_or(false));
        nothing && self.lease.attempt == 1 && !self.context.has_told()
    }
}

/// Takes down how attempts ended: what leaves nothing behind many at a time, the rest each for itself.
pub struct Clerk<L> {
    /// Where.
    pub ledger: L,
    /// Where listeners hear of it.
    pub queue: Queue,
    /// What attempts have told has to be written before their end.
    pub telemetry: Telemetry,
    /// When a failure is followed by another attempt.
    pub rules: RetryRules,
    /// Who is told what was taken down.
    pub inbox: mpsc::Sender<Message>,
}

impl<L: Ledger> Clerk<L> {
    /// Takes down until nobody brings anything any more.
    pub async fn run(self, mut papers: mpsc::UnboundedReceiver<Paper>) {
        let clerk = Arc::new(self);
        let mut alone = JoinSet::new();
        let mut batch = Vec::with_capacity(BATCH);
        while papers.recv_many(&mut batch, BATCH).await > 0 {
            let (plain, others): (Vec<Paper>, Vec<Paper>) = batch.drain(..).partition(Paper::is_plain);
            for paper in others {
                alone.spawn(clerk.clone().one(paper));
            }
            for paper in clerk.plain(plain).await {
                alone.spawn(clerk.clone().one(paper));
            }
            while alone.try_join_next().is_some() {}
        }
        while alone.join_next().await.is_some() {}
    }

    /// Takes down one end. When a record panics as it is dropped, nobody here knows what was taken down: the entry
    /// is given back, and the ledger is asked anew.
    async fn one(self: Arc<Self>, paper: Paper) {
        let (ticket, lease) = (paper.ticket, paper.lease);
        let taking_down = AssertUnwindSafe(self.take_down(paper)).catch_unwind();
        let down = taking_down.await.unwrap_or_else(|panic| {
            error!(job.id = %lease.job, "{}", panicked(panic.as_ref()).message);
            TakenDown::plain(Written::Fenced)
        });
        self.tell(vec![(ticket, down)]).await;
    }

    async fn take_down(&self, paper: Paper) -> TakenDown {
        if paper.context.has_told() {
            self.telemetry.flush().await;
        }
        let scribe = self.scribe(&paper);
        match paper.end {
            Ok(record) => {
                let taking_down = scribe.take_down_result(record.as_ref());
                match AssertUnwindSafe(taking_down).catch_unwind().await {
                    Ok(down) => down,
                    Err(panic) => scribe.take_down_failure(panicked(panic.as_ref())).await,
                }
            }
            Err(failure) => scribe.take_down_failure(failure).await,
        }
    }

    /// Takes down many ends that leave nothing behind; answers those that have to be looked at one by one.
    async fn plain(&self, papers: Vec<Paper>) -> Vec<Paper> {
        let ends: Vec<Lease> = papers.iter().map(|paper| paper.lease).collect();
        let ledger = &self.ledger;
        let ended = match attempt_to_persist("record results", || ledger.finish_plain(&ends)).await {
            Ok(ended) => ended,
            Err(refusal) => {
                warn!(
                    "failed to {refusal}; {} results are recorded one by one",
                    papers.len()
                );
                return papers;
            }
        };
        // Without a ledger nobody waits for a job's end.
        if self.ledger.store().is_some() {
            let ended = papers.iter().zip(&ended).filter(|(_, ended)| **ended);
            let done = |(paper, _): (&Paper, _)| paper.context.event(&Progress::phase(Phase::Done));
            let events: Vec<EventRow> = ended.map(done).collect();
            publish(&self.queue, &events).await;
        }
        let (mut down, mut left) = (Vec::with_capacity(papers.len()), Vec::new());
        for (paper, ended) in papers.into_iter().zip(ended) {
            if ended {
                let Lease { job, attempt, .. } = paper.lease;
                info!(job.id = %job, "finished job {job} attempt {attempt}");
                let ticket = paper.ticket;
                // A record that panics as it is dropped has been taken down all the same.
                let _panicked = catch_unwind(AssertUnwindSafe(|| drop(paper)));
                down.push((ticket, TakenDown::plain(Written::Settled)));
            } else {
                left.push(paper);
            }
        }
        self.tell(down).await;
        left
    }

    async fn tell(&self, down: Vec<(Ticket, TakenDown)>) {
        if !down.is_empty() {
            // The loop is gone only after the worker has left.
            let _gone = self.inbox.send(Message::Written(down)).await;
        }
    }

    fn scribe(&self, paper: &Paper) -> Scribe<'_, L> {
        Scribe {
            ledger: &self.ledger,
            queue: &self.queue,
            lease: paper.lease,
            context: paper.context.clone(),
            rules: self.rules,
            failures: paper.failures,
        }
    }
}

/// Takes down one end.
struct Scribe<'a, L> {
    ledger: &'a L,
    queue: &'a Queue,
    lease: Lease,
    context: JobContext,
    rules: RetryRules,
    failures: u32,
}

impl<L: Ledger> Scribe<'_, L> {
    /// Takes down a result; one that the database refuses is a failure.
    async fn take_down_result(&self, record: &dyn Record) -> TakenDown {
        let event = self.context.event(&Progress::phase(Phase::Done));
        let (lease, ledger) = (&self.lease, self.ledger);
        match attempt_to_persist("record a result", || ledger.finish(lease, record, &event)).await {
            Ok(Fence::Open) => {
                info!(job.id = %lease.job, "finished job {} attempt {}", lease.job, lease.attempt);
                publish(self.queue, &[event]).await;
                TakenDown::plain(Written::Settled)
            }
            Ok(Fence::Closed) => fenced(&self.lease),
            // What the database will not take is the job's failure, not the worker's.
            Err(refusal) => {
                let text = format!("failed to {refusal}");
                self.take_down_failure(Failure::passing(FailureClass::Store, text))
                    .await
            }
        }
    }

    /// How often the job was started since somebody put it back last: what it was through before is forgotten. The
    /// ledger is asked only where that decides something.
    async fn starts(&self, failure: &Failure) -> u32 {
        let start = u32::try_from(self.lease.attempt).unwrap_or(u32::MAX);
        match self.ledger.store() {
            Some(store) if matches!(failure.retry, Retry::Wait(_)) && start >= STARTS_AT_MOST => {
                let before = persist("count the starts of a job", || {
                    store.bounded(store.put_back_after(self.lease.job))
                });
                start.saturating_sub(before.await)
            }
            _ => start,
        }
    }

    /// Takes down a failure and decides what follows it.
    async fn take_down_failure(&self, failure: Failure) -> TakenDown {
        let (lease, ledger) = (&self.lease, self.ledger);
        let start = self.starts(&failure).await;
        let next = match self.rules.next(&failure, self.failures, start, rand::random()) {
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
            return fenced(&self.lease);
        }
        let (why, class) = (
            crate::untrusted::one_line(&failure.message, 200),
            failure.class.word(),
        );
        warn!(job.id = %lease.job, class, "job {} attempt {} failed: {why}", lease.job, lease.attempt);
        publish(self.queue, &[event]).await;
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
}

fn fenced(lease: &Lease) -> TakenDown {
    let Lease { job, attempt, .. } = lease;
    warn!(job.id = %job, "job {job} has moved on: attempt {attempt} writes nothing");
    TakenDown::plain(Written::Fenced)
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
