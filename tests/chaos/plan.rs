//! How much of everything a run has.

use std::time::Duration;

use super::weather::Fault;

/// Producers of a run.
pub const PRODUCERS: u64 = 3;
/// Workers that live at any time; who is killed is replaced.
pub const WORKERS: usize = 6;
/// How long a silent worker keeps its jobs; short, so that a freeze need not be long.
pub const VISIBILITY: Duration = Duration::from_secs(5);
/// How long a worker is frozen: longer than it keeps its jobs, with the seconds in which the loss is noticed.
pub const FREEZE: Duration = Duration::from_secs(9);
/// Who wakes up is let alone for so long: what it still writes is what a freeze is for.
pub const SPARED: Duration = Duration::from_secs(2);
/// A worker dies so often.
pub const KILL_EVERY: Duration = Duration::from_millis(300);
/// Of so many kills one comes with a freeze.
pub const FREEZE_EVERY: usize = 12;
/// How long a line stays cut.
pub const CUT: Duration = Duration::from_secs(10);

/// A run.
pub struct Plan {
    /// What each producer submits.
    pub jobs_each: u64,
    /// How often it submits one.
    pub submit_every: Duration,
    /// What happens to servers and lines, in any order.
    pub faults: Vec<Fault>,
    /// From the end of one fault to the next.
    pub breath: Duration,
}

impl Plan {
    /// What the suite can afford: every kind of fault once, with one of the lines.
    pub fn cut() -> Self {
        Self {
            jobs_each: 500,
            submit_every: Duration::from_millis(60),
            faults: vec![
                Fault::ValkeyCrash,
                Fault::ValkeyRestart,
                Fault::PostgresCrash,
                Fault::PostgresRestart,
                Fault::ValkeyCut,
            ],
            breath: Duration::from_secs(3),
        }
    }

    /// All of it.
    pub fn full() -> Self {
        let mut plan = Self::cut();
        plan.faults.push(Fault::PostgresCut);
        Self {
            jobs_each: 1_667,
            submit_every: Duration::from_millis(30),
            breath: Duration::from_secs(5),
            ..plan
        }
    }

    /// Jobs of all producers.
    pub fn jobs(&self) -> u64 {
        PRODUCERS * self.jobs_each
    }
}
