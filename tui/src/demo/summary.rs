//! What a demo comes to: counts from one Postgres snapshot, which must add up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::store::Store;
use serde::Serialize;

use crate::failure::Failure;

/// The narrowest terminal that is usual has one column more.
const LONGEST_LINE: usize = 79;

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

    /// The counts for a person, in lines that fit a terminal of 80 columns.
    pub fn in_words(&self) -> Vec<String> {
        let first = self
            .first_review_s
            .map_or_else(|| "none".to_owned(), |s| format!("after {s:.1} s"));
        let mut lines = self.sum();
        lines.push(format!(
            "findings {}   spans {}   first review {first}   {:.1} s in all",
            self.findings, self.spans, self.wall_s
        ));
        lines
    }

    /// `accepted 104 = waiting 8 + done 96   the sum is right`: states in which no job stands are left out.
    fn sum(&self) -> Vec<String> {
        let states = [
            ("scheduled", self.scheduled),
            ("waiting", self.waiting),
            ("running", self.running),
            ("retrying", self.retrying),
            ("dead", self.dead),
            ("dropped", self.dropped),
            ("cancelled", self.cancelled),
            ("done", self.done),
        ];
        let mut lines = Vec::new();
        let mut line = format!("accepted {} =", self.accepted);
        let mut sign = "";
        for (state, count) in states.into_iter().filter(|(_, count)| *count > 0) {
            push(&mut lines, &mut line, &format!("{sign} {state} {count}"));
            sign = " +";
        }
        if sign.is_empty() {
            line.push_str(" 0");
        }
        let verdict = if self.adds_up {
            "   the sum is right"
        } else {
            "   THE SUM IS WRONG"
        };
        push(&mut lines, &mut line, verdict);
        lines.push(line);
        lines
    }
}

/// Adds words to a line, or begins the next one with them.
fn push(lines: &mut Vec<String>, line: &mut String, words: &str) {
    if line.len() + words.len() > LONGEST_LINE {
        lines.push(std::mem::replace(line, "  ".to_owned()));
    }
    line.push_str(words);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Summary = Summary {
        accepted: 104,
        scheduled: 0,
        waiting: 8,
        running: 0,
        retrying: 0,
        dead: 0,
        dropped: 0,
        cancelled: 0,
        done: 96,
        findings: 438,
        spans: 990,
        first_review_s: Some(3.442),
        wall_s: 21.07,
        adds_up: true,
    };

    #[test]
    fn a_usual_demo_is_told_in_two_lines() {
        let told = [
            "accepted 104 = waiting 8 + done 96   the sum is right",
            "findings 438   spans 990   first review after 3.4 s   21.1 s in all",
        ];
        assert_eq!(SMALL.in_words(), told);
    }

    #[test]
    fn no_line_is_longer_than_a_terminal() {
        let large = Summary {
            accepted: 8_000_000,
            scheduled: 1_000_000,
            running: 1_000_000,
            retrying: 1_000_000,
            dead: 1_000_000,
            dropped: 1_000_000,
            cancelled: 1_000_000,
            adds_up: false,
            ..SMALL
        };
        let told = large.in_words();
        assert!(told.iter().all(|line| line.len() <= LONGEST_LINE), "{told:#?}");
        assert_eq!(told.concat().matches(" + ").count(), 7);
    }
}
