//! An operator's moves of dead jobs: put them back, or throw them away.
//!
//! The rows decide: of two operators who move the same job at once one does it and the other is told how it
//! stands. The dead letters follow, in one walk at the end.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::enqueue::{enqueue, entry_of};
use super::error::OpsError;
use super::jobs::{give_up, owed_note};
use super::operator::{MOST_IDS, Operator, patient};
use super::outcome::{Mode, Outcome, Why};
use crate::domain::{DeadFilter, EntryId, JobId, JobRef, JobState};
use crate::queue::NewEntry;
use crate::store::StoreError;
use crate::store::dead::DeadPage;

/// Jobs in one statement and one pipeline.
const BATCH: u32 = 500;
/// A breath between two batches, so that a large pile does not crowd out new work.
const BREATH: Duration = Duration::from_millis(20);
/// The most jobs that one call moves.
pub const MOST_MOVED: usize = 10_000;
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
    Drop,
}

impl Move {
    const fn verb(self) -> &'static str {
        match self {
            Self::Requeue => "dead requeue",
            Self::Drop => "dead drop",
        }
    }
}

impl Operator {
    /// Dead jobs wait again, with their failures forgotten, and are enqueued.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn requeue_dead(&self, which: &Selection, mode: Mode) -> Result<Outcome, OpsError> {
        self.move_dead(Move::Requeue, which, mode).await
    }

    /// Dead jobs are thrown away: their rows stay, as `dropped`. Letters that have no row go altogether.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn drop_dead(&self, which: &Selection, mode: Mode) -> Result<Outcome, OpsError> {
        self.move_dead(Move::Drop, which, mode).await
    }

    async fn move_dead(&self, what: Move, which: &Selection, mode: Mode) -> Result<Outcome, OpsError> {
        let effect = async {
            let mut work = Work {
                operator: self,
                what,
                mode,
                outcome: Outcome::default(),
                moved: HashSet::new(),
                begun_ms: None,
            };
            if mode == Mode::Real {
                work.begun_ms = patient(self.queue.server_ms()).await.ok();
            }
            match which {
                Selection::Named(names) => work.named(names).await?,
                Selection::Matching(filter) => work.matching(filter).await?,
            }
            work.remove_letters().await;
            Ok(work.outcome)
        };
        if mode == Mode::DryRun {
            return effect.await;
        }
        self.recorded(what.verb(), detail(which), effect).await
    }
}

fn detail(which: &Selection) -> Value {
    match which {
        Selection::Named(names) => {
            let ids: Vec<String> = names.iter().take(MOST_IDS).map(ToString::to_string).collect();
            json!({ "ids": ids })
        }
        Selection::Matching(filter) => json!({ "filter": filter }),
    }
}

/// One call at work.
struct Work<'a> {
    operator: &'a Operator,
    what: Move,
    mode: Mode,
    outcome: Outcome,
    moved: HashSet<JobId>,
    /// Valkey's clock before anything was moved; nothing if it was away.
    begun_ms: Option<u64>,
}

