//! Why an attempt failed, and whether another one can help.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kind of a failure, by which dead letters are grouped and filters ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The input itself is wrong: no such pull request, no patch in it.
    Input,
    /// GitHub did not answer as it should.
    Github,
    /// The model did not answer as it should.
    Model,
    /// The job used up what it may spend.
    Budget,
    /// The attempt ran longer than it may.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The worker vanished while it ran the job.
    Crash,
    /// A server of ours was away.
    Store,
    /// The entry in the stream cannot be read.
    Unreadable,
    /// An operator gave the job up.
    Operator,
    /// The receiver of a webhook did not take it.
    Webhook,
    /// Anything else.
    Other,
}

impl FailureClass {
    /// The word in the database and in `--json`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Github => "github",
            Self::Model => "model",
            Self::Budget => "budget",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::Crash => "crash",
            Self::Store => "store",
            Self::Unreadable => "unreadable",
            Self::Operator => "operator",
            Self::Webhook => "webhook",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How long an entry is parked for at the most. A longer wait is held in Postgres alone: a parked entry has to be
/// renewed all the while.
pub const PARKED_AT_MOST: Duration = Duration::from_secs(300);

/// Whether and when another attempt is worth its cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Try again after the usual back-off.
    Later,
    /// Try again, but not before this long: a server said so.
    After(Duration),
    /// Nothing is wrong with the job: what it needs is away. Wait this long, and count no failed attempt.
    Wait(Duration),
    /// It cannot heal: bury the job at once.
    Never,
}

/// What a handler answers when it could not finish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub class: FailureClass,
    /// One line for people.
    pub message: String,
    /// Whether another attempt can help.
    pub retry: Retry,
}

impl Failure {
    /// A failure that another attempt may heal.
    pub fn passing(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry: Retry::Later,
        }
    }

    /// A failure that no attempt can heal.
    pub fn lasting(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry: Retry::Never,
        }
    }

    /// Something that the job needs is away; it waits, and no failed attempt is counted.
    pub fn waiting(class: FailureClass, message: impl Into<String>, pause: Duration) -> Self {
        Self {
            class,
            message: message.into(),
            retry: Retry::Wait(pause),
        }
    }

    /// Whether it counts towards the attempts that a job has: a crash is counted apart, a wait not at all.
    #[must_use]
    pub const fn counts(&self) -> bool {
        !matches!(self.class, FailureClass::Crash) && !matches!(self.retry, Retry::Wait(_))
    }

    /// The same failure, not to be tried again before `pause` has passed.
    #[must_use]
    pub fn not_before(mut self, pause: Duration) -> Self {
        self.retry = Retry::After(pause);
        self
    }
}
