//! A review from the change to its verdict: `prepare -> filter -> select -> [reviewers] -> judge`.
//!
//! The stages and the events they tell are the reference's. The reviewers run side by side; one that
//! fails does not take away what the others have paid for, since each turn is checkpointed. What is
//! not reviewed is said, in the `filter` event, as a finding and in the reason. Recording the result
//! is the engine's, and with it the last event: `done` or `error`.

pub mod embedded;
pub mod filter;
pub mod findings;
pub mod select;
pub mod sinks;
pub mod verdict;

use std::sync::Arc;

use futures_util::future::join_all;
use millstream::domain::review::AgentNote;
use millstream::domain::{
    Failure, FailureClass, Finding, Phase, PrUrl, Progress, ReviewResult, StoredDiff, Usage,
};
use serde_json::{Value, json};

use crate::agent::budget::Purse;
use crate::agent::prompt::{self, Briefing};
use crate::agent::roster::JUDGE;
use crate::agent::{Agent, Answer, Limits, Stage, trace};
use crate::aside::aside;
use crate::diff::{self, Diff, FileDiff, Status};
use crate::github::{Github, PullFile, PullFiles};
use crate::model::Model;
pub use crate::model::RunId;
use filter::LeftOut;
use findings::Report;
use sinks::Sinks;

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
}

/// A change after the filter.
struct Prepared {
    diff: Arc<Diff>,
    briefing: Briefing,
    left_out: LeftOut,
}

impl Reviewer {
    /// A reviewer that asks this model and fetches from this GitHub.
    pub fn new(model: Arc<dyn Model>, github: Github, limits: Limits) -> Self {
        Self {
            model,
            github,
            limits,
        }
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
        let (files, left_out) = self.fetch(input).await?;
        let prepared = self.prepare(files, left_out).await?;
        let detail = prepared.left_out.detail(prepared.diff.files.len());
        sinks.progress(Progress::Phase {
            phase: Phase::Filter,
            detail: Some(detail),
        });

        let reviewers = select::reviewers(&prepared.diff);
        let names: Vec<&str> = reviewers.iter().map(|agent| agent.name).collect();
        sinks.progress(Progress::Phase {
            phase: Phase::Review,
            detail: Some(names.join(", ")),
        });
        let diff = Arc::clone(&prepared.diff);
        let stage = Stage {
            model: &*self.model,
            sinks,
            run,
            limits: self.limits,
            purse: Purse::default(),
            diff,
        };
        // Every reviewer is waited for, also when one has failed: the next attempt then finds the
        // others' turns and pays for them no more.
        let answers = join_all(
            reviewers
                .iter()
                .map(|agent| reviewed(&stage, agent, &prepared.briefing)),
        )
        .await;
        let reports = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        judged(&stage, reports, &prepared.left_out).await
    }

    /// The files of the change, and which of them cannot be read.
    async fn fetch(&self, input: Source) -> Result<(Vec<FileDiff>, LeftOut), Failure> {
        match input {
            Source::Diff(stored) => {
                let parsed = aside(move || diff::parse(&stored.text)).await?;
                let diff =
                    parsed.map_err(|error| Failure::lasting(FailureClass::Input, error.to_string()))?;
                Ok((diff.files, LeftOut::default()))
            }
            Source::PullRequest(pull) => {
                let listed = self.github.files(&pull).await?;
                aside(move || read_pull(listed)).await
            }
        }
    }

    /// Takes the noise out and writes what the reviewers are shown.
    async fn prepare(&self, files: Vec<FileDiff>, mut left_out: LeftOut) -> Result<Prepared, Failure> {
        let chars = self.model.prompt_chars();
        aside(move || {
            let diff = filter::apart(files, &mut left_out);
            if diff.files.is_empty() {
                return Err(nothing_left(&left_out));
            }
            let briefing = Briefing::new(&diff, chars).map_err(|error| unwritable(&error))?;
            left_out.too_large.clone_from(&briefing.too_large);
            Ok(Prepared {
                diff: Arc::new(diff),
                briefing,
                left_out,
            })
        })
        .await?
    }
}

