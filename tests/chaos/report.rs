//! What a run came to: a line, a row of a table, and what is wrong with it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::Fleet;
use super::weather::{Fault, Passed};

/// What a run came to.
pub struct Report {
    pub seed: u64,
    pub jobs: usize,
    pub dead: i64,
    pub lost: usize,
    pub twice: usize,
    pub kills: usize,
    pub freezes: usize,
    pub starts: usize,
    /// Starts beyond the first of each job and those that a failure asked for.
    pub started_again: usize,
    pub letters_twice: u64,
    /// Webhooks that were taken.
    pub told: usize,
    /// How often one was taken once more.
    pub told_again: usize,
    /// From a kill to the start elsewhere, in seconds, shortest first.
    pub restarts: Vec<f64>,
    pub storm: Vec<Passed>,
    /// From the end of a fault.
    pub recoveries: Vec<(Fault, Recovery)>,
    pub began: Instant,
    /// Until no job was on its way any more.
    pub through: Duration,
    /// Until nothing was left.
    pub took: Duration,
    pub complaints: Vec<String>,
    /// The folder with logs and notes, and that of the servers, when something is wrong.
    pub evidence: Option<(PathBuf, PathBuf)>,
}

/// How long it took after a fault, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// Until a job was done that was started since.
    pub first: Option<f64>,
    /// Until all were started again that were on their way when it was over.
    pub all: Option<f64>,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", one_place(self.first), one_place(self.all))
    }
}

impl Report {
    /// A run whose weather is over.
    pub fn new(seed: u64, began: Instant, fleet: &Fleet<'_>, storm: Vec<Passed>) -> Self {
        Self {
            seed,
            jobs: 0,
            dead: 0,
            lost: 0,
            twice: 0,
            kills: fleet.killed.len(),
            freezes: fleet.freezes,
            starts: 0,
            started_again: 0,
            letters_twice: 0,
            told: 0,
            told_again: 0,
            restarts: Vec::new(),
            storm,
            recoveries: Vec::new(),
            began,
            through: Duration::ZERO,
            took: Duration::ZERO,
            complaints: Vec::new(),
            evidence: None,
        }
    }

    /// Something is wrong.
    pub fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    /// Fails when something is wrong.
    pub fn check(&self) {
        let seed = self.seed;
        assert!(
            self.complaints.is_empty(),
            "the run with CHAOS_SEED={seed} left {:?} and does not hold:\n{}",
            self.evidence,
            self.complaints.join("\n")
        );
    }

    /// The run in one line.
    pub fn line(&self) -> String {
        let recoveries: Vec<String> = self
            .recoveries
            .iter()
            .map(|(fault, recovery)| format!("{} {recovery}", fault.words()))
            .collect();
        format!(
            "chaos: seed {}: {} jobs, lost {}, recorded twice {}; {} kills, {} freezes, {} starts of which {} again, \
             {} letters twice; {} webhooks told, {} times again; elsewhere after {} s at the median, {} s at the longest; the first done / the last started after, in s: {}; \
             through after {:.0} s, gone after {:.0} s{}",
            self.seed,
            self.jobs,
            self.lost,
            self.twice,
            self.kills,
            self.freezes,
            self.starts,
            self.started_again,
            self.letters_twice,
            self.told,
            self.told_again,
            one_place(self.median()),
            one_place(self.restarts.last().copied()),
            recoveries.join(", "),
            self.through.as_secs_f64(),
            self.took.as_secs_f64(),
            self.complaints
                .iter()
                .map(|what| format!("; {what}"))
                .collect::<String>(),
        )
    }

    fn median(&self) -> Option<f64> {
        self.restarts.get(self.restarts.len() / 2).copied()
    }

    fn row(&self) -> String {
        let after = |fault: Fault| {
            let found = self.recoveries.iter().find(|(passed, _)| *passed == fault);
            found.map_or_else(|| one_place(None), |(_, recovery)| recovery.to_string())
        };
        let cells = [
            self.seed.to_string(),
            self.jobs.to_string(),
            self.lost.to_string(),
            self.twice.to_string(),
            self.kills.to_string(),
            self.freezes.to_string(),
            self.started_again.to_string(),
            format!(
                "{} / {}",
                one_place(self.median()),
                one_place(self.restarts.last().copied())
            ),
        ];
        let cells = cells.into_iter().chain(Fault::ALL.map(after));
        let through = format!("{:.0}", self.through.as_secs_f64());
        format!("| {} |", cells.chain([through]).collect::<Vec<_>>().join(" | "))
    }
}

/// The runs as a table for docs/delivery.md; times are in seconds.
pub fn table(reports: &[Report]) -> String {
    let names = [
        "seed",
        "jobs",
        "lost",
        "recorded twice",
        "kills",
        "freezes",
        "started again",
        "elsewhere, median / longest",
    ];
    let names: Vec<&str> = names
        .into_iter()
        .chain(Fault::ALL.map(Fault::words))
        .chain(["all done"])
        .collect();
    let mut lines = vec![
        format!("| {} |", names.join(" | ")),
        format!("|{}", "---|".repeat(names.len())),
    ];
    lines.extend(reports.iter().map(Report::row));
    lines.join("\n")
}

fn one_place(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"))
}
