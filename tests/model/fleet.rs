//! What the fleet does beside its jobs: producers, the heartbeat with the sweeper, the reconciler; and what time and
//! losses do to it.

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Result, ensure};
use millstream::domain::{JobId, JobState, Lane, WorkerId};
use millstream::engine::reconcile::Reconciler;
use millstream::engine::sweep::Sweeper;
use millstream::queue::NewEntry;
use millstream::queue::lease::{SUSPECT_AFTER, Suspect};
use millstream::store::Store;
use millstream::store::jobs::{Accepted, IdempotencyKey, NewJob};
use millstream::store::owed::Owed;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::case::{Added, Case};
use super::duties::IDLE;
use super::ledger::Job;
use super::step::{Loss, Reach};
use super::worker::Duty;

/// A time that comes only by a step.
const LATER: chrono::TimeDelta = chrono::TimeDelta::hours(1);

impl Case {
    /// A producer accepts a job and enqueues it. One that dies on the way has sent its request twice before.
    pub async fn accept(&mut self, lane: Lane, later: bool, enqueue: Reach) -> Result<()> {
        let job = NewJob {
            id: JobId::fresh(),
            queue: self.site.name.clone(),
            kind: "model".to_owned(),
            lane,
            payload: "{}".to_owned(),
            run_at: later.then(|| millstream::clock::now() + LATER),
            traceparent: None,
            input: None,
            callback: None,
            idempotency: Some(IdempotencyKey {
                client: self.site.name.clone(),
                key: format!("no. {}", self.jobs.len()),
                body_sha256: String::new(),
            }),
        };
        let accepted = self.site.store.accept(&job).await?;
        ensure!(accepted == Accepted::New, "a new job is accepted as {accepted:?}");
        self.jobs.push(job.id);
        self.ledger.jobs.insert(job.id, Job::accepted(lane, later));
        if enqueue != Reach::Whole {
            let repeat = NewJob {
                id: JobId::fresh(),
                ..job.clone()
            };
            let repeated = self.site.store.accept(&repeat).await?;
            ensure!(
                repeated == Accepted::Repeated(job.id),
                "a repeat is accepted as {repeated:?}"
            );
        }
        if later || enqueue == Reach::Half {
            return Ok(());
        }
        let entry = NewEntry {
            lane,
            job: job.id,
            payload: job.payload,
            traceparent: None,
        };
        let entry = self.site.queue.enqueue(&[entry]).await?[0];
        self.streams.add(lane, entry, Some(job.id));
        if enqueue == Reach::Whole {
            self.site.store.enqueued(&[(job.id, entry)]).await?;
            self.ledger.enqueued(job.id, entry);
        }
        Ok(())
    }

    /// A heartbeat, and if it is elected the round of the sweeper; one that dies half way has taken entries and told
    /// the ledger nothing.
    pub async fn beat(&mut self, nth: usize, reach: Reach) -> Result<()> {
        let Some(worker) = self.awake(nth).await? else {
            return Ok(());
        };
        let id = worker.id;
        let beat = self.site.queue.beat(id, "{}", true).await?;
        self.site.hold_election().await?;
        let leads = self.streams.beat(&id.to_string(), true);
        ensure!(
            beat.sweeps == leads,
            "it is elected: {}, and must be: {leads}",
            beat.sweeps
        );
        ensure!(
            beat.paused == self.streams.paused,
            "a heartbeat tells of a pause: {}",
            beat.paused
        );
        let is: BTreeSet<_> = beat
            .suspects
            .iter()
            .map(|one| (one.lane, one.consumer.clone()))
            .collect();
        let must = if leads {
            self.streams.suspects(&id.to_string())
        } else {
            BTreeSet::new()
        };
        ensure!(is == must, "suspects are {is:?} and must be {must:?}");
        if !leads {
            return Ok(());
        }
        if reach == Reach::Whole {
            self.sweep(&beat.suspects, beat.server_ms).await
        } else {
            self.sweep_half(beat.suspects.first()).await
        }
    }

