//! Asks the servers for what is on the screen, and for nothing else.
//!
//! A round is one bounded pipeline on Valkey and a few bounded statements on Postgres. When something else is to be
//! seen, the round that runs is dropped and the next one starts at once. A server that does not answer is left alone
//! for a moment and asked again, by new connections and however seldom the screen is refreshed; the console never
//! ends for it.

mod letters;
mod load;
mod operators;
mod pending;
mod postgres;
mod rows;
mod streams;
mod valkey;

use std::time::Duration;

use chrono::TimeDelta;
use millstream::clock;
use millstream::queue::Queue;
use millstream::queue::inspect::Seen;
use millstream::store::Store;
use millstream::untrusted::Untrusted;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::effect::Wish;
use crate::model::connection::{Sent, Server};
use crate::msg::{Answer, Msg, Topic};
use load::Meter;

/// A server that has not answered in this time is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A server that is away is asked this often: with the time that an answer may take, one that is back is seen within
/// three seconds.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The least between two rounds, whoever wants the next one.
const LEAST: Duration = Duration::from_millis(100);
/// Figures that change slowly and cost more are asked for this often.
const SLOW_FIGURES: Duration = Duration::from_secs(5);

/// What is to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is on the screen.
    pub wish: Wish,
    /// How often; nothing means only when asked to.
    pub interval: Option<Duration>,
    /// How often a person has asked for a refresh by now.
    pub asked: u64,
}

/// The feed.
pub struct Feed {
    queue: Queue,
    store: Store,
    /// How often a job may be started.
    attempts_allowed: u32,
    /// How long a silent worker keeps its jobs.
    lease: Duration,
    /// The processes that are the demo's own.
    ours: Option<watch::Receiver<Vec<u32>>>,
    sender: mpsc::Sender<Msg>,
    plan: watch::Receiver<Plan>,
    meter: Meter,
    /// When a server that is away may be asked again.
    again: [Instant; 2],
    /// Whether Valkey left the last question without an answer.
    valkey_lost: bool,
    /// Whether Postgres did.
    postgres_lost: bool,
    /// The workers as Valkey saw them last.
    seen: Vec<Seen>,
    memory: postgres::Memory,
    search: streams::Search,
    /// What is known of the dead letters.
    walk: letters::Walk,
}

/// Why a question has no answer.
type Why = Untrusted;

impl Feed {
    /// A feed into a channel, and what steers it.
    pub fn new(
        queue: Queue,
        store: Store,
        (attempts_allowed, lease): (u32, Duration),
        ours: Option<watch::Receiver<Vec<u32>>>,
        sender: mpsc::Sender<Msg>,
    ) -> (Self, watch::Sender<Plan>) {
        let first = Plan {
            wish: Wish::Nothing,
            interval: Some(Duration::from_secs(1)),
            asked: 0,
        };
        let (control, plan) = watch::channel(first);
        let feed = Self {
            queue,
            store,
            attempts_allowed,
            lease,
            ours,
            sender,
            plan,
            meter: Meter::default(),
            again: [Instant::now(); 2],
            valkey_lost: false,
            postgres_lost: false,
            seen: Vec::new(),
            memory: postgres::Memory::default(),
            search: streams::Search::default(),
            walk: letters::Walk::default(),
        };
        (feed, control)
    }

