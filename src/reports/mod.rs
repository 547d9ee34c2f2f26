//! What people and scripts are shown: the shapes behind `--json`, the page and the console.
//!
//! Names are stable, times are RFC 3339 in UTC, durations are seconds. Reports only read.

mod activity;
mod dead;
mod jobs;
mod pending;
mod review;
mod runs;
mod status;
mod trace;
mod workers;

pub use activity::{ActionReport, activity};
pub use dead::{
    DeadExport, DeadList, DeadReport, ExportPage, Inputs, dead, dead_of, export_letters, export_of,
    export_page,
};
pub use jobs::{JobReport, jobs};
pub use pending::{PendingList, PendingReport, pending};
pub use review::{FindingReport, ReviewReport, review};
pub use runs::{RunDetail, RunItem, RunReport, run, run_report, runs};
pub use status::{PauseReport, StatusReport, status};
pub use trace::{AttemptReport, SpanReport, TraceReport, trace};
pub use workers::{WorkerReport, WorkerState, workers};

use crate::queue::QueueError;
use crate::store::StoreError;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Valkey failed.
    #[error("failed to {0}")]
    Queue(#[from] QueueError),
    /// Postgres failed.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
}

/// Three decimals: milliseconds are as exact as a report gets.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
