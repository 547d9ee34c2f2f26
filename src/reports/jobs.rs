//! The newest jobs of a queue.

use chrono::SecondsFormat;
use serde::Serialize;

use super::{ReportError, rounded};
use crate::domain::JobState;
use crate::store::Store;
use crate::store::jobs::JobRow;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobReport {
    /// Its id.
    pub id: String,
    /// Its state.
    pub status: String,
    /// What it works on.
    pub input: String,
    /// How often it was started.
    pub attempt: i32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// The judge's decision.
    pub verdict: Option<String>,
    /// From acceptance to the first start, or until now.
    pub wait_s: Option<f64>,
    /// From the last start to its end, or until now.
    pub run_s: Option<f64>,
    /// Why it failed last.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: String,
}

/// Makes the report.
///
/// # Errors
/// When Postgres is away.
pub async fn jobs(
    store: &Store,
    queue: &str,
    state: Option<JobState>,
    limit: u32,
) -> Result<Vec<JobReport>, ReportError> {
    Ok(store
        .list_jobs(queue, state, limit)
        .await?
        .into_iter()
        .map(report)
        .collect())
}

fn report(row: JobRow) -> JobReport {
    JobReport {
        id: row.id.to_string(),
        status: row.status,
        input: row.input,
        attempt: row.attempt,
        worker: row.worker,
        verdict: row.verdict,
        wait_s: row.wait_s.map(rounded),
        run_s: row.run_s.map(rounded),
        error: row.error,
        created_at: row.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
    }
}
