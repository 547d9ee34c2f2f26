//! What is pending on a queue's own streams: who holds it, whether that one lives, when it is due.
//!
//! It is a window onto the pending lists, with what our own keys say about its rows: some sixteen bounded
//! commands, whatever the length of the lists. Ages are by the server's clock.

use std::collections::HashMap;
use std::time::Duration;

use redis::{RedisError, Value, from_redis_value};

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::keys::{PARKED, lane_number};
use super::window::{Held, Payload, Place, Spot};
use crate::domain::{EntryId, JobId, Lane};

/// A pending entry of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEntry {
    /// Its stream.
    pub lane: Lane,
    /// Its row in the pending list.
    pub held: Held,
    /// The job it carries; nothing when it cannot be read, or is gone.
    pub job: Option<JobId>,
    /// What that works on.
    pub input: Option<String>,
    /// Whether it is parked: held for its next attempt, and nobody's to run.
    pub parked: bool,
    /// Until it is due, of one that is parked; nought when it is overdue.
    pub due_in: Option<Duration>,
    /// Since its consumer's last heartbeat; nothing for one that never had any.
    pub silence: Option<Duration>,
}

/// A window onto what is pending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldWindow {
    /// The rows, oldest first.
    pub rows: Vec<HeldEntry>,
    /// Whether there are rows before them.
    pub before: bool,
    /// Whether there are rows behind them.
    pub after: bool,
    /// How many entries are pending.
    pub total: u64,
    /// How many commands it took.
    pub commands: u32,
}

impl Queue {
    /// Looks at a window of what is pending on all streams of the queue.
    ///
    /// # Errors
    /// When the server is away. A stream or a group that does not exist yet holds nothing.
    pub async fn held(&self, place: Place, limit: usize) -> Result<HeldWindow, QueueError> {
        let keys = self.keys();
        let (server_ms, total) = self.held_in_all().await?;
        let spots = Lane::ALL.map(|lane| Spot {
            stream: keys.stream(lane).into(),
            group: keys.group.clone().into(),
        });
        let window = self.window(&spots, place, limit).await?;
        let mut found = HeldWindow {
            before: window.before,
            after: window.after,
            total,
            commands: window.commands + 4,
            rows: window.rows.into_iter().map(|row| self.entry(row)).collect(),
        };
        self.look_up(&mut found, server_ms).await?;
        Ok(found)
    }

    /// The server's clock in milliseconds, and how many entries are pending.
    async fn held_in_all(&self) -> Result<(u64, u64), QueueError> {
        let keys = self.keys();
        let mut pipe = redis::pipe();
        pipe.ignore_errors().cmd("TIME");
        for lane in Lane::ALL {
            pipe.cmd("XINFO").arg("GROUPS").arg(keys.stream(lane));
        }
        let answers: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.connection()).await?;
        let mut answers = answers.into_iter();
        let missing = || QueueError::Answer("an answer is missing".to_owned());
        let clock = answers.next().ok_or_else(missing)??;
        let (seconds, micros): (u64, u64) = from_redis_value(clock).map_err(RedisError::from)?;
        let mut total = 0;
        for answer in answers {
            let value = match answer.map_err(QueueError::from) {
                Ok(value) => value,
                Err(QueueError::NoGroup(_)) => continue,
                Err(error) => return Err(error),
            };
            let groups: Vec<HashMap<String, Value>> = from_redis_value(value).map_err(RedisError::from)?;
            let text = |group: &HashMap<String, Value>, field: &str| -> Option<String> {
                from_redis_value(group.get(field)?.clone()).ok()
            };
            let own = groups
                .iter()
                .find(|group| text(group, "name").as_ref() == Some(&keys.group));
            let pending = own.and_then(|group| text(group, "pending"));
            total += pending.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok((seconds * 1_000 + micros / 1_000, total))
    }

    fn entry(&self, held: Held) -> HeldEntry {
        let lane = Lane::ALL[held.spot];
        let fields = match &held.payload {
            Payload::There { fields, .. } => fields.clone(),
            Payload::Gone | Payload::Unread => Vec::new(),
        };
        let carried = Entry {
            lane,
            id: held.entry,
            fields,
            deliveries: 0,
        }
        .carried(self.wire())
        .ok();
        HeldEntry {
            lane,
            job: carried.as_ref().map(|carried| carried.job),
            input: carried.map(|carried| carried.payload),
            parked: held.consumer == PARKED.as_bytes(),
            due_in: None,
            silence: None,
            held,
        }
    }

    /// When parked rows are due, and when the consumers of the others were heard last.
    async fn look_up(&self, found: &mut HeldWindow, server_ms: u64) -> Result<(), QueueError> {
        let keys = self.keys();
        let (parked, running): (Vec<usize>, Vec<usize>) =
            (0..found.rows.len()).partition(|at| found.rows[*at].parked);
        let due = |urgent: bool| -> Vec<usize> {
            let of = |at: &usize| (found.rows[*at].lane == Lane::High) == urgent;
            parked.iter().copied().filter(of).collect()
        };
        let asked = [
            (&keys.due, due(false)),
            (&keys.due_high, due(true)),
            (&keys.workers, running),
        ];
        let mut pipe = redis::pipe();
        for (key, rows) in asked.iter().filter(|(_, rows)| !rows.is_empty()) {
            pipe.cmd("ZMSCORE").arg(*key);
            for row in rows.iter().map(|at| &found.rows[*at]) {
                if row.parked {
                    pipe.arg(due_member(row.lane, row.held.entry));
                } else {
                    pipe.arg(&row.held.consumer);
                }
            }
        }
        if pipe.is_empty() {
            return Ok(());
        }
        found.commands += u32::try_from(pipe.len()).unwrap_or(0);
        let answers: Vec<Vec<Option<f64>>> = pipe.query_async(&mut self.connection()).await?;
        let rows = asked
            .into_iter()
            .map(|(_, rows)| rows)
            .filter(|rows| !rows.is_empty());
        for (rows, scores) in rows.zip(answers) {
            for (at, score) in rows.into_iter().zip(scores) {
                let row = &mut found.rows[at];
                let ms = score.map(|ms| ms as u64);
                if row.parked {
                    row.due_in = ms.map(|ms| Duration::from_millis(ms.saturating_sub(server_ms)));
                } else {
                    row.silence = ms.map(|ms| Duration::from_millis(server_ms.saturating_sub(ms)));
                }
            }
        }
        Ok(())
    }
}

fn due_member(lane: Lane, entry: EntryId) -> String {
    format!("{}:{entry}", lane_number(lane))
}
