//! Asks the servers for what is on the screen, and for nothing else.
//!
//! A round is one bounded pipeline on Valkey and a few bounded statements on Postgres. When the screen changes,
//! the round that runs is dropped and the next one starts at once. A server that does not answer is left alone
//! for a moment and asked again; the console never ends for it.

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
use tokio::time::{Instant, sleep};

use crate::effect::Wish;
use crate::model::connection::{Sent, Server};
use crate::msg::{Answer, Msg, Topic};
use load::Meter;

/// A server that has not answered in this time is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A server that is away is asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(2);
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
                changed = steering.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = self.round(&plan.wish) => {}
            }
            let rest = async {
                match plan.interval {
                    Some(interval) => sleep(interval.saturating_sub(started.elapsed())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = steering.changed() => if changed.is_err() { return },
                () = rest => {}
            }
        }
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
    async fn up(&self, server: Server, latency: Duration, clock_ahead_ms: Option<i64>) {
        self.tell(Msg::Up {
            server,
            latency,
            clock_ahead_ms,
        })
        .await;
    }

    /// Notes that a server did not answer, and leaves it alone for a moment.
    async fn down(&mut self, server: Server, why: &Why) {
        self.again[server as usize] = Instant::now() + ASK_AGAIN;
        if server == Server::Valkey {
            self.valkey_lost = true;
        }
        let next_try = clock::now() + TimeDelta::from_std(ASK_AGAIN).unwrap_or_default();
        let why = why.clone();
        self.tell(Msg::Down {
            server,
            why,
            next_try,
        })
        .await;
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
