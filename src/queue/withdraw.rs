//! What an operator does to entries: withdraw them, make parked ones due, take one from who holds it.
//!
//! Each script checks in the step that writes, as those of the workers do. None of them is owner of anything:
//! an operator may do this to anybody's entry, once Postgres has said so.

use super::connect::Queue;
use super::error::QueueError;
use super::keys::{PARKED, lane_number};
use super::scripts::{CLAIM, HASTEN, WITHDRAW};
use crate::domain::{EntryId, JobId, Lane};

/// Entries in one call: some 10 us each, so a chunk stays under 2 ms.
const CHUNK: usize = 100;

/// Who holds an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: it was not delivered yet, or is settled, or was never there.
    Nobody,
    /// It is parked.
    Parked,
    /// A consumer, ours or foreign.
    Consumer(String),
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// It is due now, for anybody.
    Taken,
    /// Another consumer holds it by now; it was left alone.
    Moved,
    /// Its payload was gone, so it was acknowledged.
    Gone,
}

impl Queue {
    /// Takes entries of jobs that have ended off their stream, whoever holds them. Answers for each whether
    /// nothing is left of it for our group.
    ///
    /// # Errors
    /// When the server is away; then any of them may have been withdrawn all the same.
    pub async fn withdraw(&self, lane: Lane, entries: &[(EntryId, JobId)]) -> Result<Vec<bool>, QueueError> {
        let keys = self.keys();
        let mut withdrawn = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(CHUNK) {
            let mut call = WITHDRAW.prepare_invoke();
            call.key(keys.stream(lane))
                .key(keys.due(lane))
                .arg(&keys.group)
                .arg(lane_number(lane))
                .arg(self.wire().id);
            for (entry, job) in chunk {
                call.arg(entry.to_string()).arg(job.to_string());
            }
            withdrawn.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(withdrawn)
    }

    /// Makes parked entries due now. Answers for each whether it was parked.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn hasten(&self, lane: Lane, entries: &[EntryId]) -> Result<Vec<bool>, QueueError> {
        let keys = self.keys();
        let mut hastened = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(CHUNK) {
            let mut call = HASTEN.prepare_invoke();
            call.key(keys.stream(lane))
                .key(keys.due(lane))
                .arg(&keys.group)
                .arg(PARKED)
                .arg(lane_number(lane));
            for entry in chunk {
                call.arg(entry.to_string());
            }
            hastened.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(hastened)
    }

    /// Takes an entry from the consumer that was seen holding it, and parks it, due at once.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn claim(&self, lane: Lane, entry: EntryId, seen: &str) -> Result<Claimed, QueueError> {
        let keys = self.keys();
        let answer: u8 = CLAIM
            .key(keys.stream(lane))
            .key(keys.due(lane))
            .arg(&keys.group)
            .arg(seen)
            .arg(PARKED)
            .arg(lane_number(lane))
            .arg(entry.to_string())
            .invoke_async(&mut self.connection())
            .await?;
        Ok(match answer {
            1 => Claimed::Taken,
            2 => Claimed::Gone,
            _ => Claimed::Moved,
        })
    }

    /// Who holds an entry.
    ///
    /// # Errors
    /// When the server is away. A stream or a group that does not exist yet holds nothing.
    pub async fn holder(&self, lane: Lane, entry: EntryId) -> Result<Holder, QueueError> {
        let rows: Result<Vec<(String, String, u64, u64)>, redis::RedisError> = redis::cmd("XPENDING")
            .arg(self.keys().stream(lane))
            .arg(&self.keys().group)
            .arg(entry.to_string())
            .arg(entry.to_string())
            .arg(1)
            .query_async(&mut self.connection())
            .await;
        match rows.map_err(QueueError::from) {
            Ok(rows) => Ok(match rows.into_iter().next() {
                None => Holder::Nobody,
                Some((_, consumer, ..)) if consumer == PARKED => Holder::Parked,
                Some((_, consumer, ..)) => Holder::Consumer(consumer),
            }),
            Err(QueueError::NoGroup(_)) => Ok(Holder::Nobody),
            Err(error) => Err(error),
        }
    }
}
