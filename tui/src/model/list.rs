//! A list that a person moves in: the cursor holds a row's id, never its number.
//!
//! Rows come and go under the cursor and it stays on its row, on the same line of the screen. Rows are put
//! into a new order only while the cursor is at the top; else the order waits for `g`. Until somebody moves it,
//! and after `g`, the cursor follows the top: a list that is only watched shows the newest row.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A list of rows with the id `K`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List<K: Ord> {
    /// The row under the cursor; nothing while the list is empty.
    pub cursor: Option<K>,
    /// Where that row stood last: where the cursor goes when the row is gone.
    pub at: usize,
    /// Nobody has moved the cursor away from the top: it stays there, whichever row that is.
    pub follows_top: bool,
    /// The first row on the screen.
    pub offset: usize,
    /// The rows in the order in which they are shown.
    pub order: Vec<K>,
    /// Rows that have come and wait for the cursor to be at the top.
    pub waiting: usize,
    /// Rows that were marked.
    pub marks: BTreeSet<K>,
}

impl<K: Ord> Default for List<K> {
    fn default() -> Self {
        Self {
            cursor: None,
            at: 0,
            follows_top: true,
            offset: 0,
            order: Vec::new(),
            waiting: 0,
            marks: BTreeSet::new(),
        }
    }
}

/// A step of the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// So many rows down, or up when negative.
    By(i32),
    /// So many pages down, or up when negative.
    Page(i32),
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

