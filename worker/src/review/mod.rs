//! A review from the change to its verdict: `prepare -> filter -> select -> [reviewers] -> judge`.
//!
//! The stages and the events they tell are the reference's. The reviewers run side by side; one that
//! fails does not take away what the others have paid for, since each turn is checkpointed. What is
//! not reviewed is said, in the `filter` event, as a finding and in the reason. Recording the result
//! is the engine's, and with it the last event: `done` or `error`.

pub mod embedded;
pub mod filter;
pub mod findings;
pub mod letter;
mod pull;
pub mod select;
pub mod sinks;
pub mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use millstream::domain::review::AgentNote;
use millstream::domain::{
    Failure, FailureClass, Finding, Phase, PrUrl, Progress, ReviewResult, StoredDiff, Usage,
};
use serde_json::{Value, json};
use tracing::info;

use crate::agent::budget::{Budget, Purse, REVIEWERS};
use crate::agent::prompt::{self, Briefing};
use crate::agent::roster::JUDGE;
use crate::agent::{Agent, Answer, Limits, Stage, parts, trace};
use crate::aside::aside;
use crate::diff::{self, Diff, FileDiff};
use crate::fault::{Fault, Outcome};
use crate::github::Github;
use crate::model::Model;
pub use crate::model::RunId;
use crate::reach::{HeadFiles, McpServers, Reach};
use filter::LeftOut;
use findings::Report;
use sinks::{OfPart, Sinks};

/// The author of findings about what was not reviewed.
const FILTER: &str = "filter";

/// What is to be reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A pull request, to be fetched.
    PullRequest(PrUrl),
    /// A diff that came with the submission.
    Diff(StoredDiff),
}

/// Reviews changes. One is enough for a process; reviews run side by side.
#[derive(Clone)]
pub struct Reviewer {
    model: Arc<dyn Model>,
    github: Github,
    limits: Limits,
    mcp: McpServers,
}

/// How often a change is cut: at the size that is right for the model as far as we know, and at halves of it when the
/// model says that a prompt is longer than it reads.
const CUTS: u32 = 4;

/// A change as the reviewers read it.
struct Change<'a> {
    prepared: &'a Prepared,
    reach: &'a Reach,
    chars: usize,
    too_long: &'a AtomicBool,
}

/// A change after the filter.
struct Prepared {
    diff: Arc<Diff>,
    /// One for each part.
    briefings: Vec<Briefing>,
    left_out: LeftOut,
}

impl Reviewer {
    /// A reviewer that asks this model and fetches from this GitHub.
    pub fn new(model: Arc<dyn Model>, github: Github, limits: Limits) -> Self {
        Self {
            model,
            github,
            limits,
            mcp: McpServers::default(),
        }
    }

    /// The same, with the tools of these servers beside its own.
    #[must_use]
    pub fn with_servers(self, mcp: McpServers) -> Self {
        Self { mcp, ..self }
    }

    /// Reviews a change. It is cancelled by being dropped; spans that are open then are for the
    /// caller to close.
    ///
    /// # Errors
    /// When the change cannot be had or holds nothing to review, the model fails, or a checkpoint
    /// cannot be kept. The failure says whether another attempt can help.
    pub async fn review(
        &self,
        run: RunId,
        input: Source,
        sinks: &dyn Sinks,
    ) -> Result<ReviewResult, Failure> {
        sinks.progress(Progress::phase(Phase::Prepare));
        let (files, left_out, mut reach) = self.fetch(input, sinks).await?;
        let (diff, left_out) = filtered(files, left_out).await?;
        reach.mcp = self.mcp.tools().await;
        let reviewers = select::reviewers(&diff);
        let purse = Purse::default();
        let mut budgets: Vec<Budget<'_>> = reviewers
            .iter()
            .map(|agent| Budget::new(agent.name, self.limits, &purse))
            .collect();
        let (mut chars, mut cuts) = (self.model.prompt_chars(), 1);
        loop {
            let prepared = self.cut(&diff, left_out.clone(), chars).await?;
            let too_long = AtomicBool::new(false);
            let change = Change {
                prepared: &prepared,
                reach: &reach,
                chars,
                too_long: &too_long,
            };
            let reviewed = self
                .reviewed(run, sinks, &reviewers, &change, &mut budgets, &purse)
                .await;
            let failed_for_its_length = reviewed.is_err() && too_long.load(Ordering::Relaxed);
            if failed_for_its_length && cuts < CUTS && Fault::TooLong.rule().outcome == Outcome::Smaller {
                cuts += 1;
                chars /= 2;
                info!(review.id = %run.job, "a prompt is longer than the model reads: cut again at {chars} characters");
                continue;
            }
            let stage = self.stage(run, sinks, &prepared.diff, &change, &purse);
            return judged(&stage, reviewed?, &prepared.left_out).await;
        }
    }

