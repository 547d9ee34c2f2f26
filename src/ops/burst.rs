//! Many submissions in one action.

use futures_util::{StreamExt, stream};
use serde_json::json;

use super::error::OpsError;
use super::operator::Operator;
use super::outcome::{Outcome, Why};
use super::submit::{Submission, Submitter};

/// The most submissions of one burst.
pub const MOST_BURST: usize = 1_000;
/// Submissions on the way at once.
const AT_ONCE: usize = 8;

impl Operator {
    /// Submits all of these, as one action. One that is refused, since the queue is full, ends none of the others.
    ///
    /// # Errors
    /// When the ladder refuses it, or Postgres is away.
    pub async fn burst(
        &self,
        submitter: &Submitter,
        submissions: Vec<Submission>,
    ) -> Result<Outcome, OpsError> {
        self.may_write()?;
        let submissions = submissions.into_iter().take(MOST_BURST);
        let mut jobs = Vec::new();
        for submission in submissions {
            jobs.push(submitter.job(submission).await?);
        }
        let intent = self.intent("burst", Vec::new(), json!({ "count": jobs.len() }));
        self.recorded(intent, async |action| {
            let accepting = jobs.into_iter().map(|job| async move {
                let id = job.id;
                (id, submitter.accept_noted(action, job).await)
            });
            let mut accepting = stream::iter(accepting).buffer_unordered(AT_ONCE);
            let mut outcome = Outcome::default();
            while let Some((id, accepted)) = accepting.next().await {
                match accepted {
                    Ok(submitted) => outcome.done.push(submitted.id.to_string()),
                    Err(error) => outcome.refuse(&id, Why::NotAccepted(error.to_string())),
                }
            }
            Ok(outcome)
        })
        .await
    }
}
