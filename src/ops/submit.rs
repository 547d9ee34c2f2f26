//! Accepting a review: the row first, then the entry.
//!
//! A submission is accepted once its row is committed. When Valkey does not take the entry in time it
//! is owed, and the reconciler pays it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::action::Told;
use super::callback::Callbacks;
use super::enqueue::add_entries;
use super::error::OpsError;
use super::headroom::{Headroom, Room};
use super::intake::{Intake, goes_with_others};
use super::marks::Marks;
use super::operator::Operator;
use crate::domain::{JobId, JobState, Lane, PrUrl, Priority, diff};
use crate::queue::{NewEntry, Queue};
use crate::settings::QueueSettings;
use crate::store::Store;
use crate::store::actions::ActionId;
use crate::store::jobs::{Accepted, IdempotencyKey, NewInput, NewJob, REVIEW};

/// What is to be reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A pull request, fetched when the review runs.
    PullRequest(PrUrl),
    /// A diff; with no label it is called after its hash.
    Diff {
        /// `git:<repo>@<range>`, or nothing for a patch.
        label: Option<String>,
        /// The unified diff.
        text: String,
    },
}

/// How long a submission waits for its entry to be noted in its row.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

/// A request for a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What.
    pub source: Source,
    /// Not before this time.
    pub run_at: Option<DateTime<Utc>>,
    /// How urgent it is.
    pub priority: Priority,
    /// The address that is told of the end.
    pub callback: Option<String>,
    /// The client, and its key that makes a repeat safe.
    pub idempotency: Option<(String, String)>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

impl Submission {
    /// A request for a review as soon as possible.
    #[must_use]
    pub const fn now(source: Source) -> Self {
        Self {
            source,
            run_at: None,
            priority: Priority::Normal,
            callback: None,
            idempotency: None,
            traceparent: None,
        }
    }
}

/// A request that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The review's id.
    pub id: JobId,
    /// `waiting`, or `scheduled` for one with a later time.
    pub state: JobState,
    /// Whether the same request had been accepted before.
    pub repeated: bool,
}

/// Accepts requests for reviews.
#[derive(Debug, Clone)]
pub struct Submitter {
    store: Store,
    queue: Queue,
    settings: QueueSettings,
    max_patch: usize,
    callbacks: Callbacks,
    headroom: Headroom,
    intake: Intake,
    marks: Marks,
}

impl Submitter {
    /// A submitter for one queue, which takes no callbacks.
    #[must_use]
    pub fn new(store: Store, queue: Queue, settings: QueueSettings, max_patch: usize) -> Self {
        Self {
            store,
            queue,
            settings,
            max_patch,
            callbacks: Callbacks::Refused,
            headroom: Headroom::default(),
            intake: Intake::default(),
            marks: Marks::default(),
        }
    }

    /// The same, with this to be done about callbacks.
    #[must_use]
    pub const fn with_callbacks(mut self, callbacks: Callbacks) -> Self {
        self.callbacks = callbacks;
        self
    }

    /// Accepts a request.
    ///
    /// # Errors
    /// When it is refused, or Postgres is away; see [`OpsError`].
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, OpsError> {
        let job = self.job(submission).await?;
        self.accept(job).await
    }

    /// The same for an operator, with its intent written down first.
    ///
    /// # Errors
    /// As [`Submitter::submit`].
    pub async fn submit_as(
        &self,
        operator: &Operator,
        submission: Submission,
    ) -> Result<Submitted, OpsError> {
        operator.may_write()?;
        // What cannot be reviewed is no action: it is refused before anything is written.
        let job = self.job(submission).await?;
        let intent = operator.intent("submit", Vec::new(), json!({ "input": job.payload }));
        operator
            .recorded(intent, |action| self.accept_noted(action, job))
            .await
    }

    /// Accepts a job that an action submits; it is noted first, so that it can be taken back.
    pub(super) async fn accept_noted(&self, action: ActionId, job: NewJob) -> Result<Submitted, OpsError> {
        self.store
            .bounded(self.store.note_submitted(action, &[job.id]))
            .await?;
        self.accept(job).await
    }

    async fn accept(&self, job: NewJob) -> Result<Submitted, OpsError> {
        let limit = self.settings.limit;
        if let Room::Full(retry_after) = self.headroom.take(&self.store, &job.queue, limit).await? {
            // A repeat adds nothing to a full queue.
            if let Some(key) = &job.idempotency
                && let Some(known) = self.store.bounded(self.store.accepted_with(key)).await?
            {
                return self.repeated(known).await;
            }
            return Err(OpsError::QueueFull { limit, retry_after });
        }
        let job = if goes_with_others(&job) {
            self.intake.accept(&self.store, job).await?
        } else {
            match self.store.bounded(self.store.accept(&job)).await? {
                Accepted::New => job,
                known => return self.repeated(known).await,
            }
        };
        let later = job.run_at.is_some_and(|at| at > crate::clock::now());
        let state = if later {
            JobState::Scheduled
        } else {
            JobState::Waiting
        };
        if !later {
            self.enqueue(&job).await;
        }
        info!(job.id = %job.id, "accepted job {}", job.id);
        Ok(Submitted {
            id: job.id,
            state,
            repeated: false,
        })
    }

