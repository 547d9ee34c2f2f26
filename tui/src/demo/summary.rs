//! What a demo comes to: counts from one Postgres snapshot, which must add up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::store::Store;
use serde::Serialize;

use crate::failure::Failure;

/// The counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    accepted: i64,
    scheduled: i64,
    waiting: i64,
    running: i64,
    retrying: i64,
    dead: i64,
    dropped: i64,
    cancelled: i64,
    done: i64,
    findings: i64,
    spans: i64,
    /// From the demo's first instant to the first recorded review; nothing if there was none.
    first_review_s: Option<f64>,
    wall_s: f64,
    #[serde(skip)]
    adds_up: bool,
}

impl Summary {
    /// Counts.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn count(
        store: &Store,
        queue: &str,
        started_at: DateTime<Utc>,
        wall: Duration,
    ) -> Result<Self, Failure> {
        let counts = store.counts(queue).await?;
        let totals = store.totals(queue).await?;
        let first = store.first_result_since(queue, started_at).await?;
        let millis = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        Ok(Self {
            adds_up: counts.add_up(),
            accepted: counts.accepted,
            scheduled: counts.scheduled,
            waiting: counts.waiting,
            running: counts.running,
            retrying: counts.retrying,
            dead: counts.dead,
            dropped: counts.dropped,
            cancelled: counts.cancelled,
            done: counts.done,
            findings: totals.findings,
            spans: totals.spans,
            first_review_s: first.map(|at| millis((at - started_at).as_seconds_f64())),
            wall_s: millis(wall.as_secs_f64()),
        })
    }

    /// Whether every accepted job stands in exactly one state.
    pub const fn adds_up(&self) -> bool {
        self.adds_up
    }

    /// The counts for a person.
    pub fn in_words(&self) -> Vec<String> {
        let sum = if self.adds_up {
            "the sum is right"
        } else {
            "THE SUM IS WRONG"
        };
        let first = self
            .first_review_s
            .map_or_else(|| "none".to_owned(), |s| format!("after {s:.1} s"));
        vec![
            format!(
                "accepted {} = scheduled {} + waiting {} + running {} + retrying {} + dead {} + dropped {} + cancelled {} + done {}   {sum}",
                self.accepted,
                self.scheduled,
                self.waiting,
                self.running,
                self.retrying,
                self.dead,
                self.dropped,
                self.cancelled,
                self.done
            ),
            format!(
                "findings {}   spans {}   first review {first}   {:.1} s in all",
                self.findings, self.spans, self.wall_s
            ),
        ]
    }
}
