//! What Postgres must say by now: the rows of jobs and attempts, advanced by the rules in words of their own.

use std::collections::BTreeMap;

use millstream::domain::{EntryId, Failure, JobId, JobState, Lane};
use millstream::store::{Asked, Lease, Next};

/// What is compared of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub state: JobState,
    pub attempt: i32,
    pub failures: i32,
    pub crashes: i32,
    pub worker: Option<String>,
    pub entry: Option<EntryId>,
    pub delivery: i32,
    /// Who ran each attempt, and how it ended.
    pub attempts: Vec<(String, Option<String>)>,
    /// Results that handlers have left behind.
    pub results: i64,
}

/// A job, with what time has done to it.
#[derive(Debug, Clone)]
pub struct Job {
    pub lane: Lane,
    pub row: Row,
    /// Its time has come, if it waits for one.
    pub ripe: bool,
    /// The entry that stood for it before it was owed another one.
    past: Option<EntryId>,
    /// Nothing has touched it for a long time.
    pub aged: bool,
}

/// What a start must be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Begin {
        attempt: i32,
        failures: u32,
        crashes: u32,
    },
    Dead,
    Finished,
    Stale,
    Late,
}

/// All rows.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub jobs: BTreeMap<JobId, Job>,
    /// Whether the queue is paused; nothing while nobody ever paused it.
    pub paused: Option<bool>,
}

impl Job {
    pub const fn accepted(lane: Lane, later: bool) -> Self {
        let state = if later {
            JobState::Scheduled
        } else {
            JobState::Waiting
        };
        Self {
            lane,
            row: Row {
                state,
                attempt: 0,
                failures: 0,
                crashes: 0,
                worker: None,
                entry: None,
                delivery: 0,
                attempts: Vec::new(),
                results: 0,
            },
            past: None,
            ripe: false,
            aged: false,
        }
    }

    /// Whether an entry should stand for it.
    pub const fn is_live(&self) -> bool {
        matches!(
            self.row.state,
            JobState::Waiting | JobState::Running | JobState::Retrying
        )
    }

    fn is_held_by(&self, lease: &Lease) -> bool {
        self.row.state == JobState::Running
            && self.row.attempt == lease.attempt
            && self.row.worker.as_deref() == Some(lease.worker.to_string().as_str())
    }

    fn end_attempts(&mut self, outcome: &str) {
        for (_, end) in &mut self.row.attempts {
            end.get_or_insert_with(|| outcome.to_owned());
        }
    }

    fn to(&mut self, state: JobState) {
        self.row.state = state;
        self.ripe = false;
        self.aged = false;
    }

    fn forget_entry(&mut self) {
        self.past = self.row.entry.or(self.past);
        self.row.entry = None;
        self.row.delivery = 0;
    }
}

impl Ledger {
    fn job(&mut self, job: JobId) -> &mut Job {
        self.jobs.get_mut(&job).expect("every job was accepted")
    }

    /// Notes the entry of a job that waits for one.
    pub fn enqueued(&mut self, job: JobId, entry: EntryId) {
        let job = self.job(job);
        let was_taken_off = job.past.is_some_and(|past| entry <= past);
        if job.row.entry.is_none() && job.row.state == JobState::Waiting && !was_taken_off {
            job.row.entry = Some(entry);
            job.row.delivery = 0;
            job.aged = false;
        }
    }

    /// Asks for one start.
    pub fn start(&mut self, worker: &str, asked: &Asked) -> Expected {
        let delivery = i32::try_from(asked.delivery).expect("few deliveries");
        let job = self.job(asked.job);
        let was_taken_off = job.row.entry.is_none() && job.past.is_some_and(|past| asked.entry <= past);
        let row = &mut job.row;
        let same = row.entry == Some(asked.entry);
        let running = row.state == JobState::Running;
        if row.state == JobState::Dead && same {
            return Expected::Dead;
        } else if row.state.is_final() {
            return Expected::Finished;
        } else if row.state == JobState::Scheduled || was_taken_off {
            return Expected::Stale;
        } else if same && delivery < row.delivery {
            return Expected::Late;
        } else if running && same && delivery == row.delivery && row.worker.as_deref() == Some(worker) {
            // The same question once more.
        } else if running && !same || row.entry.is_some_and(|entry| asked.entry < entry) {
            return Expected::Stale;
        } else {
            row.attempt += 1;
            row.crashes += i32::from(running);
            row.worker = Some(worker.to_owned());
            row.entry = Some(asked.entry);
            row.delivery = delivery;
            job.end_attempts("crashed");
            job.row.attempts.push((worker.to_owned(), None));
            job.to(JobState::Running);
        }
        Expected::Begin {
            attempt: job.row.attempt,
            failures: job.row.failures.unsigned_abs(),
            crashes: job.row.crashes.unsigned_abs(),
        }
    }

    /// Whether an attempt ended like this before: a repeat is answered as the first time.
    fn has_ended(&self, lease: &Lease, outcome: &str) -> bool {
        let number = usize::try_from(lease.attempt).expect("attempts count from 1");
        let attempt = self
            .jobs
            .get(&lease.job)
            .and_then(|job| job.row.attempts.get(number - 1));
        attempt.is_some_and(|(worker, end)| {
            *worker == lease.worker.to_string() && end.as_deref() == Some(outcome)
        })
    }

