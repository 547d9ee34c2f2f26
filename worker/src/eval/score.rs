//! Counts what was found and what was not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream::domain::{Finding, Severity, Verdict};
use serde::Serialize;

use super::{Label, Outcome};
use crate::agent::trace;

/// How far from its label a finding may stand: a model points at the call or at the line before it.
const NEAR: u32 = 3;

/// The same for a leaked key, which stands in one line and beside others.
const NEAR_A_KEY: u32 = 1;

/// Misses and mistakes that are listed.
const LISTED: usize = 100;

/// How good the reviewers were.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model that answered.
    pub model: String,
    /// Changes that were reviewed.
    pub cases: usize,
    /// The share of the labels that was found, by kind.
    pub recall: BTreeMap<String, f64>,
    /// The share of the findings that is right, by kind: of its reviewer's findings in its changes.
    pub precision: BTreeMap<String, Option<f64>>,
    /// Clean changes that were to be changed.
    pub false_request_changes: usize,
    /// Changes that were approved and must not be.
    pub missed_request_changes: usize,
    /// By reviewer, and the judge.
    pub agents: BTreeMap<String, AgentReport>,
    /// Tokens read and written.
    pub tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// How long all of it took.
    pub wall_s: f64,
    /// Labels that nobody found.
    pub missed: Vec<Missed>,
    /// Findings without a label.
    pub unlabelled: Vec<Unlabelled>,
    /// Reviews that failed.
    pub failed: Vec<FailedCase>,
}

/// How good one agent was, and at which price.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AgentReport {
    /// The share of its labels that it found; none for the judge.
    pub recall: Option<f64>,
    /// The share of its findings that is right, clean changes included.
    pub precision: Option<f64>,
    /// Warnings and graver findings.
    pub findings: usize,
    /// Tokens read and written.
    pub tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// The middle of its times.
    pub p50_s: f64,
    /// The longest.
    pub max_s: f64,
}

/// A label that nobody found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The change.
    pub case: String,
    /// The kind of fault.
    pub kind: String,
    /// `path:line`.
    pub location: String,
}

/// A finding without a label: a mistake, or a fault that nobody has labelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlabelled {
    /// The change.
    pub case: String,
    /// The reviewer.
    pub agent: String,
    /// `path:line`.
    pub location: String,
    /// What it says.
    pub note: String,
}

/// A review that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedCase {
    /// The change.
    pub case: String,
    /// Why.
    pub error: String,
}

/// Right ones of all.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    right: usize,
    all: usize,
}

