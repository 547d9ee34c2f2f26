//! The progress of reviews, heard once for all who listen: one connection to Valkey, whatever the number of clients.
//!
//! Messages get lost: a connection breaks, a worker is away, the server restarts. So every two seconds Postgres is asked,
//! in one statement for all reviews that somebody listens to, whether any of them stands elsewhere or has told more
//! than was heard; then its listeners are told to look for themselves. Without listeners neither server is asked.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream::domain::JobId;
use millstream::queue::{Feed, Queue};
use millstream::store::Store;
use millstream::store::watch::Watched;
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

/// How many messages a slow listener may lag behind before it is told to look for itself.
const KEPT: usize = 64;
/// How long a lost message can delay its listeners.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A pause before the next try, so that a Valkey that is away is not asked without end.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// Where listeners are brought together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    topics: Mutex<HashMap<JobId, Topic>>,
    /// Somebody began or ceased to listen.
    changed: Notify,
}

/// A review that somebody listens to.
#[derive(Debug)]
struct Topic {
    heard: broadcast::Sender<Heard>,
    listeners: usize,
    /// As Postgres told it last.
    known: Option<Watched>,
    /// The highest number that was heard.
    last_seq: i64,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something happened.
    Event(Arc<Event>),
    /// Something may have happened: the store knows.
    Look,
}

/// Something that happened to a review.
#[derive(Debug)]
pub struct Event {
    /// Its number; a reference worker's has none, and is stored nowhere.
    pub seq: Option<i64>,
    /// Its JSON, on one line.
    pub body: Value,
}

impl Event {
    /// Whether the review may have ended with it.
    #[must_use]
    pub fn may_be_last(&self) -> bool {
        match self.body["type"].as_str() {
            Some("error") => true,
            Some("phase") => self.body["phase"] == "done",
            _ => false,
        }
    }
}

/// Somebody listens, until this is dropped.
#[derive(Debug)]
pub struct Listening {
    hub: Hub,
    job: JobId,
    heard: broadcast::Receiver<Heard>,
}

impl Listening {
    /// The next thing to be heard. What was missed is made up by a look.
    pub async fn next(&mut self) -> Heard {
        // The sender goes with the last listener, so it is there.
        self.heard.recv().await.unwrap_or(Heard::Look)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut topics = self.hub.topics();
        if let Some(topic) = topics.get_mut(&self.job) {
            topic.listeners -= 1;
            if topic.listeners == 0 {
                topics.remove(&self.job);
                self.hub.0.changed.notify_waiters();
                self.hub.0.changed.notify_one();
            }
        }
    }
}

impl Hub {
    /// Begins to listen to a review. Until the subscription stands nothing is heard; then the listener is told to
    /// look.
    #[must_use]
    pub fn listen(&self, job: JobId) -> Listening {
        let mut topics = self.topics();
        let topic = topics.entry(job).or_insert_with(|| Topic {
            heard: broadcast::Sender::new(KEPT),
            listeners: 0,
            known: None,
            last_seq: -1,
        });
        topic.listeners += 1;
        let heard = topic.heard.subscribe();
        if topic.listeners == 1 {
            self.0.changed.notify_waiters();
            self.0.changed.notify_one();
        }
        Listening {
            hub: self.clone(),
            job,
            heard,
        }
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.topics().values().map(|topic| topic.listeners).sum()
    }

    /// Hears for all, without end. It is safe to drop.
    pub async fn run(&self, queue: &Queue, store: &Store) {
        tokio::join!(self.hear(queue), self.look(store));
    }

    /// Holds the connection to Valkey while somebody listens.
    async fn hear(&self, queue: &Queue) {
        loop {
            self.until_wanted().await;
            match queue.feed().await {
                Ok(feed) => self.follow(feed).await,
                Err(error) => debug!("failed to {error}; progress is read from Postgres"),
            }
            sleep(CONNECT_AGAIN).await;
        }
    }