    async fn repeated(&self, known: Accepted) -> Result<Submitted, OpsError> {
        match known {
            Accepted::Repeated(id) => {
                let row = self
                    .store
                    .bounded(self.store.find_job(&self.settings.name, id))
                    .await?;
                let state = row
                    .and_then(|row| row.status.parse().ok())
                    .unwrap_or(JobState::Waiting);
                Ok(Submitted {
                    id,
                    state,
                    repeated: true,
                })
            }
            _ => Err(OpsError::KeyReused),
        }
    }

    pub(super) async fn job(&self, submission: Submission) -> Result<NewJob, OpsError> {
        if self.settings.is_webhooks() {
            return Err(OpsError::NoReviews);
        }
        let callback = submission.callback.as_deref();
        let callback = callback.map(|text| self.callbacks.read(text)).transpose()?;
        let (lane, payload, input) = match submission.source {
            // A reference worker knows no time to wait for, so such a job is not for its stream.
            Source::PullRequest(pr) if submission.run_at.is_none() => (Lane::Shared, pr.to_string(), None),
            Source::PullRequest(pr) => (Lane::Own, pr.to_string(), None),
            Source::Diff { label, text } => {
                let input = self.input(label, text).await?;
                (Lane::Own, input.label.clone(), Some(input))
            }
        };
        // Nor does it know of anything that is more urgent.
        let lane = match submission.priority {
            Priority::Normal => lane,
            Priority::High => Lane::High,
        };
        let content = input.as_ref().map_or("", |input| input.sha256.as_str());
        let time = submission.run_at.map(|at| at.to_rfc3339()).unwrap_or_default();
        let mut parts = vec![payload.as_bytes(), content.as_bytes(), time.as_bytes()];
        if submission.priority == Priority::High {
            parts.push(b"high");
        }
        if let Some(callback) = &callback {
            parts.push(callback.url().as_str().as_bytes());
        }
        let body_sha256 = sha256(&parts);
        Ok(NewJob {
            id: JobId::fresh(),
            queue: self.settings.name.clone(),
            kind: REVIEW.to_owned(),
            lane,
            payload,
            run_at: submission.run_at,
            traceparent: submission.traceparent,
            input,
            idempotency: submission.idempotency.map(|(client, key)| IdempotencyKey {
                client,
                key,
                body_sha256,
            }),
            callback,
        })
    }

    /// Reads a diff far enough to know that it can be reviewed.
    async fn input(&self, label: Option<String>, text: String) -> Result<NewInput, OpsError> {
        if text.len() > self.max_patch {
            return Err(OpsError::TooLarge {
                bytes: text.len(),
                limit: self.max_patch,
            });
        }
        // Megabytes are parsed and hashed: not on a thread that serves others.
        let read = tokio::task::spawn_blocking(move || {
            diff::parse(&text)?;
            let sha256 = sha256(&[text.as_bytes()]);
            let label = label.unwrap_or_else(|| format!("patch:{}", &sha256[..12]));
            Ok::<_, diff::NotADiff>(NewInput {
                label,
                sha256,
                body: text,
            })
        });
        match read.await {
            Ok(read) => Ok(read?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Puts the entry on its stream, if Valkey takes it in time.
    pub(super) async fn enqueue(&self, job: &NewJob) {
        let entry = NewEntry {
            lane: job.lane,
            job: job.id,
            payload: job.payload.clone(),
            traceparent: job.traceparent.clone(),
        };
        match add_entries(&self.queue, &[entry]).await {
            Ok(entries) => {
                if let [entry] = entries[..] {
                    // Whoever submits waits for the row and the entry, not for this: a row that somebody has locked
                    // would hold up everybody. What is left on the list is noted with the next one.
                    let noted = self.marks.note(&self.store, job.id, entry);
                    if tokio::time::timeout(NOTED_WITHIN, noted).await.is_err() {
                        warn!(job.id = %job.id, "the entry of job {} is noted later", job.id);
                    }
                }
            }
            Err(error) => warn!(job.id = %job.id, "failed to {error}; the enqueue of job {} is owed", job.id),
        }
    }
}

impl Told for Submitted {
    fn told(&self) -> (&'static str, Value) {
        ("ok", json!({ "ids": [self.id] }))
    }
}

/// SHA-256 over parts, each behind its length, in hexadecimal.
fn sha256(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    if let [only] = parts {
        hash.update(only);
    } else {
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
}
