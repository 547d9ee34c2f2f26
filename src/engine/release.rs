//! Lets go of entries on Valkey, many in one call.
//!
//! While Valkey is away it tries on: the entries are in the pending list either way, and whoever
//! takes them over finds out from the ledger what became of their jobs.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::dispatcher::Ticket;
use super::runtime::Message;
use crate::domain::{Lane, WorkerId};
use crate::queue::{Queue, QueueError};

/// Releases taken together.
const BATCH: usize = 256;

/// How one entry is let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Acknowledge it.
    Settle,
    /// Park it, due after this long.
    Park(Duration),
    /// Move it to the dead letters, with these fields.
    Bury(Vec<(Vec<u8>, Vec<u8>)>),
}

/// One entry to let go of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub how: How,
}

/// Runs until the sender is gone; `done` is told of every entry that was let go.
pub async fn run(
    queue: Queue,
    worker: WorkerId,
    mut orders: mpsc::UnboundedReceiver<Order>,
    done: mpsc::Sender<Message>,
    give_up: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while orders.recv_many(&mut batch, BATCH).await > 0 {
        let mut pause = Duration::from_millis(50);
        while let Err(error) = release(&queue, worker, &batch).await {
            if matches!(error, QueueError::NoGroup(_)) {
                // Nothing is left to let go of; the reconciler puts back what is owed.
                break;
            }
            warn!("failed to {error}; {} entries are let go of later", batch.len());
            tokio::select! {
                () = give_up.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
            }
        }
        let tickets = batch.drain(..).map(|order| order.ticket).collect();
        if done.send(Message::Released(tickets)).await.is_err() {
            return;
        }
    }
}

/// Lets go of a batch. Repeating it after a lost reply does no harm: what is no longer this worker's
/// is left alone.
async fn release(queue: &Queue, worker: WorkerId, batch: &[Order]) -> Result<(), QueueError> {
    let mut handed_back = false;
    for lane in Lane::ALL {
        let of_lane = || batch.iter().filter(|order| order.ticket.lane == lane);
        let settle: Vec<_> = of_lane()
            .filter(|order| order.how == How::Settle)
            .map(|order| order.ticket.entry)
            .collect();
        let park: Vec<_> = of_lane()
            .filter_map(|order| match order.how {
                How::Park(delay) => Some((order.ticket.entry, delay)),
                _ => None,
            })
            .collect();
        if !settle.is_empty() {
            let settled = queue.settle(lane, worker, &settle).await?;
            debug!(
                lane = lane.word(),
                asked = settle.len(),
                settled = count(&settled),
                "acknowledged"
            );
        }
        if !park.is_empty() {
            queue.park(lane, worker, &park).await?;
            handed_back |= park.iter().any(|(_, delay)| delay.is_zero());
        }
        for order in of_lane() {
            if let How::Bury(letter) = &order.how {
                queue.bury(lane, worker, order.ticket.entry, letter).await?;
            }
        }
    }
    if handed_back {
        // Best effort: idle workers look by themselves within a second.
        let _unheard = queue.wake_workers().await;
    }
    Ok(())
}

fn count(answers: &[bool]) -> usize {
    answers.iter().filter(|settled| **settled).count()
}
