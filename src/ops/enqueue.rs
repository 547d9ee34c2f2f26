//! Putting accepted jobs on their streams at once; what Valkey does not take in time is owed.

use std::pin::pin;
use std::time::Duration;

use tracing::warn;

use crate::domain::{EntryId, JobId};
use crate::queue::{NewEntry, Queue, QueueError};
use crate::store::Store;
use crate::store::owed::Owed;

/// How long a caller waits for Valkey before the enqueue is left to the reconciler.
const ENQUEUE_WITHIN: Duration = Duration::from_secs(1);
/// How long a process that stood still takes to hear what has come meanwhile.
const CATCHES_UP_WITHIN: Duration = Duration::from_millis(100);

/// Adds the entries of waiting jobs and notes them in their rows.
///
/// # Errors
/// When Valkey is away or slow: the enqueue is owed, and the reconciler pays it.
pub(super) async fn enqueue(store: &Store, queue: &Queue, entries: &[NewEntry]) -> Result<(), QueueError> {
    let ids = add_entries(queue, entries).await?;
    let pairs: Vec<_> = entries.iter().map(|entry| entry.job).zip(ids).collect();
    if let Err(error) = store.bounded(store.enqueued(&pairs)).await {
        let jobs: Vec<JobId> = entries.iter().map(|entry| entry.job).take(10).collect();
        warn!(
            ?jobs,
            "failed to {error}; {} jobs may be enqueued twice, and run once",
            entries.len()
        );
    }
    Ok(())
}

/// Adds entries, if Valkey takes them in time.
///
/// # Errors
/// When Valkey is away or slow.
pub(super) async fn add_entries(queue: &Queue, entries: &[NewEntry]) -> Result<Vec<EntryId>, QueueError> {
    within(ENQUEUE_WITHIN, queue.enqueue(entries)).await
}

/// The entry of a job that is owed one.
pub(super) fn entry_of(owed: Owed) -> NewEntry {
    NewEntry {
        lane: owed.lane,
        job: owed.job,
        payload: owed.payload,
        traceparent: owed.traceparent,
    }
}

/// A call to Valkey with an end: nobody at a keyboard waits for a server that has fallen silent.
pub(super) async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, QueueError>>,
) -> Result<T, QueueError> {
    let mut call = pin!(call);
    if let Ok(answer) = tokio::time::timeout(time, &mut call).await {
        return answer;
    }
    // It may have been this process that stood still, and the answer is there.
    let late = tokio::time::timeout(CATCHES_UP_WITHIN, call).await;
    late.unwrap_or_else(|_elapsed| {
        let text = format!("no answer within {} s", time.as_secs());
        Err(QueueError::Unreachable(text))
    })
}