    /// Feeds until the console is gone.
    pub async fn run(mut self) {
        let mut steering = self.plan.clone();
        loop {
            let plan = steering.borrow_and_update().clone();
            let started = Instant::now();
            tokio::select! {
                biased;
                other = steering.wait_for(|now| now.wish != plan.wish) => match other {
                    Ok(_) => continue,
                    Err(_) => return,
                },
                () = self.round(&plan.wish) => {}
            }
            // Somebody asked for a refresh meanwhile: what is on the way is let come, and then asked for anew.
            if *steering.borrow() != plan {
                continue;
            }
            let next = self.next_round(plan.interval.map(|interval| started + interval));
            let rest = async {
                match next {
                    Some(at) => sleep_until(at.max(Instant::now() + LEAST)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = steering.changed() => if changed.is_err() { return },
                () = rest => {}
            }
        }
    }

    /// When the next round is due: at the next refresh, or before, when a server that is away may be asked again.
    fn next_round(&self, refresh: Option<Instant>) -> Option<Instant> {
        let again = |server: Server, lost: bool| lost.then(|| self.again[server as usize]);
        let valkey = again(Server::Valkey, self.valkey_lost);
        let postgres = again(Server::Postgres, self.postgres_lost);
        [refresh, valkey, postgres].into_iter().flatten().min()
    }

    /// Asks both servers once.
    ///
    /// Valkey says which workers there are, so it goes first while it answers. Once it does not, waiting for it
    /// must not hold up what Postgres still tells.
    async fn round(&mut self, wish: &Wish) {
        let needs_both = matches!(wish, Wish::Overview | Wish::Workers);
        if needs_both && !self.valkey_lost {
            self.ask_valkey(wish).await;
            self.ask_postgres(wish).await;
        } else {
            self.ask_postgres(wish).await;
            self.ask_valkey(wish).await;
        }
        let load = self.meter.load(Instant::now());
        self.tell(Msg::Load(load)).await;
    }

    async fn ask_valkey(&mut self, wish: &Wish) {
        if !self.may_ask(Server::Valkey) {
            return;
        }
        match wish {
            Wish::Overview | Wish::Workers => self.glance(wish).await,
            Wish::Streams { near, pane, open } => self.streams((near.as_ref(), *open), *pane).await,
            Wish::Pending { place, limit } => self.pending(*place, *limit).await,
            Wish::Dead { unfolded } => self.letters(unfolded.as_deref()).await,
            _ => self.ping().await,
        }
    }

    fn may_ask(&self, server: Server) -> bool {
        self.again[server as usize] <= Instant::now()
    }

    async fn tell(&self, msg: Msg) {
        // With the console gone nobody wants to know; the steering side ends this task.
        let _gone = self.sender.send(msg).await;
    }

    async fn answer(&self, answer: Answer) {
        self.tell(Msg::Answer(Box::new(answer))).await;
    }

    async fn miss(&self, topic: Topic, why: &Why) {
        let why = why.clone();
        self.tell(Msg::Missed { topic, why }).await;
    }

    /// Notes that a server answered.
    async fn up(&mut self, server: Server, latency: Duration, clock_ahead_ms: Option<i64>) {
        *self.lost(server) = false;
        self.tell(Msg::Up {
            server,
            latency,
            clock_ahead_ms,
        })
        .await;
    }

    /// Notes that a server did not answer, and leaves it alone for a moment. A connection whose server has fallen
    /// silent does not come back by itself, so the next question goes by a new one.
    async fn down(&mut self, server: Server, why: &Why) {
        self.again[server as usize] = Instant::now() + ASK_AGAIN;
        *self.lost(server) = true;
        match server {
            Server::Valkey => {
                if let Err(error) = self.queue.reconnect() {
                    warn!("failed to {error}");
                }
            }
            Server::Postgres => self.store.reconnect(),
        }
        self.tell_down(server, why).await;
    }

    /// Tells why a server does not answer, and when it is asked again.
    async fn tell_down(&self, server: Server, why: &Why) {
        let next_try = clock::now() + TimeDelta::from_std(ASK_AGAIN).unwrap_or_default();
        let why = why.clone();
        self.tell(Msg::Down {
            server,
            why,
            next_try,
        })
        .await;
    }

    const fn lost(&mut self, server: Server) -> &mut bool {
        match server {
            Server::Valkey => &mut self.valkey_lost,
            Server::Postgres => &mut self.postgres_lost,
        }
    }

    /// Notes what was sent: for the load in the header and for `@`.
    async fn sent(&mut self, server: Server, text: &str, count: u32, took: Option<Duration>) {
        self.meter.count(server, count, Instant::now());
        self.tell(Msg::Sent(Sent {
            at: clock::now(),
            server,
            text: text.into(),
            count,
            took,
        }))
        .await;
    }
}

/// Waits for an answer, but not for ever.
async fn within<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, Why> {
    match tokio::time::timeout(ANSWER_WITHIN, question).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Untrusted::new(format!("failed to {error}"))),
        Err(_elapsed) => Err(Untrusted::new(format!(
            "no answer within {} s",
            ANSWER_WITHIN.as_secs()
        ))),
    }
}
