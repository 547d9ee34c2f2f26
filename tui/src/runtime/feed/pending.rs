//! The pending list: a window of it from Valkey, and from Postgres how often its jobs were started.

use std::collections::HashMap;

use millstream::domain::JobId;
use millstream::queue::held::{HeldEntry, HeldWindow};
use millstream::queue::lease::SUSPECT_AFTER;
use millstream::queue::window;
use millstream::untrusted::Untrusted;
use tokio::time::Instant;

use super::{Feed, within};
use crate::model::connection::Server;
use crate::model::pending::{Hold, Payload, PendingLine, PendingPage, Place};
use crate::model::workers::WorkerName;
use crate::msg::{Answer, Topic};

/// A lease is renewed every 5 s at least: three that were missed are no accident.
const STUCK_AFTER: std::time::Duration = std::time::Duration::from_secs(15);
/// A line of a field holds no more than this.
const LONGEST: usize = 400;

impl Feed {
    /// Reads a window of what is pending.
    pub(super) async fn pending(&mut self, place: Place, limit: u32) {
        let started = Instant::now();
        let asked = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = within(self.queue.held(asked_place(place), asked)).await;
        let took = started.elapsed();
        let text = "TIME XINFO GROUPS, XPENDING - + COUNT, XRANGE COUNT, ZMSCORE due, workers";
        match found {
            Ok(window) => {
                self.valkey_lost = false;
                self.sent(Server::Valkey, text, window.commands, Some(took)).await;
                // It was four round trips.
                self.up(Server::Valkey, took / 4, None).await;
                let attempts = self.attempts(&window).await;
                let page = self.page(window, place, &attempts);
                self.answer(Answer::Pending(page)).await;
            }
            Err(why) => {
                self.sent(Server::Valkey, text, 4, None).await;
                self.down(Server::Valkey, &why).await;
                self.miss(Topic::Pending, &why).await;
            }
        }
    }

    /// How often the jobs of a window were started; nothing is known of those that Postgres does not know, or
    /// while it is away.
    async fn attempts(&mut self, window: &HeldWindow) -> HashMap<JobId, i32> {
        let jobs: Vec<JobId> = window.rows.iter().filter_map(|row| row.job).collect();
        if !self.may_ask(Server::Postgres) {
            return HashMap::new();
        }
        let (store, queue) = (self.store.clone(), self.queue.keys().shared.clone());
        let question = store.attempts_by_job(&queue, &jobs);
        match self.question("attempts of what is pending", question).await {
            Ok(attempts) => attempts,
            Err(why) => {
                self.down(Server::Postgres, &why).await;
                HashMap::new()
            }
        }
    }

    fn page(&self, window: HeldWindow, place: Place, attempts: &HashMap<JobId, i32>) -> PendingPage {
        let HeldWindow {
            rows,
            before,
            after,
            total,
            ..
        } = window;
        let attempt = |row: &HeldEntry| row.job.and_then(|job| attempts.get(&job).copied());
        PendingPage {
            rows: rows
                .into_iter()
                .map(|row| {
                    let attempt = attempt(&row);
                    self.line_of(row, attempt)
                })
                .collect(),
            before,
            after,
            total,
            place,
        }
    }

    fn line_of(&self, row: HeldEntry, attempt: Option<i32>) -> PendingLine {
        let hold = hold(&row);
        let idle = row.held.idle;
        PendingLine {
            entry: row.held.entry,
            lane: row.lane,
            hold,
            job: row.job,
            input: row.input.map(Untrusted::new),
            worker: (!row.parked).then(|| WorkerName::new(text(&row.held.consumer))),
            idle,
            silence: row.silence,
            reads: row.held.deliveries,
            attempt: attempt.and_then(|attempt| u32::try_from(attempt).ok()),
            attempts_allowed: self.attempts_allowed,
            lease: (!row.parked).then(|| self.lease.saturating_sub(idle)),
            due_in: row.due_in,
            payload: payload(row.held.payload),
        }
    }
}

const fn asked_place(place: Place) -> window::Place {
    match place {
        Place::First => window::Place::First,
        Place::At(entry) => window::Place::At(entry),
        Place::Before(entry) => window::Place::Before(entry),
        Place::Last => window::Place::Last,
    }
}

fn hold(row: &HeldEntry) -> Hold {
    match (row.parked, row.due_in, row.silence) {
        (true, Some(left), _) if left.is_zero() => Hold::Due,
        (true, ..) => Hold::Retrying,
        (false, _, None) => Hold::Foreign,
        (false, _, Some(silence)) if silence >= SUSPECT_AFTER => Hold::Lost,
        (false, ..) if row.held.idle >= STUCK_AFTER => Hold::Stuck,
        (false, ..) => Hold::Running,
    }
}

/// What an entry holds, as lines.
pub(super) fn payload(payload: window::Payload) -> Payload {
    match payload {
        window::Payload::There { fields, bytes } => Payload::There {
            fields: fields
                .iter()
                .map(|(name, value)| (line(name), line(value)))
                .collect(),
            bytes: bytes as u64,
        },
        window::Payload::Gone => Payload::Gone,
        window::Payload::Unread => Payload::Unread,
    }
}

fn line(bytes: &[u8]) -> Untrusted {
    let text = text(bytes);
    // Its characters are kept as they are: whoever shows it makes them visible.
    let mut line: String = text.chars().take(LONGEST).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    Untrusted::new(line)
}

/// Bytes as text; what is not UTF-8 is written as `\xff`.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_written_in_digits() {
        assert_eq!(text(b"ok\xff\xc3\x28\n"), "ok\\xff\\xc3(\n");
        assert_eq!(line(&[b'a'; 500]).raw().chars().count(), LONGEST + 1);
    }
}
