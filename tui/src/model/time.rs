//! Times between two instants, which are never negative here.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// From one time to a later one; nothing when it is not later, as with clocks that disagree.
pub fn since(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or(Duration::ZERO)
}

/// Seconds of a server as a duration; a negative or impossible number is none at all.
pub fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::ZERO)
}
