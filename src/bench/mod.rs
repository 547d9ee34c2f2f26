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

mod cell;
mod enqueue;
mod gauge;
mod load;
mod raw;
mod report;

use secrecy::SecretString;

use crate::queue::QueueError;
use crate::store::StoreError;

pub use cell::Mode;
pub use report::{Cell, Enqueue, Report};

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
}

impl Plan {
    fn valkey(&self) -> SecretString {
        self.valkey.as_str().into()
    }

    fn database(&self) -> SecretString {
        self.database.as_str().into()
    }
}

/// Measures; `say` hears of each step.
///
/// # Errors
/// When a server is away or a cell does not come to its end.
pub async fn run(plan: &Plan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Report, BenchError> {
    let mut report = Report::new(plan);
    for round in 0..plan.rounds {
        for &mode in &plan.modes {
            for &concurrency in &plan.concurrency {
                let raw = raw::measure(plan).await?;
                let measured = cell::measure(plan, mode, concurrency).await?;
                say(&format!(
                    "round {} of {}: {} with {concurrency} slots: {:.0} jobs/s, {:.3} of raw",
                    round + 1,
                    plan.rounds,
                    mode.word(),
                    measured.jobs_per_s,
                    measured.jobs_per_s / raw
                ));
                report.add(mode, concurrency, raw, measured);
            }
        }
        let enqueue = enqueue::measure(plan).await?;
        report.add_enqueue(enqueue);
    }
    Ok(report)
}