impl Work<'_> {
    async fn named(&mut self, names: &[JobRef]) -> Result<(), OpsError> {
        let (mut letters, mut jobs) = (Vec::new(), Vec::new());
        for name in names {
            match name {
                JobRef::Entry(id) if self.what == Move::Drop => {
                    if !letters.contains(id) {
                        letters.push(*id);
                    }
                }
                other => jobs.push(other.clone()),
            }
        }
        let (jobs, refused) = self.operator.resolve(&jobs).await?;
        self.outcome.refused.extend(refused);
        for (at, batch) in jobs.chunks(BATCH as usize).enumerate() {
            if let Err(error) = self.batch(batch).await {
                let outcome = std::mem::take(&mut self.outcome);
                self.outcome = give_up(error, &jobs[at * BATCH as usize..], outcome)?;
                return Ok(());
            }
        }
        self.drop_letters(&letters).await
    }

    async fn matching(&mut self, filter: &DeadFilter) -> Result<(), OpsError> {
        let now = crate::clock::now();
        let mut after = None;
        loop {
            let page = self.page(filter, now, after).await;
            let DeadPage { rows, next } = match page {
                Ok(page) => page,
                Err(error) => {
                    let outcome = std::mem::take(&mut self.outcome);
                    self.outcome = give_up(error, &[], outcome)?;
                    self.outcome
                        .notes
                        .push("Postgres went away; not all were looked at".to_owned());
                    return Ok(());
                }
            };
            let jobs: Vec<JobId> = rows.iter().map(|row| JobId(row.id)).collect();
            if let Err(error) = self.batch(&jobs).await {
                let outcome = std::mem::take(&mut self.outcome);
                self.outcome = give_up(error, &jobs, outcome)?;
                return Ok(());
            }
            after = next;
            if after.is_none() {
                break;
            }
            if self.outcome.done.len() + BATCH as usize > MOST_MOVED {
                self.outcome
                    .notes
                    .push("one call moves at most 10,000 jobs; there are more: ask again".to_owned());
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        if self.what == Move::Drop {
            self.drop_matching_letters(filter, now).await?;
        }
        Ok(())
    }

    async fn page(
        &self,
        filter: &DeadFilter,
        now: DateTime<Utc>,
        after: Option<crate::store::dead::DeadCursor>,
    ) -> Result<DeadPage, StoreError> {
        let (store, queue) = (&self.operator.store, self.operator.name());
        store.dead_page(queue, filter, now, after, BATCH).await
    }

    /// Moves a batch: rows first, entries after them.
    async fn batch(&mut self, jobs: &[JobId]) -> Result<(), StoreError> {
        let (store, queue) = (&self.operator.store, self.operator.name());
        let moved: HashSet<JobId> = match (self.mode, self.what) {
            _ if jobs.is_empty() => return Ok(()),
            (Mode::DryRun, _) => {
                let rows = store.dead_rows(queue, jobs).await?;
                rows.into_iter().map(|row| JobId(row.id)).collect()
            }
            (Mode::Real, Move::Requeue) => {
                let owed = store.requeue_dead(queue, jobs).await?;
                let entries: Vec<NewEntry> = owed.into_iter().map(entry_of).collect();
                if !entries.is_empty()
                    && let Err(error) = enqueue(store, &self.operator.queue, &entries).await
                {
                    self.outcome.notes.push(owed_note(&error, entries.len()));
                }
                entries.into_iter().map(|entry| entry.job).collect()
            }
            (Mode::Real, Move::Drop) => store.drop_dead(queue, jobs).await?.into_iter().collect(),
        };
        let missed: Vec<JobId> = jobs.iter().filter(|job| !moved.contains(job)).copied().collect();
        let left = if missed.is_empty() {
            Vec::new()
        } else {
            store.standing(queue, &missed).await?
        };
        for job in jobs {
            if moved.contains(job) {
                self.outcome.done.push(job.to_string());
            } else {
                let one = left.iter().find(|one| one.job == *job);
                // Dead by now: it was moved and has died again since, so somebody else did it.
                let state = one.map(|one| one.state);
                let why = match state {
                    None => Why::Unknown,
                    Some(JobState::Dead) => Why::Moved,
                    Some(state) => Why::State(state),
                };
                self.outcome.refuse(job, why);
            }
        }
        if self.mode == Mode::Real {
            self.moved.extend(moved);
        }
        Ok(())
    }

    async fn drop_letters(&mut self, ids: &[EntryId]) -> Result<(), OpsError> {
        if ids.is_empty() {
            return Ok(());
        }
        let queue = &self.operator.queue;
        let found = patient(queue.find_letters(ids)).await?;
        let mut dropped = Vec::new();
        for id in ids {
            match found.iter().find(|letter| letter.id == *id) {
                None => self.outcome.refuse(id, Why::NoLetter),
                Some(letter) if !letter.has_no_row() => self.outcome.refuse(id, Why::LetterOfAJob),
                Some(_) => dropped.push(*id),
            }
        }
        self.remove(&dropped).await
    }

    async fn drop_matching_letters(
        &mut self,
        filter: &DeadFilter,
        now: DateTime<Utc>,
    ) -> Result<(), OpsError> {
        let letters = match patient(self.operator.queue.letters_without_row(MOST_LETTERS)).await {
            Ok(letters) => letters,
            Err(error) => {
                let note = format!("failed to {error}; letters without a job were not looked at");
                self.outcome.notes.push(note);
                return Ok(());
            }
        };
        let ids: Vec<EntryId> = letters
            .iter()
            .filter(|letter| letter.is_meant(filter, now))
            .map(|letter| letter.id)
            .collect();
        self.remove(&ids).await
    }

    async fn remove(&mut self, ids: &[EntryId]) -> Result<(), OpsError> {
        if self.mode == Mode::Real {
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
