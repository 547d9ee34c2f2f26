//! The dead by their cause: which one makes most of it, and which jobs died of it.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use millstream::domain::{EntryId, JobId, fingerprint};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::jobs::JobLine;
use super::list::List;
use super::pending::Payload;
use super::remote::Remote;

/// Half minutes of the trend.
pub const TREND: usize = 10;

/// What the fingerprint of a cause begins with that letters died of and no job.
pub const LETTERS: &str = "letters:";

/// A row: a cause, or a job that died of the one that is unfolded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeadKey {
    /// A cause, by its fingerprint.
    Cause(String),
    /// A job.
    Job(JobId),
    /// A letter that no row knows, by its id.
    Letter(EntryId),
}

/// A cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Its fingerprint; empty for jobs whose cause is not known yet.
    pub fingerprint: String,
    /// The class of the failures.
    pub class: Untrusted,
    /// The newest of them, in full.
    pub sample: Untrusted,
    /// How many are dead of it.
    pub count: u64,
    /// When the first of them died.
    pub first_at: DateTime<Utc>,
    /// When the last of them died.
    pub last_at: DateTime<Utc>,
    /// How many workers ran them last.
    pub workers: u64,
    /// The fewest and the most starts of one of them.
    pub tries: (u32, u32),
    /// Their types.
    pub kinds: Vec<Untrusted>,
    /// How many died in each half minute of the last five, the latest last.
    pub lately: [u64; TREND],
}

impl Cause {
    /// The failure without what differs from job to job.
    pub fn form(&self) -> Untrusted {
        if self.fingerprint.is_empty() {
            return Untrusted::new("buried by an older version; a worker sorts them soon");
        }
        Untrusted::new(fingerprint::form(self.sample.raw()))
    }

    /// The digits that people are shown.
    pub fn short(&self) -> String {
        if self.fingerprint.is_empty() {
            return "-".to_owned();
        }
        let digits = self
            .fingerprint
            .strip_prefix(LETTERS)
            .unwrap_or(&self.fingerprint);
        digits.chars().take(6).collect()
    }

    /// Whether letters died of it, and no job.
    pub fn is_of_letters(&self) -> bool {
        self.fingerprint.starts_with(LETTERS)
    }

    fn passes(&self, filter: &Filter) -> bool {
        let text = || {
            let (form, sample) = (self.form(), self.sample.raw());
            format!(
                "{} {} {sample} {}",
                self.fingerprint,
                self.class.raw(),
                form.raw()
            )
            .to_lowercase()
        };
        filter.is_empty() || {
            let text = text();
            let begins = |text: &str, start: &str| text.to_lowercase().starts_with(start);
            filter.text.split_whitespace().all(|part| {
                let lower = part.to_lowercase();
                match lower.split_once(':') {
                    Some(("class", word)) => begins(self.class.raw(), word),
                    Some(("fingerprint", word)) => {
                        let digits = self.fingerprint.strip_prefix(LETTERS);
                        begins(digits.unwrap_or(&self.fingerprint), word)
                    }
                    Some(("error", word)) => text.contains(word),
                    _ => text.contains(&lower),
                }
            })
        }
    }
}

/// The columns that causes can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeadSort {
    /// The largest first.
    #[default]
    Count,
    /// The one that somebody died of last first.
    Last,
    /// The newest cause first.
    First,
}

impl DeadSort {
    const ALL: [Self; 3] = [Self::Count, Self::Last, Self::First];

    /// The word in the title.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Last => "LAST",
            Self::First => "FIRST",
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }

    fn compare(self, a: &Cause, b: &Cause) -> Ordering {
        let first = match self {
            Self::Count => b.count.cmp(&a.count),
            Self::Last => b.last_at.cmp(&a.last_at),
            Self::First => b.first_at.cmp(&a.first_at),
        };
        first
            .then_with(|| b.last_at.cmp(&a.last_at))
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
    }
}

/// The jobs of the cause that is unfolded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// The cause.
    pub fingerprint: String,
    /// The newest of them, newest first.
    pub rows: Vec<JobLine>,
}

/// A dead letter that no row knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LetterLine {
    /// Its id among the letters.
    pub id: EntryId,
    /// The entry that it was.
    pub entry: Untrusted,
    /// Who could not read it.
    pub worker: Untrusted,
    /// Why.
    pub error: Untrusted,
    /// What it held.
    pub payload: Payload,
    /// When it was given up.
    pub died_at: DateTime<Utc>,
}

/// What Valkey answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LettersPage {
    /// The causes of letters that no row knows.
    pub causes: Vec<Cause>,
    /// How many letters, those of no cause here included.
    pub total: u64,
    /// How many are of a cause that is not among these: only so many causes are told apart.
    #[serde(default)]
    pub ungrouped: u64,
    /// All letters were looked at; else there may be more.
    pub whole: bool,
    /// The newest letters of the cause that is unfolded.
    pub members: Vec<LetterLine>,
}

/// What Postgres answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeadPage {
    /// The largest causes.
    pub causes: Vec<Cause>,
    /// How many causes there are.
    pub causes_total: u64,
    /// How many are dead of all of them.
    pub total: u64,
    /// The jobs of the one that is unfolded.
    pub members: Option<Members>,
}

/// The view: data, list, filter, sort, and what is unfolded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    /// The data.
    pub page: Remote<DeadPage>,
    /// The letters that no row knows.
    pub letters: Remote<LettersPage>,
    /// Cursor, scroll.
    pub list: List<DeadKey>,
    /// The filter.
    pub filter: Filter,
    /// The sort.
    pub sort: DeadSort,
    /// Whether the sort is turned round.
    pub turned: bool,
    /// The cause that is unfolded.
    pub unfolded: Option<String>,
}

