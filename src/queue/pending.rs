//! The group's pending list: who holds which entry, and whether there is still anything in it.

use std::time::Duration;

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::keys::{PARKED, lane_number};
use crate::domain::{EntryId, JobId, Lane};

/// Entries in one reply.
const PAGE: usize = 500;

/// An entry that some consumer holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Its stream.
    pub lane: Lane,
    /// Its id.
    pub entry: EntryId,
    /// The job it carries; nothing when it cannot be read, or is gone.
    pub job: Option<JobId>,
    /// The consumer that holds it; nothing when it is parked.
    pub worker: Option<String>,
    /// Since its last delivery or renewal, by the server's clock.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it is due, in milliseconds of the server's clock, if it is parked.
    pub due_ms: Option<u64>,
    /// Whether the payload is still on the stream.
    pub payload: bool,
}

/// A row of the server's list: entry, consumer, idle time in ms, deliveries.
type Row = (String, String, u64, u64);
/// What is asked about a row: the entry, and the score of its due time.
type Looked = (Vec<(String, Vec<Vec<u8>>)>, Option<f64>);

impl Queue {
    /// The entries that are pending, oldest first within a stream, at most `limit` over all streams.
    ///
    /// # Errors
    /// When the server is away. A stream or a group that does not exist yet holds nothing.
    pub async fn pending(&self, limit: usize) -> Result<Vec<Pending>, QueueError> {
        let mut found = Vec::new();
        for lane in Lane::ALL {
            let mut start = "-".to_owned();
            while found.len() < limit {
                let count = PAGE.min(limit - found.len());
                let rows = self.pending_page(lane, &start, count).await?;
                let Some((last, ..)) = rows.last() else { break };
                start = format!("({last}");
                let full = rows.len() == count;
                found.extend(self.look_into(lane, rows).await?);
                if !full {
                    break;
                }
            }
        }
        Ok(found)
    }

    async fn pending_page(&self, lane: Lane, start: &str, count: usize) -> Result<Vec<Row>, QueueError> {
        let rows: Result<Vec<Row>, redis::RedisError> = redis::cmd("XPENDING")
            .arg(self.keys().stream(lane))
            .arg(&self.keys().group)
            .arg(start)
            .arg("+")
            .arg(count)
            .query_async(&mut self.connection())
            .await;
        match rows.map_err(QueueError::from) {
            Err(QueueError::NoGroup(_)) => Ok(Vec::new()),
            other => other,
        }
    }

    async fn look_into(&self, lane: Lane, rows: Vec<Row>) -> Result<Vec<Pending>, QueueError> {
        let keys = self.keys();
        let mut pipe = redis::pipe();
        for (id, ..) in &rows {
            pipe.cmd("XRANGE").arg(keys.stream(lane)).arg(id).arg(id);
            pipe.cmd("ZSCORE")
                .arg(keys.due(lane))
                .arg(format!("{}:{id}", lane_number(lane)));
        }
        let mut answers: Vec<redis::Value> = pipe.query_async(&mut self.connection()).await?;
        let pairs = answers.chunks_exact_mut(2).map(|pair| {
            let of = |value: &mut redis::Value| std::mem::replace(value, redis::Value::Nil);
            let looked: Looked = (
                redis::from_redis_value(of(&mut pair[0])).map_err(redis::RedisError::from)?,
                redis::from_redis_value(of(&mut pair[1])).map_err(redis::RedisError::from)?,
            );
            Ok::<_, QueueError>(looked)
        });
        rows.into_iter()
            .zip(pairs)
            .map(|(row, looked)| self.pending_entry(lane, row, looked?))
            .collect()
    }

    fn pending_entry(
        &self,
        lane: Lane,
        (id, consumer, idle_ms, deliveries): Row,
        (entries, score): Looked,
    ) -> Result<Pending, QueueError> {
        let id = id
            .parse()
            .map_err(|_| QueueError::Answer(format!("entry id {id}")))?;
        let fields = entries.into_iter().next().map(|(_, flat)| Entry::paired(flat));
        let payload = fields.is_some();
        let entry = Entry {
            lane,
            id,
            fields: fields.unwrap_or_default(),
            deliveries: 0,
        };
        Ok(Pending {
            lane,
            entry: id,
            job: entry.carried(self.wire()).ok().map(|carried| carried.job),
            worker: Some(consumer).filter(|consumer| consumer != PARKED),
            idle: Duration::from_millis(idle_ms),
            deliveries,
            due_ms: score.map(|ms| ms as u64),
            payload,
        })
    }
}
