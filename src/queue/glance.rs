//! One look at a whole queue for a screen that refreshes: two round trips, at most eighteen commands.
//!
//! Every command is bounded, whatever the length of the queue, and all ages are by the server's own clock.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, Value, from_redis_value};

use super::connect::Queue;
use super::error::QueueError;
use super::inspect::Seen;
use crate::domain::{EntryId, Lane};

/// The most workers that are looked at: a screen shows troubled ones and counts the rest.
const WORKERS_SHOWN: isize = 200;

/// What one look shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glance {
    /// The server's clock, in milliseconds.
    pub server_ms: u64,
    /// Entries that nobody has read.
    pub waiting: u64,
    /// Entries that some consumer holds, parked ones included.
    pub pending: u64,
    /// Parked entries.
    pub parked: u64,
    /// Dead letters in Valkey's stream.
    pub dead: u64,
    /// Age of the oldest entry that nobody has read.
    pub oldest_waiting: Option<Duration>,
    /// Until the next parked entry is due; zero when it is overdue.
    pub next_due: Option<Duration>,
    /// Whether the queue is paused.
    pub paused: bool,
    /// The workers, the latest heartbeat first.
    pub workers: Vec<Seen>,
    /// How many commands it took.
    pub commands: u32,
}

/// What the group of one stream says.
#[derive(Debug, Clone, Default)]
struct GroupState {
    pending: u64,
    last_delivered: String,
}

impl Queue {
    /// Looks at the whole queue.
    ///
    /// # Errors
    /// When the server is away. A stream or a group that does not exist yet is an empty one.
    pub async fn glance(&self) -> Result<Glance, QueueError> {
        let keys = self.keys();
        let mut pipe = redis::pipe();
        pipe.ignore_errors().cmd("TIME");
        for lane in Lane::ALL {
            pipe.cmd("XLEN").arg(keys.stream(lane));
            pipe.cmd("XINFO").arg("GROUPS").arg(keys.stream(lane));
        }
        for due in [&keys.due, &keys.due_high] {
            pipe.cmd("ZCARD").arg(due);
            pipe.cmd("ZRANGE").arg(due).arg(0).arg(0).arg("WITHSCORES");
        }
        pipe.cmd("XLEN").arg(&keys.dead);
        pipe.cmd("EXISTS").arg(&keys.pause);
        pipe.cmd("ZREVRANGE")
            .arg(&keys.workers)
            .arg(0)
            .arg(WORKERS_SHOWN - 1)
            .arg("WITHSCORES");
        let commands = 14;
        let rows: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.connection()).await?;
        let mut rows = rows.into_iter();

        let clock: (u64, u64) = read(&mut rows)?;
        let server_ms = clock.0 * 1_000 + clock.1 / 1_000;
        let (mut entries, mut groups) = (0_u64, Vec::new());
        for _ in Lane::ALL {
            entries += read::<u64>(&mut rows)?;
            groups.push(group(rows.next(), &keys.group));
        }
        let pending = groups.iter().map(|group| group.pending).sum::<u64>();
        let (mut parked, mut next_due) = (0_u64, None::<u64>);
        for _ in 0..2 {
            parked += read::<u64>(&mut rows)?;
            let first: Vec<(String, f64)> = read(&mut rows)?;
            let at = first.first().map(|(_, at)| *at as u64);
            next_due = [next_due, at].into_iter().flatten().min();
        }
        let dead = read(&mut rows)?;
        let paused = read(&mut rows)?;
        let beats: Vec<(String, f64)> = read(&mut rows)?;
        let glance = Glance {
            server_ms,
            waiting: entries.saturating_sub(pending),
            pending,
            parked,
            dead,
            next_due: next_due.map(|at| Duration::from_millis(at.saturating_sub(server_ms))),
            paused,
            commands,
            ..Glance::default()
        };
        self.look_closer(glance, &groups, beats).await
    }

    /// The second round trip: the oldest entry behind each group, and the workers' cards.
    async fn look_closer(
        &self,
        mut glance: Glance,
        groups: &[GroupState],
        beats: Vec<(String, f64)>,
    ) -> Result<Glance, QueueError> {
        let keys = self.keys();
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for (lane, group) in Lane::ALL.into_iter().zip(groups) {
            pipe.cmd("XRANGE")
                .arg(keys.stream(lane))
                .arg(format!("({}", group.last_delivered))
                .arg("+")
                .arg("COUNT")
                .arg(1);
        }
        glance.commands += 3;
        if !beats.is_empty() {
            let names: Vec<String> = beats.iter().map(|(name, _)| keys.card(name)).collect();
            pipe.cmd("MGET").arg(names);
            glance.commands += 1;
        }
        let rows: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.connection()).await?;
        let mut rows = rows.into_iter();
        let mut oldest: Option<u64> = None;
        for _ in Lane::ALL {
            let first: Vec<(String, Value)> = read(&mut rows)?;
            let at = first.first().and_then(|(id, _)| id.parse::<EntryId>().ok());
            oldest = [oldest, at.map(|id| id.ms)].into_iter().flatten().min();
        }
        glance.oldest_waiting = oldest.map(|at| Duration::from_millis(glance.server_ms.saturating_sub(at)));
        let cards: Vec<Option<String>> = if beats.is_empty() {
            Vec::new()
        } else {
            read(&mut rows)?
        };
        glance.workers = seen(beats, cards, glance.server_ms);
        Ok(glance)
    }
}

fn seen(beats: Vec<(String, f64)>, cards: Vec<Option<String>>, server_ms: u64) -> Vec<Seen> {
    beats
        .into_iter()
        .zip(cards)
        .map(|((worker, beat), card)| Seen {
            worker,
            card,
            silence: Duration::from_millis(server_ms.saturating_sub(beat as u64)),
        })
        .collect()
}

/// The next answer of a pipeline.
fn read<T: FromRedisValue>(
    rows: &mut impl Iterator<Item = Result<Value, RedisError>>,
) -> Result<T, QueueError> {
    let missing = || QueueError::Answer("an answer is missing".to_owned());
    let value = rows.next().ok_or_else(missing)??;
    from_redis_value(value).map_err(|error| QueueError::from(RedisError::from(error)))
}

/// Our group among those of a stream. A stream that does not exist is refused, and has no group.
fn group(answer: Option<Result<Value, RedisError>>, name: &str) -> GroupState {
    let none = GroupState {
        pending: 0,
        last_delivered: "0-0".to_owned(),
    };
    let Some(Ok(value)) = answer else { return none };
    let groups: Vec<HashMap<String, Value>> = from_redis_value(value).unwrap_or_default();
    let text = |group: &HashMap<String, Value>, field: &str| -> Option<String> {
        group
            .get(field)
            .and_then(|value| from_redis_value(value.clone()).ok())
    };
    groups
        .iter()
        .find(|group| text(group, "name").as_deref() == Some(name))
        .map_or(none, |group| GroupState {
            pending: text(group, "pending").and_then(|n| n.parse().ok()).unwrap_or(0),
            last_delivered: text(group, "last-delivered-id").unwrap_or_else(|| "0-0".to_owned()),
        })
}