    /// Lets every reviewer read the change, in the parts that it was cut into.
    async fn reviewed(
        &self,
        run: RunId,
        sinks: &dyn Sinks,
        reviewers: &[&'static Agent],
        change: &Change<'_>,
        budgets: &mut [Budget<'_>],
        purse: &Purse,
    ) -> Result<Vec<Reviewed>, Failure> {
        let prepared = change.prepared;
        let detail = prepared.left_out.detail(prepared.diff.files.len());
        sinks.progress(Progress::Phase {
            phase: Phase::Filter,
            detail: Some(detail),
        });
        let names: Vec<&str> = reviewers.iter().map(|agent| agent.name).collect();
        sinks.progress(Progress::Phase {
            phase: Phase::Review,
            detail: Some(names.join(", ")),
        });
        let parts: Vec<OfPart<'_>> = (0..prepared.briefings.len())
            .map(|part| OfPart { sinks, part })
            .collect();
        let stages: Vec<(Stage<'_>, &Briefing)> = parts
            .iter()
            .zip(&prepared.briefings)
            .map(|(sinks, briefing)| (self.stage(run, sinks, &briefing.diff, change, purse), briefing))
            .collect();
        // Every reviewer is waited for, also when one has failed: the next attempt then finds the
        // others' turns and pays for them no more.
        let reading = reviewers
            .iter()
            .zip(budgets)
            .map(|(agent, budget)| reviewed(&stages, agent, &prepared.diff, budget));
        join_all(reading).await.into_iter().collect()
    }

    fn stage<'a>(
        &'a self,
        run: RunId,
        sinks: &'a dyn Sinks,
        diff: &Arc<Diff>,
        change: &Change<'a>,
        purse: &'a Purse,
    ) -> Stage<'a> {
        Stage {
            model: &*self.model,
            sinks,
            run,
            limits: self.limits,
            purse,
            diff: Arc::clone(diff),
            reach: change.reach,
            prompt_chars: change.chars,
            too_long: change.too_long,
        }
    }

    /// The files of the change, which of them cannot be read, and what can be read beyond them.
    async fn fetch(
        &self,
        input: Source,
        sinks: &dyn Sinks,
    ) -> Result<(Vec<FileDiff>, LeftOut, Reach), Failure> {
        let pull = match input {
            Source::Diff(stored) => {
                let parsed = aside(move || diff::parse(&stored.text)).await?;
                let diff =
                    parsed.map_err(|error| Failure::lasting(FailureClass::Input, error.to_string()))?;
                return Ok((diff.files, LeftOut::default(), Reach::default()));
            }
            Source::PullRequest(pull) => pull,
        };
        let listed = self.github.files(&pull).await?;
        let head = listed.head.clone();
        if let Some(head) = &head {
            sinks.reviewing(head).await?;
        }
        let raw = if pull::lacks_patches(&listed) {
            self.github.raw(&pull).await?
        } else {
            None
        };
        let (files, left_out) = aside(move || pull::read(listed, raw.as_deref())).await?;
        let files_at_head = head.map(|head| HeadFiles::new(self.github.clone(), pull, head));
        Ok((files, left_out, Reach::with_files(files_at_head)))
    }

    /// Cuts the change into parts of so many characters and writes what the reviewers are shown.
    async fn cut(&self, diff: &Arc<Diff>, mut left_out: LeftOut, chars: usize) -> Result<Prepared, Failure> {
        let diff = Arc::clone(diff);
        let most = parts::affordable(
            self.limits.tokens.min(self.limits.review_tokens / REVIEWERS),
            chars,
        );
        aside(move || {
            let cut = parts::cut(&diff, chars, most);
            left_out.too_large = cut.too_large;
            left_out.over_budget = cut.over_budget;
            Ok(Prepared {
                briefings: Briefing::all(cut.parts).map_err(|error| unwritable(&error))?,
                diff,
                left_out,
            })
        })
        .await?
    }
}

/// Takes out of a change what nobody reviews.
async fn filtered(files: Vec<FileDiff>, mut left_out: LeftOut) -> Result<(Arc<Diff>, LeftOut), Failure> {
    aside(move || {
        let diff = filter::apart(files, &mut left_out);
        if diff.files.is_empty() {
            return Err(nothing_left(&left_out));
        }
        Ok((Arc::new(diff), left_out))
    })
    .await?
}

fn nothing_left(left_out: &LeftOut) -> Failure {
    let parts: Vec<String> = left_out.usual().into_iter().chain(left_out.gaps()).collect();
    let message = if parts.is_empty() {
        "nothing to review: no line is changed".to_owned()
    } else {
        format!("nothing to review: {}", parts.join(", "))
    };
    // Names of files are a stranger's text, and this one is stored, logged and shown.
    Failure::lasting(FailureClass::Input, trace::presentable(&message))
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::lasting(FailureClass::Other, format!("cannot write the prompt: {error}"))
}

/// A reviewer's report, with its part of the bill.
struct Reviewed {
    agent: &'static str,
    report: Report,
    /// The parts of the change that it has not read, and why.
    unread: Vec<String>,
    usage: Usage,
    cost_usd: f64,
}

/// Runs one reviewer from its first event to its last, part by part. Its parts share its budget: one that is used up
/// takes away what is left to be read, and not what the parts before have found.
async fn reviewed(
    stages: &[(Stage<'_>, &Briefing)],
    agent: &'static Agent,
    diff: &Diff,
    budget: &mut Budget<'_>,
) -> Result<Reviewed, Failure> {
    let tell = |event| {
        if let Some((stage, _)) = stages.first() {
            stage.sinks.progress(event);
        }
    };
    tell(Progress::AgentStart {
        agent: agent.name.to_owned(),
    });
    let (mut reports, mut over) = (Vec::with_capacity(stages.len()), Vec::new());
    for (number, (stage, briefing)) in (1..).zip(stages) {
        let opening = Arc::clone(&briefing.opening);
        match stage.run(agent, opening, &briefing.span_input, budget).await {
            Ok(answer) => reports.push(findings::read(agent.name, &answer.text, diff)),
            Err(failure) if failure.class == FailureClass::Budget => over.push((number, *briefing, failure)),
            Err(failure) => return Err(failure),
        }
    }
    if reports.is_empty() && !over.is_empty() {
        // Nothing was answered, so there is nothing to keep.
        return Err(over.swap_remove(0).2);
    }
    let unread = |(number, briefing, failure): &(usize, &Briefing, Failure)| {
        let (count, name, shows) = (stages.len(), agent.name, &briefing.shows);
        format!(
            "part {number} of {count} by {name} ({shows}), since {}",
            failure.message
        )
    };
    let unread: Vec<String> = over.iter().map(unread).collect();
    let report = findings::together(agent.name, reports, &unread);
    tell(Progress::AgentDone {
        agent: agent.name.to_owned(),
        note: report.note.clone(),
    });
    let (usage, cost_usd) = budget.paid();
    Ok(Reviewed {
        agent: agent.name,
        report,
        unread,
        usage,
        cost_usd,
    })
}

/// Lets the judge decide and puts everything together.
async fn judged(
    stage: &Stage<'_>,
    reviewed: Vec<Reviewed>,
    left_out: &LeftOut,
) -> Result<ReviewResult, Failure> {
    stage.sinks.progress(Progress::phase(Phase::Judge));
    let presentable =
        |texts: Vec<String>| -> Vec<String> { texts.iter().map(|text| trace::presentable(text)).collect() };
    let mut reasons = presentable(left_out.reasons());
    // The reviewers may have used up the review's budget. What they found is paid for, and of no use without a verdict:
    // the judge has limits of its own, and one answer to give.
    let purse = Purse::default();
    let mut notes = Vec::with_capacity(reviewed.len() + 1);
    let (mut found, mut usage, mut cost_usd) = (left_out.leaked.clone(), Usage::default(), 0.0);
    for one in reviewed {
        notes.push(AgentNote {
            agent: one.agent.to_owned(),
            note: one.report.note,
        });
        found.extend(one.report.findings);
        reasons.extend(one.unread);
        usage += one.usage;
        cost_usd += one.cost_usd;
    }
    let mut budget = Budget::new(JUDGE.name, stage.limits, &purse);
    let answer = ask_judge(stage, &found, &notes, &reasons, &mut budget).await?;
    let (paid, paid_usd) = budget.paid();
    usage += paid;
    cost_usd += paid_usd;
    let judgement = verdict::read(&answer.text);
    let (usual, gaps) = (presentable(left_out.usual()), presentable(left_out.gaps()));
    found.extend(usual.iter().map(|what| findings::left_out(FILTER, what)));
    found.extend(gaps.iter().map(|what| findings::not_reviewed(FILTER, what)));
    // Stable: findings of one grade and place stay in the reviewers' order.
    found.sort_by(findings::gravest_first);
    let reason = with_left_out(judgement.reason, &reasons);
    let note = if reason.is_empty() {
        judgement.verdict.word().to_owned()
    } else {
        reason.clone()
    };
    notes.push(AgentNote {
        agent: JUDGE.name.to_owned(),
        note,
    });
    Ok(ReviewResult {
        verdict: judgement.verdict,
        reason,
        findings: found,
        notes,
        usage,
        cost_usd,
    })
}

async fn ask_judge(
    stage: &Stage<'_>,
    found: &[Finding],
    notes: &[AgentNote],
    reasons: &[String],
    budget: &mut Budget<'_>,
) -> Result<Answer, Failure> {
    let opening = prompt::for_judge(found, reasons).map_err(|error| unwritable(&error))?;
    let notes: Vec<Value> = notes
        .iter()
        .map(|note| json!({ "agent": note.agent, "note": note.note }))
        .collect();
    let span_input = json!({ "findings": notes });
    stage.run(&JUDGE, opening, &span_input, budget).await
}

/// Adds to the judge's reason what nobody looked at, so that a reader of the verdict knows.
fn with_left_out(reason: String, reasons: &[String]) -> String {
    if reasons.is_empty() {
        return reason;
    }
    let left_out = format!("Not reviewed: {}.", reasons.join("; "));
    if reason.is_empty() {
        left_out
    } else {
        format!("{reason} {left_out}")
    }
}

#[cfg(test)]
mod large_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod tests;
