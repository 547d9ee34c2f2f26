//! How fast one client may submit, or try tokens: a bucket for each, by the generic cell rate algorithm of `governor`.
//!
//! The buckets are this process's own: with several producers a client has one at each.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::Problem;

/// The IETF draft's name for what a client may do.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The IETF draft's name for what is left of it.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Buckets that are kept; full ones are forgotten first. A bucket is some hundred bytes.
const MOST_BUCKETS: usize = 50_000;
/// The bucket of everybody for whom there is no room for one of their own.
const SHARED: &str = "";

/// A bucket for each client.
#[derive(Debug)]
pub struct Limits {
    /// What the policy is called.
    policy: &'static str,
    /// What is counted, for people.
    counted: &'static str,
    rate: f64,
    burst: NonZeroU32,
    buckets: RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
}

/// What is left in a client's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    policy: &'static str,
    burst: u32,
    /// How many may come at once.
    remaining: u32,
    /// Until the bucket is full again.
    full_in: Duration,
    /// The time in which an empty bucket fills.
    window: Duration,
}

impl Limits {
    /// So many a second for each client, and so many at once; nothing when the rate is 0.
    #[must_use]
    pub fn new(policy: &'static str, counted: &'static str, per_second: u32, burst: u32) -> Option<Self> {
        let rate = f64::from(NonZeroU32::new(per_second)?.get());
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))?.allow_burst(burst);
        Some(Self {
            policy,
            counted,
            rate,
            burst,
            buckets: RateLimiter::hashmap(quota).with_middleware(),
            clock: DefaultClock::default(),
        })
    }

    /// Takes one token from a client's bucket.
    ///
    /// # Errors
    /// A 429 that says when the next token comes.
    pub fn take(&self, client: &str) -> Result<Left, Problem> {
        if self.buckets.len() >= MOST_BUCKETS {
            self.buckets.retain_recent();
        }
        let crowded = self.buckets.len() >= MOST_BUCKETS;
        let key = if crowded { SHARED } else { client };
        match self.buckets.check_key(&key.to_owned()) {
            Ok(state) => Ok(self.left(state.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let detail = format!(
                    "too many {}: {} a second, and {} at once, are what one client may send",
                    self.counted, self.rate, self.burst
                );
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, &detail).retry_after(wait);
                Err(self.left(0).name_on(problem))
            }
        }
    }

    fn left(&self, remaining: u32) -> Left {
        let missing = self.burst.get().saturating_sub(remaining);
        Left {
            policy: self.policy,
            burst: self.burst.get(),
            remaining,
            full_in: Duration::from_secs_f64(f64::from(missing) / self.rate),
            window: Duration::from_secs_f64(f64::from(self.burst.get()) / self.rate),
        }
    }
}

impl Left {
    /// The two headers that tell a client where it stands.
    #[must_use]
    pub fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        let policy = format!("\"{}\";q={};w={}", self.policy, self.burst, seconds(self.window));
        let left = format!(
            "\"{}\";r={};t={}",
            self.policy,
            self.remaining,
            seconds(self.full_in)
        );
        [(POLICY, value(policy)), (LIMIT, value(left))]
    }

    /// The same on a refusal.
    #[must_use]
    pub fn name_on(&self, problem: Problem) -> Problem {
        self.headers()
            .into_iter()
            .fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("figures and letters are visible ASCII")
}

/// Whole seconds, rounded up: a client that comes back too early would be refused again.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submissions(per_second: u32, burst: u32) -> Option<Limits> {
        Limits::new("submit", "submissions", per_second, burst)
    }

    #[test]
    fn a_client_has_a_burst_and_then_its_rate_and_others_have_theirs() {
        let limits = submissions(1, 3).expect("a rate");
        let left: Vec<u32> = (0..3)
            .map(|_| limits.take("ada").expect("in the burst").remaining)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limits.take("ada").expect_err("the bucket is empty");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.detail().contains("1 a second, and 3 at once"));
        assert_eq!(limits.take("bob").expect("his own bucket").remaining, 2);
    }

    #[test]
    fn headers_say_what_is_allowed_and_what_is_left() {
        let left = submissions(2, 5)
            .expect("a rate")
            .take("ada")
            .expect("one of five");
        let [policy, limit] = left.headers();
        assert_eq!(policy.1, "\"submit\";q=5;w=3");
        assert_eq!(limit.1, "\"submit\";r=4;t=1");
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(submissions(0, 10).is_none());
    }
}
