//! Somebody who acts on a queue, and how the names they type become jobs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::action::recorded;
use super::enqueue::within;
use super::error::OpsError;
use super::outcome::{Outcome, Refusal, Why};
use crate::domain::{JobId, JobRef, JobState};
use crate::queue::{Call, Queue, QueueError};
use crate::store::Store;
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
    pub(super) actor: String,
}

impl Operator {
    /// An operator; `actor` is who the book says it was, as `cli:ada` or `console:ada`.
    #[must_use]
    pub fn new(store: Store, queue: Queue, actor: impl Into<String>) -> Self {
        Self {
            store,
            queue,
            actor: actor.into(),
        }
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        &self.queue.keys().shared
    }

    /// Runs a move inside its two entries in the book.
    pub(super) async fn recorded(
        &self,
        verb: &str,
        detail: Value,
        effect: impl Future<Output = Result<Outcome, OpsError>>,
    ) -> Result<Outcome, OpsError> {
        recorded(&self.store, (&self.actor, verb), detail, effect).await
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
        let found = self
            .store
            .jobs_between(self.name(), *range.start(), *range.end())
            .await?;
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
        let standing = self.store.standing(self.name(), jobs).await?;
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

/// What the book says about the ids of a move.
pub(super) fn ids_detail(jobs: &[JobId], refused: &[Refusal]) -> Value {
    json!({ "ids": jobs, "unresolved": refused })
}

/// A call to Valkey within an operator's patience.
pub(super) async fn patient<T>(call: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    within(VALKEY_WITHIN, call).await
}
