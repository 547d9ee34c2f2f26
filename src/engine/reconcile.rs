//! The reconciler: holds the stream against Postgres, and puts back what is owed.
//!
//! One worker of the fleet does it at a time, by a lease row. Each second it enqueues scheduled jobs
//! whose time has come. Every few seconds it looks for jobs that were accepted and never enqueued
//! (the producer died, or Valkey was away), and asks Valkey for its epoch and run id. When those
//! changed, or it has just taken the lead, it walks through all live jobs, in pages, and replaces
//! every entry that is gone. When all data was lost it also writes the dead letters anew.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::{EntryId, JobId, Lane, WorkerId};
use crate::queue::{Look, NewEntry, NewLetter, Queue, QueueError};
use crate::store::owed::{DeadJob, Owed};
use crate::store::{Store, StoreError};

const TICK: Duration = Duration::from_secs(1);
/// How often the slower questions are asked. A loss of all data is seen within this time.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often those without the lead stand for it.
const STAND_EVERY: Duration = Duration::from_secs(5);
/// How long a lead lasts without renewal.
const TERM: Duration = Duration::from_secs(10);
/// An accepted job without an entry is its producer's business for this long.
const OWED_AFTER: Duration = Duration::from_secs(30);
/// One that was put back is the business of the operator or of the reconciler who did that, and these are quick.
const OWED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A full pass is repeated this long after the data was lost, or the lead was taken.
const PASS_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// And this often when nothing has changed: some losses leave no trace but the hole.
const PASS_EVERY: Duration = Duration::from_secs(300);
/// Jobs in one statement or pipeline.
const PAGE: u32 = 500;
/// How often a long pass renews the lead.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// A breath between two pages, so that a walk never crowds out work.
const BREATH: Duration = Duration::from_millis(20);

/// Why a round did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Valkey failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another worker leads by now.
    #[error("keep the lead: another worker has taken it")]
    Overtaken,
}

/// What the reconciler needs.
pub struct Reconciler {
    /// The queue.
    pub queue: Queue,
    /// The truth.
    pub store: Store,
    /// Who reconciles.
    pub worker: WorkerId,
    /// The worker leaves.
    pub stop: CancellationToken,
}

/// What identifies the data on a server: it changes when the data is lost or the server restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Incarnation {
    epoch: String,
    run_id: String,
}

impl Incarnation {
    fn of(Look { epoch, run_id, .. }: Look) -> Self {
        Self { epoch, run_id }
    }
}

/// What the last full pass saw, and when the next one is due.
#[derive(Debug)]
pub struct Known {
    incarnation: Incarnation,
    next_pass: Instant,
}

impl Reconciler {
    fn lease_name(&self) -> String {
        format!("reconciler:{}", self.queue.keys().shared)
    }

    /// Takes or renews the lead.
    async fn stand(&self) -> Result<bool, StoreError> {
        let (name, worker) = (self.lease_name(), self.worker.to_string());
        self.store.bounded(self.store.lead(&name, &worker, TERM)).await
    }

