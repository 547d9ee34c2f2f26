//! What is wrong with a worker, and by which figures: it is lost, stuck, dear, or fails most of what it does.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::time::since;
use super::workers::{RunningJob, WorkerLine, WorkerState};

/// A run that takes so many times longer than 95 of 100 of its worker's is stuck, not slow.
const STUCK: u32 = 3;
/// Nothing is stuck before this: a worker of short jobs has a small percentile.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// A run that costs so many times more than is usual runs away.
const COSTLY: f64 = 5.0;
/// Below this nobody is woken for money.
const COSTLY_FROM: f64 = 0.01;
/// So many of the last minute's attempts must have ended before a share of them says anything.
const ENOUGH: usize = 4;

/// What is wrong, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// It has not been heard of for this long.
    Lost(Duration),
    /// A run takes far longer than is usual here.
    Stuck {
        /// How long.
        ran: Duration,
        /// How long 95 of 100 take.
        p95: Duration,
    },
    /// A run costs far more than is usual in this queue.
    Costly {
        /// So far.
        usd: f64,
        /// What an attempt costs in the middle.
        usual: f64,
    },
    /// Most of what it did in the last minute failed.
    Failing {
        /// Attempts that failed.
        failed: usize,
        /// Attempts that ended.
        of: usize,
    },
}

impl Trouble {
    /// Its place among others, the gravest first.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Lost(_) => 0,
            Self::Stuck { .. } => 1,
            Self::Costly { .. } => 2,
            Self::Failing { .. } => 3,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Stuck { .. } => "stuck",
            Self::Costly { .. } => "costly",
            Self::Failing { .. } => "failing",
        }
    }
}

impl WorkerLine {
    /// The gravest that is wrong with it, if anything is; `usual` is what an attempt costs in the middle.
    pub fn trouble(&self, now: DateTime<Utc>, usual: Option<f64>) -> Option<Trouble> {
        if self.state == WorkerState::Lost {
            return Some(Trouble::Lost(self.silence(now)));
        }
        self.stuck(now)
            .or_else(|| self.costly(usual?))
            .or_else(|| self.failing(now))
    }

    fn stuck(&self, now: DateTime<Utc>) -> Option<Trouble> {
        let p95 = self.p95?;
        let ran = since(self.longest()?.started_at, now);
        (ran >= STUCK_AFTER && ran > p95 * STUCK).then_some(Trouble::Stuck { ran, p95 })
    }

    /// The run of it that has cost most.
    pub fn dearest(&self) -> Option<&RunningJob> {
        self.jobs.iter().max_by(|a, b| a.cost_usd.total_cmp(&b.cost_usd))
    }

    fn costly(&self, usual: f64) -> Option<Trouble> {
        let usd = self.dearest()?.cost_usd;
        (usd >= COSTLY_FROM && usd > usual * COSTLY).then_some(Trouble::Costly { usd, usual })
    }

    fn failing(&self, now: DateTime<Utc>) -> Option<Trouble> {
        let minute_ago = now - chrono::TimeDelta::seconds(60);
        let ended = || {
            self.stretches
                .iter()
                .filter(|stretch| stretch.to.is_some_and(|end| end > minute_ago))
        };
        let (of, failed) = (ended().count(), ended().filter(|stretch| stretch.failed).count());
        (of >= ENOUGH && failed * 2 > of).then_some(Trouble::Failing { failed, of })
    }
}

/// What an attempt of the last minute cost in the middle; nothing when too few have ended.
pub fn usual_cost(rows: &[WorkerLine]) -> Option<f64> {
    let stretches = rows.iter().flat_map(|row| &row.stretches);
    let ended = stretches.filter(|stretch| stretch.to.is_some() && !stretch.failed);
    let mut costs: Vec<f64> = ended
        .map(|stretch| stretch.cost_usd)
        .filter(|usd| *usd > 0.0)
        .collect();
    if costs.len() < ENOUGH {
        return None;
    }
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_trouble_has_its_figures() {
        let rows = sample::story().workers.page.value().unwrap().rows.clone();
        let now = sample::now();
        let usual = usual_cost(&rows);
        assert!(usual.is_some_and(|usd| usd > 0.0));
        assert_eq!(rows[0].trouble(now, usual), None);
        assert!(matches!(rows[2].trouble(now, usual), Some(Trouble::Lost(_))));

        let mut stuck = rows[0].clone();
        stuck.p95 = Some(Duration::from_secs(7));
        assert!(matches!(stuck.trouble(now, usual), Some(Trouble::Stuck { p95, .. }) if p95.as_secs() == 7));
        stuck.p95 = Some(Duration::from_secs(8));
        assert_eq!(stuck.trouble(now, usual), None, "22.1 s is not three times 8 s");

        let mut costly = rows[0].clone();
        costly.jobs[1].cost_usd = usual.unwrap() * 6.0;
        assert!(matches!(costly.trouble(now, usual), Some(Trouble::Costly { .. })));
        assert_eq!(
            costly.trouble(now, None),
            None,
            "nothing is dear while nothing is usual"
        );

        let mut failing = rows[0].clone();
        for stretch in &mut failing.stretches {
            stretch.failed = true;
        }
        assert!(matches!(failing.trouble(now, usual), Some(Trouble::Failing { failed, of }) if failed == of));
    }

    #[test]
    fn a_fleet_that_does_not_fit_has_its_troubled_ones_on_top() {
        let model = sample::fleet();
        let troubled = |model: &crate::model::Model| {
            let page = model.workers.page.value().unwrap();
            let usual = usual_cost(&page.rows);
            let ranks = model.workers.wanted().into_iter().map(|name| {
                let row = page.find(&name).unwrap();
                row.trouble(sample::now(), usual).map_or(u8::MAX, Trouble::rank)
            });
            ranks.collect::<Vec<u8>>()
        };
        let ranks = troubled(&model);
        assert_eq!(ranks.len(), 200);
        assert!(
            ranks.is_sorted() && ranks[0] == 0 && ranks[199] == u8::MAX,
            "{ranks:?}"
        );
        assert_eq!(
            troubled(&sample::story()),
            [u8::MAX, u8::MAX, 0],
            "a few keep their places"
        );
    }
}