impl Tally {
    fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "sets are small")]
    fn share(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

/// Whether a finding is the one that a label asks for.
fn is_at(finding: &Finding, label: &Label) -> bool {
    finding.severity >= Severity::Warn
        && finding.agent == label.agent
        && finding.file.as_deref() == Some(&label.file)
        && distance(finding, label)
            <= if label.kind == "leaked-key" {
                NEAR_A_KEY
            } else {
                NEAR
            }
}

fn distance(finding: &Finding, label: &Label) -> u32 {
    finding.line.map_or(u32::MAX, |line| line.abs_diff(label.line))
}

/// Which labels were found: each by a finding of its own, the nearest first.
fn found_labels(labels: &[Label], found: &[Finding]) -> Vec<bool> {
    let mut pairs: Vec<(u32, usize, usize)> = Vec::new();
    for (l, label) in labels.iter().enumerate() {
        let near = found
            .iter()
            .enumerate()
            .filter(|(_, finding)| is_at(finding, label));
        pairs.extend(near.map(|(f, finding)| (distance(finding, label), l, f)));
    }
    pairs.sort_unstable();
    let (mut right, mut used) = (vec![false; labels.len()], vec![false; found.len()]);
    for (_, label, finding) in pairs {
        if !right[label] && !used[finding] {
            (right[label], used[finding]) = (true, true);
        }
    }
    right
}

/// Counts what came of all cases.
#[must_use]
pub fn report(model: &str, outcomes: &[Outcome], wall: Duration) -> Report {
    let mut counted = Counted::default();
    for outcome in outcomes {
        counted.take(outcome);
    }
    let agents = counted.agents(outcomes);
    let judged = |wanted: Verdict, given: Verdict| {
        outcomes
            .iter()
            .filter(|outcome| {
                outcome.case.verdict == Some(wanted)
                    && outcome
                        .result
                        .as_ref()
                        .is_ok_and(|result| result.verdict == given)
            })
            .count()
    };
    Report {
        model: model.to_owned(),
        cases: outcomes.len(),
        recall: counted
            .labels
            .iter()
            .filter_map(|((kind, _), tally)| Some((kind.clone(), tally.share()?)))
            .collect(),
        precision: counted
            .kinds
            .iter()
            .map(|(kind, tally)| (kind.clone(), tally.share()))
            .collect(),
        false_request_changes: judged(Verdict::Approve, Verdict::RequestChanges),
        missed_request_changes: judged(Verdict::RequestChanges, Verdict::Approve),
        tokens: agents.values().map(|agent| agent.tokens).sum(),
        cost_usd: agents.values().map(|agent| agent.cost_usd).sum(),
        agents,
        wall_s: wall.as_secs_f64(),
        missed: counted.missed,
        unlabelled: counted.unlabelled,
        failed: counted.failed,
    }
}

#[derive(Default)]
struct Counted {
    /// By kind and agent.
    labels: BTreeMap<(String, String), Tally>,
    /// The findings, by the kinds of their change.
    kinds: BTreeMap<String, Tally>,
    /// The findings, by agent.
    findings: BTreeMap<String, Tally>,
    missed: Vec<Missed>,
    unlabelled: Vec<Unlabelled>,
    failed: Vec<FailedCase>,
}

impl Counted {
    fn take(&mut self, outcome: &Outcome) {
        let case = &outcome.case;
        let none = Vec::new();
        let found = match &outcome.result {
            Ok(result) => &result.findings,
            Err(failure) => {
                self.failed.push(FailedCase {
                    case: case.name.clone(),
                    error: trace::excerpt(&failure.message, 300),
                });
                &none
            }
        };
        for (label, right) in case.expect.iter().zip(found_labels(&case.expect, found)) {
            let key = (label.kind.clone(), label.agent.clone());
            self.labels.entry(key).or_default().count(right);
            self.kinds.entry(label.kind.clone()).or_default();
            if !right && self.missed.len() < LISTED {
                self.missed.push(Missed {
                    case: case.name.clone(),
                    kind: label.kind.clone(),
                    location: format!("{}:{}", label.file, label.line),
                });
            }
        }
        for finding in found.iter().filter(|finding| finding.severity >= Severity::Warn) {
            self.judge(outcome, finding);
        }
    }

    fn judge(&mut self, outcome: &Outcome, finding: &Finding) {
        let expect = &outcome.case.expect;
        let right = expect.iter().any(|label| is_at(finding, label));
        self.findings
            .entry(finding.agent.clone())
            .or_default()
            .count(right);
        let kinds: BTreeSet<&str> = expect
            .iter()
            .filter(|label| label.agent == finding.agent)
            .map(|label| label.kind.as_str())
            .collect();
        for kind in kinds {
            self.kinds.entry(kind.to_owned()).or_default().count(right);
        }
        if !right && self.unlabelled.len() < LISTED {
            self.unlabelled.push(Unlabelled {
                case: outcome.case.name.clone(),
                agent: finding.agent.clone(),
                location: finding.location(),
                note: trace::excerpt(&finding.note, 200),
            });
        }
    }

    fn agents(&self, outcomes: &[Outcome]) -> BTreeMap<String, AgentReport> {
        let names: BTreeSet<&String> = outcomes
            .iter()
            .flat_map(|outcome| outcome.agents.keys())
            .collect();
        let report = |name: &String| {
            let efforts: Vec<_> = outcomes
                .iter()
                .filter_map(|outcome| outcome.agents.get(name))
                .collect();
            let mut times: Vec<f64> = efforts.iter().map(|effort| effort.time.as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            let labels = self.labels.iter().filter(|((_, agent), _)| agent == name);
            let recall = labels.fold(Tally::default(), |sum, (_, tally)| Tally {
                right: sum.right + tally.right,
                all: sum.all + tally.all,
            });
            let findings = self.findings.get(name).copied().unwrap_or_default();
            AgentReport {
                recall: recall.share(),
                precision: findings.share(),
                findings: findings.all,
                tokens: efforts.iter().map(|effort| effort.tokens).sum(),
                cost_usd: efforts.iter().map(|effort| effort.cost_usd).sum(),
                p50_s: times.get(times.len() / 2).copied().unwrap_or_default(),
                max_s: times.last().copied().unwrap_or_default(),
            }
        };
        names
            .into_iter()
            .map(|name| (name.clone(), report(name)))
            .collect()
    }
}
