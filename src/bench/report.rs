//! What a run comes to: medians over its rounds.

use serde::Serialize;

use super::backlog::Backlog;
use super::cell::{Measured, Mode};
use super::endurance::Memory;
use super::pickup::Pickup;
use super::{Plan, enqueue};

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The raw limit: one connection, nothing promised.
    pub raw_jobs_per_s: f64,
    /// Each cell.
    pub results: Vec<Cell>,
    /// Accepting in batches of a hundred.
    pub enqueue: Enqueue,
    /// Jobs in a cell without the ledger.
    pub jobs: usize,
    /// How often each was measured.
    pub rounds: usize,
    /// How long an entry waits for an idle worker, if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pickup: Option<Pickup>,
    /// What a process keeps in memory, if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// A long pending list, if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    #[serde(skip)]
    raw: Vec<f64>,
    #[serde(skip)]
    samples: Vec<(Mode, usize, f64, Measured, Option<Measured>)>,
    #[serde(skip)]
    accepted: Vec<enqueue::Measured>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// `queue` or `ledger`.
    pub mode: &'static str,
    /// Slots of the worker.
    pub concurrency: usize,
    /// Jobs a second.
    pub engine_jobs_per_s: f64,
    /// Of the raw limit that was measured right before it.
    pub ratio: f64,
    /// Valkey's processor time for each job, in microseconds.
    pub server_cpu_us_per_job: f64,
    /// Trips to Valkey for each job.
    pub round_trips_per_job: f64,
    /// Jobs a second with the servers further away, if that was asked for, of the figure without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distant_ratio: Option<f64>,
}

/// Accepting in batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Enqueue {
    /// By a bare pipeline.
    pub raw_jobs_per_s: f64,
    /// By the queue alone.
    pub queue_jobs_per_s: f64,
    /// Of the bare pipeline.
    pub queue_ratio: f64,
    /// With the rows.
    pub ledger_jobs_per_s: f64,
    /// Of the bare pipeline.
    pub ledger_ratio: f64,
}

impl Report {
    /// An empty one.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            raw_jobs_per_s: 0.0,
            results: Vec::new(),
            enqueue: Enqueue::default(),
            jobs: plan.jobs,
            rounds: plan.rounds,
            pickup: None,
            memory: None,
            backlog: None,
            raw: Vec::new(),
            samples: Vec::new(),
            accepted: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        mode: Mode,
        concurrency: usize,
        raw: f64,
        measured: Measured,
        distant: Option<Measured>,
    ) {
        self.raw.push(raw);
        self.samples.push((mode, concurrency, raw, measured, distant));
        self.raw_jobs_per_s = median(self.raw.iter().copied());
        let of_cell: Vec<_> = self
            .samples
            .iter()
            .filter(|sample| (sample.0, sample.1) == (mode, concurrency))
            .collect();
        let of_near = |sample: &&(_, _, _, Measured, Option<Measured>)| {
            sample.4.map(|far| far.jobs_per_s / sample.3.jobs_per_s)
        };
        let distant: Vec<f64> = of_cell.iter().filter_map(of_near).collect();
        let cell = Cell {
            distant_ratio: (!distant.is_empty()).then(|| median(distant.into_iter())),
            mode: mode.word(),
            concurrency,
            engine_jobs_per_s: median(of_cell.iter().map(|sample| sample.3.jobs_per_s)),
            ratio: median(of_cell.iter().map(|sample| sample.3.jobs_per_s / sample.2)),
            server_cpu_us_per_job: median(of_cell.iter().map(|sample| sample.3.cpu_us)),
            round_trips_per_job: median(of_cell.iter().map(|sample| sample.3.trips)),
        };
        let same = |known: &&mut Cell| (known.mode, known.concurrency) == (cell.mode, cell.concurrency);
        match self.results.iter_mut().find(same) {
            Some(known) => *known = cell,
            None => self.results.push(cell),
        }
    }

    pub(super) fn add_enqueue(&mut self, measured: enqueue::Measured) {
        self.accepted.push(measured);
        let all = |pick: fn(&enqueue::Measured) -> f64| median(self.accepted.iter().map(pick));
        self.enqueue = Enqueue {
            raw_jobs_per_s: all(|one| one.raw),
            queue_jobs_per_s: all(|one| one.queue),
            queue_ratio: all(|one| one.queue / one.raw),
            ledger_jobs_per_s: all(|one| one.ledger),
            ledger_ratio: all(|one| one.ledger / one.raw),
        };
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Part;
    use super::*;

    #[test]
    fn a_cell_is_the_median_of_its_rounds_and_its_ratio_that_of_its_pairs() {
        let plan = Plan {
            valkey: String::new(),
            database: String::new(),
            concurrency: vec![10],
            modes: vec![Mode::Queue],
            jobs: 1,
            rounds: 3,
            parts: Part::ALL.to_vec(),
            distance: None,
            pickups: 1,
            idle: Duration::ZERO,
            memory_jobs: 1,
            pending: 1,
        };
        let mut report = Report::new(&plan);
        for (raw, jobs_per_s) in [(100.0, 50.0), (10.0, 8.0), (100.0, 70.0)] {
            let measured = Measured {
                jobs_per_s,
                cpu_us: 1.0,
                trips: 0.5,
            };
            report.add(
                Mode::Queue,
                10,
                raw,
                measured,
                Some(Measured {
                    jobs_per_s: jobs_per_s / 2.0,
                    ..measured
                }),
            );
        }
        assert_eq!(report.results.len(), 1);
        let cell = &report.results[0];
        assert_eq!((cell.engine_jobs_per_s, cell.ratio), (50.0, 0.7));
        assert_eq!(cell.distant_ratio, Some(0.5));
        assert_eq!(report.raw_jobs_per_s, 100.0);
    }
}
