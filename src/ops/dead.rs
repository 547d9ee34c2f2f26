//! An operator's moves of dead jobs: put some back by name, or throw them away.
//!
//! The rows decide: of two operators who move the same job at once one does it and the other is told how it
//! stands. The dead letters follow, in one walk at the end. What a filter finds is put back by a [plan](super::plan).

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::enqueue::{enqueue, entry_of};
use super::error::OpsError;
use super::jobs::{give_up, owed_note};
use super::operator::{Operator, patient, texts};
use super::outcome::{Mode, Outcome, Why};
use crate::domain::{DeadFilter, EntryId, JobId, JobRef, JobState};
use crate::queue::NewEntry;
use crate::store::StoreError;
use crate::store::actions::{ActionId, Intent};
use crate::store::assess::Death;
use crate::store::dead::Exported;

/// Jobs in one statement and one pipeline.
const BATCH: usize = 500;
/// A breath between two batches, so that a large pile does not crowd out new work.
const BREATH: Duration = Duration::from_millis(20);
/// The letters without a row that one call looks at.
const MOST_LETTERS: usize = 10_000;
/// How long the walk through the letters may take; what is left of them does no harm.
const WALK_WITHIN: Duration = Duration::from_secs(30);

/// Which of the dead are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These. An entry's id means a letter that has no row.
    Named(Vec<JobRef>),
    /// All that match; the empty filter matches all.
    Matching(DeadFilter),
}

/// What is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Requeue,
    Drop(Exported),
}

impl Operator {
    /// Dead jobs that are named wait again, with their failures forgotten, and are enqueued.
    ///
    /// # Errors
    /// When the ladder refuses it, or Postgres is away.
    pub async fn requeue_dead(&self, names: &[JobRef], mode: Mode) -> Result<Outcome, OpsError> {
        let (jobs, refused) = self.resolve(names).await?;
        let found = Found {
            jobs,
            outcome: Outcome {
                refused,
                ..Outcome::default()
            },
            ..Found::default()
        };
        if mode == Mode::Real {
            self.may_move(found.jobs.len())?;
        }
        self.move_dead(
            Move::Requeue,
            found,
            self.intent("dead requeue", Vec::new(), Value::default()),
            mode,
        )
        .await
    }

    /// Dead jobs are thrown away: their rows stay, as `dropped`. Letters that have no row go altogether. `filter` is
    /// what was typed, for the book. Where an export is wanted, a death that nobody has exported stays; a guarded
    /// operator cannot do without.
    ///
    /// # Errors
    /// When the ladder refuses it, or Postgres is away.
    pub async fn drop_dead(
        &self,
        which: &Selection,
        filter: Option<&str>,
        exported: Exported,
        mode: Mode,
    ) -> Result<Outcome, OpsError> {
        let exported = match self.rights {
            super::Rights::Guarded => Exported::Wanted,
            super::Rights::ReadOnly | super::Rights::Explicit => exported,
        };
        let found = match which {
            Selection::Named(names) => self.named(names).await?,
            Selection::Matching(matching) => self.matching(matching).await?,
        };
        if mode == Mode::Real {
            self.may_destroy()?;
            let count = found.jobs.len() + found.letters.len();
            match which {
                Selection::Named(_) => self.may_move(count)?,
                // Nothing found is no reason to ask for anything.
                Selection::Matching(_) if count > 0 => self.may_move_many(count)?,
                Selection::Matching(_) => {}
            }
        }
        let detail = match which {
            Selection::Named(_) => json!({ "exported": exported }),
            Selection::Matching(matching) => json!({ "exported": exported, "filter": matching }),
        };
        let intent = Intent {
            filter: filter.map(ToOwned::to_owned),
            ..self.intent("dead drop", Vec::new(), detail)
        };
        self.move_dead(Move::Drop(exported), found, intent, mode).await
    }

    /// Takes out the letter of one job that is dead no more.
    pub(super) async fn take_letter(&self, job: JobId) {
        let taking = async {
            let now_ms = patient(self.queue.server_ms()).await?;
            let jobs = HashSet::from([job]);
            super::enqueue::within(WALK_WITHIN, self.queue.remove_letters_of(&jobs, now_ms)).await
        };
        if let Err(error) = taking.await {
            tracing::debug!("failed to {error}; the reconciler takes the letter out");
        }
    }

