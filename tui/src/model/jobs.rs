//! The list of jobs: a screenful from Postgres, filtered and sorted.

use std::cmp::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{JobId, JobState, ReviewInput};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::{Asked, Filter};
use super::list::List;
use super::remote::Remote;
use super::time::since;
use super::workers::WorkerName;

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobLine {
    /// Its id.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// What it works on, as submitted.
    pub input: Untrusted,
    /// The judge's word for a finished review.
    pub verdict: Option<Untrusted>,
    /// What runs now, of a running one: `judge`.
    pub phase: Option<Untrusted>,
    /// How often it was started.
    pub attempt: u32,
    /// How often it may be.
    pub attempts_allowed: u32,
    /// Who runs it, or ran it last.
    pub worker: Option<WorkerName>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it was started first.
    pub first_started_at: Option<DateTime<Utc>>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last attempt ended.
    pub attempt_ended_at: Option<DateTime<Utc>>,
    /// When the job ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it is due, of one that is scheduled or between two attempts.
    pub due_at: Option<DateTime<Utc>>,
    /// Tokens of all attempts.
    pub tokens: u64,
    /// What they cost, estimated.
    pub cost_usd: f64,
    /// The class of its last failure.
    pub class: Option<Untrusted>,
    /// Its last failure.
    pub error: Option<Untrusted>,
}

impl JobLine {
    /// From acceptance to the first start, or until now.
    pub fn wait(&self, now: DateTime<Utc>) -> Duration {
        let until = self.first_started_at.or(self.finished_at).unwrap_or(now);
        since(self.created_at, until)
    }

    /// The last attempt, live while it runs; nothing before the first.
    pub fn run(&self, now: DateTime<Utc>) -> Option<Duration> {
        let until = self.attempt_ended_at.or(self.finished_at).unwrap_or(now);
        self.started_at.map(|start| since(start, until))
    }

    /// What it works on, in few words: `ledger#7`, `ledger main~1..main`, `patch:0a1b2c3d4e5f`.
    pub fn short_input(&self) -> Untrusted {
        short_input(&self.input)
    }

    /// Whether it passes a filter.
    pub fn passes(&self, asked: &Asked) -> bool {
        let begins = |text: Option<&str>, start: &Option<String>| {
            start
                .as_ref()
                .is_none_or(|start| text.is_some_and(|text| text.to_lowercase().starts_with(start.as_str())))
        };
        let raw = Untrusted::raw;
        let id = self.id.to_string();
        let haystack = || {
            let error = self.error.as_ref().map_or("", raw);
            format!("{id} {} {error}", self.input.raw()).to_lowercase()
        };
        (asked.states.is_empty() || asked.states.contains(&self.state))
            && begins(self.class.as_ref().map(raw), &asked.class)
            && begins(self.worker.as_ref().map(WorkerName::raw), &asked.worker)
            && begins(self.verdict.as_ref().map(raw), &asked.verdict)
            && begins(Some(&id), &asked.id)
            && (asked.words.is_empty() || {
                let haystack = haystack();
                asked.words.iter().all(|word| haystack.contains(word.as_str()))
            })
    }
}

/// The first six digits of a job's id: what people are shown.
pub fn short_id(id: JobId) -> String {
    id.0.simple().to_string().chars().take(6).collect()
}

/// An input in few words: `ledger#7`, `ledger main~1..main`, `patch:0a1b2c3d4e5f`.
pub fn short_input(input: &Untrusted) -> Untrusted {
    let text = match ReviewInput::parse(input.raw()) {
        Ok(ReviewInput::PullRequest(pr)) => {
            let short = pr.short();
            short
                .split_once('/')
                .map_or(short.clone(), |(_, rest)| rest.to_owned())
        }
        Ok(ReviewInput::Stored(label)) => match label.strip_prefix("git:") {
            Some(git) => git.replacen('@', " ", 1),
            None => label,
        },
        Err(_) => input.raw().to_owned(),
    };
    Untrusted::new(text)
}

/// The columns that a list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum JobSort {
    /// Newest first.
    #[default]
    Age,
    /// Worst state first.
    Status,
    /// Longest last attempt first.
    Run,
    /// Dearest first.
    Cost,
    /// Most tokens first.
    Tokens,
    /// Most attempts first.
    Tries,
}

