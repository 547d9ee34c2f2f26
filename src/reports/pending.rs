//! The pending list of a queue: what Valkey says, with the attempt that Postgres knows.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::{ReportError, rounded};
use crate::domain::JobId;
use crate::queue::Queue;
use crate::queue::pending::Pending;
use crate::store::{Store, StoreError};

/// The list, with what could not be asked.
#[derive(Debug)]
pub struct PendingList {
    /// The entries, oldest first within a stream.
    pub rows: Vec<PendingReport>,
    /// Why no attempts are known, when Postgres is away.
    pub without_attempts: Option<StoreError>,
}

/// One entry that some consumer holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PendingReport {
    /// The entry's id.
    pub entry: String,
    /// The job it carries; nothing when that cannot be read.
    pub id: Option<String>,
    /// The consumer that holds it; nothing when it is parked.
    pub worker: Option<String>,
    /// Since its last delivery or renewal.
    pub idle_s: f64,
    /// How often it was delivered.
    pub deliveries: u64,
    /// How often its job was started.
    pub attempt: Option<i32>,
    /// When it is due, if it is parked.
    pub due: Option<String>,
    /// Whether its payload is still on the stream.
    pub payload: bool,
}

/// Makes the list, of at most `limit` entries.
///
/// # Errors
/// When Valkey is away. Without Postgres the attempts are missing.
pub async fn pending(store: &Store, queue: &Queue, limit: usize) -> Result<PendingList, ReportError> {
    let found = queue.pending(limit).await?;
    let jobs: Vec<JobId> = found.iter().filter_map(|one| one.job).collect();
    let (attempts, without_attempts) = match store.attempts_by_job(&queue.keys().shared, &jobs).await {
        Ok(attempts) => (attempts, None),
        Err(error) => (std::collections::HashMap::new(), Some(error)),
    };
    let rows = found
        .into_iter()
        .map(|one| {
            let attempt = one.job.and_then(|job| attempts.get(&job).copied());
            report(one, attempt)
        })
        .collect();
    Ok(PendingList {
        rows,
        without_attempts,
    })
}

fn report(one: Pending, attempt: Option<i32>) -> PendingReport {
    let due = one.due_ms.and_then(|ms| i64::try_from(ms).ok());
    PendingReport {
        entry: one.entry.to_string(),
        id: one.job.map(|job| job.to_string()),
        worker: one.worker,
        idle_s: rounded(one.idle.as_secs_f64()),
        deliveries: one.deliveries,
        attempt,
        due: due
            .and_then(DateTime::from_timestamp_millis)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        payload: one.payload,
    }
}
