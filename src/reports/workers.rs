//! The workers of a queue.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::{ReportError, rounded};
use crate::engine::card::{Card, CardState};
use crate::queue::Queue;
use crate::queue::lease::SUSPECT_AFTER;
use crate::store::Store;
use crate::store::stats::WorkerFigures;

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It runs nothing.
    Idle,
    /// It runs something.
    Busy,
    /// It finishes what it has.
    Draining,
    /// It has not been heard of lately.
    Lost,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerReport {
    /// Its id.
    pub id: String,
    /// Its process, if its card is still up.
    pub pid: Option<u32>,
    /// Its machine.
    pub host: Option<String>,
    /// How it is.
    pub state: WorkerState,
    /// How many jobs it runs at a time.
    pub slots: usize,
    /// How many run now.
    pub running: usize,
    /// Attempts that ended well.
    pub done: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Median run time.
    pub p50_s: Option<f64>,
    /// 95th percentile of the run time.
    pub p95_s: Option<f64>,
    /// Since its last heartbeat.
    pub heartbeat_age_s: f64,
    /// Its version.
    pub version: Option<String>,
}

/// Makes the report: those heard of last come first.
///
/// # Errors
/// When a server is away.
pub async fn workers(store: &Store, queue: &Queue) -> Result<Vec<WorkerReport>, ReportError> {
    let seen = queue.workers().await?;
    let ids: Vec<String> = seen.iter().map(|seen| seen.worker.clone()).collect();
    let figures = store.worker_figures(&ids).await?;
    let mut figures: HashMap<String, WorkerFigures> =
        figures.into_iter().map(|row| (row.worker.clone(), row)).collect();
    Ok(seen
        .into_iter()
        .map(|seen| {
            let card: Option<Card> = seen
                .card
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            let done = figures.remove(&seen.worker);
            report(seen.worker, card.as_ref(), seen.silence, done.as_ref())
        })
        .collect())
}

fn report(
    id: String,
    card: Option<&Card>,
    silence: Duration,
    figures: Option<&WorkerFigures>,
) -> WorkerReport {
    WorkerReport {
        id,
        pid: card.map(|card| card.pid),
        host: card.map(|card| card.host.clone()),
        state: state(card, silence),
        slots: card.map_or(0, |card| card.slots),
        running: card.map_or(0, |card| card.busy),
        done: figures.map_or(0, |row| row.done),
        failed: figures.map_or(0, |row| row.failed),
        p50_s: figures.and_then(|row| row.p50_s).map(rounded),
        p95_s: figures.and_then(|row| row.p95_s).map(rounded),
        heartbeat_age_s: rounded(silence.as_secs_f64()),
        version: card.map(|card| card.version.clone()),
    }
}

fn state(card: Option<&Card>, silence: Duration) -> WorkerState {
    match card {
        None => WorkerState::Lost,
        Some(_) if silence >= SUSPECT_AFTER => WorkerState::Lost,
        Some(card) if card.state == CardState::Draining => WorkerState::Draining,
        Some(card) if card.busy > 0 => WorkerState::Busy,
        Some(_) => WorkerState::Idle,
    }
}
