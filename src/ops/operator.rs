//! Somebody who acts on a queue, and how the names they type become jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::action::{Told, recorded};
use super::enqueue::within;
use super::error::OpsError;
use super::glass::Glass;
use super::outcome::{Outcome, Refusal, Why};
use super::rights::{Consent, Rights, Who};
use super::scale::Fleet;
use crate::domain::{JobId, JobRef, JobState};
use crate::queue::{Call, Queue, QueueError};
use crate::store::Store;
use crate::store::actions::{ActionId, Intent};
use crate::store::moves::Standing;

/// The most names in one call.
pub const MOST_IDS: usize = 1_000;
/// How long a move waits for Valkey before its half of the work is left to the workers.
const VALKEY_WITHIN: Duration = Duration::from_secs(2);

/// Somebody who acts on a queue.
#[derive(Debug, Clone)]
pub struct Operator {
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) who: Who,
    pub(super) rights: Rights,
    pub(super) consent: Consent,
    pub(super) glass: Glass,
    pub(super) fleet: Option<Arc<dyn Fleet>>,
}

impl Operator {
    /// An operator; `who` is who the book says it was, as `cli:ada@laptop` or `console:ada@laptop`.
    #[must_use]
    pub fn new(store: Store, queue: Queue, who: impl Into<Who>, rights: Rights) -> Self {
        Self {
            store,
            queue,
            who: who.into(),
            rights,
            consent: Consent::default(),
            glass: Glass::default(),
            fleet: None,
        }
    }

    /// The same operator, who has typed this for the next move.
    #[must_use]
    pub fn with(&self, consent: Consent) -> Self {
        Self {
            consent,
            ..self.clone()
        }
    }

    /// What this operator may do.
    #[must_use]
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        &self.queue.keys().shared
    }

    /// What the book says about a move before it happens.
    pub(super) fn intent(&self, verb: &str, ids: Vec<String>, detail: Value) -> Intent {
        Intent {
            queue: self.name().to_owned(),
            actor: self.who.actor.clone(),
            profile: self.who.profile.clone(),
            verb: verb.to_owned(),
            reason: self.reason().map(ToOwned::to_owned),
            ids,
            detail,
            ..Intent::default()
        }
    }

    /// Runs a move inside its two entries in the book.
    pub(super) async fn recorded<T: Told, E: Future<Output = Result<T, OpsError>>>(
        &self,
        intent: Intent,
        effect: impl FnOnce(ActionId) -> E,
    ) -> Result<T, OpsError> {
        self.may_write()?;
        // What was done while Postgres was away comes first, as it did.
        self.copy_glass().await;
        recorded(&self.store, &intent, effect).await
    }

    /// The jobs that are meant, each once, in the order in which they were named; and what names no job.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn resolve(&self, names: &[JobRef]) -> Result<(Vec<JobId>, Vec<Refusal>), OpsError> {
        let (mut jobs, mut seen, mut refused) = (Vec::new(), HashSet::new(), Vec::new());
        let names = &names[..names.len().min(MOST_IDS)];
        for name in names {
            match self.one(name).await? {
                Ok(job) => {
                    if seen.insert(job) {
                        jobs.push(job);
                    }
                }
                Err(why) => refused.push(Refusal {
                    id: name.to_string(),
                    why,
                }),
            }
        }
        Ok((jobs, refused))
    }

    async fn one(&self, name: &JobRef) -> Result<Result<JobId, Why>, OpsError> {
        let range = match name {
            JobRef::Id(job) => return Ok(Ok(*job)),
            JobRef::Entry(_) => return Ok(Err(Why::AnEntry)),
            JobRef::Prefix(_) => name.range(),
        };
        let Some(range) = range else {
            return Ok(Err(Why::Unknown));
        };
        let looked = self.store.jobs_between(self.name(), *range.start(), *range.end());
        let found = self.store.bounded(looked).await?;
        Ok(match found[..] {
            [] => Err(Why::Unknown),
            [job] => Ok(job),
            _ => Err(Why::Ambiguous),
        })
    }

    /// What a move would do to jobs, by where they stand now.
    pub(super) async fn foresee(
        &self,
        jobs: &[JobId],
        outcome: &mut Outcome,
        allows: impl Fn(&Standing) -> bool,
    ) -> Result<(), OpsError> {
        let standing = self.store.bounded(self.store.standing(self.name(), jobs)).await?;
        let (done, left): (Vec<_>, Vec<_>) = standing.into_iter().partition(allows);
        let done: HashSet<JobId> = done.into_iter().map(|one| one.job).collect();
        sort_out(jobs, &done, &left, outcome);
        Ok(())
    }

    /// Tells the workers to look at their leases now. They do so by themselves within seconds.
    pub(super) async fn call_leases_in(&self) -> Result<(), QueueError> {
        within(VALKEY_WITHIN, self.queue.call_workers(Call::Renew)).await
    }
}

/// Puts each job where it belongs: done, or refused with the reason.
pub(super) fn sort_out(jobs: &[JobId], done: &HashSet<JobId>, left: &[Standing], outcome: &mut Outcome) {
    let left: HashMap<JobId, &Standing> = left.iter().map(|one| (one.job, one)).collect();
    for job in jobs {
        if done.contains(job) {
            outcome.done.push(job.to_string());
        } else {
            outcome.refuse(job, left.get(job).map_or(Why::Unknown, |one| why_not(one)));
        }
    }
}

fn why_not(one: &Standing) -> Why {
    match one.state {
        _ if one.foreign_done => Why::ForeignDone,
        JobState::Dead => Why::Dead,
        state => Why::State(state),
    }
}

/// The ids of jobs, for the book.
pub(super) fn texts(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(ToString::to_string).collect()
}

/// A call to Valkey within an operator's patience.
pub(super) async fn patient<T>(call: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    within(VALKEY_WITHIN, call).await
}
