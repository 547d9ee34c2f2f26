//! The figures of the story, as both servers tell them.

use std::time::Duration;

use super::jobs::happenings;
use super::now;
use crate::model::figures::{Counts, LedgerFigures, QueueFigures};

/// What Valkey knows.
pub const fn queue() -> QueueFigures {
    QueueFigures {
        waiting: 128,
        pending: 14,
        parked: 2,
        dead_letters: 7,
        oldest_waiting: Some(Duration::from_secs(97)),
        next_retry: Some(Duration::from_millis(4_100)),
        paused: false,
    }
}

/// What Postgres knows.
pub fn ledger() -> LedgerFigures {
    LedgerFigures {
        counted_at: now(),
        counts: Counts {
            accepted: 640,
            scheduled: 0,
            waiting: 128,
            running: 12,
            retrying: 2,
            dead: 7,
            dropped: 0,
            cancelled: 1,
            done: 490,
        },
        oldest_waiting: Some(Duration::from_secs(97)),
        died_last_minute: 1,
        in_per_s: 0.1,
        out_per_s: 0.8,
        in_lately_per_s: 0.1,
        spent_usd: 9.41,
        tokens: 7_400_000,
        flow: Vec::new(),
        recent: happenings(),
    }
}