    async fn sweep(&mut self, suspects: &[Suspect], server_ms: u64) -> Result<()> {
        let (_duty, duty) = watch::channel(None);
        let mut sweeper: Sweeper<Store> = Sweeper {
            queue: self.site.queue.clone(),
            ledger: self.site.store.clone(),
            visibility_timeout: IDLE,
            duty,
            stop: CancellationToken::new(),
            gone: VecDeque::new(),
        };
        sweeper.sweep(suspects).await?;
        for suspect in suspects {
            let idle_only = self.is_connected(&suspect.consumer);
            for (entry, there) in self.streams.take_over(suspect.lane, &suspect.consumer, idle_only) {
                match self.streams.lane(suspect.lane).entries.get(&entry) {
                    Some(Some(job)) if there => self.ledger.lost(&suspect.consumer, *job, entry),
                    Some(None) => {}
                    _ => self.ledger.gone(suspect.lane, entry),
                }
            }
        }
        sweeper.tell_gone().await;
        // Both stop where a group is gone, here as in the model.
        let _stopped = sweeper.tend().await;
        self.streams.tend();
        self.dues_lost &= !self.streams.has_groups();
        let _stopped = sweeper.tidy(server_ms).await;
        self.streams.tidy();
        Ok(())
    }

    async fn sweep_half(&mut self, suspect: Option<&Suspect>) -> Result<()> {
        let Some(Suspect { lane, consumer, .. }) = suspect else {
            return Ok(());
        };
        self.site
            .queue
            .take_over(*lane, consumer, IDLE, SUSPECT_AFTER, None)
            .await?;
        let taken = self.streams.take_over(*lane, consumer, true);
        // Without a word to the ledger an entry without its payload is lost until a full pass.
        self.lossy |= taken.iter().any(|(_, there)| !there);
        Ok(())
    }

    fn is_connected(&self, consumer: &str) -> bool {
        self.workers
            .iter()
            .flatten()
            .any(|worker| worker.id.to_string() == consumer)
    }

    /// One round of the reconciler; one that dies half way has let jobs wait, or added entries and noted nothing.
    pub async fn reconcile(&mut self, fresh: bool, reach: Reach) -> Result<()> {
        if reach != Reach::Whole {
            return self.reconcile_half(reach).await;
        }
        if fresh {
            self.lead.known = None;
            self.lead.epoch = None;
        }
        let reconciler = Reconciler {
            queue: self.site.queue.clone(),
            store: self.site.store.clone(),
            worker: WorkerId::fresh(),
            stop: CancellationToken::new(),
        };
        reconciler.round(true, &mut self.lead.known).await?;
        let owed = self.ledger.promote();
        self.pay(owed, true);
        let owed = self.ledger.owed();
        self.pay(owed, true);
        if let Some(paused) = self.ledger.paused {
            self.streams.paused = paused;
        }
        self.look_for_losses();
        Ok(())
    }

    /// The model of a look at the epoch, and of the full pass that follows when it has changed.
    fn look_for_losses(&mut self) {
        let made = self.streams.epoch.is_none();
        let changed = made || self.lead.epoch != self.streams.epoch;
        if !changed {
            return;
        }
        self.lead.epoch.clone_from(&self.streams.epoch);
        let groups_missed = !self.streams.has_groups();
        self.streams.ensure_groups();
        // Whoever makes a group takes the epoch away, so another pass follows.
        self.new_epoch = made && !groups_missed;
        let being_paid: BTreeSet<JobId> = self.added.iter().map(|added| added.job).collect();
        let fallen = |(id, job): (&JobId, &Job)| {
            let entry = job.row.entry?;
            let stands = self.streams.stands(job.lane, entry, *id);
            (job.is_live() && !stands && !being_paid.contains(id)).then_some(*id)
        };
        let fallen: Vec<JobId> = self.ledger.jobs.iter().filter_map(fallen).collect();
        for job in &fallen {
            self.ledger.reset(*job);
        }
        self.pay(fallen, true);
        // Where there are no letters nobody can tell whether there should be some.
        if !self.streams.letters_noted || self.streams.letters.is_empty() {
            self.restore_letters();
        }
        let ledger = &self.ledger;
        let is_dead = |job: JobId| {
            let found = ledger.jobs.get(&job);
            found.is_none_or(|job| job.row.state == JobState::Dead)
        };
        self.streams.letters.retain(|letter| letter.is_none_or(is_dead));
        self.streams.leave_newest_letters();
        // What was lost is made good, and what is promised holds again; but for who is between two steps: a worker that
        // has yet to ask for the start of what it was delivered before, too. Another pass follows soon.
        self.lossy &= !being_paid.is_empty() || self.somebody_holds_what_is_gone();
    }