    /// Notes that somebody has a copy of these deaths by now. A job that has died anew since is not among them.
    ///
    /// # Errors
    /// When the operator may only read, or Postgres is away.
    pub async fn note_export(&self, deaths: &[Death]) -> Result<(), OpsError> {
        self.may_write()?;
        if deaths.is_empty() {
            return Ok(());
        }
        let ids = |deaths: &[Death]| {
            deaths
                .iter()
                .map(|death| death.job.to_string())
                .collect::<Vec<_>>()
        };
        let intent = self.intent("dead export", ids(deaths), Value::default());
        self.recorded(intent, async |action| {
            let mut outcome = Outcome::default();
            for page in deaths.chunks(BATCH) {
                self.store
                    .bounded(self.store.note_exported(self.name(), page, action))
                    .await?;
                outcome.done.extend(ids(page));
            }
            Ok(outcome)
        })
        .await
        .map(drop)
    }

    async fn move_dead(
        &self,
        what: Move,
        found: Found,
        mut intent: Intent,
        mode: Mode,
    ) -> Result<Outcome, OpsError> {
        let letters = found.letters.iter().map(ToString::to_string);
        intent.ids = texts(&found.jobs).into_iter().chain(letters).collect();
        let effect = async |action: Option<ActionId>| {
            let mut work = Work {
                operator: self,
                what,
                action,
                outcome: found.outcome,
                moved: HashSet::new(),
                begun_ms: None,
            };
            if action.is_some() {
                work.begun_ms = patient(self.queue.server_ms()).await.ok();
            }
            let whole = work.all(&found.jobs).await?;
            if whole {
                work.remove(&found.letters).await?;
            }
            work.remove_letters().await;
            Ok(work.outcome)
        };
        match mode {
            Mode::DryRun => effect(None).await,
            Mode::Real => {
                let effect = async |action| effect(Some(action)).await;
                self.recorded(intent, effect).await
            }
        }
    }

    /// What is to be dropped by name: jobs, and letters that have no row.
    async fn named(&self, names: &[JobRef]) -> Result<Found, OpsError> {
        let (mut letters, mut jobs) = (Vec::new(), Vec::new());
        for name in names {
            match name {
                JobRef::Entry(id) if letters.contains(id) => {}
                JobRef::Entry(id) => letters.push(*id),
                other => jobs.push(other.clone()),
            }
        }
        let (jobs, refused) = self.resolve(&jobs).await?;
        let mut found = Found {
            jobs,
            outcome: Outcome {
                refused,
                ..Outcome::default()
            },
            ..Found::default()
        };
        if !letters.is_empty() {
            let there = patient(self.queue.find_letters(&letters)).await?;
            for id in letters {
                match there.iter().find(|letter| letter.id == id) {
                    None => found.outcome.refuse(&id, Why::NoLetter),
                    Some(letter) if !letter.has_no_row() => found.outcome.refuse(&id, Why::LetterOfAJob),
                    Some(_) => found.letters.push(id),
                }
            }
        }
        Ok(found)
    }

    /// What is to be dropped by a filter.
    async fn matching(&self, filter: &DeadFilter) -> Result<Found, OpsError> {
        let now = crate::clock::now();
        let (deaths, more) = self.deaths_matching(filter, now).await?;
        let mut found = Found {
            jobs: deaths.into_iter().map(|death| death.job).collect(),
            ..Found::default()
        };
        if more {
            let note = "one call moves at most 10,000 jobs; there are more: ask again";
            found.outcome.notes.push(note.to_owned());
        }
        match patient(self.queue.letters_without_row(MOST_LETTERS)).await {
            Ok(letters) => {
                let meant = letters.iter().filter(|letter| letter.is_meant(filter, now));
                found.letters = meant.map(|letter| letter.id).collect();
            }
            Err(error) => {
                let note = format!("failed to {error}; letters without a job were not looked at");
                found.outcome.notes.push(note);
            }
        }
        Ok(found)
    }
}

