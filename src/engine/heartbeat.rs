//! The heartbeat: one call a second puts up the worker's card and asks what is due; every few
//! seconds the leases want to be renewed.
//!
//! Workers of one process beat together: whoever's turn it is calls for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::card::Card;
use super::runtime::Message;
use super::sweep::Duty;
use crate::domain::WorkerId;
use crate::queue::lease::{Pulse, STEADY_AFTER, beat_together};
use crate::queue::{Beat, Queue, QueueError};

/// One beat a second: a worker that dies is noticed three beats later.
const BEAT: Duration = Duration::from_secs(1);

/// How long the connections have to be named; less than the time between two beats.
const NAMED_WITHIN: Duration = Duration::from_millis(500);

/// How long a beat of several waits for its answer: the line it goes by may be dead, and those of the others not. A worker
/// is suspect after three seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// After so many beats the connection is named once more.
const NAME_EVERY: u64 = 60;

/// The hearts of one process, whose queues lie on one server. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hearts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    alive: Mutex<Vec<Arc<Heart>>>,
    /// Whose turn it is to beat, until it stops.
    turn: Turn<()>,
    /// Held while a beat is on its way.
    beating: Turn<()>,
}

/// What the heartbeat needs.
#[derive(Debug)]
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
    /// What it remembers from beat to beat.
    pub rhythm: Mutex<Rhythm>,
    /// The worker has left.
    pub stop: CancellationToken,
}

/// What the heart remembers from beat to beat.
#[derive(Debug, Default)]
pub struct Rhythm {
    beats: u64,
    /// Beats that were not heard, in a row.
    missed: u32,
    /// The connection is to be named.
    wants_name: bool,
    /// Commands of its queue that had no answer when it was named last.
    unanswered: u64,
    /// Since when every beat was heard.
    heard_since: Option<Instant>,
}

impl Rhythm {
    /// After an outage everybody looks silent; whoever is alive is heard again before this is over.
    fn is_steady(&self) -> bool {
        self.heard_since
            .is_some_and(|since| since.elapsed() >= STEADY_AFTER)
    }

    /// Notes a beat that was heard, and how many commands of its queue had no answer by then.
    fn heard(&mut self, unanswered: u64) {
        self.wants_name |=
            self.missed > 0 || unanswered != self.unanswered || self.beats.is_multiple_of(NAME_EVERY);
        self.unanswered = unanswered;
        self.beats += 1;
        self.missed = 0;
        self.heard_since.get_or_insert_with(Instant::now);
    }

    fn missed(&mut self) {
        self.missed += 1;
        self.heard_since = None;
    }
}

impl Heart {
    /// Beats once, before anything else happens: a worker nobody has heard of looks dead.
    pub async fn first_beat(self: &Arc<Self>) {
        beat(std::slice::from_ref(self)).await;
        self.name_connection().await;
    }

    /// Beats until the worker has left, by itself or with others.
    pub async fn run(self: Arc<Self>, hearts: Hearts) {
        let member = hearts.join(&self);
        tokio::join!(self.remind(), hearts.beat_until(&self.stop));
        drop(member);
        // A beat of another's that still carries this card must not put it up after it was taken down.
        drop(hearts.0.beating.lock().await);
    }

    /// Says when leases are to be renewed.
    async fn remind(&self) {
        let mut ticks = interval_at(Instant::now() + self.renew_every, self.renew_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.inbox.send(Message::RenewDue).await.is_err() {
                return;
            }
        }
    }