    /// Ends an attempt well; answers whether the fence was open.
    pub fn finish(&mut self, lease: &Lease, leaves_result: bool) -> bool {
        let job = self.job(lease.job);
        if !job.is_held_by(lease) {
            return self.has_ended(lease, "done");
        }
        job.row.results += i64::from(leaves_result);
        job.end_attempts("done");
        job.to(JobState::Done);
        true
    }

    /// Ends an attempt that leaves nothing behind, many at a time: there a repeat is answered with no.
    pub fn finish_plain(&mut self, lease: &Lease) -> bool {
        self.job(lease.job).is_held_by(lease) && self.finish(lease, false)
    }

    /// Ends an attempt that failed.
    pub fn fail(&mut self, lease: &Lease, failure: &Failure, next: Next) -> bool {
        let job = self.job(lease.job);
        if !job.is_held_by(lease) {
            return self.has_ended(lease, "failed");
        }
        job.row.failures += i32::from(failure.counts());
        job.end_attempts("failed");
        match next {
            Next::Retry(_) => job.to(JobState::Retrying),
            Next::Bury => job.to(JobState::Dead),
            Next::Schedule(_) => {
                job.forget_entry();
                job.to(JobState::Scheduled);
            }
        }
        true
    }

    /// Gives an attempt up.
    pub fn hand_back(&mut self, lease: &Lease) -> bool {
        let job = self.job(lease.job);
        if !job.is_held_by(lease) {
            return false;
        }
        job.end_attempts("handed_back");
        job.to(JobState::Waiting);
        true
    }

    /// Closes the fence behind a loser of an entry.
    pub fn lost(&mut self, loser: &str, job: JobId, entry: EntryId) {
        let job = self.job(job);
        let row = &mut job.row;
        if row.state == JobState::Running && row.entry == Some(entry) && row.worker.as_deref() == Some(loser)
        {
            row.crashes += 1;
            job.end_attempts("crashed");
            job.to(JobState::Waiting);
        }
    }

    /// Makes a live job wait for a new entry.
    pub fn reset(&mut self, job: JobId) {
        let job = self.job(job);
        job.forget_entry();
        job.row.worker = None;
        job.end_attempts("crashed");
        job.to(JobState::Waiting);
    }

    /// The payload of an entry is gone.
    pub fn gone(&mut self, lane: Lane, entry: EntryId) {
        let stood_for = |job: &Job| job.lane == lane && job.row.entry == Some(entry) && job.is_live();
        let found = self
            .jobs
            .iter()
            .find(|(_, job)| stood_for(job))
            .map(|(id, _)| *id);
        if let Some(job) = found {
            self.reset(job);
        }
    }

    /// Scheduled jobs whose time has come wait; answers them.
    pub fn promote(&mut self) -> Vec<JobId> {
        let mut promoted = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.row.state == JobState::Scheduled && job.ripe {
                job.forget_entry();
                job.to(JobState::Waiting);
                promoted.push(*id);
            }
        }
        promoted
    }

    /// Waiting jobs that have had no entry for a long time.
    pub fn owed(&self) -> Vec<JobId> {
        let is_owed = |job: &Job| job.row.state == JobState::Waiting && job.row.entry.is_none() && job.aged;
        self.jobs
            .iter()
            .filter(|(_, job)| is_owed(job))
            .map(|(id, _)| *id)
            .collect()
    }

    /// An operator ends a job; answers whether it had not ended.
    pub fn end_by_hand(&mut self, job: JobId, state: JobState) -> bool {
        let job = self.job(job);
        if job.row.state.is_final() {
            return false;
        }
        job.end_attempts("cancelled");
        job.to(state);
        true
    }

    /// An operator lets a job run now; answers the state it was in, if that allowed it.
    pub fn run_now(&mut self, job: JobId) -> Option<JobState> {
        let job = self.job(job);
        let before = job.row.state;
        match before {
            JobState::Retrying => {
                job.ripe = true;
                job.aged = false;
            }
            JobState::Scheduled => {
                job.forget_entry();
                job.to(JobState::Waiting);
            }
            _ => return None,
        }
        Some(before)
    }

    /// A dead job waits again, as if it had never failed.
    pub fn requeue(&mut self, job: JobId) -> bool {
        let job = self.job(job);
        if job.row.state != JobState::Dead {
            return false;
        }
        (job.row.failures, job.row.crashes) = (0, 0);
        job.forget_entry();
        job.to(JobState::Waiting);
        true
    }

    /// A dead job is thrown away.
    pub fn drop_dead(&mut self, job: JobId) -> bool {
        let job = self.job(job);
        let is_dead = job.row.state == JobState::Dead;
        if is_dead {
            job.to(JobState::Dropped);
        }
        is_dead
    }

    /// An operator takes a running job from who holds its entry.
    pub fn take_from(&mut self, job: JobId, worker: &str) {
        let job = self.job(job);
        if job.row.state == JobState::Running && job.row.worker.as_deref() == Some(worker) {
            job.end_attempts("handed_back");
            job.to(JobState::Waiting);
        }
    }

    /// The times that jobs wait for have come.
    pub fn ripen(&mut self) {
        for job in self.jobs.values_mut() {
            job.ripe = true;
        }
    }

    /// Nothing has touched anything for a long time.
    pub fn age(&mut self) {
        for job in self.jobs.values_mut() {
            job.aged = true;
        }
    }
}
