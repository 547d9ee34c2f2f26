//! How good the reviewers are: labelled changes through the real pipeline, and what was found of it.
//!
//! [`cases`] has the changes, [`score`] counts. A finding is right when it is a warning or graver, by
//! the label's reviewer, in its file and within three lines of it (one for a key), and it stands for one
//! label; what it says is not judged.

pub mod cases;
pub mod score;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use millstream::domain::{Failure, JobId, ReviewResult, SpanKind, StoredDiff};

use crate::review::sinks::Recorded;
use crate::review::{Reviewer, RunId, Source};
pub use cases::{Case, Label};
pub use score::Report;

/// Reviews that run side by side; more would meet the providers' limits of the rate.
const AT_ONCE: usize = 4;

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// What the review came to.
    pub result: Result<ReviewResult, Failure>,
    /// What each agent took.
    pub agents: BTreeMap<String, Effort>,
}

/// What an agent took for one change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Effort {
    /// Its time.
    pub time: Duration,
    /// Tokens read and written.
    pub tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

/// Reviews every case once and counts.
pub async fn run(reviewer: &Reviewer, model: &str, cases: Vec<Case>) -> Report {
    let began = Instant::now();
    let reviews = stream::iter(cases).map(|case| reviewed(reviewer, case));
    let outcomes: Vec<Outcome> = reviews.buffered(AT_ONCE).collect().await;
    score::report(model, &outcomes, began.elapsed())
}

async fn reviewed(reviewer: &Reviewer, case: Case) -> Outcome {
    let run = RunId {
        job: JobId::fresh(),
        attempt: 1,
    };
    let input = Source::Diff(StoredDiff {
        label: format!("eval:{}", case.name),
        text: case.patch.clone(),
    });
    let sinks = Recorded::new();
    let result = reviewer.review(run, input, &sinks).await;
    Outcome {
        case,
        result,
        agents: efforts(&sinks),
    }
}

/// What each agent took, from its spans.
fn efforts(sinks: &Recorded) -> BTreeMap<String, Effort> {
    let (starts, ends) = (sinks.starts(), sinks.ends());
    let mut agents: BTreeMap<String, Effort> = BTreeMap::new();
    for end in &ends {
        let Some(start) = starts.iter().find(|start| start.id == end.id) else {
            continue;
        };
        let owner = match start.kind {
            SpanKind::Agent => Some(start),
            SpanKind::Llm => starts.iter().find(|other| Some(other.id) == start.parent),
            SpanKind::Tool => None,
        };
        let Some(owner) = owner else { continue };
        let effort = agents.entry(owner.name.clone()).or_default();
        if start.kind == SpanKind::Agent {
            effort.time += (end.at - start.at).to_std().unwrap_or_default();
        } else {
            effort.tokens += end.usage.total();
            effort.cost_usd += end.cost_usd;
        }
    }
    agents
}

#[cfg(test)]
mod tests;
