//! The heartbeat: one call a second puts up the worker's card and asks what is due; every few
//! seconds the leases want to be renewed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::card::Card;
use super::runtime::Message;
use super::sweep::Duty;
use crate::domain::WorkerId;
use crate::queue::Queue;

/// One beat a second: a worker that dies is noticed three beats later.
const BEAT: Duration = Duration::from_secs(1);

/// What the heartbeat needs.
pub struct Heart {
    /// The queue.
    pub queue: Queue,
    /// Whose heart.
    pub worker: WorkerId,
    /// What the card says.
    pub card: watch::Receiver<Card>,
    /// How often leases are renewed.
    pub renew_every: Duration,
    /// Something parked is due.
    pub due: Arc<Notify>,
    /// Where the time to renew is told.
    pub inbox: mpsc::Sender<Message>,
    /// What there is to sweep; nothing when this worker is not the sweeper.
    pub duty: watch::Sender<Option<Duty>>,
    /// The worker has left.
    pub stop: CancellationToken,
}

impl Heart {
    /// Beats once; answers whether the server heard it.
    pub async fn beat(&self) -> bool {
        let card = serde_json::to_string(&*self.card.borrow()).unwrap_or_default();
        match self.queue.beat(self.worker, &card).await {
            Ok(beat) => {
                if beat.due > 0 && !beat.paused {
                    self.due.notify_one();
                }
                let duty = Duty {
                    suspects: beat.suspects,
                    parked: beat.parked,
                };
                self.duty.send_replace(beat.sweeps.then_some(duty));
                true
            }
            Err(error) => {
                self.duty.send_replace(None);
                warn!("failed to {error}; this worker's heartbeat is not heard");
                false
            }
        }
    }

    /// Beats until the worker has left.
    pub async fn run(self) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.beat().await;
            if renewed.elapsed() >= self.renew_every {
                renewed = Instant::now();
                if self.inbox.send(Message::RenewDue).await.is_err() {
                    return;
                }
            }
        }
    }
}
