//! What a worker knows of an entry that it holds: what it carries, the attempt that runs for it, how that ended.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::context::JobContext;
use crate::domain::{Failure, WorkerId};
use crate::queue::entry::Carried;
use crate::queue::{Entry, NewLetter, Unreadable};
use crate::store::{Died, Lease, Record};

/// What is known of a ticket beyond its phase.
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) carried: Result<Carried, Unreadable>,
    pub(super) run: Option<Run>,
    /// How it ended, until the ledger has taken it down.
    pub(super) end: Option<Result<Box<dyn Record>, Failure>>,
    /// How long its next attempt waits.
    pub(super) delay: Duration,
    /// Why it is dead, for its letter.
    pub(super) died: Option<Died>,
}

impl Held {
    /// The letter about its job.
    pub(super) fn letter(&self, worker: WorkerId) -> NewLetter {
        let letter = NewLetter::about(&self.entry, worker.to_string());
        match (&self.carried, &self.died) {
            (Err(why), _) => letter.unreadable(why.to_string()),
            (Ok(carried), None) => NewLetter {
                job: Some(carried.job),
                ..letter.unreadable("no job with this id is known".to_owned())
            },
            (Ok(carried), Some(died)) => NewLetter {
                job: Some(carried.job),
                attempt: Some(died.attempt),
                class: Some(died.class.clone()),
                error: Some(died.error.clone()),
                ..letter
            },
        }
    }
}

/// An issued attempt.
pub(super) struct Run {
    pub(super) lease: Lease,
    pub(super) failures: u32,
    pub(super) context: JobContext,
    pub(super) task: Option<AbortHandle>,
}
