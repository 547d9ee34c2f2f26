//! The review as a job of the engine.

use std::sync::OnceLock;

use futures_util::future::BoxFuture;
use millstream::domain::{
    Failure, FailureClass, JobId, PrUrl, Progress, ReviewInput, ReviewResult, SpanEnd, SpanStart,
};
use millstream::engine::{Handler, Job, JobContext};
use millstream::queue::Wire;
use millstream::store::jobs::REVIEW;
use serde_json::Value;

use crate::otlp::{Exporter, Traced};
use crate::posting::Poster;
use crate::review::sinks::Sinks;
use crate::review::{Reviewer, RunId, Source};

/// A review to be made. Its payload is the reference's `prUrl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewJob {
    input: ReviewInput,
}

impl ReviewJob {
    /// The pull request, if it is one.
    const fn pull(&self) -> Option<&PrUrl> {
        match &self.input {
            ReviewInput::PullRequest(pull) => Some(pull),
            ReviewInput::Stored(_) => None,
        }
    }
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
    exporter: Option<Exporter>,
    poster: Option<Poster>,
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
        Self {
            reviewer,
            exporter: None,
            poster: None,
        }
    }

    /// The same, and spans leave by OTLP too.
    #[must_use]
    pub fn exporting(self, exporter: Exporter) -> Self {
        Self {
            exporter: Some(exporter),
            ..self
        }
    }

    /// The same, and verdicts are posted on their pull requests.
    #[must_use]
    pub fn posting(self, poster: Poster) -> Self {
        Self {
            poster: Some(poster),
            ..self
        }
    }

    /// The attempt's way out, if its trace is one that leaves.
    async fn traced(&self, context: &JobContext) -> Result<Option<Traced>, Failure> {
        let Some(exporter) = &self.exporter else {
            return Ok(None);
        };
        let traceparent = context.traceparent().await?;
        Ok(Traced::begin(exporter, *context.lease(), traceparent.as_deref()))
    }
}

impl Handler<ReviewJob> for ReviewHandler {
    type Output = ReviewResult;

    async fn run(&self, job: ReviewJob, context: JobContext) -> Result<ReviewResult, Failure> {
        let traced = self.traced(&context).await?;
        let sinks = EngineSinks {
            context,
            traced,
            head: OnceLock::new(),
            posting: self.poster.clone().zip(job.pull().cloned()),
        };
        let outcome = self.review(job, &sinks).await;
        if let Some(traced) = sinks.traced {
            traced.finish(&outcome);
        }
        outcome
    }
}

impl ReviewHandler {
    async fn review(&self, job: ReviewJob, sinks: &EngineSinks) -> Result<ReviewResult, Failure> {
        let context = &sinks.context;
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
        let mut result = self.reviewer.review(run, source, sinks).await?;
        if let Some((poster, pull)) = &sinks.posting {
            let head = sinks.head.get().map(String::as_str);
            poster.post(context.lease(), pull, head, &mut result).await?;
        }
        Ok(result)
    }
}

/// What a review tells and keeps, handed to the engine.
struct EngineSinks {
    context: JobContext,
    traced: Option<Traced>,
    /// The commit under review.
    head: OnceLock<String>,
    /// Who posts the verdict, and where.
    posting: Option<(Poster, PrUrl)>,
}

impl Sinks for EngineSinks {
    fn progress(&self, event: Progress) {
        self.context.progress(&event);
    }

    fn span_start(&self, span: SpanStart) {
        if let Some(traced) = &self.traced {
            traced.start(&span);
        }
        self.context.span_start(span);
    }

    fn span_end(&self, span: SpanEnd) {
        if let Some(traced) = &self.traced {
            traced.end(&span);
        }
        self.context.span_end(span);
    }

    fn reviewing<'a>(&'a self, head: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            // It is told once; a repeat would be the same commit.
            let _told = self.head.set(head.to_owned());
            match &self.posting {
                Some((poster, pull)) => poster.supersede(self.context.lease(), pull, head).await,
                None => Ok(()),
            }
        })
    }

    fn load_checkpoint<'a>(&'a self, step: &'a str) -> BoxFuture<'a, Result<Option<Value>, Failure>> {
        Box::pin(self.context.load_checkpoint(step))
    }

    fn save_checkpoint<'a>(&'a self, step: &'a str, value: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.context.save_checkpoint(step, value))
    }
}
