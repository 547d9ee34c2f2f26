//! Taking over what dead and silent consumers still hold, and keeping parked entries ours.
//!
//! One worker of the fleet does it at a time, elected by its heartbeat. The election only saves work: every step checks
//! ownership by itself, so two sweepers at once do no harm.

use std::time::Duration;

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::fetch::read_entry;
use super::keys::{PARKED, lane_number};
use super::reader::connection_name;
use super::scripts::{CLEAR, TAKEOVER, TEND};
use crate::domain::{Lane, PARKED_AT_MOST, WorkerId};

/// Entries that one call looks at: well under 2 ms of the server's time.
const SLICE: usize = 100;
/// Entries that one call takes over: each is looked up, claimed and answered with all that it carries.
const TAKEN: usize = 50;
/// Slices of what one worker holds: more than it has slots.
const OWN_SLICES: usize = 200;

/// A slice of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// What it brought.
    pub found: T,
    /// Where to go on; nothing at the end.
    pub next: Option<String>,
}

/// The answer of the script: where to go on, and entries of (id, fields, deliveries).
type Taken = (String, Vec<(String, Vec<Vec<u8>>, u32)>);

impl Queue {
    /// Which of these workers still hold their connection; nothing when the server does not tell.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn connected(&self, workers: &[String]) -> Result<Option<Vec<bool>>, QueueError> {
        let list: Result<String, redis::RedisError> = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut self.connection())
            .await;
        match list {
            Ok(list) => {
                let names: std::collections::HashSet<&str> = list
                    .lines()
                    .filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix("name=")))
                    .collect();
                Ok(Some(
                    workers
                        .iter()
                        .map(|w| names.contains(connection_name(w).as_str()))
                        .collect(),
                ))
            }
            Err(error) => match QueueError::from(error) {
                QueueError::Refused(_) => Ok(None),
                other => Err(other),
            },
        }
    }

    /// Takes a slice of what a consumer holds and has left idle for at least `idle`, and parks it, due
    /// at once. A consumer that has beaten within `fresh` keeps everything.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn take_over(
        &self,
        lane: Lane,
        consumer: &str,
        idle: Duration,
        fresh: Duration,
        from: Option<&str>,
    ) -> Result<Slice<Vec<Entry>>, QueueError> {
        let keys = self.keys();
        let (next, rows): Taken = TAKEOVER
            .key(keys.stream(lane))
            .key(keys.due(lane))
            .key(&keys.workers)
            .arg(&keys.group)
            .arg(consumer)
            .arg(PARKED)
            .arg(lane_number(lane))
            .arg(idle.as_millis() as u64)
            .arg(TAKEN)
            .arg(after(from))
            .arg(fresh.as_millis() as u64)
            .invoke_async(&mut self.connection())
            .await?;
        let found = rows
            .into_iter()
            .map(|(id, flat, deliveries)| read_entry(lane, &id, flat, deliveries))
            .collect::<Result<_, _>>()?;
        Ok(Slice {
            found,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    /// Parks what this worker holds without knowing: its delivery's reply was lost, so nobody renews it.
    /// Only right after its own leases were renewed, since those are young then. Answers how many.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn park_unknown(
        &self,
        lane: Lane,
        worker: WorkerId,
        idle: Duration,
    ) -> Result<usize, QueueError> {
        let (worker, mut from, mut parked) = (worker.to_string(), None, 0);
        for _ in 0..OWN_SLICES {
            let slice = self
                .take_over(lane, &worker, idle, Duration::ZERO, from.as_deref())
                .await?;
            parked += slice.found.len();
            from = slice.next;
            if from.is_none() {
                break;
            }
        }
        Ok(parked)
    }

    /// Renews a slice of the parked entries, so that no foreign `XAUTOCLAIM` takes them; answers how
    /// many.
    ///
    /// # Errors
    /// When the server is away or the group is gone.
    pub async fn tend_parked(&self, lane: Lane, from: Option<&str>) -> Result<Slice<u64>, QueueError> {
        let keys = self.keys();
        let (next, found): (String, u64) = TEND
            .key(keys.stream(lane))
            .key(keys.due(lane))
            .arg(&keys.group)
            .arg(PARKED)
            .arg(lane_number(lane))
            .arg(SLICE)
            .arg(after(from))
            .arg(PARKED_AT_MOST.as_millis() as u64)
            .invoke_async(&mut self.connection())
            .await?;
        Ok(Slice {
            found,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    /// Deletes a slice of what every group is through with and nobody deleted; answers how many.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn clear_finished(&self, lane: Lane, from: Option<&str>) -> Result<Slice<u64>, QueueError> {
        let (next, found): (String, u64) = CLEAR
            .key(self.keys().stream(lane))
            .arg(&self.keys().group)
            .arg(after(from))
            .arg(SLICE)
            .invoke_async(&mut self.connection())
            .await?;
        Ok(Slice {
            found,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    /// Workers whose last heartbeat is older than `age` by the server's clock, at most a hundred of them.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn silent_workers(&self, server_ms: u64, age: Duration) -> Result<Vec<String>, QueueError> {
        let before = server_ms.saturating_sub(age.as_millis() as u64);
        Ok(redis::cmd("ZRANGEBYSCORE")
            .arg(&self.keys().workers)
            .arg("-inf")
            .arg(before)
            .arg("LIMIT")
            .arg(0)
            .arg(SLICE)
            .query_async(&mut self.connection())
            .await?)
    }
}

/// The first id of the next slice: behind the last one of the slice before.
fn after(from: Option<&str>) -> String {
    from.map_or_else(|| "-".to_owned(), |last| format!("({last}"))
}
