//! How far the clocks of workers are from the servers', as far as a trace shows it.
//!
//! Attempts are begun and ended by Postgres's clock, spans by their worker's. A span lies within its attempt, so one
//! that sticks out tells how far the worker's clock is off at least. Nothing is moved for it unless a person asks.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::SpanId;

use super::trace::{SpanLine, TraceFacts};
use super::workers::WorkerName;

/// Clocks are read and written in milliseconds: what differs by less does not differ.
const SAME: TimeDelta = TimeDelta::milliseconds(2);

/// How far a worker's clock is ahead of the servers' at least; it is behind when that is negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skew {
    /// Whose.
    pub worker: WorkerName,
    /// How far.
    pub ahead: TimeDelta,
}

/// On which side a span sticks out of the one that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// It began before.
    Before,
    /// It began within it and ended after it.
    After,
}

/// What a worker's clock can be ahead at least and at most.
#[derive(Clone, Copy)]
struct Bounds {
    least: TimeDelta,
    most: TimeDelta,
}

impl Bounds {
    /// The smallest error that explains all spans.
    fn ahead(self) -> TimeDelta {
        if self.least > self.most {
            // No one error explains all of them: the clock was set meanwhile.
            return (self.least + self.most) / 2;
        }
        TimeDelta::zero().clamp(self.least, self.most)
    }
}

impl TraceFacts {
    /// The workers whose clocks are off.
    pub fn skews(&self, now: DateTime<Utc>) -> Vec<Skew> {
        let mut by_worker: BTreeMap<&WorkerName, Bounds> = BTreeMap::new();
        for attempt in &self.attempts {
            let spans = || {
                self.spans
                    .iter()
                    .filter(|span| span.attempt == attempt.number && !span.kept)
            };
            let Some(first) = spans().map(|span| span.started_at).min() else {
                continue;
            };
            let last = spans().map(|span| span.ended_at.unwrap_or(span.started_at)).max();
            let least = last.unwrap_or(first) - attempt.ended_at.unwrap_or(now);
            let most = first - attempt.started_at;
            by_worker
                .entry(&attempt.worker)
                .and_modify(|bounds| {
                    bounds.least = bounds.least.max(least);
                    bounds.most = bounds.most.min(most);
                })
                .or_insert(Bounds { least, most });
        }
        let skews = by_worker.into_iter().map(|(worker, bounds)| Skew {
            worker: worker.clone(),
            ahead: bounds.ahead(),
        });
        skews.filter(|skew| skew.ahead.abs() > SAME).collect()
    }

    /// How far the clock of an attempt's worker is ahead.
    pub fn ahead(&self, attempt: u32, now: DateTime<Utc>) -> TimeDelta {
        let worker = self.attempt(attempt).map(|attempt| &attempt.worker);
        let skews = self.skews(now);
        let of_worker = skews.into_iter().find(|skew| Some(&skew.worker) == worker);
        of_worker.map_or_else(TimeDelta::zero, |skew| skew.ahead)
    }

    /// Whether any span sticks out of the one that it is part of.
    pub fn has_outside(&self) -> bool {
        let by_id: HashMap<SpanId, &SpanLine> = self.spans.iter().map(|span| (span.id, span)).collect();
        let is_outside = |span: &SpanLine| Self::sticks_out(span, by_id.get(&span.parent?)?);
        self.spans.iter().any(|span| is_outside(span).is_some())
    }

    /// Whether a span sticks out of the one that it is part of.
    pub fn outside(&self, span: &SpanLine) -> Option<Outside> {
        Self::sticks_out(span, self.span(span.parent?)?)
    }

    fn sticks_out(span: &SpanLine, parent: &SpanLine) -> Option<Outside> {
        if parent.started_at - span.started_at > SAME {
            return Some(Outside::Before);
        }
        let (ended, parents_end) = (span.ended_at?, parent.ended_at?);
        // A tool begins when the turn that called it has ended: it follows its parent and is not part of it.
        let follows = span.started_at + SAME >= parents_end;
        (ended - parents_end > SAME && !follows).then_some(Outside::After)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(seconds: f64, attempt: u32) -> TraceFacts {
        let mut facts = crate::sample::trace().trace.known().unwrap().clone();
        let by = TimeDelta::milliseconds((seconds * 1000.0) as i64);
        for span in facts.spans.iter_mut().filter(|span| span.attempt == attempt) {
            span.started_at += by;
            span.ended_at = span.ended_at.map(|at| at + by);
        }
        facts
    }

    #[test]
    fn a_clock_is_off_by_as_much_as_spans_stick_out_of_their_attempt() {
        let now = crate::sample::now();
        assert_eq!(shifted(0.0, 1).skews(now), []);
        // The first try began 61.1 s ago and its first span 61.0 s ago.
        let behind = shifted(-2.1, 1).skews(now);
        assert_eq!(behind.len(), 1);
        assert_eq!(
            (behind[0].worker.short().as_str(), behind[0].ahead),
            ("w-91bc", TimeDelta::seconds(-2))
        );
        let ahead = shifted(3.0, 1).skews(now);
        assert_eq!(ahead[0].ahead, TimeDelta::seconds(3));
        // The second one runs still: no span of it can have ended in the time to come.
        let running = shifted(60.0, 2);
        assert_eq!(running.ahead(2, now), TimeDelta::milliseconds(52_200));
        assert_eq!(running.ahead(1, now), TimeDelta::zero());
    }

    #[test]
    fn a_span_that_sticks_out_of_its_parent_is_told() {
        let mut facts = shifted(0.0, 2);
        let child = facts.spans.iter().position(|span| span.parent.is_some()).unwrap();
        assert_eq!(facts.outside(&facts.spans[child]), None);
        facts.spans[child].started_at -= TimeDelta::seconds(1);
        assert_eq!(facts.outside(&facts.spans[child]), Some(Outside::Before));
        facts.spans[child].started_at += TimeDelta::seconds(1);
        facts.spans[child].ended_at = facts.spans[child].ended_at.map(|at| at + TimeDelta::seconds(1));
        assert_eq!(facts.outside(&facts.spans[child]), Some(Outside::After));
        let tool = facts.span(crate::sample::contrast_span()).unwrap();
        assert_eq!(
            facts.outside(tool),
            None,
            "a tool follows the turn that called it"
        );
    }
}