    /// Passes on what a beat has told.
    fn heard(&self, beat: Beat) {
        self.rhythm().heard(self.queue.unanswered());
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

    /// The name is lost with the connection: it is given again after every doubt, and now and then.
    async fn name_connection(&self) {
        if std::mem::take(&mut self.rhythm().wants_name)
            && let Err(error) = self.queue.name_connection(self.worker).await
        {
            debug!("failed to {error}; this worker's connection has no name");
        }
    }

    fn missed(&self, error: &QueueError) {
        self.rhythm().missed();
        self.duty.send_replace(None);
        warn!("failed to {error}; this worker's heartbeat is not heard");
        // A connection whose first words were refused keeps the refusal, in whatever words.
        if !error.is_passing()
            && let Err(error) = self.queue.reconnect()
        {
            warn!("failed to {error}");
        }
    }

    fn rhythm(&self) -> MutexGuard<'_, Rhythm> {
        self.rhythm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One beat of all of these, in one call by the line of the first. Answers whether that line carried it.
async fn beat(hearts: &[Arc<Heart>]) -> bool {
    match call(hearts).await {
        Ok(beats) => {
            for (heart, beat) in hearts.iter().zip(beats) {
                heart.heard(beat);
            }
        }
        // What is wrong with one queue must not silence the others, and on a cluster their keys may be apart.
        Err(error) if hearts.len() > 1 && !error.is_passing() => {
            debug!("failed to {error}; each worker beats by itself");
            for heart in hearts {
                match call(std::slice::from_ref(heart)).await {
                    Ok(beats) => {
                        for beat in beats {
                            heart.heard(beat);
                        }
                    }
                    Err(error) => heart.missed(&error),
                }
            }
        }
        Err(error) => {
            hearts.iter().for_each(|heart| heart.missed(&error));
            return false;
        }
    }
    true
}

/// Names the connections that want it, all at once: the line of one may be dead, and the next beat is not to wait for it.
async fn name_connections(hearts: &[Arc<Heart>]) {
    let naming = futures_util::future::join_all(hearts.iter().map(|heart| heart.name_connection()));
    if timeout(NAMED_WITHIN, naming).await.is_err() {
        debug!("a connection could not be named in time; it is named with a later beat");
    }
}

async fn call(hearts: &[Arc<Heart>]) -> Result<Vec<Beat>, QueueError> {
    let text = |heart: &Arc<Heart>| serde_json::to_string(&*heart.card.borrow()).unwrap_or_default();
    let cards: Vec<String> = hearts.iter().map(text).collect();
    let pulses: Vec<Pulse<'_>> = (hearts.iter().zip(&cards))
        .map(|(heart, card)| Pulse {
            queue: &heart.queue,
            worker: heart.worker,
            card,
            steady: heart.rhythm().is_steady(),
        })
        .collect();
    let beats = beat_together(&pulses);
    if hearts.len() == 1 {
        return beats.await;
    }
    let silent = |_elapsed| {
        let text = format!("no answer within {} s", HEARD_WITHIN.as_secs());
        QueueError::Unreachable(text)
    };
    timeout(HEARD_WITHIN, beats).await.map_err(silent)?
}

impl Hearts {
    /// Beats with the others until this is dropped.
    fn join(&self, heart: &Arc<Heart>) -> Member {
        self.alive().push(heart.clone());
        Member {
            hearts: self.clone(),
            worker: heart.worker,
        }
    }

    /// Waits for its turn, and beats for all until the stop.
    async fn beat_until(&self, stop: &CancellationToken) {
        let _turn = tokio::select! {
            () = stop.cancelled() => return,
            turn = self.0.turn.lock() => turn,
        };
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let beating = self.0.beating.lock().await;
            let all = self.alive().clone();
            if !beat(&all).await {
                // The next goes by another's line: this one may be dead, and the others not.
                let mut alive = self.alive();
                if !alive.is_empty() {
                    alive.rotate_left(1);
                }
            }
            drop(beating);
            name_connections(&all).await;
        }
    }

    fn alive(&self) -> MutexGuard<'_, Vec<Arc<Heart>>> {
        self.0.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A heart that beats with others.
struct Member {
    hearts: Hearts,
    worker: WorkerId,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.hearts.alive().retain(|heart| heart.worker != self.worker);
    }
}
