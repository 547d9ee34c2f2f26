//! The message of the moment, on the rule above the footer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// How long a message stays.
const STAYS: Duration = Duration::from_secs(6);

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// It was done.
    Good,
    /// It is only told.
    Plain,
    /// It was refused or did not work.
    Bad,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The text.
    pub text: Untrusted,
    /// How it is meant.
    pub tone: Tone,
    /// When it goes.
    pub until: DateTime<Utc>,
}

impl Notice {
    /// A message from now on.
    pub fn new(tone: Tone, text: impl Into<String>, now: DateTime<Utc>) -> Self {
        Self {
            text: Untrusted::new(text),
            tone,
            until: now + STAYS,
        }
    }
}
