//! What a run does next: a pure decision from how far it got, what came of it, and how much time went by.

use std::time::Duration;

use crate::domain::Terms;
use crate::store::runs::RunCounts;

/// Jobs in one transaction: they are locked together, so not too many.
pub const BATCH: u32 = 200;
/// A share of failures is taken of at least so many: one failure of two tells nothing yet.
const JUDGED: u32 = 5;
/// How often a run that waits looks again, at the most and at the least.
pub const LOOK: Duration = Duration::from_millis(500);

/// What a run does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// So many jobs may go.
    Move(u32),
    /// Nothing, for this long.
    Wait(Duration),
    /// It halts, for this reason.
    Stop(String),
    /// Its list is at the end.
    Finish,
}

/// The jobs that the pace allows: it fills up with time, and holds one second's worth at the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance(f64);

impl Allowance {
    /// What a run begins with: its first job need not wait.
    pub const FIRST: Self = Self(1.0);

    /// Time goes by.
    pub fn fill(&mut self, rate: f64, time: Duration) {
        self.0 = (self.0 + rate * time.as_secs_f64()).min(rate.max(1.0));
    }

    /// Jobs have gone.
    pub fn spend(&mut self, jobs: u32) {
        self.0 -= f64::from(jobs);
    }

    fn whole(self) -> u32 {
        // Saturates: a negative allowance is none.
        self.0 as u32
    }

    fn until_one(self, rate: f64) -> Duration {
        Duration::from_secs_f64(((1.0 - self.0) / rate).clamp(0.0, 1.0))
    }
}

