//! Taking entries for a worker, without blocking.

use std::time::Duration;

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::keys::{PARKED, lane_number, numbered_lane};
use super::scripts::FETCH;
use crate::domain::{Lane, WorkerId};

/// What a fetch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Whether the queue is paused; then there are no entries.
    pub paused: bool,
    /// Entries that are this worker's now.
    pub entries: Vec<Entry>,
    /// How long until the next parked entry is due.
    pub next_due: Option<Duration>,
}

/// Whether a fetch takes new entries or only those that are due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Both.
    Anything,
    /// Parked entries that are due.
    DueOnly,
}

/// The answer of the script: paused, entries of (stream number, id, fields, deliveries), next due, error.
type Answer = (u8, Vec<(usize, String, Vec<Vec<u8>>, u32)>, i64, String);

impl Queue {
    /// Takes up to `slots` entries: what has priority first, and what is due again before what is new.
    ///
    /// # Errors
    /// When the server is away, or the group is gone.
    pub async fn fetch(&self, worker: WorkerId, slots: usize, want: Want) -> Result<Fetched, QueueError> {
        self.fetch_in_turn(worker, slots, want, self.next_turn()).await
    }

    /// The same, with the stream that is asked first after the one with priority.
    pub(crate) async fn fetch_in_turn(
        &self,
        worker: WorkerId,
        slots: usize,
        want: Want,
        turn: Lane,
    ) -> Result<Fetched, QueueError> {
        let keys = self.keys();
        let new_limit = if want == Want::Anything { slots } else { 0 };
        let mut call = FETCH.prepare_invoke();
        call.key(&keys.pause).key(&keys.due).key(&keys.due_high);
        for lane in Lane::ALL {
            call.key(keys.stream(lane));
        }
        call.arg(&keys.group)
            .arg(worker.to_string())
            .arg(slots)
            .arg(PARKED)
            .arg(new_limit);
        call.arg(lane_number(turn));
        let (paused, rows, next_due, trouble): Answer = call.invoke_async(&mut self.connection()).await?;
        // What was taken goes first: the next fetch meets the same trouble with empty hands.
        if rows.is_empty() && !trouble.is_empty() {
            return Err(QueueError::said(&trouble));
        }
        let entries = rows
            .into_iter()
            .map(|(number, id, flat, deliveries)| read_entry(numbered_lane(number), &id, flat, deliveries))
            .collect::<Result<_, _>>()?;
        let next_due = u64::try_from(next_due).ok().map(Duration::from_millis);
        Ok(Fetched {
            paused: paused == 1,
            entries,
            next_due,
        })
    }
}

/// An entry from the parts of an answer.
pub(super) fn read_entry(
    lane: Lane,
    id: &str,
    flat: Vec<Vec<u8>>,
    deliveries: u32,
) -> Result<Entry, QueueError> {
    let id = id
        .parse()
        .map_err(|_| QueueError::Answer(format!("entry id {id}")))?;
    Ok(Entry {
        lane,
        id,
        fields: Entry::paired(flat),
        deliveries,
    })
}
