//! What an operator's move came to: what was done, what was refused and why, and what is left to others.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::action::Told;
use crate::domain::JobState;

/// Whether a move is made, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is made.
    Real,
    /// Nothing is written, not even the intent; the answer is what would be touched.
    DryRun,
}

/// What a move came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The ids of what was moved, or would be.
    pub done: Vec<String>,
    /// What was not, and why.
    pub refused: Vec<Refusal>,
    /// What else is to be known: what is left to the workers, and where a bound was reached.
    pub notes: Vec<String>,
}

/// One thing that was not moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was named.
    pub id: String,
    /// Why.
    #[serde(serialize_with = "in_words")]
    pub why: Why,
}

fn in_words<S: Serializer>(why: &Why, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(why)
}

/// Why something was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nobody knows it.
    #[error("there is no such job")]
    Unknown,
    /// Several jobs begin so.
    #[error("more than one job begins so: type more of its id")]
    Ambiguous,
    /// An entry was named where a job is wanted.
    #[error("this is an entry's id: name its job")]
    AnEntry,
    /// The state of the job does not allow it.
    #[error("it is {0}")]
    State(JobState),
    /// It is dead, and comes back by another move.
    #[error("it is dead: use `millstream dead requeue`")]
    Dead,
    /// A reference worker has recorded its result, which stands.
    #[error("a reference worker has recorded its result")]
    ForeignDone,
    /// Its entry is not parked.
    #[error("its entry is not parked: a worker has it already, or it is lost and put back soon")]
    NotParked,
    /// Its entry is parked.
    #[error("nobody runs it, its entry is parked: use `millstream retry`")]
    Parked,
    /// Its entry is with nobody.
    #[error("no consumer holds its entry")]
    NotPending,
    /// Another consumer holds the entry by now.
    #[error("another consumer holds its entry by now: look again")]
    Moved,
    /// Both streams have an entry with this id.
    #[error("two streams have an entry with this id: name its job")]
    TwoEntries,
    /// No letter has this id.
    #[error("there is no dead letter with this id")]
    NoLetter,
    /// The letter belongs to a job.
    #[error("this letter belongs to a job: name the job")]
    LetterOfAJob,
    /// Nobody has a copy of it.
    #[error("not exported since it died: use `millstream dead export` first")]
    NotExported,
    /// Its input cannot be mended.
    #[error("it is no review: its input cannot be edited")]
    NotAReview,
    /// A submission was refused.
    #[error("not accepted: {0}")]
    NotAccepted(String),
    /// A worker has started it since.
    #[error("it is too late: it has been started or moved since, and is {0}")]
    TooLate(JobState),
    /// The queue is paused already.
    #[error("it was paused before, by {by} at {}", .at.to_rfc3339_opts(SecondsFormat::Secs, true))]
    PausedBefore {
        /// By whom.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// The queue is not paused.
    #[error("it is not paused")]
    NotPaused,
    /// Valkey did not take it.
    #[error("failed to {0}; it goes on as planned before")]
    ValkeyAway(String),
    /// Only Postgres knows which entry stands for it.
    #[error("with Postgres away only entries can be claimed, by their ids")]
    NeedsPostgres,
    /// Postgres went away before its turn.
    #[error("failed to {0}; its turn did not come")]
    PostgresAway(String),
}

impl Outcome {
    /// Whether all that was asked for was done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused.is_empty() && !self.done.is_empty()
    }

    pub(super) fn refuse(&mut self, id: &impl ToString, why: Why) {
        self.refused.push(Refusal {
            id: id.to_string(),
            why,
        });
    }
}

impl Told for Outcome {
    fn told(&self) -> (&'static str, Value) {
        let word = match (self.done.is_empty(), self.refused.is_empty()) {
            (false, true) => "ok",
            (false, false) => "partly",
            (true, _) => "refused",
        };
        let result = json!({ "ids": self.done, "refused": self.refused, "notes": self.notes });
        (word, result)
    }
}
