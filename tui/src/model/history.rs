//! The last minutes by the second: what the charts are drawn from.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Ten minutes: as far as the widest chart goes back.
pub const KEPT_SECONDS: usize = 600;
/// Marks beyond these are dropped, the oldest first.
const KEPT_MARKS: usize = 64;

/// Arrivals and ends of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// The second, in Unix time.
    pub second: i64,
    /// Jobs accepted.
    pub accepted: u32,
    /// Jobs ended, well or badly.
    pub ended: u32,
}

/// One second of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Point {
    /// The second, in Unix time.
    pub second: i64,
    /// Jobs that waited; nothing when nobody looked.
    pub waiting: Option<u64>,
    /// Jobs accepted.
    pub accepted: u32,
    /// Jobs ended.
    pub ended: u32,
    /// Slots that workers offered; nothing when nobody looked.
    pub slots: Option<u32>,
}

/// What a mark on the time axis tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkKind {
    /// A worker joined.
    Joined,
    /// A worker left in order.
    Left,
    /// A worker was lost.
    Lost,
    /// Many jobs came at once.
    Burst,
}

/// A mark on the time axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeMark {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: MarkKind,
    /// The worker's short name, or the count of a burst.
    pub label: Untrusted,
}

/// The last minutes, oldest second first, without gaps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    points: VecDeque<Point>,
    marks: VecDeque<TimeMark>,
}

impl History {
    /// The seconds, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.points.iter()
    }

    /// The marks, oldest first.
    pub fn marks(&self) -> impl DoubleEndedIterator<Item = &TimeMark> + ExactSizeIterator {
        self.marks.iter()
    }

    /// The last `seconds` up to `now` in `columns` equal columns, oldest first; a column without a
    /// known second is none.
    pub fn columns(
        &self,
        now: DateTime<Utc>,
        seconds: u32,
        columns: usize,
        pick: impl Fn(&Point) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let start = now.timestamp() - i64::from(seconds) + 1;
        let mut sums = vec![(0.0, 0_u32); columns];
        for point in self.points.iter().filter(|point| point.second >= start) {
            let nth = (point.second - start) as usize * columns / seconds.max(1) as usize;
            if let (Some(sum), Some(value)) = (sums.get_mut(nth), pick(point)) {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
        sums.into_iter()
            .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
            .collect()
    }

    /// Takes what a server counted by the second; a second counted twice is the newer count.
    pub fn take_flow(&mut self, flow: &[Flow], until: DateTime<Utc>) {
        for second in flow {
            if let Some(point) = self.point(second.second) {
                point.accepted = second.accepted;
                point.ended = second.ended;
            }
        }
        // Seconds in which nothing happened are no rows of the answer.
        let _reached = self.point(until.timestamp());
    }

    /// Notes how many jobs wait now. The past before the first look follows from what came and went.
    pub fn take_waiting(&mut self, waiting: u64, now: DateTime<Utc>) {
        let first_look = self.points.iter().all(|point| point.waiting.is_none());
        if let Some(point) = self.point(now.timestamp()) {
            point.waiting = Some(waiting);
        }
        if first_look {
            self.reckon_back(waiting);
        }
    }

    /// Notes how many slots there are now.
    pub fn take_slots(&mut self, slots: u32, now: DateTime<Utc>) {
        if let Some(point) = self.point(now.timestamp()) {
            point.slots = Some(slots);
        }
    }

    /// Adds a mark, unless the same one is there.
    pub fn mark(&mut self, mark: TimeMark) {
        if self.marks.contains(&mark) {
            return;
        }
        self.marks.push_back(mark);
        while self.marks.len() > KEPT_MARKS {
            self.marks.pop_front();
        }
    }

    /// Adds a mark whose label may still grow: the one of the same instant and kind is replaced.
    pub fn mark_once(&mut self, mark: TimeMark) {
        match self
            .marks
            .iter_mut()
            .find(|known| known.at == mark.at && known.kind == mark.kind)
        {
            Some(known) => *known = mark,
            None => self.mark(mark),
        }
    }

    fn reckon_back(&mut self, waiting: u64) {
        let mut level = waiting;
        for point in self.points.iter_mut().rev().skip(1) {
            point.waiting = Some(level);
            level = (level + u64::from(point.ended)).saturating_sub(u64::from(point.accepted));
        }
    }

    /// The point of a second, made with all seconds before it; nothing for one that is too old.
    fn point(&mut self, second: i64) -> Option<&mut Point> {
        let oldest = match self.points.front() {
            Some(first) => first.second,
            None => {
                self.points.push_back(Point {
                    second,
                    ..Point::default()
                });
                second
            }
        };
        let newest = self.points.back().map_or(second, |last| last.second);
        if second > newest + KEPT_SECONDS as i64 {
            self.points.clear();
            return self.point(second);
        }
        for missing in newest + 1..=second {
            self.points.push_back(Point {
                second: missing,
                ..Point::default()
            });
        }
        for missing in (second.max(newest - KEPT_SECONDS as i64 + 1)..oldest).rev() {
            self.points.push_front(Point {
                second: missing,
                ..Point::default()
            });
        }
        while self.points.len() > KEPT_SECONDS {
            self.points.pop_front();
        }
        let first = self.points.front()?.second;
        usize::try_from(second - first)
            .ok()
            .and_then(|nth| self.points.get_mut(nth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn flow(second: i64, accepted: u32, ended: u32) -> Flow {
        Flow {
            second,
            accepted,
            ended,
        }
    }

    #[test]
    fn seconds_have_no_gaps_and_old_ones_go() {
        let mut history = History::default();
        history.take_flow(&[flow(100, 1, 0), flow(98, 2, 0)], at(105));
        let seconds: Vec<i64> = history.points().map(|point| point.second).collect();
        assert_eq!(seconds, (98..=105).collect::<Vec<_>>());
        history.take_waiting(3, at(5_000));
        assert_eq!(history.points().len(), 1);
        history.take_flow(&[flow(10, 1, 0)], at(5_001));
        assert!(history.points().len() <= KEPT_SECONDS);
    }

    #[test]
    fn what_waited_before_the_first_look_follows_from_the_flow() {
        let mut history = History::default();
        history.take_flow(&[flow(10, 0, 0), flow(11, 5, 1), flow(12, 0, 2)], at(12));
        history.take_waiting(7, at(13));
        let waiting: Vec<Option<u64>> = history.points().map(|point| point.waiting).collect();
        assert_eq!(waiting, [Some(5), Some(9), Some(7), Some(7)]);
    }

    #[test]
    fn columns_are_means_and_unknown_ones_are_none() {
        let mut history = History::default();
        history.take_flow(&[flow(8, 4, 0), flow(9, 2, 0)], at(9));
        let columns = history.columns(at(9), 4, 2, |point| Some(f64::from(point.accepted)));
        assert_eq!(columns, [None, Some(3.0)]);
    }
}
