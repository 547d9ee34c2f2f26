//! One client that follows a review: every event once and in order, from the first or from the one it names, and an end.
//!
//! What is heard live is passed on at once when it is the next one. Where a number is missing the store is read first;
//! and since a worker tells an event before it stores it, it is read again until it has what is missing, or has answered
//! so often that it never will. The stream ends once the store says that nothing moves the review on but an operator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse;
use millstream::domain::JobId;
use millstream::store::telemetry::opens_attempt;
use millstream::store::watch::Watched;
use millstream::store::{Store, StoreError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::hub::{Event, Heard, Hub, Listening};

/// When the store is asked again that was away.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// When the store is asked again that does not have yet what is missing: it is on its way there.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// Answers without what is missing after which it is given up. In these five seconds a worker has tried again to store
/// it, which it does every two at the latest; the time in which we cannot ask either does not count.
const LOOKS_FOR_MISSING: u32 = 25;
/// What an event says beyond where the review stands, and only who may read it is told.
const GUARDED: [&str; 3] = ["note", "message", "detail"];

/// How much of what is said is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Full,
    /// Where the review stands, and nothing that may quote what is reviewed.
    Outline,
}

/// An event that was heard before one that comes ahead of it.
#[derive(Debug)]
struct Early {
    event: Arc<Event>,
    seq: i64,
    looks_left: u32,
}

/// A client that follows a review.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    listening: Listening,
    stopping: CancellationToken,
    id: JobId,
    detail: Detail,
    /// The number of the last event that was passed on.
    last: i64,
    ready: VecDeque<sse::Event>,
    /// What was heard too early. While there is something, nothing else is listened to: the hub keeps it, or says that
    /// it was too much.
    early: Option<Early>,
    /// When to look again, if the last look failed, or there was more than it brought, or something is missing.
    again: Option<Instant>,
    ended: bool,
}

impl Follower {
    /// Follows a review from behind the event with this number, or from its first one. `None` when nothing follows:
    /// the review has ended, and the client has heard everything.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn start(
        (hub, store, stopping): (&Hub, &Store, &CancellationToken),
        id: JobId,
        behind: Option<i64>,
        detail: Detail,
    ) -> Result<Option<Self>, StoreError> {
        let mut follower = Self {
            store: store.clone(),
            // Before the first look, so that nothing falls in between.
            listening: hub.listen(id),
            stopping: stopping.clone(),
            id,
            detail,
            last: behind.unwrap_or(-1),
            ready: VecDeque::new(),
            early: None,
            again: None,
            ended: false,
        };
        follower.look().await?;
        // A browser that comes back after the end asks from the last number on; without this it would come for ever.
        let heard_all = behind.is_some() && follower.ended && follower.ready.len() == 1;
        Ok((!heard_all).then_some(follower))
    }

    /// The next event; nothing once it is over.
    pub async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let again = self.again;
            tokio::select! {
                heard = self.listening.next(), if self.early.is_none() => match heard {
                    Heard::Event(event) => self.hear(event).await,
                    Heard::Look => {
                        self.look_patiently().await;
                    }
                },
                () = until(again) => match self.early.take() {
                    Some(early) => self.look_for_missing(early).await,
                    None => {
                        self.look_patiently().await;
                    }
                },
                // The client comes back to another process, with the number of its last event.
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    async fn hear(&mut self, event: Arc<Event>) {
        match event.seq {
            Some(seq) if seq <= self.last => {}
            Some(seq) if seq > self.last + 1 => {
                let looks_left = LOOKS_FOR_MISSING;
                self.look_for_missing(Early {
                    event,
                    seq,
                    looks_left,
                })
                .await;
            }
            // The next one, or a reference worker's.
            _ => self.pass_on(&event).await,
        }
    }

    async fn pass_on(&mut self, event: &Event) {
        // A look may have brought it.
        if event.seq.is_none_or(|seq| seq > self.last) {
            self.push(event.seq, event.body.clone());
        }
        if event.may_be_last() {
            self.look_patiently().await;
        }
    }

    /// Looks for what comes ahead of an event, and passes that on too unless something is missing still.
    async fn look_for_missing(&mut self, mut early: Early) {
        let before = self.last;
        // All that is stored was read.
        let complete = self.look_patiently().await && self.again.is_none();
        if self.ended {
            return;
        }
        if complete && self.last == before {
            early.looks_left = early.looks_left.saturating_sub(1);
        }
        let given_up = early.looks_left == 0;
        if given_up {
            debug!(
                "events of {} before {} were told and never stored",
                self.id, early.seq
            );
        }
        // An attempt ends when all that it told is stored, so before the next one's first event nothing is missing.
        let nothing_missing = early.seq <= self.last + 1 || (complete && opens_attempt(early.seq));
        if nothing_missing || given_up {
            self.pass_on(&early.event).await;
        } else {
            self.again.get_or_insert_with(|| Instant::now() + LOOK_SOON);
            self.early = Some(early);
        }
    }

    /// A look whose failure is made up by another one; answers whether it was none.
    async fn look_patiently(&mut self) -> bool {
        let looked = self.look().await;
        if let Err(error) = &looked {
            debug!("failed to {error}; the stream of {} waits for the store", self.id);
            self.again = Some(Instant::now() + LOOK_AGAIN);
        }
        looked.is_ok()
    }

    /// Brings what the store has, and the end if it has come.
    async fn look(&mut self) -> Result<(), StoreError> {
        // The state is read first: the last event is written in the transaction that ends the review.
        let stands = self.store.watched(&[self.id]).await?.pop();
        let page = self.store.events_after(self.id, self.last).await?;
        let more = page.last().map(|event| event.seq);
        for event in page {
            self.push(Some(event.seq), event.body);
        }
        self.again = None;
        match stands {
            // There may be another page.
            Some(stands) if more.is_some_and(|seq| seq < stands.last_seq) => {
                self.again = Some(Instant::now());
            }
            Some(stands) if stands.is_final() => self.end(&stands),
            Some(_) => {}
            // Its row was deleted.
            None => self.ended = true,
        }
        Ok(())
    }

    fn push(&mut self, seq: Option<i64>, body: Value) {
        let text = told(body, self.detail).to_string();
        let event = sse::Event::default().data(text);
        self.ready.push_back(match seq {
            Some(seq) => {
                self.last = seq;
                event.id(seq.to_string())
            }
            None => event,
        });
    }

    /// The last word. It has a name of its own, so a client of the reference, which hears unnamed events only, does
    /// not notice it; and the number of the event before it, so that who comes back with that has heard everything,
    /// also of a review that told nothing.
    fn end(&mut self, stands: &Watched) {
        let body = json!({ "status": stands.status, "state": stands.state, "verdict": stands.verdict });
        let event = sse::Event::default().event("end").id(self.last.to_string());
        self.ready.push_back(event.data(body.to_string()));
        self.ended = true;
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What a client is told of an event.
fn told(mut body: Value, detail: Detail) -> Value {
    if detail == Detail::Outline
        && let Value::Object(members) = &mut body
    {
        for name in GUARDED {
            members.remove(name);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_says_where_a_review_stands_and_quotes_nothing() {
        let event = json!({ "type": "agent_done", "agent": "ux", "note": "your key is hunter2", "seq": 3 });
        assert_eq!(told(event.clone(), Detail::Full), event);
        let outline = json!({ "type": "agent_done", "agent": "ux", "seq": 3 });
        assert_eq!(told(event, Detail::Outline), outline);
        assert_eq!(told(json!(null), Detail::Outline), json!(null));
    }
}