/// Reads what GitHub lists.
fn read_pull(listed: PullFiles) -> (Vec<FileDiff>, LeftOut) {
    let mut left_out = LeftOut {
        beyond: listed.truncated.then_some(listed.files.len()),
        ..LeftOut::default()
    };
    let mut files = Vec::with_capacity(listed.files.len());
    for mut file in listed.files {
        file.filename = diff::spelt_out(&file.filename);
        match file.patch.as_deref().filter(|patch| !patch.is_empty()) {
            Some(patch) => match FileDiff::named(&file.filename, pull_status(&file), patch) {
                Ok(read) => files.push(FileDiff {
                    old_path: file.previous_filename.as_deref().map(diff::spelt_out),
                    ..read
                }),
                Err(_) => left_out.unreadable.push(file.filename),
            },
            // A change that has lines and does not show them is too large for GitHub's answer; one
            // without lines is binary, or only a name or a mode.
            None if filter::is_noise(&file.filename) => left_out.noise.push(file.filename),
            None if file.changes > 0 => left_out.without_patch.push(file.filename),
            None if file.status != "renamed" => left_out.binary.push(file.filename),
            None => {}
        }
    }
    (files, left_out)
}

fn pull_status(file: &PullFile) -> Status {
    match file.status.as_str() {
        "added" | "copied" => Status::Added,
        "removed" => Status::Deleted,
        "renamed" => Status::Renamed,
        _ => Status::Modified,
    }
}

fn nothing_left(left_out: &LeftOut) -> Failure {
    let noise = match left_out.noise.as_slice() {
        [] => None,
        [one] => Some(format!("1 lock or generated file ({one})")),
        more => Some(format!("{} lock or generated files", more.len())),
    };
    let parts: Vec<String> = noise.into_iter().chain(left_out.reasons()).collect();
    let message = if parts.is_empty() {
        "nothing to review: no line is changed".to_owned()
    } else {
        format!("nothing to review: {}", parts.join(", "))
    };
    Failure::lasting(FailureClass::Input, message)
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::lasting(FailureClass::Other, format!("cannot write the prompt: {error}"))
}

/// A reviewer's report, with its part of the bill.
struct Reviewed {
    agent: &'static str,
    report: Report,
    usage: Usage,
    cost_usd: f64,
}

/// Runs one reviewer from its first event to its last.
async fn reviewed(
    stage: &Stage<'_>,
    agent: &'static Agent,
    briefing: &Briefing,
) -> Result<Reviewed, Failure> {
    stage.sinks.progress(Progress::AgentStart {
        agent: agent.name.to_owned(),
    });
    let answer = stage
        .run(agent, Arc::clone(&briefing.opening), &briefing.span_input)
        .await?;
    let report = findings::read(agent.name, &answer.text, &stage.diff);
    stage.sinks.progress(Progress::AgentDone {
        agent: agent.name.to_owned(),
        note: report.note.clone(),
    });
    Ok(Reviewed {
        agent: agent.name,
        report,
        usage: answer.usage,
        cost_usd: answer.cost_usd,
    })
}

/// Lets the judge decide and puts everything together.
async fn judged(
    stage: &Stage<'_>,
    reviewed: Vec<Reviewed>,
    left_out: &LeftOut,
) -> Result<ReviewResult, Failure> {
    stage.sinks.progress(Progress::phase(Phase::Judge));
    let reasons: Vec<String> = left_out
        .reasons()
        .iter()
        .map(|reason| trace::presentable(reason))
        .collect();
    let mut notes = Vec::with_capacity(reviewed.len() + 1);
    let (mut found, mut usage, mut cost_usd) = (Vec::new(), Usage::default(), 0.0);
    for Reviewed {
        agent,
        report,
        usage: used,
        cost_usd: cost,
    } in reviewed
    {
        notes.push(AgentNote {
            agent: agent.to_owned(),
            note: report.note,
        });
        found.extend(report.findings);
        usage += used;
        cost_usd += cost;
    }
    let answer = ask_judge(stage, &found, &notes, &reasons).await?;
    usage += answer.usage;
    cost_usd += answer.cost_usd;
    let judgement = verdict::read(&answer.text);
    found.extend(
        reasons
            .iter()
            .map(|reason| findings::remark(FILTER, format!("Not reviewed: {reason}."))),
    );
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
) -> Result<Answer, Failure> {
    let opening = prompt::for_judge(found, reasons).map_err(|error| unwritable(&error))?;
    let notes: Vec<Value> = notes
        .iter()
        .map(|note| json!({ "agent": note.agent, "note": note.note }))
        .collect();
    stage.run(&JUDGE, opening, &json!({ "findings": notes })).await
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
mod tests;
