//! Noting in their rows which entries stand for accepted jobs: many submissions at a time, in one statement.
//!
//! Whoever comes while a statement is on its way joins the next one. Nobody is answered before their own is written.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as Turn;
use tracing::warn;

use crate::domain::{EntryId, JobId};
use crate::store::Store;

/// Rows of one statement.
const MOST: usize = 500;

/// What waits to be noted. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<(JobId, EntryId)>>,
    turn: Turn<()>,
}

impl Marks {
    /// Notes an entry, together with those of others. When that fails the job may be enqueued twice, and runs once.
    pub(super) async fn note(&self, store: &Store, job: JobId, entry: EntryId) {
        self.change(|waiting| waiting.push((job, entry)));
        let _turn = self.0.turn.lock().await;
        // Somebody whose turn it was may have noted it meanwhile.
        let mut batch = Vec::new();
        self.change(|waiting| {
            if waiting.iter().any(|(one, _)| *one == job) {
                // Turns come in order, so it stands among the first.
                batch = waiting.iter().take(MOST).copied().collect();
            }
        });
        if batch.is_empty() {
            return;
        }
        // The batch stays on the list until it is written: a caller that goes away in between leaves it to the next.
        if let Err(error) = store.bounded(store.enqueued(&batch)).await {
            warn!(
                "failed to {error}; {} jobs may be enqueued twice, and run once",
                batch.len()
            );
        }
        self.change(|waiting| waiting.retain(|one| !batch.contains(one)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<(JobId, EntryId)>)) {
        change(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
