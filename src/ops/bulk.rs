//! Accepting many jobs at once: in batches, a few of them on their way at the same time.
//!
//! Each batch is what a single submission is: first the rows, in one statement, then the entries, then a note of them.
//! While one batch waits for Valkey, the next one's rows are written.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::enqueue::enqueue;
use crate::domain::JobId;
use crate::queue::{NewEntry, Queue};
use crate::store::jobs::NewJob;
use crate::store::{Store, StoreError};

/// Jobs in a batch.
const BATCH: usize = 100;
/// Batches on their way.
const AT_ONCE: usize = 4;

/// Why not all of many jobs were accepted.
#[derive(Debug, thiserror::Error)]
#[error("{accepted} of {asked} jobs were accepted for certain; failed to {cause}")]
pub struct BulkError {
    /// Jobs of batches that were accepted whole.
    pub accepted: usize,
    /// Jobs that were asked for.
    pub asked: usize,
    /// What went wrong first.
    #[source]
    pub cause: StoreError,
}

/// Accepts jobs that come without a key. A job whose entry Valkey does not take in time is accepted all the same: the
/// reconciler enqueues it.
///
/// # Errors
/// When Postgres is away, or refuses a batch; batches that were on their way may have been accepted all the same, and
/// a batch with one of their jobs is refused as a whole.
pub async fn accept_many(store: &Store, queue: &Queue, jobs: &[NewJob]) -> Result<(), BulkError> {
    let accepted = std::sync::atomic::AtomicUsize::new(0);
    let batches = stream::iter(jobs.chunks(BATCH)).map(|batch| {
        let accepted = &accepted;
        async move {
            store.bounded(store.accept_many(batch)).await?;
            accepted.fetch_add(batch.len(), std::sync::atomic::Ordering::Relaxed);
            let now = batch.iter().filter(|job| job.run_at.is_none());
            let entries: Vec<NewEntry> = now.map(entry).collect();
            if let Err(error) = enqueue(store, queue, &entries).await {
                let first: Vec<JobId> = entries.iter().map(|entry| entry.job).take(10).collect();
                tracing::warn!(
                    ?first,
                    "failed to {error}; {} jobs are enqueued later",
                    entries.len()
                );
            }
            Ok::<_, StoreError>(())
        }
    });
    let outcome = batches.buffer_unordered(AT_ONCE).try_collect::<()>().await;
    outcome.map_err(|cause| BulkError {
        accepted: accepted.into_inner(),
        asked: jobs.len(),
        cause,
    })
}

fn entry(job: &NewJob) -> NewEntry {
    NewEntry {
        lane: job.lane,
        job: job.id,
        payload: job.payload.clone(),
        traceparent: job.traceparent.clone(),
    }
}
