//! What operators do, whole, or with the second half missing since their process died.

use anyhow::{Result, ensure};
use millstream::domain::{FailureClass, JobId, JobRef, JobState};
use millstream::ops::{Mode, Outcome, Selection};
use millstream::queue::keys::PARKED;
use millstream::store::dead::Exported;
use millstream::store::moves::HandEnd;

use super::case::Case;
use super::ledger::Job;
use super::step::{Reach, Verb};

const REASON: &str = "by hand";

impl Case {
    pub async fn operate(&mut self, job: JobId, verb: Verb, reach: Reach) -> Result<()> {
        let whole = reach == Reach::Whole;
        let (done, must) = match verb {
            Verb::Cancel => self.end(job, JobState::Cancelled, whole).await?,
            Verb::Bury => self.end(job, JobState::Dead, whole).await?,
            Verb::Retry => self.run_now(job, whole).await?,
            Verb::Claim => self.claim(job, whole).await?,
            Verb::Requeue => self.requeue(job, whole).await?,
            Verb::Drop => self.drop_dead(job, whole).await?,
        };
        ensure!(
            done == must,
            "{verb:?} of job {} is done: {done}, and must be: {must}",
            self.name(job)
        );
        Ok(())
    }

    async fn end(&mut self, job: JobId, state: JobState, whole: bool) -> Result<(bool, bool)> {
        let names = [JobRef::Id(job)];
        let done = if !whole {
            let class = (state == JobState::Dead).then_some(FailureClass::Operator);
            let end = HandEnd {
                state,
                reason: REASON,
                class,
                action: None,
            };
            let judged = self.site.store.end_by_hand(&self.site.name, &[job], &end).await?;
            !judged.moved.is_empty()
        } else if state == JobState::Dead {
            is_done(&self.site.operator.bury(&names, REASON, Mode::Real).await?)
        } else {
            is_done(&self.site.operator.cancel(&names, Mode::Real).await?)
        };
        let was = self.ledger.jobs[&job].clone();
        let must = self.ledger.end_by_hand(job, state);
        if whole && was.row.state == state {
            self.catch_up(&was);
        }
        if must && !whole && state == JobState::Dead {
            let known = &self.ledger.jobs[&job];
            let stands = |entry| self.streams.stands(known.lane, entry, job);
            if !known.row.entry.is_some_and(stands) {
                self.unlettered.insert(job);
            }
        }
        if must && whole {
            let known = &self.ledger.jobs[&job];
            let left_alone = known.row.entry.is_some_and(|entry| {
                let withdrawn = self.streams.withdraw(known.lane, entry, job);
                !withdrawn && self.streams.has_groups() && self.streams.stands(known.lane, entry, job)
            });
            if state == JobState::Dead && !left_alone {
                self.streams.letters.push(Some(job));
            }
        }
        Ok((done, must))
    }

    /// The model of a repeated end: its rows are as they were to be, and its entry may not be.
    fn catch_up(&mut self, job: &Job) {
        let Some(entry) = job.row.entry else { return };
        match self.streams.holder(job.lane, entry) {
            None => {}
            Some(PARKED) => self.streams.hasten(job.lane, entry),
            // Without its payload it is acknowledged, and stands for nothing.
            Some(_) => drop(self.streams.claim(job.lane, entry)),
        }
    }

    async fn run_now(&mut self, job: JobId, whole: bool) -> Result<(bool, bool)> {
        let before = self.ledger.jobs[&job].clone();
        let parked = before
            .row
            .entry
            .is_some_and(|entry| self.streams.holder(before.lane, entry) == Some(PARKED));
        let moved = self.ledger.run_now(job);
        let must = match moved {
            Some(JobState::Scheduled) => true,
            Some(_) => parked || !whole,
            None => false,
        };
        let done = if whole {
            is_done(&self.site.operator.retry(&[JobRef::Id(job)], Mode::Real).await?)
        } else {
            !self
                .site
                .store
                .run_now(&self.site.name, &[job], None)
                .await?
                .moved
                .is_empty()
        };
        match (moved, before.row.entry) {
            (Some(JobState::Scheduled), _) if whole => self.pay(vec![job], true),
            (Some(JobState::Retrying), Some(entry)) if whole => self.streams.hasten(before.lane, entry),
            _ => {}
        }
        Ok((done, must))
    }

