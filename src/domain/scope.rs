//! What somebody may do over HTTP.

use std::fmt;
use std::str::FromStr;

/// One thing that somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// See which reviews there are, where they stand and how they ended, and nothing that may quote what is reviewed.
    /// Every token may.
    Look,
    /// See everything: diffs in spans, findings, reasons.
    Read,
    /// Submit.
    Submit,
    /// Cancel and retry.
    Operate,
}

impl Scope {
    /// Those that a token is given, in the order in which they are shown.
    pub const GIVEN: [Self; 3] = [Self::Read, Self::Submit, Self::Operate];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operate => "operate",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Look => 1,
            Self::Read => 2,
            Self::Submit => 4,
            Self::Operate => 8,
        }
    }
}

/// The word names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such scope: `{0}`; there are read, submit, operate")]
pub struct NotAScope(String);

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(word: &str) -> Result<Self, NotAScope> {
        Self::GIVEN
            .into_iter()
            .find(|scope| scope.word() == word)
            .ok_or_else(|| NotAScope(crate::untrusted::one_line(word, 40)))
    }
}

/// What somebody may do, altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// These, and to look, as every token may.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        let given = scopes
            .iter()
            .fold(Scope::Look.bit(), |bits, scope| bits | scope.bit());
        Self(given)
    }

    /// Whether this is one of them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words of those that were given.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let given = Scope::GIVEN.into_iter().filter(|scope| self.has(*scope));
        given.map(Scope::word).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.words().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_hold_what_was_given_and_no_more() {
        let some = Scopes::of(&[Scope::Submit, Scope::Read]);
        assert_eq!(some.to_string(), "read,submit");
        assert!(some.has(Scope::Look) && some.has(Scope::Submit) && !some.has(Scope::Operate));
        assert!(!Scopes::NONE.has(Scope::Look));
        assert_eq!(Scopes::of(&Scope::GIVEN), Scopes::ALL);
        assert_eq!(some.and(Scopes::of(&[Scope::Operate])), Scopes::ALL);
    }

    #[test]
    fn only_words_that_can_be_given_are_read() {
        assert_eq!("operate".parse(), Ok(Scope::Operate));
        for wrong in ["", "Read", "look", "admin"] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }
}
