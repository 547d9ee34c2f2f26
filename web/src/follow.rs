//! One client that follows a review: every event once and in order, from the first or from the one it names, and an end.
//!
//! What is heard live is passed on at once when it is the next one. Where a number is missing the store is read first.
//! The stream ends once the store says that nothing moves the review on but an operator.

use std::collections::VecDeque;
use std::time::Duration;

use axum::response::sse;
use millstream::domain::JobId;
use millstream::store::watch::Watched;
use millstream::store::{Store, StoreError};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::hub::{Event, Heard, Hub, Listening};

/// When the store is asked again that was away.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
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
    /// When to look again, if the last look failed or there was more than it brought.
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
                heard = self.listening.next() => match heard {
                    Heard::Event(event) => self.hear(&event).await,
                    Heard::Look => self.look_patiently().await,
                },
                () = until(again) => self.look_patiently().await,
                // The client comes back to another process, with the number of its last event.
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    async fn hear(&mut self, event: &Event) {
        match event.seq {
            // A reference worker's.
            None => self.push(None, event.body.clone()),
            Some(seq) if seq <= self.last => return,
            Some(seq) => {
                if seq != self.last + 1 {
                    self.look_patiently().await;
                }
                if seq > self.last && !self.ended {
                    self.push(Some(seq), event.body.clone());
                }
            }
        }
        if event.may_be_last() && !self.ended {
            self.look_patiently().await;
        }
    }

    /// A look whose failure is made up by another one.
    async fn look_patiently(&mut self) {
        if let Err(error) = self.look().await {
            debug!("failed to {error}; the stream of {} waits for the store", self.id);
            self.again = Some(Instant::now() + LOOK_AGAIN);
        }
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
    /// not notice it.
    fn end(&mut self, stands: &Watched) {
        let body = json!({ "status": stands.status, "state": stands.state, "verdict": stands.verdict });
        self.ready
            .push_back(sse::Event::default().event("end").data(body.to_string()));
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