    async fn claim(&mut self, job: JobId, whole: bool) -> Result<(bool, bool)> {
        let known = self.ledger.jobs[&job].clone();
        let held = known.row.entry.filter(|_| known.is_live()).and_then(|entry| {
            let holder = self
                .streams
                .holder(known.lane, entry)
                .filter(|holder| *holder != PARKED)?;
            Some((entry, holder.to_owned()))
        });
        let Some((entry, holder)) = held else {
            let done = whole && is_done(&self.site.operator.claim(&[JobRef::Id(job)], Mode::Real).await?);
            return Ok((done, false));
        };
        let done = if whole {
            is_done(&self.site.operator.claim(&[JobRef::Id(job)], Mode::Real).await?)
        } else {
            self.site
                .store
                .take_from((&self.site.name, known.lane, entry), &holder, REASON)
                .await?;
            true
        };
        self.ledger.take_from(job, &holder);
        if whole && !self.streams.claim(known.lane, entry) {
            self.ledger.gone(known.lane, entry);
        }
        Ok((done, true))
    }

    async fn requeue(&mut self, job: JobId, whole: bool) -> Result<(bool, bool)> {
        let done = if whole {
            let names = [JobRef::Id(job)];
            is_done(&self.site.operator.requeue_dead(&names, Mode::Real).await?)
        } else {
            !self
                .site
                .store
                .requeue_dead(&self.site.name, &[job], None)
                .await?
                .is_empty()
        };
        let must = self.ledger.requeue(job);
        if must && whole {
            self.pay(vec![job], true);
            self.streams.letters.retain(|letter| *letter != Some(job));
        }
        Ok((done, must))
    }

    async fn drop_dead(&mut self, job: JobId, whole: bool) -> Result<(bool, bool)> {
        let done = if whole {
            let which = Selection::Named(vec![JobRef::Id(job)]);
            is_done(
                &self
                    .site
                    .operator
                    .drop_dead(&which, None, Exported::Waived, Mode::Real)
                    .await?,
            )
        } else {
            !self
                .site
                .store
                .drop_dead(&self.site.name, &[job], Exported::Waived, None)
                .await?
                .is_empty()
        };
        let must = self.ledger.drop_dead(job);
        if must && whole {
            self.streams.letters.retain(|letter| *letter != Some(job));
        }
        Ok((done, must))
    }

    pub async fn pause(&mut self, reach: Reach) -> Result<()> {
        let before = self.ledger.paused == Some(true);
        let done = if reach == Reach::Whole {
            self.streams.paused = true;
            is_done(&self.site.operator.pause(Some(REASON), Mode::Real).await?)
        } else {
            self.site
                .store
                .pause(&self.site.name, "model", None)
                .await?
                .is_some()
        };
        self.ledger.paused = Some(true);
        ensure!(
            done != before,
            "a pause is done: {done}, and it was paused before: {before}"
        );
        Ok(())
    }

    pub async fn resume(&mut self, reach: Reach) -> Result<()> {
        let (before, key) = (self.ledger.paused == Some(true), self.streams.paused);
        let (done, must) = if reach == Reach::Whole {
            self.streams.paused = false;
            (
                is_done(&self.site.operator.resume(Mode::Real).await?),
                before || key,
            )
        } else {
            (self.site.store.resume(&self.site.name).await?, before)
        };
        self.ledger.paused = self.ledger.paused.map(|_| false);
        ensure!(done == must, "a resume is done: {done}, and must be: {must}");
        Ok(())
    }
}

fn is_done(outcome: &Outcome) -> bool {
    !outcome.done.is_empty()
}
