//! The review as a job of the engine.

use futures_util::future::BoxFuture;
use millstream::domain::{
    Failure, FailureClass, JobId, Progress, ReviewInput, ReviewResult, SpanEnd, SpanStart,
};
use millstream::engine::{Handler, Job, JobContext};
use millstream::queue::Wire;
use millstream::store::jobs::REVIEW;
use serde_json::Value;

use crate::review::sinks::Sinks;
use crate::review::{Reviewer, RunId, Source};

/// A review to be made. Its payload is the reference's `prUrl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewJob {
    input: ReviewInput,
}

impl Job for ReviewJob {
    const KIND: &'static str = REVIEW;
    const WIRE: Wire = Wire::REVIEW;

    fn to_payload(&self) -> String {
        self.input.to_string()
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        ReviewInput::parse(payload)
            .map(|input| Self { input })
            .map_err(|error| error.to_string())
    }
}

/// Makes reviews.
#[derive(Clone)]
pub struct ReviewHandler {
    reviewer: Reviewer,
}

impl std::fmt::Debug for ReviewHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReviewHandler").finish_non_exhaustive()
    }
}

impl ReviewHandler {
    /// A handler around a reviewer.
    #[must_use]
    pub const fn new(reviewer: Reviewer) -> Self {
        Self { reviewer }
    }
}

impl Handler<ReviewJob> for ReviewHandler {
    type Output = ReviewResult;

    async fn run(&self, job: ReviewJob, context: JobContext) -> Result<ReviewResult, Failure> {
        let source = match job.input {
            ReviewInput::PullRequest(pr) => Source::PullRequest(pr),
            ReviewInput::Stored(label) => {
                let missing =
                    || Failure::lasting(FailureClass::Input, format!("the diff of {label} is not stored"));
                Source::Diff(context.input().await?.ok_or_else(missing)?)
            }
        };
        let run = RunId {
            job: context.lease().job,
            attempt: context.lease().attempt,
        };
        self.reviewer.review(run, source, &EngineSinks(context)).await
    }
}

/// What a review tells and keeps, handed to the engine.
struct EngineSinks(JobContext);

impl Sinks for EngineSinks {
    fn progress(&self, event: Progress) {
        self.0.progress(&event);
    }

    fn span_start(&self, span: SpanStart) {
        self.0.span_start(span);
    }

    fn span_end(&self, span: SpanEnd) {
        self.0.span_end(span);
    }

    fn load_checkpoint<'a>(&'a self, step: &'a str) -> BoxFuture<'a, Result<Option<Value>, Failure>> {
        Box::pin(self.0.load_checkpoint(step))
    }

    fn save_checkpoint<'a>(&'a self, step: &'a str, value: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.0.save_checkpoint(step, value))
    }
}
