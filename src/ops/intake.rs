//! Submissions that come at the same time are written together.
//!
//! While one statement is on its way to Postgres the submissions that come gather, and go with the next one. Nobody
//! waits for company: who comes alone goes at once. What could hold others up goes by itself: one with a key, which
//! waits for whoever writes the same key in that moment, and one with a long text.
//!
//! Each is told of its own: once the statement with its row is committed it is accepted. A statement that Postgres
//! refuses was refused for one of its rows, so they are written one by one, and only that one is refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::store::jobs::NewJob;
use crate::store::{Store, StoreError};

/// Rows of one statement. More make it slower for the first of them, and no cheaper for each.
const MOST: usize = 128;
/// A longer text goes by itself; so those of one statement are 2 MiB at the most.
const LONGEST_TEXT: usize = 16 * 1024;

/// What is written together. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Intake(Arc<Mutex<Gathered>>);

#[derive(Debug, Default)]
struct Gathered {
    waiting: Vec<Waiting>,
    /// A task carries what gathers to Postgres.
    is_carried: bool,
}

#[derive(Debug)]
struct Waiting {
    job: NewJob,
    told: oneshot::Sender<Result<NewJob, StoreError>>,
}

/// Takes what gathers to Postgres until nothing is left.
struct Carrier {
    intake: Intake,
    store: Store,
    is_through: bool,
}

/// Whether a job may be written together with others.
pub(super) fn goes_with_others(job: &NewJob) -> bool {
    let is_short = |text: &str| text.len() <= LONGEST_TEXT;
    job.idempotency.is_none() && job.input.as_ref().is_none_or(|input| is_short(&input.body))
}

impl Intake {
    /// Accepts a job that [goes with others](goes_with_others), and gives it back.
    ///
    /// # Errors
    /// When Postgres is away (then it may have been accepted all the same), or refuses it.
    pub(super) async fn accept(&self, store: &Store, job: NewJob) -> Result<NewJob, StoreError> {
        let (told, telling) = oneshot::channel();
        let is_carried = {
            let mut gathered = self.gathered();
            gathered.waiting.push(Waiting { job, told });
            std::mem::replace(&mut gathered.is_carried, true)
        };
        if !is_carried {
            let carrier = Carrier {
                intake: self.clone(),
                store: store.clone(),
                is_through: false,
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "a caller that goes away must not take the answers of the others with it; the task ends with what \
                          has gathered, and tells whoever waits when it panics"
            )]
            let _unheld = tokio::spawn(carrier.carry());
        }
        let gone = |_| StoreError::Unreachable("whoever wrote it is gone".to_owned());
        telling.await.map_err(gone)?
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    async fn carry(mut self) {
        loop {
            let batch = {
                let mut gathered = self.intake.gathered();
                // Who has gone away was told nothing, and may submit it anew.
                gathered.waiting.retain(|one| !one.told.is_closed());
                if gathered.waiting.is_empty() {
                    gathered.is_carried = false;
                    self.is_through = true;
                    return;
                }
                let count = gathered.waiting.len().min(MOST);
                gathered.waiting.drain(..count).collect::<Vec<_>>()
            };
            self.write(batch).await;
        }
    }

    async fn write(&self, batch: Vec<Waiting>) {
        let (jobs, told): (Vec<NewJob>, Vec<_>) = batch.into_iter().map(|one| (one.job, one.told)).unzip();
        let mut written = self.store.bounded(self.store.accept_many(&jobs)).await;
        let mut one_by_one = jobs.len() > 1 && matches!(written, Err(StoreError::Refused(_)));
        for (job, told) in jobs.into_iter().zip(told) {
            if one_by_one {
                let alone = std::slice::from_ref(&job);
                written = self.store.bounded(self.store.accept_many(alone)).await;
                // Postgres went away in between: the rest is told so, and does not wait for it one after the other.
                one_by_one = written
                    .as_ref()
                    .map_or_else(|error| !error.is_passing(), |()| true);
            }
            // Whoever submitted may have gone away; what is committed is accepted all the same, and its enqueue is owed.
            let _gone = told.send(written.clone().map(|()| job));
        }
    }
}

impl Drop for Carrier {
    /// After a panic, or when its runtime ends half way, those that wait are told by the end of their channels.
    fn drop(&mut self) {
        if !self.is_through {
            let mut gathered = self.intake.gathered();
            gathered.waiting.clear();
            gathered.is_carried = false;
        }
    }
}
