//! Lets go of entries on Valkey, many in one call.
//!
//! While Valkey is away it tries on: the entries are in the pending list either way, and whoever
//! takes them over finds out from the ledger what became of their jobs.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::dispatcher::Ticket;
use super::runtime::Message;
use crate::domain::{Lane, WorkerId};
use crate::queue::{Parking, Queue, QueueError};

/// Releases taken together.
const BATCH: usize = 256;

/// How long an entry waits whose dead letter was refused.
const BURY_AGAIN_AFTER: Duration = Duration::from_secs(60);

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
    /// By which delivery it was this worker's.
    pub delivery: u32,
    /// How.
    pub how: How,
}

impl Order {
    const fn parking(&self, delay: Duration) -> Parking {
        Parking {
            entry: self.ticket.entry,
            delivery: self.delivery,
            delay,
        }
    }
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
///
/// # Errors
/// When Valkey is away; then any of them may have been let go all the same.
pub async fn release(queue: &Queue, worker: WorkerId, batch: &[Order]) -> Result<(), QueueError> {
    let mut due_now = false;
    for lane in Lane::ALL {
        let of_lane = || batch.iter().filter(|order| order.ticket.lane == lane);
        let settle: Vec<_> = of_lane()
            .filter(|order| order.how == How::Settle)
            .map(|order| order.ticket.entry)
            .collect();
        let park: Vec<_> = of_lane()
            .filter_map(|order| match order.how {
                How::Park(delay) => Some(order.parking(delay)),
                _ => None,
            })
            .collect();
        if !settle.is_empty() {
            let settled = still_there(queue.settle(lane, worker, &settle).await)?;
            debug!(
                lane = lane.word(),
                asked = settle.len(),
                settled = count(&settled),
                "acknowledged"
            );
        }
        if !park.is_empty() {
            still_there(queue.park(lane, worker, &park).await)?;
            due_now |= park.iter().any(|one| one.delay.is_zero());
        }
    }
    // Last, and each for itself: what is refused here must not hold up the others.
    for order in batch {
        if let How::Bury(letter) = &order.how {
            bury(queue, worker, order, letter).await?;
        }
    }
    if due_now {
        // Best effort: idle workers look by themselves within a second.
        let _unheard = queue.wake_workers().await;
    }
    Ok(())
}

/// Buries one entry. A dead letter that the server refuses (its memory is full, say) is tried again later, by
/// whoever fetches the entry then.
async fn bury(
    queue: &Queue,
    worker: WorkerId,
    order: &Order,
    letter: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), QueueError> {
    let ticket = order.ticket;
    match queue.bury(ticket.lane, worker, ticket.entry, letter).await {
        Ok(_) | Err(QueueError::NoGroup(_)) => Ok(()),
        Err(QueueError::Refused(why)) => {
            error!(entry.id = %ticket.entry, "entry {} cannot be buried now: {why}", ticket.entry);
            queue
                .park(ticket.lane, worker, &[order.parking(BURY_AGAIN_AFTER)])
                .await
                .map(|_| ())
        }
        Err(error) => Err(error),
    }
}

/// With the group gone nothing is left to let go of; the reconciler puts back what is owed.
fn still_there(answers: Result<Vec<bool>, QueueError>) -> Result<Vec<bool>, QueueError> {
    match answers {
        Err(QueueError::NoGroup(_)) => Ok(Vec::new()),
        other => other,
    }
}

fn count(answers: &[bool]) -> usize {
    answers.iter().filter(|settled| **settled).count()
}
