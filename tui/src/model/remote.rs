//! What a server told us, how old it is, and why it is not newer.
//!
//! A lost server never blanks a screen: the last good value stays, with its age and the reason.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::time::since;

/// A value that lives on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Remote<T> {
    /// It was asked for and has never been answered.
    Loading {
        /// When it was asked for first.
        since: DateTime<Utc>,
    },
    /// It is as new as it gets.
    Ready {
        /// The value.
        value: T,
        /// When it was answered.
        at: DateTime<Utc>,
    },
    /// It was good once, and the server does not answer any more.
    Stale {
        /// The last good value.
        value: T,
        /// When that was answered.
        at: DateTime<Utc>,
        /// Why there is none newer.
        why: Untrusted,
    },
    /// It has never been answered, and the last question failed.
    Failed {
        /// Why.
        why: Untrusted,
        /// When.
        at: DateTime<Utc>,
    },
}

impl<T> Remote<T> {
    /// It is asked for now.
    pub const fn asked(now: DateTime<Utc>) -> Self {
        Self::Loading { since: now }
    }

    /// It was answered now.
    pub const fn ready(value: T, now: DateTime<Utc>) -> Self {
        Self::Ready { value, at: now }
    }

    /// The last good value, however old.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Ready { value, .. } | Self::Stale { value, .. } => Some(value),
            Self::Loading { .. } | Self::Failed { .. } => None,
        }
    }

    /// The same, to be changed in place.
    pub const fn value_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Ready { value, .. } | Self::Stale { value, .. } => Some(value),
            Self::Loading { .. } | Self::Failed { .. } => None,
        }
    }

    /// The value, if it is new enough to compute a rate or a forecast from.
    pub const fn fresh(&self) -> Option<&T> {
        match self {
            Self::Ready { value, .. } => Some(value),
            _ => None,
        }
    }

    /// When the last good answer came.
    pub const fn at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Ready { at, .. } | Self::Stale { at, .. } => Some(*at),
            Self::Loading { .. } | Self::Failed { .. } => None,
        }
    }

    /// Since the last good answer.
    pub fn age(&self, now: DateTime<Utc>) -> Option<Duration> {
        match self {
            Self::Ready { at, .. } | Self::Stale { at, .. } => Some(since(*at, now)),
            Self::Loading { .. } | Self::Failed { .. } => None,
        }
    }

    /// Whether the value is old.
    pub const fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// Whether nothing was ever answered and nothing has failed.
    pub const fn is_loading(&self) -> bool {
        matches!(self, Self::Loading { .. })
    }

    /// Why there is no newer value, or none.
    pub const fn why(&self) -> Option<&Untrusted> {
        match self {
            Self::Stale { why, .. } | Self::Failed { why, .. } => Some(why),
            Self::Loading { .. } | Self::Ready { .. } => None,
        }
    }

    /// Takes an answer.
    pub fn receive(&mut self, value: T, now: DateTime<Utc>) {
        *self = Self::Ready { value, at: now };
    }

    /// Notes that the last answer still holds.
    pub fn confirm(&mut self, now: DateTime<Utc>) {
        let before = std::mem::replace(self, Self::Loading { since: now });
        *self = match before {
            Self::Ready { value, .. } | Self::Stale { value, .. } => Self::Ready { value, at: now },
            other => other,
        };
    }

    /// Notes that the question failed; a value that was good stays.
    pub fn fail(&mut self, reason: Untrusted, now: DateTime<Utc>) {
        let before = std::mem::replace(self, Self::Loading { since: now });
        *self = match before {
            Self::Ready { value, at } | Self::Stale { value, at, .. } => Self::Stale {
                value,
                at,
                why: reason,
            },
            Self::Loading { .. } | Self::Failed { .. } => Self::Failed { why: reason, at: now },
        };
    }

    /// Notes that no answer has come for longer than `limit`.
    pub fn outlive(&mut self, limit: Duration, now: DateTime<Utc>) {
        let silent = matches!(self, Self::Ready { at, .. } if since(*at, now) > limit);
        if silent {
            self.fail(Untrusted::new("no answer"), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn a_value_survives_its_server_and_recovers() {
        let mut remote = Remote::asked(at(0));
        remote.receive(7, at(1));
        remote.fail("refused".into(), at(5));
        assert_eq!(remote.value(), Some(&7));
        assert_eq!(remote.fresh(), None);
        assert_eq!(remote.age(at(13)), Some(Duration::from_secs(12)));
        remote.receive(8, at(20));
        assert_eq!(remote.fresh(), Some(&8));
    }

    #[test]
    fn silence_makes_a_value_stale_and_a_first_failure_is_told() {
        let mut remote = Remote::ready(7, at(0));
        remote.outlive(Duration::from_secs(3), at(3));
        assert!(!remote.is_stale());
        remote.outlive(Duration::from_secs(3), at(4));
        assert!(remote.is_stale());
        let mut never: Remote<u8> = Remote::asked(at(0));
        never.fail("refused".into(), at(1));
        assert!(matches!(never, Remote::Failed { .. }));
    }
}
