//! The state of a queue in figures.

use chrono::SecondsFormat;
use serde::Serialize;

use super::workers::{WorkerState, workers};
use super::{ReportError, rounded};
use crate::queue::Queue;
use crate::store::Store;

/// The figures. Counts come from one Postgres snapshot and add up; Valkey's own stand beside them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The queue.
    pub queue: String,
    /// Its consumer group.
    pub group: String,
    /// Jobs that wait.
    pub waiting: i64,
    /// Age of the oldest of them.
    pub oldest_waiting_s: Option<f64>,
    /// Jobs that run.
    pub running: i64,
    /// Jobs between two attempts.
    pub retrying: i64,
    /// Jobs held until their time.
    pub scheduled: i64,
    /// Jobs given up.
    pub dead: i64,
    /// Dead jobs thrown away.
    pub dropped: i64,
    /// Jobs called off.
    pub cancelled: i64,
    /// Jobs finished.
    pub done: i64,
    /// All that were ever accepted.
    pub accepted: i64,
    /// Accepted a second, over the last minute.
    pub in_per_s: f64,
    /// Ended a second, over the last minute.
    pub out_per_s: f64,
    /// Workers that are there.
    pub workers: usize,
    /// Where the producer is, if it is known.
    pub web_url: Option<String>,
    /// The pause that holds, by the row in Postgres.
    pub paused: Option<PauseReport>,
    /// What Valkey counts.
    pub stream: StreamFigures,
}

/// A pause that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseReport {
    /// Who paused the queue.
    pub by: String,
    /// When.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// Valkey's own figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamFigures {
    /// Entries on all streams.
    pub entries: u64,
    /// Entries that a consumer holds, parked ones included.
    pub pending: u64,
    /// Parked entries.
    pub parked: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Makes the report.
///
/// # Errors
/// When a server is away.
pub async fn status(
    store: &Store,
    queue: &Queue,
    web_url: Option<String>,
) -> Result<StatusReport, ReportError> {
    let keys = queue.keys();
    let counts = store.counts(&keys.shared).await?;
    let paused = store.paused(&keys.shared).await?.map(|row| PauseReport {
        at: row.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        by: row.by,
        reason: row.reason,
    });
    let depth = queue.depth().await?;
    let there = workers(store, queue)
        .await?
        .iter()
        .filter(|worker| worker.state != WorkerState::Lost)
        .count();
    Ok(StatusReport {
        queue: keys.shared.clone(),
        group: keys.group.clone(),
        waiting: counts.waiting,
        oldest_waiting_s: counts.oldest_waiting_s.map(rounded),
        running: counts.running,
        retrying: counts.retrying,
        scheduled: counts.scheduled,
        dead: counts.dead,
        dropped: counts.dropped,
        cancelled: counts.cancelled,
        done: counts.done,
        accepted: counts.accepted,
        in_per_s: rounded(counts.in_per_s),
        out_per_s: rounded(counts.out_per_s),
        workers: there,
        web_url,
        paused,
        stream: StreamFigures {
            entries: depth.entries,
            pending: depth.pending,
            parked: depth.parked,
            dead_letters: depth.dead,
        },
    })
}