/// Decides.
#[must_use]
pub fn decide(terms: &Terms, counts: &RunCounts, allowance: Allowance) -> Next {
    if counts.planned == 0 {
        return Next::Finish;
    }
    let open = counts.wave_moved - (counts.wave_done + counts.wave_failed).min(counts.wave_moved);
    if terms.canary > 0 && counts.wave_moved <= terms.canary {
        if counts.wave_failed > 0 {
            let of = counts.wave_moved;
            return Next::Stop(format!(
                "the canary failed: {} of {of} did not end well",
                counts.wave_failed
            ));
        }
        if counts.wave_moved < terms.canary {
            return Next::Move((terms.canary - counts.wave_moved).min(BATCH));
        }
        if open > 0 {
            return Next::Wait(LOOK);
        }
    }
    let ended = counts.wave_done + counts.wave_failed;
    if let Some(share) = terms.stop_over
        && f64::from(counts.wave_failed) > share * f64::from(ended.max(JUDGED))
    {
        let percent = share * 100.0;
        let failed = counts.wave_failed;
        return Next::Stop(format!("{failed} of {ended} failed, more than {percent:.0} %"));
    }
    // Also what was put back before it last began anew may still be on its way.
    let on_their_way = counts.open().saturating_sub(counts.undone).max(open);
    let room = terms
        .in_flight
        .map_or(BATCH, |most| most.saturating_sub(on_their_way));
    if room == 0 {
        return Next::Wait(LOOK);
    }
    match terms.rate {
        None => Next::Move(room.min(BATCH)),
        Some(rate) => match allowance.whole().min(room).min(BATCH) {
            0 => Next::Wait(allowance.until_one(rate).min(LOOK)),
            jobs => Next::Move(jobs),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        canary: 2,
        rate: Some(2.0),
        in_flight: Some(4),
        stop_over: Some(0.2),
    };

    fn counts(planned: u32, moved: u32, done: u32, failed: u32) -> RunCounts {
        RunCounts {
            planned,
            requeued: moved,
            done,
            failed,
            wave_moved: moved,
            wave_done: done,
            wave_failed: failed,
            ..RunCounts::default()
        }
    }

    fn next(counts: &RunCounts) -> Next {
        decide(&TERMS, counts, Allowance(9.0))
    }

    #[test]
    fn a_canary_goes_alone_and_its_end_decides() {
        assert_eq!(next(&counts(9, 0, 0, 0)), Next::Move(2));
        // One of the list could not be put back any more: another takes its place.
        assert_eq!(next(&counts(8, 1, 1, 0)), Next::Move(1));
        assert_eq!(next(&counts(7, 2, 1, 0)), Next::Wait(LOOK));
        assert_eq!(next(&counts(7, 2, 2, 0)), Next::Move(4));
        assert!(matches!(next(&counts(7, 2, 1, 1)), Next::Stop(_)));
        assert!(matches!(next(&counts(8, 1, 0, 1)), Next::Stop(_)));
    }

    #[test]
    fn what_is_under_way_leaves_less_room() {
        assert_eq!(next(&counts(7, 6, 3, 0)), Next::Move(1));
        assert_eq!(next(&counts(7, 6, 2, 0)), Next::Wait(LOOK));
        assert_eq!(next(&counts(0, 6, 2, 0)), Next::Finish);
        // Resumed with three on their way from before: they take their places too.
        let resumed = RunCounts {
            requeued: 6,
            done: 3,
            wave_moved: 2,
            wave_done: 2,
            ..counts(7, 0, 0, 0)
        };
        assert_eq!(next(&resumed), Next::Move(1));
    }

    #[test]
    fn too_many_failures_halt_it_and_a_single_one_does_not() {
        assert_eq!(next(&counts(7, 4, 3, 1)), Next::Move(4));
        assert!(matches!(next(&counts(7, 4, 2, 2)), Next::Stop(_)));
        assert_eq!(next(&counts(7, 10, 8, 2)), Next::Move(4));
        assert!(matches!(next(&counts(7, 10, 7, 3)), Next::Stop(_)));
        let never = Terms {
            stop_over: None,
            ..TERMS
        };
        assert_eq!(
            decide(&never, &counts(7, 10, 0, 10), Allowance(9.0)),
            Next::Move(4)
        );
        let strict = Terms {
            stop_over: Some(0.0),
            ..TERMS
        };
        assert!(matches!(
            decide(&strict, &counts(7, 10, 9, 1), Allowance(9.0)),
            Next::Stop(_)
        ));
    }

    #[test]
    fn the_pace_holds_over_any_stretch_of_time() {
        let terms = Terms {
            canary: 0,
            in_flight: None,
            ..TERMS
        };
        let (mut allowance, mut gone) = (Allowance::FIRST, 0);
        for _ in 0..1_000 {
            match decide(&terms, &counts(5_000, gone, gone, 0), allowance) {
                Next::Move(jobs) => {
                    allowance.spend(jobs);
                    gone += jobs;
                }
                Next::Wait(time) => assert!(time <= LOOK && !time.is_zero()),
                other => panic!("{other:?}"),
            }
            allowance.fill(2.0, Duration::from_millis(100));
        }
        assert!((199..=202).contains(&gone), "100 s at 2 a second: {gone}");
        // Nothing is saved up beyond a second.
        allowance.fill(2.0, Duration::from_secs(3_600));
        assert_eq!(allowance.whole(), 2);
    }

    proptest::proptest! {
        #[test]
        fn a_run_never_waits_for_nothing(
            planned in 1_u32..50, moved in 0_u32..50, done in 0_u32..50, failed in 0_u32..50,
            canary in 0_u32..5, most in proptest::option::of(1_u32..9),
        ) {
            // Something ends it, or lets it move, as soon as nothing is on its way.
            let (done, failed) = (done.min(moved), failed.min(moved - done.min(moved)));
            let terms = Terms { canary, in_flight: most, ..TERMS };
            if done + failed == moved {
                let next = decide(&terms, &counts(planned, moved, done, failed), Allowance(1.0));
                proptest::prop_assert!(!matches!(next, Next::Wait(_)), "{:?}", next);
            }
        }
    }
}
