//! How long to wait before the next attempt: exponential, capped, with full jitter.
//!
//! Full jitter (a uniform draw between nothing and the cap of that attempt) spreads a burst of
//! failures best: see the AWS Architecture Blog, "Exponential Backoff And Jitter".

use std::time::Duration;

/// The shape of the waits between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that the first retry waits.
    pub first: Duration,
    /// The most that any retry waits.
    pub most: Duration,
}

impl Backoff {
    /// The longest wait after `failures` failed attempts.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The wait after `failures` failed attempts; `draw` is uniform in `0.0..1.0`.
    #[must_use]
    pub fn wait(&self, failures: u32, draw: f64) -> Duration {
        self.ceiling(failures).mul_f64(draw.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_secs(300),
    };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let seconds: Vec<u64> = (1..=11).map(|n| USUAL.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_over_its_ceiling(failures: u32, draw in 0.0f64..1.0) {
            prop_assert!(USUAL.wait(failures, draw) <= USUAL.ceiling(failures));
        }
    }
}
