//! Looking at a queue: cheap, bounded questions for `status`, `workers` and the console.

use std::time::Duration;

use super::connect::Queue;
use super::error::QueueError;
use super::scripts::{LOOK, PRESENT};
use crate::domain::{EntryId, JobId, Lane};

/// Entries in one call: some 10 us each, so a chunk stays under 2 ms.
const STANDS_CHUNK: usize = 100;
/// The most workers that are listed.
const WORKERS_SHOWN: isize = 1_000;

/// How much lies on a queue's streams, by Valkey's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Entries on the streams.
    pub entries: u64,
    /// Entries that some consumer holds, parked ones included.
    pub pending: u64,
    /// Parked entries.
    pub parked: u64,
    /// Dead letters in the stream.
    pub dead: u64,
}

/// A worker's card with the age of its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The worker's id.
    pub worker: String,
    /// The card's text; nothing when it ran out.
    pub card: Option<String>,
    /// Since the last heartbeat, by the server's clock.
    pub silence: Duration,
}

/// What the reconciler looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Random text that a loss of all data takes with it.
    pub epoch: String,
    /// Changes with every start of the server.
    pub run_id: String,
    /// What operators noted while Postgres was away and is not in the book.
    pub notes: u64,
}

impl Queue {
    /// Counts all streams: cheap commands, whatever their length.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        let keys = self.keys();
        let mut depth = Depth::default();
        for lane in Lane::ALL {
            let entries: u64 = redis::cmd("XLEN")
                .arg(keys.stream(lane))
                .query_async(&mut self.connection())
                .await?;
            let pending: Result<redis::Value, redis::RedisError> = redis::cmd("XPENDING")
                .arg(keys.stream(lane))
                .arg(&keys.group)
                .query_async(&mut self.connection())
                .await;
            let pending = match pending.map_err(QueueError::from) {
                Ok(redis::Value::Array(parts)) => parts
                    .into_iter()
                    .next()
                    .and_then(|n| redis::from_redis_value(n).ok())
                    .unwrap_or(0),
                Ok(_) | Err(QueueError::NoGroup(_)) => 0,
                Err(error) => return Err(error),
            };
            depth.entries += entries;
            depth.pending += pending;
        }
        let (parked, urgent, dead): (u64, u64, u64) = redis::pipe()
            .cmd("ZCARD")
            .arg(&keys.due)
            .cmd("ZCARD")
            .arg(&keys.due_high)
            .cmd("XLEN")
            .arg(&keys.dead)
            .query_async(&mut self.connection())
            .await?;
        Ok(Depth {
            parked: parked + urgent,
            dead,
            ..depth
        })
    }

    /// Every worker with a heartbeat, the latest first, at most a thousand.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn workers(&self) -> Result<Vec<Seen>, QueueError> {
        let keys = self.keys();
        let (now, rows): ((u64, u64), Vec<(String, f64)>) = redis::pipe()
            .cmd("TIME")
            .cmd("ZREVRANGE")
            .arg(&keys.workers)
            .arg(0)
            .arg(WORKERS_SHOWN - 1)
            .arg("WITHSCORES")
            .query_async(&mut self.connection())
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = rows.iter().map(|(name, _)| keys.card(name)).collect();
        let cards: Vec<Option<String>> = redis::cmd("MGET")
            .arg(&names)
            .query_async(&mut self.connection())
            .await?;
        let now_ms = now.0 * 1000 + now.1 / 1000;
        Ok(rows
            .into_iter()
            .zip(cards)
            .map(|((worker, beat), card)| Seen {
                worker,
                card,
                silence: Duration::from_millis(now_ms.saturating_sub(beat as u64)),
            })
            .collect())
    }

    /// For each entry whether it still stands for its job: it is there, carries the job, and is pending or
    /// not delivered yet.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn stands(&self, lane: Lane, entries: &[(EntryId, JobId)]) -> Result<Vec<bool>, QueueError> {
        let mut stands = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(STANDS_CHUNK) {
            let mut call = PRESENT.prepare_invoke();
            call.key(self.keys().stream(lane))
                .arg(&self.keys().group)
                .arg(self.wire().id);
            for (entry, job) in chunk {
                call.arg(entry.to_string()).arg(job.to_string());
            }
            stands.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(stands)
    }

    /// What the reconciler looks at; a queue without an epoch, which is new or lost its data, gets this `fresh` one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn look(&self, fresh: &str) -> Result<Look, QueueError> {
        let (epoch, run_id, notes) = LOOK
            .prepare_invoke()
            .key(&self.keys().epoch)
            .key(&self.keys().glass)
            .arg(fresh)
            .invoke_async(&mut self.connection())
            .await?;
        Ok(Look { epoch, run_id, notes })
    }
}
