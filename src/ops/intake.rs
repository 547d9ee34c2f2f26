//! Submissions that come at the same time are written together.
//!
//! While one statement is on its way to Postgres the submissions that come gather, and go with the next one. Nobody
//! waits for company: who comes alone goes at once. What could hold others up goes by itself: one with a key, which
//! waits for whoever writes the same key in that moment, and one with a long text.
//!
//! A connection can fall silent under a statement, and nobody can tell for seconds. Those that come meanwhile do not wait
//! for it: after a while another statement sets out, up to a few at a time.
//!
//! Each is told of its own: once the statement with its row is committed it is accepted. A statement that Postgres
//! refuses was refused for one of its rows, so they are written one by one, and only that one is refused.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::jobs::NewJob;
use crate::store::{Store, StoreError};

/// Rows of one statement. More make it slower for the first of them, and no cheaper for each.
const MOST: usize = 128;
/// A longer text goes by itself; so those of one statement are 2 MiB at the most.
const LONGEST_TEXT: usize = 16 * 1024;
/// A statement that has no answer by then is not waited for by those that come after it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Statements without an answer that are gone past. Each holds a connection of the pool.
const GONE_PAST: u8 = 2;

/// What is written together. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Intake(Arc<Mutex<Gathered>>);

#[derive(Debug, Default)]
struct Gathered {
    waiting: Vec<Waiting>,
    /// A task carries what gathers to Postgres.
    is_carried: bool,
    /// Tasks that still wait for their last statement, and carry nothing more.
    gone_past: u8,
}

#[derive(Debug)]
struct Waiting {
    job: NewJob,
    told: oneshot::Sender<Result<NewJob, StoreError>>,
}

/// Takes what gathers to Postgres until nothing is left, or another goes past.
struct Carrier {
    intake: Intake,
    store: Store,
    duty: Duty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// What gathers is this one's.
    Gathering,
    /// What gathers is another's, and one answer is still to come.
    GonePast,
    Through,
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
            self.send_out(store);
        }
        let gone = |_| StoreError::Unreachable("whoever wrote it is gone".to_owned());
        telling.await.map_err(gone)?
    }

    fn send_out(&self, store: &Store) {
        let carrier = Carrier {
            intake: self.clone(),
            store: store.clone(),
            duty: Duty::Gathering,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a caller that goes away must not take the answers of the others with it; the task ends with what \
                      has gathered, and tells whoever waits when it panics"
        )]
        let _unheld = tokio::spawn(carrier.carry());
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    async fn carry(mut self) {
        while let Some(batch) = self.take() {
            let (intake, store) = (self.intake.clone(), self.store.clone());
            let mut writing = pin!(write(&store, batch));
            while tokio::time::timeout(PATIENCE, &mut writing).await.is_err() {
                if self.goes_past() {
                    intake.send_out(&store);
                    writing.await;
                    return;
                }
            }
        }
    }

    /// What has gathered; with nothing, the duty is over.
    fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut gathered = self.intake.gathered();
        // Who has gone away was told nothing, and may submit it anew.
        gathered.waiting.retain(|one| !one.told.is_closed());
        if gathered.waiting.is_empty() {
            gathered.is_carried = false;
            self.duty = Duty::Through;
            return None;
        }
        let count = gathered.waiting.len().min(MOST);
        Some(gathered.waiting.drain(..count).collect())
    }

    /// Whether another may take over what gathers.
    fn goes_past(&mut self) -> bool {
        let mut gathered = self.intake.gathered();
        let may = gathered.gone_past < GONE_PAST;
        if may {
            gathered.gone_past += 1;
            self.duty = Duty::GonePast;
        }
        may
    }
}

async fn write(store: &Store, batch: Vec<Waiting>) {
    let (jobs, told): (Vec<NewJob>, Vec<_>) = batch.into_iter().map(|one| (one.job, one.told)).unzip();
    let mut written = store.bounded(store.accept_many(&jobs)).await;
    let mut one_by_one = jobs.len() > 1 && matches!(written, Err(StoreError::Refused(_)));
    for (job, told) in jobs.into_iter().zip(told) {
        if one_by_one {
            let alone = std::slice::from_ref(&job);
            written = store.bounded(store.accept_many(alone)).await;
            // Postgres went away in between: the rest is told so, and does not wait for it one after the other.
            one_by_one = written
                .as_ref()
                .map_or_else(|error| !error.is_passing(), |()| true);
        }
        // Whoever submitted may have gone away; what is committed is accepted all the same, and its enqueue is owed.
        let _gone = told.send(written.clone().map(|()| job));
    }
}

impl Drop for Carrier {
    /// After a panic, or when its runtime ends half way, those that wait are told by the end of their channels.
    fn drop(&mut self) {
        let mut gathered = self.intake.gathered();
        match self.duty {
            Duty::Gathering => {
                gathered.waiting.clear();
                gathered.is_carried = false;
            }
            Duty::GonePast => gathered.gone_past -= 1,
            Duty::Through => {}
        }
    }
}
