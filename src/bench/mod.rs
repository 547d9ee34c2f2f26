//! Measures the engine beside the raw limit of the same server, interleaved in one run.
//!
//! Figures of jobs a second mean little on their own: they follow the machine and whatever else it does. So each
//! cell measures the raw limit right before the engine, and what counts is the ratio of the two.
//!
//! * The **raw limit** is what one connection of the same client can carry with nothing promised: read a hundred
//!   entries, acknowledge and delete them in one trip, and so on.
//! * **queue** is the engine without a ledger: leases, fence of the stream, retries.
//! * **ledger** is the engine with Postgres: an attempt is issued and ended for each job.
//!
//! All of it runs on queues of its own, with names that nobody else has, and takes them away at its end.

mod backlog;
mod cell;
mod distance;
mod endurance;
mod enqueue;
mod gauge;
mod load;
mod pickup;
mod raw;
mod report;

use std::time::Duration;

use secrecy::SecretString;

use crate::queue::QueueError;
use crate::store::StoreError;

pub use backlog::Backlog;
pub use cell::Mode;
pub use endurance::Memory;
pub use pickup::{Pickup, Waits};
pub use report::{Cell, Enqueue, Report};

/// A part of the whole: each can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Jobs a second, cell by cell, and accepting in batches.
    Throughput,
    /// How long an entry waits for an idle worker.
    Pickup,
    /// What a process keeps in memory, job after job.
    Memory,
    /// A long pending list, and the take-over of what a dead worker holds.
    Backlog,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Throughput, Self::Pickup, Self::Memory, Self::Backlog];

    /// Its word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Pickup => "pickup",
            Self::Memory => "memory",
            Self::Backlog => "backlog",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where Valkey is.
    pub valkey: String,
    /// Where Postgres is.
    pub database: String,
    /// The slots of the worker, cell by cell.
    pub concurrency: Vec<usize>,
    /// Without and with the ledger.
    pub modes: Vec<Mode>,
    /// Jobs in a cell without the ledger; with it a quarter of them.
    pub jobs: usize,
    /// How often each cell is measured; the median counts.
    pub rounds: usize,
    /// Which parts.
    pub parts: Vec<Part>,
    /// Each cell is measured once more with the servers so far away.
    pub distance: Option<Duration>,
    /// Entries whose pickup is measured.
    pub pickups: usize,
    /// How long everybody is idle before.
    pub idle: Duration,
    /// Jobs after which memory is read.
    pub memory_jobs: usize,
    /// Entries in a long pending list.
    pub pending: usize,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Valkey failed.
    #[error("failed to {0}")]
    Queue(#[from] QueueError),
    /// Postgres failed.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// Not all jobs were accepted.
    #[error(transparent)]
    Bulk(#[from] crate::ops::bulk::BulkError),
    /// The worker under measurement could not run.
    #[error("the worker under measurement ended: {0}")]
    Worker(String),
    /// A cell took longer than any sensible one.
    #[error("a cell of {jobs} jobs was not through after {seconds} s")]
    Stuck {
        /// Its jobs.
        jobs: usize,
        /// How long it had.
        seconds: u64,
    },
    /// A longer line could not be laid.
    #[error("failed to {0}")]
    Line(String),
    /// This system does not tell what a process holds.
    #[error("read this process's memory: only Linux tells it in /proc/self/status")]
    NoMemory,
}

impl Plan {
    fn valkey(&self) -> SecretString {
        self.valkey.as_str().into()
    }

    fn database(&self) -> SecretString {
        self.database.as_str().into()
    }

    /// The same plan with both servers at the end of a longer line.
    fn far(&self) -> Result<Option<Self>, BenchError> {
        let Some(round_trip) = self.distance else {
            return Ok(None);
        };
        Ok(Some(Self {
            valkey: distance::lengthen(&self.valkey, round_trip)?,
            database: distance::lengthen(&self.database, round_trip)?,
            ..self.clone()
        }))
    }
}

/// Measures; `say` hears of each step.
///
/// # Errors
/// When a server is away or a cell does not come to its end.
pub async fn run(plan: &Plan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Report, BenchError> {
    let mut report = Report::new(plan);
    for part in &plan.parts {
        match part {
            Part::Throughput => throughput(plan, &mut report, say).await?,
            Part::Pickup => report.pickup = Some(pickup::measure(plan).await?),
            Part::Memory => report.memory = Some(endurance::measure(plan).await?),
            Part::Backlog => report.backlog = Some(backlog::measure(plan).await?),
        }
    }
    Ok(report)
}

async fn throughput(
    plan: &Plan,
    report: &mut Report,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), BenchError> {
    let far = plan.far()?;
    for round in 1..=plan.rounds {
        for &mode in &plan.modes {
            for &concurrency in &plan.concurrency {
                let raw = raw::measure(plan).await?;
                let near = cell::measure(plan, mode, concurrency).await?;
                let distant = match &far {
                    Some(far) => Some(cell::measure(far, mode, concurrency).await?),
                    None => None,
                };
                say(&format!(
                    "round {round} of {}: {} with {concurrency} slots: {:.0} jobs/s, {:.3} of raw",
                    plan.rounds,
                    mode.word(),
                    near.jobs_per_s,
                    near.jobs_per_s / raw
                ));
                report.add(mode, concurrency, raw, near, distant);
            }
        }
        report.add_enqueue(enqueue::measure(plan).await?);
    }
    Ok(())
}
