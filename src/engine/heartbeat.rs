//! The heartbeat: one call a second puts up the worker's card and asks what is due; every few
//! seconds the leases want to be renewed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::card::Card;
use super::runtime::Message;
use super::sweep::Duty;
use crate::domain::WorkerId;
use crate::queue::Queue;
use crate::queue::lease::STEADY_AFTER;

/// One beat a second: a worker that dies is noticed three beats later.
const BEAT: Duration = Duration::from_secs(1);

/// After so many beats the connection is named once more.
const NAME_EVERY: u64 = 60;

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

/// What the heart remembers from beat to beat.
#[derive(Debug, Default)]
struct Rhythm {
    beats: u64,
    /// Beats that were not heard, in a row.
    missed: u32,
    /// Since when every beat was heard.
    heard_since: Option<Instant>,
}

impl Rhythm {
    /// After an outage everybody looks silent; whoever is alive is heard again before this is over.
    fn is_steady(&self) -> bool {
        self.heard_since
            .is_some_and(|since| since.elapsed() >= STEADY_AFTER)
    }
}

impl Heart {
    /// Beats once, before anything else happens: a worker nobody has heard of looks dead.
    pub async fn first_beat(&self) {
        self.beat(&mut Rhythm::default()).await;
    }

    async fn beat(&self, rhythm: &mut Rhythm) {
        let card = serde_json::to_string(&*self.card.borrow()).unwrap_or_default();
        match self.queue.beat(self.worker, &card, rhythm.is_steady()).await {
            Ok(beat) => {
                self.name_connection(rhythm).await;
                rhythm.missed = 0;
                rhythm.heard_since.get_or_insert_with(Instant::now);
                if beat.due > 0 && !beat.paused {
                    self.due.notify_one();
                }
                let duty = Duty {
                    suspects: beat.suspects,
                    parked: beat.parked,
                    server_ms: beat.server_ms,
                };
                self.duty.send_replace(beat.sweeps.then_some(duty));
            }
            Err(error) => {
                rhythm.missed += 1;
                rhythm.heard_since = None;
                self.duty.send_replace(None);
                warn!("failed to {error}; this worker's heartbeat is not heard");
            }
        }
    }

    /// The name is lost with the connection: it is given again after every doubt, and now and then.
    async fn name_connection(&self, rhythm: &mut Rhythm) {
        if (rhythm.missed > 0 || rhythm.beats.is_multiple_of(NAME_EVERY))
            && let Err(error) = self.queue.name_connection(self.worker).await
        {
            debug!("failed to {error}; this worker's connection has no name");
        }
        rhythm.beats += 1;
    }

    /// Beats until the worker has left.
    pub async fn run(self) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        let mut rhythm = Rhythm::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.beat(&mut rhythm).await;
            if renewed.elapsed() >= self.renew_every {
                renewed = Instant::now();
                if self.inbox.send(Message::RenewDue).await.is_err() {
                    return;
                }
            }
        }
    }
}