    async fn until_wanted(&self) {
        loop {
            let changed = self.0.changed.notified();
            if !self.topics().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Passes on what is told, until the connection ends.
    async fn follow(&self, mut feed: Feed) {
        let mut followed: HashSet<JobId> = HashSet::new();
        loop {
            let wanted: HashSet<JobId> = self.topics().keys().copied().collect();
            let fresh: Vec<JobId> = wanted.difference(&followed).copied().collect();
            let stale: Vec<JobId> = followed.difference(&wanted).copied().collect();
            if feed.add(&fresh).await.is_err() || feed.remove(&stale).await.is_err() {
                return;
            }
            // What was told before the subscription stood is in the store.
            fresh.iter().for_each(|job| self.tell(*job, &Heard::Look));
            followed = wanted;
            tokio::select! {
                message = feed.next() => match message {
                    Some((job, text)) => self.pass_on(job, &text),
                    None => return,
                },
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// Any JSON is passed on, as the reference does; what is none is dropped.
    fn pass_on(&self, job: JobId, text: &str) {
        let Ok(body) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let seq = body["seq"].as_i64();
        if let (Some(seq), Some(topic)) = (seq, self.topics().get_mut(&job)) {
            topic.last_seq = topic.last_seq.max(seq);
        }
        self.tell(job, &Heard::Event(Arc::new(Event { seq, body })));
    }

    fn tell(&self, job: JobId, heard: &Heard) {
        if let Some(topic) = self.topics().get(&job) {
            // All listeners may have gone in this moment.
            let _nobody = topic.heard.send(heard.clone());
        }
    }

    /// Asks Postgres for what may have been missed.
    async fn look(&self, store: &Store) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.until_wanted().await;
            let ids: Vec<JobId> = self.topics().keys().copied().collect();
            match store.watched(&ids).await {
                Ok(rows) => rows.into_iter().for_each(|row| self.compare(row)),
                Err(error) => debug!("failed to {error}; listeners wait for what comes next"),
            }
        }
    }

    /// Tells the listeners of a review to look, if it stands elsewhere or has told more than was heard.
    fn compare(&self, row: Watched) {
        let (id, mut topics) = (row.id, self.topics());
        let Some(topic) = topics.get_mut(&id) else { return };
        let elsewhere = topic.known.as_ref().is_some_and(|known| *known != row);
        let missed = row.last_seq > topic.last_seq;
        topic.last_seq = topic.last_seq.max(row.last_seq);
        // An ended review ends its listeners, however often it has to be said.
        let ended = row.is_final();
        topic.known = Some(row);
        drop(topics);
        if elsewhere || missed || ended {
            self.tell(id, &Heard::Look);
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<JobId, Topic>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_and_a_slow_one_is_told_to_look() {
        let (hub, job) = (Hub::default(), JobId::fresh());
        let (mut quick, mut slow) = (hub.listen(job), hub.listen(job));
        hub.pass_on(job, "no JSON");
        hub.pass_on(job, r#"{"type":"phase","phase":"prepare","seq":7}"#);
        let Heard::Event(event) = quick.next().await else {
            panic!("an event was told")
        };
        assert_eq!((event.seq, event.may_be_last()), (Some(7), false));
        for seq in 0..=KEPT {
            hub.pass_on(job, &format!(r#"{{"type":"error","seq":{seq}}}"#));
        }
        assert!(matches!(slow.next().await, Heard::Look), "it lags behind");
        assert!(matches!(slow.next().await, Heard::Event(event) if event.may_be_last()));
    }

    #[tokio::test]
    async fn a_review_that_nobody_listens_to_is_forgotten() {
        let (hub, job) = (Hub::default(), JobId::fresh());
        let (one, two) = (hub.listen(job), hub.listen(job));
        assert_eq!(hub.listeners(), 2);
        drop(one);
        assert_eq!(hub.listeners(), 1);
        drop(two);
        assert!(hub.topics().is_empty());
    }
}
