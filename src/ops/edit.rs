//! A dead job gets another input: a new job takes its place, and knows whose that was.

use serde_json::json;

use super::error::OpsError;
use super::operator::Operator;
use super::outcome::{Mode, Outcome, Why};
use super::submit::{Submission, Submitter};
use crate::domain::{JobId, JobRef, JobState, Lane, Priority};
use crate::store::jobs::{NewJob, REVIEW};

/// What became of a dead job that was given another input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// What was done, and what was refused: the dead job's name.
    pub outcome: Outcome,
    /// The job in its place; nothing if none was accepted, or it was only looked at.
    pub job: Option<JobId>,
}

impl Operator {
    /// Accepts a review in the place of a dead one, which is set aside as `dropped`. It is as urgent as that was.
    ///
    /// # Errors
    /// When the input cannot be reviewed, when the ladder refuses it, or when Postgres is away.
    pub async fn edit_dead(
        &self,
        submitter: &Submitter,
        name: &JobRef,
        submission: Submission,
        mode: Mode,
    ) -> Result<Edited, OpsError> {
        let (jobs, refused) = self.resolve(std::slice::from_ref(name)).await?;
        let mut outcome = Outcome {
            refused,
            ..Outcome::default()
        };
        let Some(&old) = jobs.first() else {
            return Ok(Edited { outcome, job: None });
        };
        let Some(known) = self.store.bounded(self.store.mendable(self.name(), old)).await? else {
            outcome.refuse(&old, Why::Unknown);
            return Ok(Edited { outcome, job: None });
        };
        let state = known.state.parse().unwrap_or(JobState::Dropped);
        if state != JobState::Dead || known.kind != REVIEW {
            outcome.refuse(
                &old,
                if state == JobState::Dead {
                    Why::NotAReview
                } else {
                    Why::State(state)
                },
            );
            return Ok(Edited { outcome, job: None });
        }
        let priority = if known.lane() == Lane::High {
            Priority::High
        } else {
            submission.priority
        };
        let traceparent = submission.traceparent.clone().or(known.traceparent);
        let new = submitter
            .job(Submission {
                priority,
                traceparent,
                ..submission
            })
            .await?;
        if mode == Mode::DryRun {
            outcome.done.push(old.to_string());
            return Ok(Edited { outcome, job: None });
        }
        self.replace(submitter, old, &new, outcome).await
    }

    async fn replace(
        &self,
        submitter: &Submitter,
        old: JobId,
        new: &NewJob,
        mut outcome: Outcome,
    ) -> Result<Edited, OpsError> {
        let detail = json!({ "input": new.payload, "job": new.id });
        let intent = self.intent("dead edit", vec![old.to_string()], detail);
        let mut accepted = None;
        let outcome = self
            .recorded(intent, async |action| {
                match self
                    .store
                    .bounded(self.store.replace_dead(self.name(), old, new, action))
                    .await?
                {
                    Ok(()) => {
                        submitter.enqueue(new).await;
                        accepted = Some(new.id);
                        outcome.done.push(old.to_string());
                        self.take_letter(old).await;
                    }
                    Err(state) => outcome.refuse(&old, state.map_or(Why::Unknown, Why::State)),
                }
                Ok(outcome)
            })
            .await?;
        Ok(Edited {
            outcome,
            job: accepted,
        })
    }
}