    /// Reconciles until the stop, then gives the lead up.
    pub async fn run(self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Option<Known> = None;
        let mut leads = false;
        let (mut stood, mut looked) = (None, None);
        let name = self.lease_name();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if !leads && stood.is_some_and(|at: Instant| at.elapsed() < STAND_EVERY) {
                continue;
            }
            stood = Some(Instant::now());
            leads = match self.stand().await {
                Ok(leads) => leads,
                Err(error) => {
                    warn!("failed to {error}; nobody knows what is owed");
                    false
                }
            };
            if !leads {
                (known, looked) = (None, None);
                continue;
            }
            let look = looked.is_none_or(|at: Instant| at.elapsed() >= LOOK_EVERY);
            if look {
                looked = Some(Instant::now());
            }
            if let Err(error) = self.round(look, &mut known).await {
                warn!("failed to {error}; what is owed is paid later");
            }
        }
        if leads {
            // It runs out by itself if this is not heard.
            let worker = self.worker.to_string();
            let yielding = self.store.yield_lead(&name, &worker);
            let _unheard = self.store.bounded(yielding).await;
        }
    }

    /// One round: pays what is due, and when it shall `look`, holds the queue against Postgres as far as something
    /// has changed since what is `known`.
    ///
    /// # Errors
    /// When a server is away, or another worker leads by now; the next round does what is left.
    pub async fn round(&self, look: bool, known: &mut Option<Known>) -> Result<(), Trouble> {
        let queue = self.queue.keys().shared.clone();
        let due = self.store.bounded(self.store.promote_due(&queue, PAGE)).await?;
        self.pay(&due).await?;
        if !look {
            return Ok(());
        }
        self.store
            .bounded(self.store.adopt_foreign_results(&queue))
            .await?;
        let owed = self
            .store
            .never_enqueued(&queue, OWED_AFTER, OWED_AGAIN_AFTER, PAGE);
        let owed = self.store.bounded(owed).await?;
        if !owed.is_empty() {
            info!("{} jobs that wait have no entry; enqueueing them", owed.len());
            self.pay(&owed).await?;
        }
        let found = self.queue.look(&JobId::fresh().to_string()).await?;
        if found.notes > 0 {
            // Before the pause is mended: it may have been set or taken back while Postgres was away.
            self.copy_glass().await?;
        }
        self.mend_pause(&queue).await?;
        // An older version buries without a cause.
        self.store.bounded(self.store.name_causes(&queue, PAGE)).await?;
        let incarnation = Incarnation::of(found);
        let changed = known
            .as_ref()
            .is_none_or(|known| known.incarnation != incarnation);
        if changed
            || known
                .as_ref()
                .is_some_and(|known| known.next_pass <= Instant::now())
        {
            self.queue.ensure_groups().await?;
            self.full_pass(&queue).await?;
            if changed && !self.queue.has_all_letters(&incarnation.run_id).await? {
                self.restore_letters(&queue, &incarnation.run_id).await?;
            }
            self.clear_letters(&queue).await?;
            self.forget_keys().await?;
            self.store.bounded(self.store.forget_at_work(PAGE)).await?;
            // What was under way in the moment of a loss is seen by a second pass soon after.
            let pause = if changed { PASS_AGAIN_AFTER } else { PASS_EVERY };
            *known = Some(Known {
                incarnation,
                next_pass: Instant::now() + pause,
            });
        }
        Ok(())
    }

    /// The row says whether the queue is paused; the key that stops the fetches follows it.
    async fn mend_pause(&self, queue: &str) -> Result<(), Trouble> {
        if let Some(row) = self.store.bounded(self.store.paused(queue)).await? {
            if self.queue.pause_text().await?.is_none() {
                info!("the queue is paused, and the key that says so was gone; set again");
                self.queue.set_pause(&row.key_text()).await?;
                // Whoever resumed it in this moment has taken the key away already.
                if self.store.bounded(self.store.paused(queue)).await?.is_none() {
                    self.queue.clear_pause().await?;
                }
            }
        } else if self.store.bounded(self.store.was_resumed(queue)).await?
            // A key without any row was set by hand and is left alone.
            && self.queue.clear_pause().await?
        {
            // Whoever paused it in this moment has set the key already.
            match self.store.bounded(self.store.paused(queue)).await? {
                Some(row) => self.queue.set_pause(&row.key_text()).await?,
                None => info!("the queue runs, and a key still held it back; taken away"),
            }
        }
        Ok(())
    }

    /// Writes into the book what operators noted in Valkey while Postgres was away.
    async fn copy_glass(&self) -> Result<(), Trouble> {
        loop {
            let page = self.queue.glass_page().await?;
            if page.is_empty() {
                return Ok(());
            }
            for (id, note) in &page {
                match note {
                    Some(note) => {
                        match self.store.bounded(self.store.copy_glass(note, id.time())).await {
                            Ok(true) => info!("an operator acted while Postgres was away; noted in the book"),
                            Ok(false) => {}
                            Err(error) if error.is_passing() => return Err(error.into()),
                            // It would be refused for ever, and hold up all that comes after it.
                            Err(error) => warn!("failed to {error}; note {id} is left out of the book"),
                        }
                    }
                    None => warn!("a note of an operator cannot be read: {id}; left out of the book"),
                }
            }
            let ids: Vec<EntryId> = page.iter().map(|(id, _)| *id).collect();
            self.queue.remove_glass(&ids).await?;
        }
    }

    /// Walks through all live jobs and replaces every entry that is gone.
    async fn full_pass(&self, queue: &str) -> Result<(), Trouble> {
        let mut after = None;
        let mut replaced = 0;
        let mut renewed = Instant::now();
        loop {
            let (page, last) = self
                .store
                .bounded(self.store.live_jobs(queue, after, PAGE))
                .await?;
            if last.is_none() {
                break;
            }
            after = last;
            replaced += self.replace_gone(&page).await?;
            if self.stop.is_cancelled() {
                break;
            }
            self.keep_lead(&mut renewed).await?;
            tokio::time::sleep(BREATH).await;
        }
        if replaced > 0 {
            info!("{replaced} entries were gone from the stream; their jobs are enqueued again");
        }
        Ok(())
    }

    /// A pass over many jobs takes longer than a lead lasts.
    async fn keep_lead(&self, renewed: &mut Instant) -> Result<(), Trouble> {
        if renewed.elapsed() >= RENEW_EVERY {
            *renewed = Instant::now();
            if !self.stand().await? {
                return Err(Trouble::Overtaken);
            }
        }
        Ok(())
    }

    /// Writes the letters of dead jobs anew, oldest first: the stream went with all other data, the rows did not.
    async fn restore_letters(&self, queue: &str, run_id: &str) -> Result<(), Trouble> {
        // Who dies from now on gets a letter from its worker.
        let before = crate::clock::now();
        let (mut after, mut restored) = (None, 0);
        let mut renewed = Instant::now();
        // Most have theirs, unless all went.
        let known = self.queue.jobs_with_letters().await?;
        loop {
            let page = self.store.dead_jobs(queue, before, after, PAGE);
            let page = self.store.bounded(page).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.died_at, last.job));
            let page = page
                .into_iter()
                .filter(|dead| !known.contains(&dead.job))
                .collect();
            let letters = self.missing_letters(page).await?;
            restored += letters.len();
            self.queue.add_letters(&letters).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            self.keep_lead(&mut renewed).await?;
            tokio::time::sleep(BREATH).await;
        }
        self.queue.note_all_letters(run_id).await?;
        if restored > 0 {
            info!("{restored} dead letters were gone with the stream; written anew");
        }
        Ok(())
    }

    /// The letters of those whose entry is gone too: whoever is delivered an entry of a dead job writes its letter.
    async fn missing_letters(&self, mut dead: Vec<DeadJob>) -> Result<Vec<NewLetter>, Trouble> {
        for lane in Lane::ALL {
            let of_lane = dead.iter().filter(|dead| dead.lane == lane);
            let entries: Vec<_> = of_lane.filter_map(|dead| Some((dead.entry?, dead.job))).collect();
            let stands = self.queue.stands(lane, &entries).await?;
            let standing: HashSet<JobId> = entries
                .iter()
                .zip(stands)
                .filter_map(|((_, job), stands)| stands.then_some(*job))
                .collect();
            dead.retain(|dead| !standing.contains(&dead.job));
        }
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        // Asked for last: an entry and its letter change places in one step, so whose entry no longer stood has one by
        // now if its worker buried it. Another leader may have come half way too.
        let known = self.queue.jobs_with_letters().await?;
        dead.retain(|dead| !known.contains(&dead.job));
        Ok(dead.into_iter().map(letter).collect())
    }

    /// Takes out the letters of jobs that are dead no longer, since an operator who put them back died before the
    /// letter went, and all but the newest of a job that has more: an undo writes one while another is written anew.
    /// Read before the rows, so that a job that dies meanwhile keeps the letter of that.
    async fn clear_letters(&self, queue: &str) -> Result<(), Trouble> {
        let (mut after, mut cleared) = (None, 0);
        let mut newest: HashMap<JobId, EntryId> = HashMap::new();
        let mut renewed = Instant::now();
        loop {
            let page = self.queue.letter_page(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let jobs: Vec<JobId> = page.iter().filter_map(|(_, job)| *job).collect();
            let not_dead = self.store.bounded(self.store.not_dead_of(queue, &jobs)).await?;
            let stray = page.iter().filter_map(|&(id, job)| match job? {
                job if not_dead.contains(&job) => Some(id),
                job => newest.insert(job, id),
            });
            let stray: Vec<EntryId> = stray.collect();
            cleared += self.queue.remove_letters(&stray).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            self.keep_lead(&mut renewed).await?;
            tokio::time::sleep(BREATH).await;
        }
        if cleared > 0 {
            info!(
                "{cleared} dead letters were of jobs that are dead no longer, or have a newer one; taken out"
            );
        }
        Ok(())
    }

    /// Forgets the keys of submissions whose day is over.
    async fn forget_keys(&self) -> Result<(), Trouble> {
        let mut renewed = Instant::now();
        while self.store.bounded(self.store.forget_keys(PAGE)).await? == u64::from(PAGE) {
            if self.stop.is_cancelled() {
                break;
            }
            self.keep_lead(&mut renewed).await?;
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }

    async fn replace_gone(&self, page: &[Owed]) -> Result<usize, Trouble> {
        let mut gone: Vec<(JobId, Option<EntryId>)> = Vec::new();
        for lane in Lane::ALL {
            let of_lane = page.iter().filter(|owed| owed.lane == lane);
            let entries: Vec<(EntryId, JobId)> = of_lane.filter_map(|o| Some((o.entry?, o.job))).collect();
            let stands = self.queue.stands(lane, &entries).await?;
            let fallen = entries.iter().zip(stands).filter(|(_, stands)| !stands);
            gone.extend(fallen.map(|((entry, job), _)| (*job, Some(*entry))));
        }
        if gone.is_empty() {
            return Ok(0);
        }
        // Only what is still as it was read: a job that ended meanwhile took its entry with it.
        let reset = self.store.bounded(self.store.reset_lost_entries(&gone)).await?;
        let owed: Vec<Owed> = page.iter().filter(|o| reset.contains(&o.job)).cloned().collect();
        self.pay(&owed).await?;
        Ok(owed.len())
    }

    async fn pay(&self, owed: &[Owed]) -> Result<(), Trouble> {
        let entries: Vec<NewEntry> = owed
            .iter()
            .map(|owed| NewEntry {
                lane: owed.lane,
                job: owed.job,
                payload: owed.payload.clone(),
                traceparent: owed.traceparent.clone(),
            })
            .collect();
        let ids = self.queue.enqueue(&entries).await?;
        let pairs: Vec<(JobId, EntryId)> = owed.iter().map(|o| o.job).zip(ids).collect();
        if !pairs.is_empty() {
            self.store.bounded(self.store.enqueued(&pairs)).await?;
        }
        Ok(())
    }
}

/// What can be said of a dead job without its entry.
fn letter(dead: DeadJob) -> NewLetter {
    NewLetter {
        entry: None,
        lane: dead.lane,
        worker: dead.worker.unwrap_or_default(),
        died_at: dead.died_at,
        job: Some(dead.job),
        attempt: Some(dead.attempt),
        class: dead.class,
        error: dead.error,
        raw: Vec::new(),
    }
}
