//! The figures of the overview: Valkey's own, and those that Postgres counts in one snapshot.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::happening::Happening;
use super::history::Flow;

/// What Valkey knows about the queue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QueueFigures {
    /// Entries that nobody has read.
    pub waiting: u64,
    /// Entries that some consumer holds, parked ones included.
    pub pending: u64,
    /// Entries between two attempts.
    pub parked: u64,
    /// Dead letters in Valkey's stream.
    pub dead_letters: u64,
    /// Age of the oldest entry that nobody has read, by the server's clock.
    pub oldest_waiting: Option<Duration>,
    /// Until the next parked entry is due; zero when it is overdue.
    pub next_retry: Option<Duration>,
    /// Whether somebody paused the queue.
    pub paused: bool,
}

impl QueueFigures {
    /// Entries that a worker runs.
    pub const fn in_flight(&self) -> u64 {
        self.pending.saturating_sub(self.parked)
    }
}

/// How many jobs stand where, from one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All that were ever accepted.
    pub accepted: u64,
    /// Held until their time comes.
    pub scheduled: u64,
    /// Owed to or in the stream.
    pub waiting: u64,
    /// Running.
    pub running: u64,
    /// Between two attempts.
    pub retrying: u64,
    /// Given up.
    pub dead: u64,
    /// Dead and thrown away.
    pub dropped: u64,
    /// Called off.
    pub cancelled: u64,
    /// Finished.
    pub done: u64,
}

impl Counts {
    /// Whether every accepted job stands in exactly one state.
    pub const fn add_up(&self) -> bool {
        self.accepted
            == self.scheduled
                + self.waiting
                + self.running
                + self.retrying
                + self.dead
                + self.dropped
                + self.cancelled
                + self.done
    }
}

/// What Postgres knows about the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerFigures {
    /// Postgres's clock when it counted.
    pub counted_at: DateTime<Utc>,
    /// The counts.
    pub counts: Counts,
    /// Age of the oldest waiting job.
    pub oldest_waiting: Option<Duration>,
    /// Jobs that died in the last minute.
    pub died_last_minute: u64,
    /// Jobs accepted a second, over the last minute.
    pub in_per_s: f64,
    /// Jobs ended a second, over the last minute.
    pub out_per_s: f64,
    /// Jobs accepted a second of late: a burst that is over is in the count of what waits already.
    pub in_lately_per_s: f64,
    /// What all attempts cost, estimated.
    pub spent_usd: f64,
    /// Tokens of all attempts.
    pub tokens: u64,
    /// Arrivals and ends by the second, as far back as was asked for.
    pub flow: Vec<Flow>,
    /// What ended or failed last, newest first.
    pub recent: Vec<Happening>,
}

impl LedgerFigures {
    /// What a finished job cost on average.
    pub fn usd_per_job(&self) -> Option<f64> {
        let ended = self.counts.done + self.counts.dead;
        (ended > 0).then(|| self.spent_usd / ended as f64)
    }

    /// When the queue will be empty if it goes on as it does: out as over the last minute, in as of late.
    pub fn drains(&self) -> Drain {
        if self.counts.waiting == 0 {
            return Drain::Empty;
        }
        let net = self.out_per_s - self.in_lately_per_s;
        if net > 0.0 {
            Drain::In(super::time::seconds(self.counts.waiting as f64 / net))
        } else {
            Drain::Never
        }
    }
}

/// When a queue will be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drain {
    /// It is.
    Empty,
    /// After about this long.
    In(Duration),
    /// Not while more comes than goes.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_that_is_over_does_not_keep_the_queue_from_draining() {
        let mut ledger = LedgerFigures {
            counted_at: DateTime::UNIX_EPOCH,
            counts: Counts {
                accepted: 200,
                waiting: 100,
                ..Counts::default()
            },
            oldest_waiting: None,
            died_last_minute: 0,
            // The burst of 200 is in the last minute and not in the last seconds.
            in_per_s: 3.3,
            out_per_s: 1.0,
            in_lately_per_s: 0.0,
            spent_usd: 0.0,
            tokens: 0,
            flow: Vec::new(),
            recent: Vec::new(),
        };
        assert_eq!(ledger.drains(), Drain::In(Duration::from_secs(100)));
        ledger.in_lately_per_s = 1.0;
        assert_eq!(ledger.drains(), Drain::Never);
    }
}
