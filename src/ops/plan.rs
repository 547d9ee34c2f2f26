//! A plan to put dead jobs back: a frozen list, judged one by one, and what it will cost. It writes nothing.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::dead::Selection;
use super::error::OpsError;
use super::operator::Operator;
use super::outcome::Refusal;
use crate::domain::{DeadFilter, JobId};
use crate::store::actions::hash_of;
use crate::store::assess::{Chosen, Death, Estimate, Verdict};
use crate::store::dead::{DeadPage, DeadRow};

/// The most jobs of one plan.
pub const MOST_PLANNED: usize = 10_000;
/// Rows of the dead that are looked at in one statement.
const PAGE: u32 = 500;

/// A frozen list of deaths, and what would become of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// When the list was frozen.
    pub frozen_at: DateTime<Utc>,
    /// When it was judged last.
    pub judged_at: DateTime<Utc>,
    /// The filter as it was typed, if one chose the list.
    pub filter: Option<String>,
    /// The list, newest death first, or in the order of their naming.
    pub items: Vec<Planned>,
    /// Names that led to no job.
    pub unresolved: Vec<Refusal>,
    /// Whether the filter finds more than one plan takes.
    pub more: bool,
    /// What the eligible will about cost; nothing while that is unknown.
    pub estimate: Option<Estimate>,
    pub(super) chosen: Chosen,
}

/// One death of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Which job, and which death of it.
    pub death: Death,
    /// Whether it can be put back.
    pub verdict: Verdict,
}

/// How many of a plan are what, in the words of [`Verdict::word`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// On the list.
    pub total: usize,
    /// Can be put back.
    pub eligible: usize,
    /// Somebody has put them back.
    pub already_requeued: usize,
    /// What they work on is gone.
    pub payload_gone: usize,
    /// They came back too often.
    pub tries_used_up: usize,
    /// They are not dead, or died again, or nobody knows them.
    pub no_longer_dead: usize,
}

impl Plan {
    /// The jobs that would be put back.
    pub fn eligible(&self) -> impl Iterator<Item = JobId> + '_ {
        let eligible = self.items.iter().filter(|one| one.verdict == Verdict::Eligible);
        eligible.map(|one| one.death.job)
    }

    /// How many are what.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            total: self.items.len(),
            ..Tally::default()
        };
        for one in &self.items {
            let slot = match one.verdict {
                Verdict::Eligible => &mut tally.eligible,
                Verdict::Requeued { .. } => &mut tally.already_requeued,
                Verdict::PayloadGone => &mut tally.payload_gone,
                Verdict::TriesUsedUp(_) => &mut tally.tries_used_up,
                Verdict::NotDead(_) | Verdict::DiedAgain | Verdict::Unknown => &mut tally.no_longer_dead,
            };
            *slot += 1;
        }
        tally
    }

    /// The hash of the list, in hexadecimal; people are shown its first four digits.
    #[must_use]
    pub fn hash(&self) -> String {
        let ids: Vec<String> = self.items.iter().map(|one| one.death.job.to_string()).collect();
        hash_of(ids.iter().map(String::as_str))
    }

    pub(super) fn deaths(&self) -> Vec<Death> {
        self.items.iter().map(|one| one.death).collect()
    }
}

impl Operator {
    /// Freezes a list of dead jobs and judges each. A reader may do it too. `filter` is what was typed, for the book.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn plan_requeue(&self, which: &Selection, filter: Option<&str>) -> Result<Plan, OpsError> {
        let now = crate::clock::now();
        let mut plan = Plan {
            frozen_at: now,
            judged_at: now,
            filter: filter.map(ToOwned::to_owned),
            items: Vec::new(),
            unresolved: Vec::new(),
            more: false,
            estimate: None,
            chosen: Chosen::ByFilter,
        };
        let deaths = match which {
            Selection::Named(names) => {
                let (jobs, refused) = self.resolve(names).await?;
                plan.unresolved = refused;
                plan.chosen = Chosen::ByName;
                self.deaths_of(&jobs).await?
            }
            Selection::Matching(matching) => {
                let (deaths, more) = self.deaths_matching(matching, now).await?;
                plan.more = more;
                deaths
            }
        };
        let planned = |death| Planned {
            death,
            verdict: Verdict::Unknown,
        };
        plan.items = deaths.into_iter().map(planned).collect();
        self.judge_again(&mut plan).await?;
        Ok(plan)
    }

    /// Judges a frozen list once more: others may have put some of it back.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn judge_again(&self, plan: &mut Plan) -> Result<(), OpsError> {
        let deaths = plan.deaths();
        let assessed = self.store.assess(self.name(), &deaths, plan.chosen);
        let verdicts = self.store.bounded(assessed).await?;
        for (one, verdict) in plan.items.iter_mut().zip(verdicts) {
            one.verdict = verdict;
        }
        let eligible: Vec<JobId> = plan.eligible().collect();
        plan.estimate = self
            .store
            .bounded(self.store.estimate(self.name(), &eligible))
            .await?;
        plan.judged_at = crate::clock::now();
        Ok(())
    }

    /// The deaths of named jobs, in their order. One that is not dead has a death that no row has.
    async fn deaths_of(&self, jobs: &[JobId]) -> Result<Vec<Death>, OpsError> {
        let rows = self
            .store
            .bounded(self.store.dead_rows(self.name(), jobs))
            .await?;
        let died_at = |job: &JobId| {
            let row = rows.iter().find(|row| row.id == job.0);
            row.map_or(DateTime::UNIX_EPOCH, |row| row.died_at)
        };
        let death = |job: &JobId| Death {
            job: *job,
            died_at: died_at(job),
        };
        Ok(jobs.iter().map(death).collect())
    }

    /// The deaths that a filter finds, and whether there are more than one plan takes.
    pub(super) async fn deaths_matching(
        &self,
        filter: &DeadFilter,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Death>, bool), OpsError> {
        let (mut deaths, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.dead_page(self.name(), filter, now, after, PAGE);
            let page = self.store.bounded(page).await?;
            let DeadPage { rows, next } = page;
            deaths.extend(rows.iter().map(DeadRow::death));
            if deaths.len() > MOST_PLANNED {
                deaths.truncate(MOST_PLANNED);
                return Ok((deaths, true));
            }
            after = next;
            if after.is_none() {
                return Ok((deaths, false));
            }
        }
    }
}
