//! Ending a delivery: acknowledge it, park it for later, or bury it. Each asks whose entry it is.

use std::time::Duration;

use super::connect::Queue;
use super::error::QueueError;
use super::keys::{PARKED, lane_number};
use super::letters::KEPT;
use super::scripts::{BURY, PARK, SETTLE};
use crate::domain::{EntryId, Lane, WorkerId};

/// Ids in one call; a script must never hold the server longer than a few milliseconds.
const CHUNK: usize = 256;

/// An entry that is to be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parking {
    /// Which.
    pub entry: EntryId,
    /// Which delivery of it is let go: a repeat of the call must not take the next one from the same worker.
    pub delivery: u32,
    /// How long until it is due again.
    pub delay: Duration,
}

impl Queue {
    /// Acknowledges entries, and deletes those that no other group needs. Answers for each whether
    /// it was still this worker's; what was not is left alone. The delivery is not asked for, as it is not for a
    /// burial: an entry that was let go for good is delivered to nobody again.
    ///
    /// # Errors
    /// When the server is away; then any of them may have been acknowledged all the same.
    pub async fn settle(
        &self,
        lane: Lane,
        worker: WorkerId,
        ids: &[EntryId],
    ) -> Result<Vec<bool>, QueueError> {
        let mut settled = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut call = SETTLE.prepare_invoke();
            call.key(self.keys().stream(lane))
                .arg(&self.keys().group)
                .arg(worker.to_string());
            for end in [chunk.iter().min(), chunk.iter().max()] {
                call.arg(end.map(ToString::to_string));
            }
            for id in chunk {
                call.arg(id.to_string());
            }
            settled.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(settled)
    }

    /// Parks entries until they are due again. Answers for each whether it was still this worker's, by this
    /// delivery.
    ///
    /// # Errors
    /// When the server is away; then any of them may have been parked all the same.
    pub async fn park(
        &self,
        lane: Lane,
        worker: WorkerId,
        entries: &[Parking],
    ) -> Result<Vec<bool>, QueueError> {
        let mut parked = Vec::with_capacity(entries.len());
        for chunk in entries.chunks(CHUNK) {
            let mut call = PARK.prepare_invoke();
            call.key(self.keys().stream(lane)).key(self.keys().due(lane));
            call.arg(&self.keys().group)
                .arg(worker.to_string())
                .arg(PARKED)
                .arg(lane_number(lane));
            for one in chunk {
                call.arg(one.entry.to_string())
                    .arg(one.delivery)
                    .arg(one.delay.as_millis() as u64);
            }
            parked.extend(call.invoke_async::<Vec<bool>>(&mut self.connection()).await?);
        }
        Ok(parked)
    }

    /// Moves one entry to the dead letters. Answers whether it was still this worker's.
    ///
    /// # Errors
    /// When the server is away; then it may have been buried all the same.
    pub async fn bury(
        &self,
        lane: Lane,
        worker: WorkerId,
        id: EntryId,
        letter: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<bool, QueueError> {
        let mut call = BURY.prepare_invoke();
        call.key(self.keys().stream(lane)).key(&self.keys().dead);
        call.arg(&self.keys().group)
            .arg(worker.to_string())
            .arg(id.to_string())
            .arg(KEPT);
        for (field, value) in letter {
            call.arg(field).arg(value);
        }
        Ok(call.invoke_async(&mut self.connection()).await?)
    }
}
