//! The first screen: the figures of both servers side by side, each with its own age.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::figures::{LedgerFigures, QueueFigures};
use super::need::Need;
use super::remote::Remote;
use super::view::Size;

/// The view: what Valkey knows, what Postgres knows, what needs a person.
///
/// The lanes are the rows of [`super::workers::Workers`], the charts are [`super::history::History`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Valkey's figures.
    pub queue: Remote<QueueFigures>,
    /// Postgres's figures.
    pub ledger: Remote<LedgerFigures>,
    /// What needs a person, gravest first.
    pub needs: Vec<Need>,
    /// Jobs ended a second before a worker was lost, while that matters.
    pub out_before_loss: Option<f64>,
}

impl Overview {
    /// The view before its first answer.
    pub const fn new(now: DateTime<Utc>) -> Self {
        Self {
            queue: Remote::asked(now),
            ledger: Remote::asked(now),
            needs: Vec::new(),
            out_before_loss: None,
        }
    }
}

/// How many lanes the overview has room for.
pub fn worker_rows(size: Size) -> usize {
    match size.height {
        0..16 => 3,
        16..30 => 3,
        height => usize::from(height - 30).max(3),
    }
}
