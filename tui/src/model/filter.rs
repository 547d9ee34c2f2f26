//! What is typed behind `/`: words, and qualifiers such as `status:dead class:timeout worker:w-7`.

use millstream::domain::JobState;
use serde::{Deserialize, Serialize};

/// A filter as typed, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// As typed.
    pub text: String,
}

/// What a filter asks for; every part must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// One of these states, when any is named.
    pub states: Vec<JobState>,
    /// A failure class that begins so.
    pub class: Option<String>,
    /// A worker whose id begins so.
    pub worker: Option<String>,
    /// A verdict that begins so.
    pub verdict: Option<String>,
    /// A job id that begins so.
    pub id: Option<String>,
    /// Words that the input, the id or the error holds.
    pub words: Vec<String>,
}

impl Filter {
    /// A filter of that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// What it means. A qualifier that is not known is an ordinary word.
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for part in self.text.split_whitespace() {
            let lower = part.to_lowercase();
            match lower.split_once(':') {
                Some(("status" | "state", word)) => asked.states.extend(states(word)),
                Some(("class" | "error", word)) => asked.class = Some(word.to_owned()),
                Some(("worker" | "consumer", word)) => asked.worker = Some(word.to_owned()),
                Some(("verdict", word)) => asked.verdict = Some(word.to_owned()),
                Some(("id" | "job", word)) => asked.id = Some(word.to_owned()),
                _ => asked.words.push(lower),
            }
        }
        asked
    }
}

/// All states whose word begins so: while it is typed, the list narrows.
fn states(word: &str) -> Vec<JobState> {
    JobState::ALL
        .into_iter()
        .filter(|state| state.word().starts_with(word))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualifiers_are_told_from_words() {
        let asked = Filter::new("status:de class:timeout acme/ledger#7 patch:0a").asked();
        assert_eq!(asked.states, [JobState::Dead]);
        assert_eq!(asked.class.as_deref(), Some("timeout"));
        assert_eq!(asked.words, ["acme/ledger#7", "patch:0a"]);
    }
}