impl<K: Ord + Clone + Hash> List<K> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The number of the row under the cursor.
    pub fn position(&self) -> Option<usize> {
        let cursor = self.cursor.as_ref()?;
        // It is nearly always where it was.
        if self.order.get(self.at) == Some(cursor) {
            return Some(self.at);
        }
        self.order.iter().position(|row| row == cursor)
    }

    /// Whether the cursor is at the top, where rows may be put into a new order.
    pub fn is_at_top(&self) -> bool {
        self.position().unwrap_or(0) == 0
    }

    /// The rows that `height` lines show, with the cursor's row among them.
    pub fn window(&self, height: usize) -> Range<usize> {
        let len = self.order.len();
        let height = height.min(len);
        let furthest = len - height;
        let mut start = self.offset.min(furthest);
        if let Some(cursor) = self.position().filter(|_| height > 0) {
            start = start.clamp((cursor + 1).saturating_sub(height), cursor);
        }
        start..start + height
    }

    /// Takes the rows as they are now, in the order in which they should be shown.
    ///
    /// While the cursor is at the top they are shown so. Else the rows that are shown keep their places, those
    /// that are gone leave, and new ones wait behind them in the count of [`List::waiting`].
    pub fn arrange(&mut self, wanted: &[K], height: usize) {
        if self.is_at_top() || self.order.is_empty() {
            self.order = wanted.to_vec();
            self.waiting = 0;
        } else {
            self.keep_places(wanted);
        }
        self.settle(height);
    }

    /// The same with the order taken at once, as after `g`, another filter or another sort.
    pub fn rearrange(&mut self, wanted: &[K], height: usize) {
        self.order = wanted.to_vec();
        self.waiting = 0;
        self.settle(height);
    }

    fn keep_places(&mut self, wanted: &[K]) {
        let there: HashSet<&K> = wanted.iter().collect();
        let before = self.position().unwrap_or(0);
        let left_above = self.order[..before]
            .iter()
            .filter(|row| !there.contains(row))
            .count();
        self.order.retain(|row| there.contains(row));
        self.at = before - left_above;
        self.offset = self.offset.saturating_sub(left_above);
        let shown: HashMap<&K, usize> = self.order.iter().zip(0..).collect();
        let last = wanted.iter().rposition(|row| shown.contains_key(row));
        // What comes behind the last known row can be appended without moving anything.
        let behind = last.map_or(0, |nth| nth + 1);
        self.waiting = wanted[..behind]
            .iter()
            .filter(|row| !shown.contains_key(row))
            .count();
        let appended: Vec<K> = wanted[behind..].to_vec();
        self.order.extend(appended);
    }

    /// Puts cursor, offset and marks right after rows have changed.
    fn settle(&mut self, height: usize) {
        if self.follows_top {
            self.cursor = self.order.first().cloned();
            self.at = 0;
        }
        match self.position() {
            Some(nth) => self.at = nth,
            None => {
                self.at = self.at.min(self.order.len().saturating_sub(1));
                self.cursor = self.order.get(self.at).cloned();
            }
        }
        self.offset = self.window(height).start;
        let there: HashSet<&K> = self.order.iter().collect();
        self.marks.retain(|mark| there.contains(mark));
    }

    /// Moves the cursor, and the screen after it.
    pub fn step(&mut self, step: Step, height: usize) {
        let last = self.order.len().saturating_sub(1);
        let here = self.position().unwrap_or(self.at.min(last));
        let page = i64::try_from(height.saturating_sub(1).max(1)).unwrap_or(1);
        let by = |rows: i64| usize::try_from((here as i64).saturating_add(rows).max(0)).unwrap_or(0);
        let there = match step {
            Step::By(rows) => by(i64::from(rows)),
            Step::Page(pages) => by(i64::from(pages) * page),
            Step::First => 0,
            Step::Last => last,
        };
        self.follows_top = step == Step::First;
        self.at = there.min(last);
        self.cursor = self.order.get(self.at).cloned();
        self.offset = self.window(height).start;
    }

    /// Puts the cursor on a row, if it is there.
    pub fn select(&mut self, row: &K, height: usize) {
        if let Some(nth) = self.order.iter().position(|known| known == row) {
            self.follows_top = false;
            self.at = nth;
            self.cursor = Some(row.clone());
            self.offset = self.window(height).start;
        }
    }

    /// Marks the row under the cursor, or takes its mark away.
    pub fn toggle_mark(&mut self) {
        if let Some(row) = self.cursor.clone()
            && !self.marks.remove(&row)
        {
            self.marks.insert(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(rows: &[u32]) -> List<u32> {
        let mut list = List::default();
        list.rearrange(rows, 3);
        list
    }

    #[test]
    fn rows_that_arrive_leave_the_cursor_on_its_row_and_line() {
        let mut list = list(&[10, 9, 8, 7, 6, 5]);
        list.step(Step::By(4), 3);
        assert_eq!((list.cursor, list.offset), (Some(6), 2));
        list.arrange(&[12, 11, 10, 9, 8, 7, 6, 5, 4], 3);
        assert_eq!((list.cursor, list.offset, list.waiting), (Some(6), 2, 2));
        assert_eq!(list.order, [10, 9, 8, 7, 6, 5, 4]);
        list.step(Step::First, 3);
        list.arrange(&[12, 11, 10, 9, 8], 3);
        assert_eq!(list.order, [12, 11, 10, 9, 8]);
        assert_eq!(list.cursor, Some(12), "after g it follows the top");
    }

    #[test]
    fn a_row_that_leaves_hands_the_cursor_to_the_row_in_its_place() {
        let mut list = list(&[5, 4, 3, 2, 1]);
        list.step(Step::By(2), 5);
        list.arrange(&[5, 4, 2, 1], 5);
        assert_eq!((list.cursor, list.at), (Some(2), 2));
        list.arrange(&[], 5);
        assert_eq!((list.cursor, list.offset), (None, 0));
    }

    proptest! {
        #[test]
        fn the_cursor_is_always_on_a_row_and_on_the_screen(
            changes in prop::collection::vec((prop::collection::vec(0_u32..40, 0..30), -9..9_i32, 0_usize..12), 1..20)
        ) {
            let mut list = List::default();
            for (mut rows, step, height) in changes {
                rows.sort_unstable();
                rows.dedup();
                list.arrange(&rows, height);
                list.step(Step::By(step), height);
                prop_assert_eq!(list.cursor.is_some(), !list.is_empty());
                let window = list.window(height);
                prop_assert!(window.end <= list.len());
                if let Some(nth) = list.position() {
                    prop_assert!(height == 0 || window.contains(&nth));
                }
            }
        }
    }
}
