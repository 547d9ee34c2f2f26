//! The operators' book: who did that, to what, and what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::list::List;
use super::remote::Remote;
use super::time::since;

/// The name of the fact that says why an action was wanted.
pub const REASON: &str = "reason";

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ended {
    /// It goes on.
    Running,
    /// Its end was never written down: whoever did it went away.
    Unheard,
    /// All of it was done.
    Done,
    /// Some of it was.
    Partly,
    /// None of it was.
    Refused,
}

impl Ended {
    /// The word beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unheard => "no end",
            Self::Done => "done",
            Self::Partly => "in part",
            Self::Refused => "refused",
        }
    }
}

/// An action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionLine {
    /// Its number.
    pub id: i64,
    /// When it was wanted.
    pub at: DateTime<Utc>,
    /// By whom.
    pub who: Untrusted,
    /// What was wanted.
    pub verb: Untrusted,
    /// Of what, in few words.
    pub to: Untrusted,
    /// How it ended.
    pub ended: Ended,
    /// When.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came of it, in few words.
    pub result: Untrusted,
    /// Jobs of it that can still be taken back.
    #[serde(default)]
    pub left: u64,
    /// Whether it was taken back already.
    #[serde(default)]
    pub undone: bool,
    /// What was wanted and what came of it, as the book has them.
    pub facts: Vec<(Untrusted, Untrusted)>,
}

impl ActionLine {
    /// Whether anything of it can come back.
    pub fn has_way_back(&self) -> bool {
        // What turned a switch has no jobs of its own.
        let is_switch = matches!(self.verb.raw(), "pause" | "resume" | "scale");
        self.left > 0 || (is_switch && self.ended == Ended::Done && !self.undone)
    }

    /// Why it was wanted, where somebody said so.
    pub fn reason(&self) -> Option<&Untrusted> {
        let mut facts = self.facts.iter();
        facts
            .find(|(name, _)| name.raw() == REASON)
            .map(|(_, value)| value)
    }

    /// How long it took.
    pub fn took(&self) -> Option<Duration> {
        self.ended_at.map(|ended| since(self.at, ended))
    }

    fn passes(&self, filter: &Filter) -> bool {
        let begins = |text: &str, start: &str| text.to_lowercase().starts_with(start);
        let text = format!(
            "{} {} {} {} {}",
            self.who.raw(),
            self.verb.raw(),
            self.to.raw(),
            self.ended.word(),
            self.result.raw()
        )
        .to_lowercase();
        filter.text.split_whitespace().all(|part| {
            let lower = part.to_lowercase();
            match lower.split_once(':') {
                Some(("who", word)) => self.who.raw().to_lowercase().contains(word),
                Some(("did" | "verb", word)) => begins(self.verb.raw(), word),
                Some(("result", word)) => begins(self.ended.word(), word),
                _ => text.contains(&lower),
            }
        })
    }
}

/// What Postgres answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ActivityPage {
    /// The newest actions, newest first.
    pub rows: Vec<ActionLine>,
    /// Whether there are older ones.
    pub more: bool,
}

/// The view: data, list, filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The data.
    pub page: Remote<ActivityPage>,
    /// Cursor, scroll.
    pub list: List<i64>,
    /// The filter.
    pub filter: Filter,
    /// How many rows are asked for: more when the cursor comes near the end.
    pub limit: u32,
}

impl Activity {
    /// Rows that are asked for at first, and added at a time.
    pub const STEP: u32 = 200;
    /// Never more than these.
    pub const MOST: u32 = 2_000;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            limit: Self::STEP,
        }
    }

    /// The row of a number.
    pub fn line(&self, id: i64) -> Option<&ActionLine> {
        self.page.value()?.rows.iter().find(|line| line.id == id)
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<&ActionLine> {
        self.line(self.list.cursor?)
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(&ActionLine, bool)> {
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|id| self.line(*id).map(|line| (line, self.list.cursor == Some(*id))))
            .collect()
    }

    /// The rows that pass the filter, newest first.
    pub fn wanted(&self) -> Vec<i64> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        rows.iter()
            .filter(|line| line.passes(&self.filter))
            .map(|line| line.id)
            .collect()
    }

    /// Near the end of the fetched rows more are asked for, up to a bound.
    pub fn follow(&mut self) {
        let more = self.page.value().is_some_and(|page| page.more);
        if more && self.list.at + 50 >= self.list.len() {
            self.limit = (self.limit + Self::STEP).min(Self::MOST);
        }
    }
}
