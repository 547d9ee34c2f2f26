//! What just happened: the newest first, bounded.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::JobId;
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::workers::WorkerName;

/// As many as the tallest screen shows, and some to scroll.
const KEPT: usize = 200;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HappeningKind {
    /// A job is done.
    Done,
    /// An attempt failed and another follows.
    Retrying,
    /// A job was given up.
    Dead,
    /// A job was called off.
    Cancelled,
    /// A worker joined.
    Joined,
    /// A worker left in order.
    Left,
    /// A worker went silent.
    Lost,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub at: DateTime<Utc>,
    /// What kind.
    pub kind: HappeningKind,
    /// The job it is about, if it is about one.
    pub job: Option<JobId>,
    /// The attempt it is about, or 0.
    pub attempt: u32,
    /// The job's input or the worker's short name.
    pub subject: Untrusted,
    /// The verdict, `attempt 1 failed`, `dead after 3 of 3`, `went silent`.
    pub what: Untrusted,
    /// What more there is to say: the reason, what was held.
    pub note: Option<Untrusted>,
    /// Whose work it was.
    pub worker: Option<WorkerName>,
    /// How long the attempt took.
    pub took: Option<Duration>,
    /// What the job cost.
    pub cost_usd: Option<f64>,
}

impl Happening {
    /// Whether both tell of the same thing.
    fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.job == other.job
            && self.attempt == other.attempt
            && (self.job.is_some() || (self.subject == other.subject && self.at == other.at))
    }
}

/// The newest happenings, newest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Happenings {
    rows: VecDeque<Happening>,
}

impl Happenings {
    /// Newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Happening> {
        self.rows.iter()
    }

    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes one in, at its place; one that is known is left alone. Answers whether it is new.
    pub fn add(&mut self, happening: Happening) -> bool {
        if self.rows.iter().any(|known| known.is_same(&happening)) {
            return false;
        }
        let place = self
            .rows
            .iter()
            .position(|known| known.at <= happening.at)
            .unwrap_or(self.rows.len());
        self.rows.insert(place, happening);
        self.rows.truncate(KEPT);
        true
    }
}
