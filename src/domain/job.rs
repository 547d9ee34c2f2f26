//! The states of a job and the three streams it can travel on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands. `docs/delivery.md` draws who moves each arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Held in Postgres until its time comes.
    Scheduled,
    /// Owed to, or in, the stream; nobody runs it.
    Waiting,
    /// A worker runs it.
    Running,
    /// An attempt failed; the entry stays pending and the next attempt has a time.
    Retrying,
    /// Given up after the last attempt, or at once for a failure that cannot heal.
    Dead,
    /// A dead job that an operator threw away.
    Dropped,
    /// Called off before it ended.
    Cancelled,
    /// Finished, its result is recorded.
    Done,
}

impl JobState {
    /// Every state, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Running,
        Self::Retrying,
        Self::Dead,
        Self::Dropped,
        Self::Cancelled,
        Self::Done,
    ];

    /// The word in the database, in `--json` and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Whether nothing moves the job on but an operator.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Dead | Self::Dropped | Self::Cancelled | Self::Done)
    }

    /// The reference's word for the same moment, as its `reviews.status` column has it.
    #[must_use]
    pub const fn reference_status(self) -> &'static str {
        match self {
            Self::Scheduled | Self::Waiting | Self::Running => "running",
            Self::Retrying => "queued",
            Self::Dead | Self::Dropped | Self::Cancelled => "error",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The word names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such state: `{0}`; there are scheduled, waiting, running, retrying, dead, dropped, cancelled, done"
)]
pub struct NotAState(pub String);

impl FromStr for JobState {
    type Err = NotAState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| NotAState(word.chars().take(32).collect()))
    }
}

/// Which of a queue's streams an entry travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What a reference worker cannot run or honour: patches, git ranges, times to wait for.
    Own,
    /// The reference's stream, which its workers read too.
    Shared,
    /// What is to be run before everything else.
    High,
}

impl Lane {
    /// All, in the order in which keys are handed to scripts: the one with priority last.
    pub const ALL: [Self; 3] = [Self::Own, Self::Shared, Self::High];
    /// Those without priority, which take turns.
    pub const EQUALS: [Self; 2] = [Self::Own, Self::Shared];

    /// The word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
            Self::High => "high",
        }
    }

    /// The lane of that word; an unknown word is the reference's stream.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "own" => Self::Own,
            "high" => Self::High,
            _ => Self::Shared,
        }
    }
}

/// How urgent a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// In the order of arrival.
    #[default]
    Normal,
    /// Before everything that is not.
    High,
}

/// A word that names no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a priority is `normal` or `high`, not `{0}`")]
pub struct NotAPriority(String);

impl FromStr for Priority {
    type Err = NotAPriority;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "normal" => Ok(Self::Normal),
            "high" => Ok(Self::High),
            other => Err(NotAPriority(other.chars().take(32).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_from_its_word() {
        for state in JobState::ALL {
            assert_eq!(state.word().parse(), Ok(state));
        }
        assert!("queued".parse::<JobState>().is_err());
    }
}
