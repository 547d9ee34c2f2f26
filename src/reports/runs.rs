//! Runs: plans that put dead jobs back, how far they got, and what became of each job.

use chrono::SecondsFormat;
use serde::Serialize;

use super::ReportError;
use crate::domain::{RunId, RunState, Terms};
use crate::store::Store;
use crate::store::runs::{ItemRow, RunCounts, RunRow};

/// The most jobs of one run that are told of: as many as a plan takes.
const MOST_ITEMS: u32 = 10_000;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Its name.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why it stands still.
    pub why: Option<String>,
    /// Who began it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// The filter as it was typed.
    pub filter: Option<String>,
    /// The hash of its list.
    pub hash: String,
    /// How it goes about it.
    pub terms: Terms,
    /// How far it got.
    pub counts: RunCounts,
    /// Put back, and not ended yet.
    pub in_flight: u32,
    /// Who drives it; nobody while it is `running` means that its driver is gone.
    pub driver: Option<String>,
    /// Its action in the book.
    pub action: i64,
    /// When it began.
    pub created_at: String,
    /// When it was over.
    pub ended_at: Option<String>,
}

/// A run with its list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: RunReport,
    /// Its jobs, in the order in which they go.
    pub items: Vec<RunItem>,
}

/// A job of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunItem {
    /// The job.
    pub id: String,
    /// What it works on.
    pub input: Option<String>,
    /// planned, requeued, skipped, undone.
    pub state: String,
    /// Why it was skipped.
    pub why: Option<String>,
    /// How the job ended after it, or where it stands.
    pub result: Option<String>,
    /// When its turn came.
    pub at: Option<String>,
}

/// The newest runs, newest first.
///
/// # Errors
/// When Postgres is away.
pub async fn runs(store: &Store, queue: &str, limit: u32) -> Result<Vec<RunReport>, ReportError> {
    Ok(store.runs(queue, limit).await?.iter().map(run_report).collect())
}

/// One run with its list; nothing if there is none of this name.
///
/// # Errors
/// When Postgres is away.
pub async fn run(store: &Store, queue: &str, id: RunId) -> Result<Option<RunDetail>, ReportError> {
    let Some(row) = store.run(queue, id).await? else {
        return Ok(None);
    };
    let items = store.run_items(id, MOST_ITEMS).await?;
    Ok(Some(RunDetail {
        run: run_report(&row),
        items: items.into_iter().map(item).collect(),
    }))
}

/// A run as it is shown.
#[must_use]
pub fn run_report(row: &RunRow) -> RunReport {
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    RunReport {
        id: row.id,
        state: row.state,
        why: row.why.clone(),
        who: row.actor.clone(),
        reason: row.reason.clone(),
        filter: row.filter.clone(),
        hash: row.ids_hash.clone(),
        terms: row.terms,
        counts: row.counts,
        in_flight: row.counts.open(),
        driver: row.driver.clone(),
        action: row.action.0,
        created_at: time(row.created_at),
        ended_at: row.ended_at.map(time),
    }
}

fn item(row: ItemRow) -> RunItem {
    RunItem {
        id: row.job_id.to_string(),
        input: row.input,
        state: row.state,
        why: row.why,
        result: row.result,
        at: row.at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
    }
}
