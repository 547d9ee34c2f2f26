//! Keeping what this worker holds, and finding out what it does not hold any more.

use std::time::Duration;

use tracing::warn;

use super::dispatcher::Ticket;
use crate::domain::{Lane, WorkerId};
use crate::queue::{Queue, QueueError};

/// Which of these are not this worker's any more. A server that is away takes nothing from us.
///
/// # Errors
/// When Valkey is away.
pub async fn lost_leases(
    queue: &Queue,
    worker: WorkerId,
    lane: Lane,
    tickets: &[Ticket],
) -> Result<Vec<Ticket>, QueueError> {
    let ids: Vec<_> = tickets.iter().map(|ticket| ticket.entry).collect();
    match queue.renew(lane, worker, &ids).await {
        Ok(kept) => Ok(tickets
            .iter()
            .zip(kept)
            .filter(|(_, kept)| !kept)
            .map(|(ticket, _)| *ticket)
            .collect()),
        Err(QueueError::NoGroup(_)) => Ok(tickets.to_vec()),
        Err(error) => Err(error),
    }
}

/// Gives back what this worker holds without knowing: the reply that brought it was lost. Answers whether it
/// could look.
pub async fn park_unknown(queue: &Queue, worker: WorkerId, lane: Lane, idle: Duration) -> bool {
    match queue.park_unknown(lane, worker, idle).await {
        Ok(0) | Err(QueueError::NoGroup(_)) => true,
        Ok(found) => {
            warn!("{found} entries were delivered here and never arrived; giving them back");
            // Best effort: idle workers look by themselves within a second.
            let _unheard = queue.wake_workers().await;
            true
        }
        Err(error) => {
            warn!("failed to {error}; lost deliveries are looked for later");
            false
        }
    }
}
