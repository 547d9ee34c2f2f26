//! A run: many dead jobs put back by one plan, at a pace; its name, its terms and its states.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The most jobs that a canary has.
pub const MOST_CANARY: u32 = 1_000;
/// The most jobs a second, and on their way at a time.
pub const MOST_AT_ONCE: u32 = 10_000;
/// The slowest pace: one job in a hundred seconds.
pub const SLOWEST: f64 = 0.01;

/// The number of a run, written `r-41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("r-{}", self.0))
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run is called `r-` and its number, like r-41")]
pub struct NotARun;

impl FromStr for RunId {
    type Err = NotARun;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("r-").unwrap_or(text);
        let right = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| right && *number > 0);
        number.map(Self).ok_or(NotARun)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It goes on, as long as somebody drives it.
    Running,
    /// An operator has halted it.
    Paused,
    /// It halted itself: its canary failed, or too many others did.
    Stopped,
    /// An operator has ended it before its time.
    Aborted,
    /// All of its list was put back or skipped.
    Done,
}

impl RunState {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Paused,
        Self::Stopped,
        Self::Aborted,
        Self::Done,
    ];

    /// The word in the database, in `--json` and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Aborted => "aborted",
            Self::Done => "done",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing makes it go on any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Aborted | Self::Done)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a run goes about its list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Terms {
    /// So many go first, alone; the rest follows when all of them are done, and not at all if one is not.
    pub canary: u32,
    /// Jobs a second; none means as fast as it goes.
    pub rate: Option<f64>,
    /// The most that are on their way at a time; none means all.
    pub in_flight: Option<u32>,
    /// The share of failures beyond which it stops; none means never.
    pub stop_over: Option<f64>,
}

impl Terms {
    /// What a person is offered for so many jobs: a canary, a slow pace, an eye on the failures.
    #[must_use]
    pub fn offered(jobs: usize) -> Self {
        let canary = match jobs {
            0..=1 => 0,
            2..=99 => 1,
            _ => 10,
        };
        Self {
            canary,
            rate: Some(2.0),
            in_flight: Some(4),
            stop_over: Some(0.2),
        }
    }

    /// All at once, and nobody looks at the results.
    pub const AT_ONCE: Self = Self {
        canary: 0,
        rate: None,
        in_flight: None,
        stop_over: None,
    };

    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// With the first that does not.
    pub fn check(&self) -> Result<(), NotTerms> {
        if self.canary > MOST_CANARY {
            return Err(NotTerms::Canary);
        }
        if self
            .rate
            .is_some_and(|rate| !(SLOWEST..=f64::from(MOST_AT_ONCE)).contains(&rate))
        {
            return Err(NotTerms::Rate);
        }
        if self
            .in_flight
            .is_some_and(|most| !(1..=MOST_AT_ONCE).contains(&most))
        {
            return Err(NotTerms::InFlight);
        }
        if self.stop_over.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(NotTerms::StopOver);
        }
        Ok(())
    }
}

/// Why a run cannot go about its list like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTerms {
    /// Too many.
    #[error("a canary has at most {MOST_CANARY} jobs")]
    Canary,
    /// Too slow, too fast, or no number.
    #[error("a pace is 0.01 to {MOST_AT_ONCE} jobs a second")]
    Rate,
    /// None, or too many.
    #[error("1 to {MOST_AT_ONCE} jobs can be on their way at a time")]
    InFlight,
    /// No share.
    #[error("a share of failures is 0 to 100 %")]
    StopOver,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_by_its_name_and_by_its_number() {
        assert_eq!("r-41".parse(), Ok(RunId(41)));
        assert_eq!("41".parse(), Ok(RunId(41)));
        for wrong in ["", "r-", "r--1", "r-0", "x-1", "+1", "99999999999999999999"] {
            assert_eq!(wrong.parse::<RunId>(), Err(NotARun), "{wrong}");
        }
        assert_eq!(RunId(41).to_string(), "r-41");
    }

    #[test]
    fn terms_have_bounds() {
        assert_eq!(Terms::offered(400).check(), Ok(()));
        assert_eq!(Terms::AT_ONCE.check(), Ok(()));
        let terms = Terms::AT_ONCE;
        let wrong = [
            (
                Terms {
                    canary: 1_001,
                    ..terms
                },
                NotTerms::Canary,
            ),
            (
                Terms {
                    rate: Some(0.0),
                    ..terms
                },
                NotTerms::Rate,
            ),
            (
                Terms {
                    rate: Some(f64::NAN),
                    ..terms
                },
                NotTerms::Rate,
            ),
            (
                Terms {
                    in_flight: Some(0),
                    ..terms
                },
                NotTerms::InFlight,
            ),
            (
                Terms {
                    stop_over: Some(1.1),
                    ..terms
                },
                NotTerms::StopOver,
            ),
        ];
        for (terms, why) in wrong {
            assert_eq!(terms.check(), Err(why));
        }
    }
}