/// A row as it is drawn.
#[derive(Debug, Clone, Copy)]
pub enum DeadRow<'a> {
    /// A cause.
    Cause(&'a Cause),
    /// A job that died of the one above.
    Job(&'a JobLine),
    /// A letter of the one above.
    Letter(&'a LetterLine),
}

impl Dead {
    /// Jobs of a cause that are listed; the rest is counted.
    pub const MEMBERS: u32 = 200;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            letters: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            sort: DeadSort::default(),
            turned: false,
            unfolded: None,
        }
    }

    fn members(&self) -> &[JobLine] {
        let members = self.page.value().and_then(|page| page.members.as_ref());
        members
            .filter(|members| Some(&members.fingerprint) == self.unfolded.as_ref())
            .map_or(&[], |members| &members.rows)
    }

    /// The causes of jobs and of letters.
    pub fn causes(&self) -> impl Iterator<Item = &Cause> {
        let jobs = self.page.value().map_or(&[][..], |page| &page.causes);
        let letters = self.letters.value().map_or(&[][..], |page| &page.causes);
        jobs.iter().chain(letters)
    }

    fn letter_members(&self) -> &[LetterLine] {
        let is_open = self
            .unfolded
            .as_ref()
            .is_some_and(|name| name.starts_with(LETTERS));
        let members = self.letters.value().filter(|_| is_open);
        members.map_or(&[], |page| &page.members)
    }

    /// The row of a key.
    pub fn row(&self, key: &DeadKey) -> Option<DeadRow<'_>> {
        match key {
            DeadKey::Cause(name) => {
                let found = self.causes().find(|cause| cause.fingerprint == *name)?;
                Some(DeadRow::Cause(found))
            }
            DeadKey::Letter(id) => self
                .letter_members()
                .iter()
                .find(|line| line.id == *id)
                .map(DeadRow::Letter),
            DeadKey::Job(id) => self
                .members()
                .iter()
                .find(|line| line.id == *id)
                .map(DeadRow::Job),
        }
    }

    /// Whether a row is marked, by itself or with its cause.
    pub fn is_marked(&self, row: DeadRow<'_>) -> bool {
        match row {
            DeadRow::Cause(cause) => self.marks_cause(&cause.fingerprint),
            DeadRow::Job(line) => {
                let with_cause = self
                    .unfolded
                    .as_ref()
                    .is_some_and(|cause| self.marks_cause(cause));
                with_cause || self.list.marks.contains(&DeadKey::Job(line.id))
            }
            DeadRow::Letter(line) => self.list.marks.contains(&DeadKey::Letter(line.id)),
        }
    }

    fn marks_cause(&self, fingerprint: &str) -> bool {
        self.list.marks.contains(&DeadKey::Cause(fingerprint.to_owned()))
    }

    /// How many dead are marked, by themselves or with their cause.
    pub fn marked(&self) -> u64 {
        let covered = self
            .unfolded
            .as_ref()
            .is_some_and(|cause| self.marks_cause(cause));
        let counts = self.list.marks.iter().map(|key| match self.row(key) {
            Some(DeadRow::Cause(cause)) => cause.count,
            Some(DeadRow::Job(_) | DeadRow::Letter(_)) if !covered => 1,
            _ => 0,
        });
        counts.sum()
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<DeadRow<'_>> {
        self.row(self.list.cursor.as_ref()?)
    }

    /// The job under the cursor.
    pub const fn selected_job(&self) -> Option<JobId> {
        match &self.list.cursor {
            Some(DeadKey::Job(id)) => Some(*id),
            _ => None,
        }
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(DeadRow<'_>, bool)> {
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|key| {
                self.row(key)
                    .map(|row| (row, self.list.cursor.as_ref() == Some(key)))
            })
            .collect()
    }

    /// The rows in order: causes by the sort, the jobs of the unfolded one below it.
    pub fn wanted(&self) -> Vec<DeadKey> {
        let mut causes: Vec<&Cause> = self.causes().filter(|cause| cause.passes(&self.filter)).collect();
        causes.sort_by(|a, b| self.sort.compare(a, b));
        if self.turned {
            causes.reverse();
        }
        let mut keys = Vec::new();
        for cause in causes {
            keys.push(DeadKey::Cause(cause.fingerprint.clone()));
            if self.unfolded.as_ref() == Some(&cause.fingerprint) {
                keys.extend(self.members().iter().map(|line| DeadKey::Job(line.id)));
                if cause.is_of_letters() {
                    keys.extend(self.letter_members().iter().map(|line| DeadKey::Letter(line.id)));
                }
            }
        }
        keys
    }

    /// Unfolds the cause under the cursor, or folds it.
    pub fn toggle(&mut self) {
        if let Some(DeadKey::Cause(name)) = &self.list.cursor {
            let is_open = self.unfolded.as_ref() == Some(name);
            self.unfolded = (!is_open).then(|| name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_unfolds_into_its_jobs_and_folds_again() {
        let mut dead = crate::sample::dead().dead;
        assert_eq!(
            dead.wanted().len(),
            7,
            "three causes and the four jobs of the first"
        );
        let first = dead.wanted().swap_remove(0);
        dead.list.cursor = Some(first);
        dead.toggle();
        assert_eq!(dead.wanted().len(), 3);
    }

    #[test]
    fn a_filter_finds_causes_by_class_fingerprint_and_words() {
        let mut dead = crate::sample::dead().dead;
        dead.unfolded = None;
        let mut count = |text: &str| {
            dead.filter = Filter::new(text);
            dead.wanted().len()
        };
        assert_eq!(
            [count("class:timeout"), count("github"), count("nothing like it")],
            [1, 1, 0]
        );
    }
}
