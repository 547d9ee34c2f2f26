//! Which failure is followed by what.

use crate::backoff::Backoff;
use crate::domain::{Failure, PARKED_AT_MOST, Retry};
use crate::store::Next;

/// Starts after which a job that waits is given up: about a day of the longest waits. Nothing waits for ever.
pub const STARTS_AT_MOST: u32 = 300;

/// The rules for retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// Failed attempts before a job is dead.
    pub max_attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
}

impl RetryRules {
    /// What follows the failure of the `start`th start, after `failures` earlier failures; `draw` is uniform in
    /// `0.0..1.0`.
    #[must_use]
    pub fn next(&self, failure: &Failure, failures: u32, start: u32, draw: f64) -> Next {
        let spent = match failure.retry {
            Retry::Wait(_) => start >= STARTS_AT_MOST,
            Retry::Never => true,
            Retry::Later | Retry::After(_) => failures.saturating_add(1) >= self.max_attempts,
        };
        if spent {
            return Next::Bury;
        }
        let backoff = self.backoff.wait(failures.saturating_add(1), draw);
        let wait = match failure.retry {
            // A server said how long; jitter on top keeps a fleet from coming back as one.
            Retry::After(pause) => pause.saturating_add(backoff),
            Retry::Wait(pause) => pause.saturating_add(pause.mul_f64(draw / 4.0)),
            Retry::Later | Retry::Never => backoff,
        };
        if wait > PARKED_AT_MOST {
            Next::Schedule(wait)
        } else {
            Next::Retry(wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::FailureClass;

    const RULES: RetryRules = RetryRules {
        max_attempts: 3,
        backoff: Backoff {
            first: Duration::from_secs(1),
            most: Duration::from_secs(300),
        },
    };

    fn passing() -> Failure {
        Failure::passing(FailureClass::Model, "503")
    }

    #[test]
    fn a_passing_failure_is_retried_with_growing_waits_until_the_last_attempt() {
        assert_eq!(
            RULES.next(&passing(), 0, 1, 1.0),
            Next::Retry(Duration::from_secs(1))
        );
        assert_eq!(
            RULES.next(&passing(), 1, 2, 1.0),
            Next::Retry(Duration::from_secs(2))
        );
        assert_eq!(RULES.next(&passing(), 2, 3, 1.0), Next::Bury);
    }

    #[test]
    fn a_lasting_failure_is_buried_at_once() {
        let failure = Failure::lasting(FailureClass::Input, "no such pull request");
        assert_eq!(RULES.next(&failure, 0, 1, 0.5), Next::Bury);
    }

    #[test]
    fn a_long_pause_is_held_in_postgres() {
        let failure = passing().not_before(Duration::from_secs(3_600));
        assert_eq!(
            RULES.next(&failure, 0, 1, 0.0),
            Next::Schedule(Duration::from_secs(3_600))
        );
        let failure = passing().not_before(Duration::from_secs(60));
        assert_eq!(
            RULES.next(&failure, 0, 1, 0.0),
            Next::Retry(Duration::from_secs(60))
        );
    }
    #[test]
    fn a_wait_is_no_failed_attempt_and_ends_some_day() {
        let failure = Failure::waiting(FailureClass::Model, "away", Duration::from_secs(40));
        assert!(!failure.counts() && passing().counts());
        assert_eq!(
            RULES.next(&failure, 2, 299, 0.0),
            Next::Retry(Duration::from_secs(40))
        );
        assert_eq!(
            RULES.next(&failure, 0, 1, 1.0),
            Next::Retry(Duration::from_secs(50))
        );
        assert_eq!(RULES.next(&failure, 0, 300, 0.0), Next::Bury);
    }
}
