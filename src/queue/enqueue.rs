//! Putting jobs on a stream.

use super::connect::Queue;
use super::entry::VERSION;
use super::error::QueueError;
use crate::domain::{EntryId, JobId, Lane};

/// A job on its way to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Which stream.
    pub lane: Lane,
    /// The job.
    pub job: JobId,
    /// Its payload.
    pub payload: String,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
}

impl Queue {
    /// Adds entries in one round trip and answers their ids in the same order.
    ///
    /// The two fields that the reference reads come first. There is no `MAXLEN`: trimming a job
    /// stream loses jobs.
    ///
    /// # Errors
    /// When the server is away or refuses; then any of them may have been added all the same.
    pub async fn enqueue(&self, entries: &[NewEntry]) -> Result<Vec<EntryId>, QueueError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let (keys, wire) = (self.keys(), self.wire());
        let mut pipe = redis::pipe();
        for entry in entries {
            let command = pipe.cmd("XADD").arg(keys.stream(entry.lane)).arg("*");
            command
                .arg(wire.id)
                .arg(entry.job.to_string())
                .arg(wire.payload)
                .arg(&entry.payload);
            command.arg("v").arg(VERSION);
            if let Some(traceparent) = &entry.traceparent {
                command.arg("traceparent").arg(traceparent);
            }
        }
        let ids: Vec<String> = pipe.query_async(&mut self.connection()).await?;
        ids.iter()
            .map(|id| {
                id.parse()
                    .map_err(|_| QueueError::Answer(format!("entry id {id}")))
            })
            .collect()
    }
}