/// What a call is about.
#[derive(Default)]
struct Found {
    jobs: Vec<JobId>,
    letters: Vec<EntryId>,
    outcome: Outcome,
}

/// One call at work.
struct Work<'a> {
    operator: &'a Operator,
    what: Move,
    /// The action whose effect it is; none looks only.
    action: Option<ActionId>,
    outcome: Outcome,
    moved: HashSet<JobId>,
    /// Valkey's clock before anything was moved; nothing if it was away.
    begun_ms: Option<u64>,
}

impl Work<'_> {
    /// Moves all, a batch at a time; answers whether Postgres was there to the end.
    async fn all(&mut self, jobs: &[JobId]) -> Result<bool, OpsError> {
        for (at, batch) in jobs.chunks(BATCH).enumerate() {
            if at > 0 {
                tokio::time::sleep(BREATH).await;
            }
            if let Err(error) = self.batch(batch).await {
                let outcome = std::mem::take(&mut self.outcome);
                self.outcome = give_up(error, &jobs[at * BATCH..], outcome)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves a batch: rows first, entries after them.
    async fn batch(&mut self, jobs: &[JobId]) -> Result<(), StoreError> {
        let (store, queue) = (&self.operator.store, self.operator.name());
        let moved: HashSet<JobId> = match (self.action, self.what) {
            (None, _) => {
                let rows = store.bounded(store.dead_rows(queue, jobs)).await?;
                rows.into_iter().map(|row| JobId(row.id)).collect()
            }
            (action, Move::Requeue) => {
                let owed = store.bounded(store.requeue_dead(queue, jobs, action)).await?;
                let entries: Vec<NewEntry> = owed.into_iter().map(entry_of).collect();
                if !entries.is_empty()
                    && let Err(error) = enqueue(store, &self.operator.queue, &entries).await
                {
                    self.outcome.notes.push(owed_note(&error, entries.len()));
                }
                entries.into_iter().map(|entry| entry.job).collect()
            }
            (action, Move::Drop(exported)) => {
                let dropped = store
                    .bounded(store.drop_dead(queue, jobs, exported, action))
                    .await?;
                dropped.into_iter().collect()
            }
        };
        let missed: Vec<JobId> = jobs.iter().filter(|job| !moved.contains(job)).copied().collect();
        let left = if missed.is_empty() {
            Vec::new()
        } else {
            store.bounded(store.standing(queue, &missed)).await?
        };
        for job in jobs {
            if moved.contains(job) {
                self.outcome.done.push(job.to_string());
            } else {
                let one = left.iter().find(|one| one.job == *job);
                let why = self.why_not(one.map(|one| one.state));
                self.outcome.refuse(job, why);
            }
        }
        if self.action.is_some() {
            self.moved.extend(moved);
        }
        Ok(())
    }

    fn why_not(&self, state: Option<JobState>) -> Why {
        match (state, self.what) {
            (None, _) => Why::Unknown,
            (Some(JobState::Dead), Move::Drop(Exported::Wanted)) => Why::NotExported,
            // Dead by now: it was moved and has died again since, so somebody else did it.
            (Some(JobState::Dead), _) => Why::Moved,
            (Some(state), _) => Why::State(state),
        }
    }

    /// Letters that have no row.
    async fn remove(&mut self, ids: &[EntryId]) -> Result<(), OpsError> {
        if self.action.is_some() && !ids.is_empty() {
            patient(self.operator.queue.remove_letters(ids)).await?;
        }
        self.outcome.done.extend(ids.iter().map(ToString::to_string));
        Ok(())
    }

    /// The letters of jobs that are dead no more.
    async fn remove_letters(&mut self) {
        if self.moved.is_empty() {
            return;
        }
        let note = "Valkey is away; the dead letters of these jobs stay in its stream";
        let Some(begun_ms) = self.begun_ms else {
            self.outcome.notes.push(note.to_owned());
            return;
        };
        let walk = self.operator.queue.remove_letters_of(&self.moved, begun_ms);
        if super::enqueue::within(WALK_WITHIN, walk).await.is_err() {
            self.outcome.notes.push(note.to_owned());
        }
    }
}
