//! The one place of the core that asks for the time of day.
//!
//! Everything that decides with a time gets it as an argument, so a test can move it.

use chrono::{DateTime, SubsecRound, Utc};

/// Now, in whole microseconds: what Postgres keeps, so a time read back is the time written.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that the others are given"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