    fn somebody_holds_what_is_gone(&self) -> bool {
        let duties = self.workers.iter().flatten().flat_map(|worker| &worker.duties);
        let asked = duties.filter_map(|duty| match duty {
            Duty::Ask(asked) => Some(asked),
            _ => None,
        });
        asked
            .flatten()
            .filter_map(|(_, one)| one.as_ref())
            .any(|one| !self.streams.stands(one.lane, one.entry, one.job))
    }

    fn restore_letters(&mut self) {
        let lacks_letter = |(id, job): (&JobId, &Job)| {
            let stands = job
                .row
                .entry
                .is_some_and(|entry| self.streams.stands(job.lane, entry, *id));
            let lacks =
                job.row.state == JobState::Dead && !stands && !self.streams.letters.contains(&Some(*id));
            lacks.then_some(Some(*id))
        };
        let missing: Vec<_> = self.ledger.jobs.iter().filter_map(lacks_letter).collect();
        self.streams.letters.extend(missing);
        self.streams.letters_noted = true;
    }

    async fn reconcile_half(&mut self, reach: Reach) -> Result<()> {
        let (store, name) = (&self.site.store, &self.site.name);
        let mut owed: Vec<Owed> = store.promote_due(name, 500).await?;
        let mut must = self.ledger.promote();
        if reach == Reach::Unheard {
            owed.extend(store.never_enqueued(name, IDLE / 2, IDLE / 2, 500).await?);
            must.extend(self.ledger.owed());
            let entries: Vec<NewEntry> = owed.iter().map(entry_of).collect();
            self.site.queue.enqueue(&entries).await?;
            self.pay(must.clone(), false);
        }
        let is: BTreeSet<JobId> = owed.iter().map(|owed| owed.job).collect();
        let must: BTreeSet<JobId> = must.into_iter().collect();
        ensure!(is == must, "owed are {is:?} and must be {must:?}");
        Ok(())
    }

    /// Notes that these jobs get new entries.
    pub fn pay(&mut self, jobs: Vec<JobId>, noted: bool) {
        self.added
            .extend(jobs.into_iter().map(|job| Added { job, noted }));
    }

    pub async fn moment(&mut self) -> Result<()> {
        self.site.moment(&self.streams).await?;
        self.streams.ripen();
        self.ledger.ripen();
        Ok(())
    }

    pub async fn long(&mut self) -> Result<()> {
        self.site.long(&self.streams).await?;
        self.streams.age();
        self.ledger.ripen();
        self.ledger.age();
        Ok(())
    }

    pub async fn lose(&mut self, loss: Loss) -> Result<()> {
        self.site.lose(loss, &self.streams).await?;
        self.lossy = true;
        self.dues_lost |= matches!(loss, Loss::All | Loss::DueTimes);
        self.partly_lost |= matches!(loss, Loss::Stream(_) | Loss::Payloads(_));
        match loss {
            Loss::All => self.streams = super::stream::Streams::new(),
            Loss::Stream(lane) => self.streams.lose_stream(lane),
            Loss::DueTimes => self.streams.due.clear(),
            Loss::Payloads(lane) => self.streams.lose_payloads(lane),
        }
        Ok(())
    }
}

fn entry_of(owed: &Owed) -> NewEntry {
    NewEntry {
        lane: owed.lane,
        job: owed.job,
        payload: owed.payload.clone(),
        traceparent: owed.traceparent.clone(),
    }
}
