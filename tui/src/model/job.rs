//! One job in full: reason, findings, attempts, what happened.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{JobId, Severity};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::jobs::JobLine;
use super::list::List;
use super::remote::Remote;
use super::time::since;
use super::workers::WorkerName;

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It runs.
    Running,
    /// It ended well.
    Done,
    /// It failed.
    Failed,
    /// Its worker vanished.
    Crashed,
    /// Its worker gave it back when it left.
    HandedBack,
    /// It was called off.
    Cancelled,
}

impl Outcome {
    /// The word in a table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::HandedBack => "handed back",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of a database word; none is running, an unknown one failed.
    pub fn from_word(word: Option<&str>) -> Self {
        match word {
            None => Self::Running,
            Some("done") => Self::Done,
            Some("crashed") => Self::Crashed,
            Some("handed_back") => Self::HandedBack,
            Some("cancelled") => Self::Cancelled,
            Some(_) => Self::Failed,
        }
    }
}

/// How one agent fared in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    /// An earlier attempt paid for it.
    Kept,
    /// It answered after this long.
    Done(Duration),
    /// It failed after this long.
    Failed(Duration),
    /// It runs since then.
    Running(DateTime<Utc>),
    /// It was not reached.
    NotReached,
}

/// One agent in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// Its name.
    pub agent: Untrusted,
    /// How it fared.
    pub state: StepState,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptLine {
    /// Its number.
    pub number: u32,
    /// Who ran it.
    pub worker: WorkerName,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it stands.
    pub outcome: Outcome,
    /// The class of its failure.
    pub class: Option<Untrusted>,
    /// Its failure.
    pub error: Option<Untrusted>,
    /// Tokens read and written.
    pub tokens: u64,
    /// What they cost, estimated.
    pub cost_usd: f64,
    /// Its agents: security, performance, ux, judge.
    pub steps: Vec<StepLine>,
}

impl AttemptLine {
    /// How long it ran, or has run so far.
    pub fn ran(&self, now: DateTime<Utc>) -> Duration {
        since(self.started_at, self.ended_at.unwrap_or(now))
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingLine {
    /// How grave.
    pub severity: Severity,
    /// Whose.
    pub agent: Untrusted,
    /// `path:line`, `path` or `-`.
    pub location: Untrusted,
    /// The text.
    pub note: Untrusted,
}

/// Something that the job told while it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// When.
    pub at: DateTime<Utc>,
    /// In which attempt.
    pub attempt: u32,
    /// What.
    pub text: Untrusted,
}

/// The data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobFacts {
    /// Its row in the list.
    pub line: JobLine,
    /// The judge's reason.
    pub reason: Option<Untrusted>,
    /// What was found, gravest first.
    pub findings: Vec<FindingLine>,
    /// Its attempts, newest first.
    pub attempts: Vec<AttemptLine>,
    /// What it told, oldest first.
    pub events: Vec<EventLine>,
}

/// The panes between which Tab moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum JobPane {
    /// The findings.
    #[default]
    Findings,
    /// The attempts.
    Attempts,
    /// The events.
    Events,
}

impl JobPane {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Findings => Self::Attempts,
            Self::Attempts => Self::Events,
            Self::Events => Self::Findings,
        }
    }
}

/// The view: which job, its data, the three lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// Its data; nothing in it when there is no such job.
    pub facts: Remote<Option<JobFacts>>,
    /// The pane with the cursor.
    pub pane: JobPane,
    /// The findings, by number.
    pub findings: List<usize>,
    /// The attempts, by their number.
    pub attempts: List<u32>,
    /// The events, by number.
    pub events: List<usize>,
}

impl Job {
    /// The view before its first answer.
    pub fn new(id: JobId, now: DateTime<Utc>) -> Self {
        Self {
            id,
            facts: Remote::asked(now),
            pane: JobPane::default(),
            findings: List::default(),
            attempts: List::default(),
            events: List::default(),
        }
    }

    /// The data, if the job is there.
    pub fn known(&self) -> Option<&JobFacts> {
        self.facts.value()?.as_ref()
    }
}
