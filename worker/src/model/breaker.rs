//! Stops asking a provider that is down, and finds out when it is back.
//!
//! ```text
//! closed -- THRESHOLD outages in a row --> open, for a time that doubles with each failed probe
//!   ^                                        | the time is over
//!   +----------- the probe succeeds ------- probing: one request at a time
//! ```
//!
//! A rate limit closes the same door until its pause is over. While it is closed, jobs wait: they hold
//! no slot and lose no attempt. Everything here is told the time, so it can be tested without waiting.

use std::time::Duration;

use tokio::time::Instant;

/// Outages in a row that say more than bad luck: a step tries three times, so it takes two steps.
const THRESHOLD: u32 = 5;

/// How long the door stays shut at first; a restart of a gateway takes about as long.
const FIRST: Duration = Duration::from_secs(15);

/// How long it stays shut at the most, so that a provider that is back is used within minutes.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a probe may take before another one is let through.
const PROBE: Duration = Duration::from_secs(60);

/// How soon a job that came during the first probe asks again. During a later one it waits for as long as a probe may
/// take: a long outage must not use up the starts that a job has.
const SOON: Duration = Duration::from_secs(5);

/// The breaker of one provider.
#[derive(Debug, Default)]
pub struct Breaker {
    outages: u32,
    /// The door is shut until then.
    shut_until: Option<Instant>,
    /// How often in a row it was shut for an outage.
    shut: u32,
    /// When the probe that is under way began.
    probe: Option<Instant>,
    /// The provider limits the rate until then.
    limited_until: Option<Instant>,
    /// How often in a row a limit has outlasted the tries of a step, each after the pause of the one before.
    held: u32,
    /// Until when it is waited for that.
    held_until: Option<Instant>,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// It may.
    Open,
    /// Not before this long: the provider limits the rate.
    Limited(Duration),
    /// Not before this long: the provider is down.
    Shut(Duration),
}

impl Breaker {
    /// Asks for a request to be let through. One that is must be followed by [`Breaker::well`],
    /// [`Breaker::outage`] or [`Breaker::unclear`].
    pub fn ask(&mut self, now: Instant) -> Door {
        if let Some(until) = self.limited_until.filter(|until| *until > now) {
            return Door::Limited(until - now);
        }
        let Some(until) = self.shut_until else {
            return Door::Open;
        };
        if until > now {
            return Door::Shut(until - now);
        }
        match self.probe {
            Some(since) if now < since + PROBE => Door::Shut(if self.shut > 1 { PROBE } else { SOON }),
            _ => {
                self.probe = Some(now);
                Door::Open
            }
        }
    }

    /// The provider has answered.
    pub fn well(&mut self) {
        *self = Self {
            limited_until: self.limited_until,
            ..Self::default()
        };
    }

    /// The provider was not well.
    pub fn outage(&mut self, now: Instant) {
        self.outages = self.outages.saturating_add(1);
        if self.outages >= THRESHOLD || self.probe.is_some() {
            let time = FIRST.saturating_mul(1 << self.shut.min(8)).min(LONGEST);
            // What was under way when the door shut says nothing new.
            if self.shut_until.is_none_or(|until| until <= now) {
                self.shut_until = Some(now + time);
                self.shut += 1;
            }
            self.probe = None;
        }
    }

    /// A request ended in a way that says nothing about the provider, or was given up.
    pub fn unclear(&mut self) {
        self.probe = None;
    }

    /// A limit of the rate has outlasted the tries of a step: nothing is sent for a pause that doubles, until a request
    /// is answered again. Steps that end in the same pause are one.
    pub fn held(&mut self, now: Instant) -> Duration {
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            return until - now;
        }
        let pause = FIRST.saturating_mul(1 << self.held.min(8)).min(LONGEST);
        self.held = self.held.saturating_add(1);
        self.held_until = Some(now + pause);
        self.limit(now + pause);
        pause
    }

    /// The provider asks for a pause.
    pub fn limit(&mut self, until: Instant) {
        self.limited_until = self.limited_until.max(Some(until));
        self.probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..THRESHOLD {
            assert_eq!(breaker.ask(now), Door::Open);
            breaker.outage(now);
        }
        breaker
    }

    #[tokio::test]
    async fn enough_outages_in_a_row_shut_the_door_and_one_success_opens_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 1..THRESHOLD {
            breaker.outage(now);
        }
        breaker.well();
        breaker.outage(now);
        assert_eq!(breaker.ask(now), Door::Open);
        let mut breaker = broken(now);
        assert_eq!(breaker.ask(now), Door::Shut(FIRST));
        assert_eq!(breaker.ask(now + FIRST / 2), Door::Shut(FIRST / 2));
        assert_eq!(breaker.ask(now + FIRST), Door::Open);
        breaker.well();
        assert_eq!(breaker.ask(now + FIRST), Door::Open);
    }

    #[tokio::test]
    async fn one_request_probes_and_each_failed_probe_doubles_the_time() {
        let mut now = Instant::now();
        let mut breaker = broken(now);
        for seconds in [15, 30, 60, 120, 240, 300, 300] {
            let time = Duration::from_secs(seconds);
            assert_eq!(breaker.ask(now), Door::Shut(time));
            now += time;
            assert_eq!(breaker.ask(now), Door::Open);
            let soon = if seconds == 15 { SOON } else { PROBE };
            assert_eq!(breaker.ask(now), Door::Shut(soon));
            breaker.outage(now);
        }
        // A probe that nobody ends does not keep the door shut for ever.
        now += LONGEST;
        assert_eq!(breaker.ask(now), Door::Open);
        assert_eq!(breaker.ask(now + PROBE), Door::Open);
        // Nor one that was given up.
        breaker.unclear();
        assert_eq!(breaker.ask(now + PROBE), Door::Open);
    }

    #[tokio::test]
    async fn late_news_of_the_same_outage_do_not_lengthen_it() {
        let now = Instant::now();
        let mut breaker = broken(now);
        for _ in 0..10 {
            breaker.outage(now + FIRST / 3);
        }
        assert_eq!(breaker.ask(now), Door::Shut(FIRST));
    }

    #[tokio::test]
    async fn a_limit_that_outlasts_its_tries_is_waited_for_longer_each_time() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for seconds in [15, 30, 60, 120, 240, 300, 300] {
            let time = Duration::from_secs(seconds);
            assert_eq!(breaker.held(now), time);
            assert_eq!(breaker.ask(now), Door::Limited(time));
            assert_eq!(breaker.held(now + time / 3), time - time / 3, "the same pause");
            now += time;
            assert_eq!(breaker.ask(now), Door::Open);
        }
        breaker.well();
        assert_eq!(breaker.held(now), FIRST);
    }

    #[tokio::test]
    async fn a_rate_limit_shuts_the_door_for_its_pause_alone() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.limit(now + Duration::from_secs(40));
        breaker.limit(now + Duration::from_secs(20));
        breaker.well();
        assert_eq!(breaker.ask(now), Door::Limited(Duration::from_secs(40)));
        assert_eq!(breaker.ask(now + Duration::from_secs(40)), Door::Open);
    }
}