impl JobSort {
    /// All of them, in the order in which `s` steps.
    pub const ALL: [Self; 6] = [
        Self::Age,
        Self::Status,
        Self::Run,
        Self::Cost,
        Self::Tokens,
        Self::Tries,
    ];

    /// The word in the title.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Age => "AGE",
            Self::Status => "STATUS",
            Self::Run => "RUN",
            Self::Cost => "COST",
            Self::Tokens => "TOKENS",
            Self::Tries => "TRIES",
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }

    /// Which of two rows comes first.
    pub fn compare(self, a: &JobLine, b: &JobLine, now: DateTime<Utc>) -> Ordering {
        let first = match self {
            Self::Age => Ordering::Equal,
            Self::Status => rank(a.state).cmp(&rank(b.state)),
            Self::Run => b.run(now).cmp(&a.run(now)),
            Self::Cost => b.cost_usd.total_cmp(&a.cost_usd),
            Self::Tokens => b.tokens.cmp(&a.tokens),
            Self::Tries => b.attempt.cmp(&a.attempt),
        };
        first
            .then_with(|| b.created_at.cmp(&a.created_at))
            .then_with(|| a.id.cmp(&b.id))
    }
}

/// What a person looks for comes first.
const fn rank(state: JobState) -> u8 {
    match state {
        JobState::Dead => 0,
        JobState::Retrying => 1,
        JobState::Running => 2,
        JobState::Waiting => 3,
        JobState::Scheduled => 4,
        JobState::Done => 5,
        JobState::Cancelled => 6,
        JobState::Dropped => 7,
    }
}

/// What Postgres answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JobsPage {
    /// The newest jobs that pass the filter, newest first.
    pub rows: Vec<JobLine>,
    /// How many pass it.
    pub matching: u64,
    /// Whether more pass it than were counted.
    pub matching_at_least: bool,
    /// How many there are.
    pub total: u64,
    /// The filter that was asked for.
    pub filter: Filter,
}

/// The view: data, list, filter, sort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// The data.
    pub page: Remote<JobsPage>,
    /// Cursor, scroll, marks.
    pub list: List<JobId>,
    /// The filter.
    pub filter: Filter,
    /// The sort.
    pub sort: JobSort,
    /// Whether the sort is turned round.
    pub turned: bool,
    /// How many rows are asked for: more when the cursor comes near the end.
    pub limit: u32,
}

impl Jobs {
    /// Rows that are asked for at first, and added at a time.
    pub const STEP: u32 = 200;
    /// Never more than these.
    pub const MOST: u32 = 2_000;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            sort: JobSort::default(),
            turned: false,
            limit: Self::STEP,
        }
    }

    /// The row of an id.
    pub fn line(&self, id: JobId) -> Option<&JobLine> {
        self.page.value()?.rows.iter().find(|line| line.id == id)
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<&JobLine> {
        self.line(self.list.cursor?)
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(&JobLine, bool)> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let by_id: std::collections::HashMap<JobId, &JobLine> =
            rows.iter().map(|line| (line.id, line)).collect();
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|id| by_id.get(id).map(|line| (*line, self.list.cursor == Some(*id))))
            .collect()
    }

    /// The ids of the rows that pass the filter, in the order of the sort.
    pub fn wanted(&self, now: DateTime<Utc>) -> Vec<JobId> {
        let asked = self.filter.asked();
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let mut lines: Vec<&JobLine> = rows.iter().filter(|line| line.passes(&asked)).collect();
        lines.sort_by(|a, b| self.sort.compare(a, b, now));
        if self.turned {
            lines.reverse();
        }
        lines.into_iter().map(|line| line.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_short_and_hostile_ones_stay_visible() {
        let short = |text: &str| short_input(&text.into()).to_string();
        assert_eq!(short("https://github.com/acme/ledger/pull/7"), "ledger#7");
        assert_eq!(short("git:ledger@main~1..main"), "ledger main~1..main");
        assert_eq!(short("patch:0a1b2c3d4e5f"), "patch:0a1b2c3d4e5f");
        assert_eq!(short("\u{1b}[31m"), "␛[31m");
    }
}
