//! What an operator wrote down in Valkey while Postgres was away: an intent, or what came of one.

use serde_json::Value;
use uuid::Uuid;

/// Which half of an action a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlassHalf {
    /// What is wanted.
    Intent,
    /// What came of it.
    Outcome,
}

impl GlassHalf {
    /// The word in the note.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }

    /// The half of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Intent, Self::Outcome]
            .into_iter()
            .find(|half| half.word() == word)
    }
}

/// A note, by which the book is written later, once.
#[derive(Debug, Clone, PartialEq)]
pub struct GlassNote {
    /// The same for both halves of an action, and for no other.
    pub token: Uuid,
    /// Which half.
    pub half: GlassHalf,
    /// What it says.
    pub body: Value,
}
