//! The pending list: who holds what, and is it stuck? A window of rows, read where the cursor is.
//!
//! The list may have a million rows. The window moves with the cursor: [`Pending::follow`] says from where on rows
//! are to be read when the cursor comes near an edge behind which there are more.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{EntryId, JobId, Lane};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::jobs::short_input;
use super::list::{List, Step};
use super::remote::Remote;
use super::workers::WorkerName;

/// An entry on one of the queue's streams, in the order in which they are listed.
pub type PendingKey = (EntryId, Lane);

/// Where the window begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Place {
    /// At the first entry.
    #[default]
    First,
    /// At this entry.
    At(EntryId),
    /// It ends before this entry.
    Before(EntryId),
    /// It ends with the last one.
    Last,
}

/// How an entry stands with whoever holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hold {
    /// Its consumer is not heard of any more.
    Lost,
    /// Its consumer lives, and does not renew it.
    Stuck,
    /// Parked, and its time has come.
    Due,
    /// Parked until its next attempt.
    Retrying,
    /// Its consumer has no heartbeat of ours: a reference worker, or somebody's hand.
    Foreign,
    /// Its consumer renews it.
    Running,
}

impl Hold {
    /// All of them, the gravest first.
    pub const ALL: [Self; 6] = [
        Self::Lost,
        Self::Stuck,
        Self::Due,
        Self::Retrying,
        Self::Foreign,
        Self::Running,
    ];

    /// The word beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Stuck => "stuck",
            Self::Due => "due",
            Self::Retrying => "retrying",
            Self::Foreign => "foreign",
            Self::Running => "running",
        }
    }
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Its fields.
    There {
        /// Names and values, as far as they were kept; what is not UTF-8 is escaped.
        fields: Vec<(Untrusted, Untrusted)>,
        /// The bytes of all of them.
        bytes: u64,
    },
    /// It was deleted while it was pending.
    Gone,
    /// It was not read with the others.
    Unread,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingLine {
    /// Its id.
    pub entry: EntryId,
    /// Its stream.
    pub lane: Lane,
    /// How it stands.
    pub hold: Hold,
    /// The job it carries.
    pub job: Option<JobId>,
    /// What that works on.
    pub input: Option<Untrusted>,
    /// Who holds it; nothing when it is parked.
    pub worker: Option<WorkerName>,
    /// Since its last delivery or renewal, by the server's clock.
    pub idle: Duration,
    /// Since its consumer's last heartbeat.
    pub silence: Option<Duration>,
    /// How often the server has delivered it.
    pub reads: u64,
    /// How often its job was started; nothing while Postgres does not say.
    pub attempt: Option<u32>,
    /// How often it may be.
    pub attempts_allowed: u32,
    /// Until its lease ends, of one that a consumer holds.
    pub lease: Option<Duration>,
    /// Until it is due, of one that is parked.
    pub due_in: Option<Duration>,
    /// What it holds.
    pub payload: Payload,
}

impl PendingLine {
    /// What it is known by.
    pub const fn key(&self) -> PendingKey {
        (self.entry, self.lane)
    }

    fn passes(&self, asked: &Asked) -> bool {
        let begins = |text: &str, start: &str| text.to_lowercase().starts_with(start);
        let worker = self.worker.as_ref().map_or("", WorkerName::raw);
        let job = self.job.map_or_else(String::new, |job| job.to_string());
        asked.parts.iter().all(|part| match part {
            Part::Hold(word) => begins(self.hold.word(), word),
            Part::Worker(start) => begins(worker, start),
            Part::Job(start) => begins(&job, start),
            Part::Idle(least) => self.idle > *least,
            Part::Reads(least) => self.reads > *least,
            Part::Word(word) => {
                let input = self.input.as_ref().map_or("", Untrusted::raw);
                let gone = if self.payload == Payload::Gone { "gone" } else { "" };
                let text = format!("{} {job} {worker} {input} {gone}", self.entry);
                text.to_lowercase().contains(word.as_str())
            }
        })
    }
}

/// What a typed filter asks for.
struct Asked {
    parts: Vec<Part>,
}

enum Part {
    Hold(String),
    Worker(String),
    Job(String),
    Idle(Duration),
    Reads(u64),
    Word(String),
}

impl Asked {
    /// A part that means nothing else is an ordinary word.
    fn read(filter: &Filter) -> Self {
        let part = |text: &str| {
            let lower = text.to_lowercase();
            match (lower.split_once(':'), lower.split_once('>')) {
                (Some(("status" | "state", word)), _) => Part::Hold(word.to_owned()),
                (Some(("worker" | "consumer", word)), _) => Part::Worker(word.to_owned()),
                (Some(("id" | "job", word)), _) => Part::Job(word.to_owned()),
                (_, Some(("idle", time))) => {
                    duration(time).map_or_else(|| Part::Word(lower.clone()), Part::Idle)
                }
                (_, Some(("reads" | "deliveries", count))) => count
                    .parse()
                    .map_or_else(|_| Part::Word(lower.clone()), Part::Reads),
                _ => Part::Word(lower),
            }
        };
        Self {
            parts: filter.text.split_whitespace().map(part).collect(),
        }
    }
}

/// `90`, `90s`, `5m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let (digits, factor) = match text.chars().last()? {
        's' => (text.strip_suffix('s')?, 1),
        'm' => (text.strip_suffix('m')?, 60),
        'h' => (text.strip_suffix('h')?, 3_600),
        _ => (text, 1),
    };
    let count: u64 = digits.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(factor)?))
}

/// The columns that the rows can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PendingSort {
    /// Oldest entry first, as the server has them.
    #[default]
    Entry,
    /// Gravest state first.
    State,
    /// Longest idle first.
    Idle,
    /// Most deliveries first.
    Reads,
}

impl PendingSort {
    const ALL: [Self; 4] = [Self::Entry, Self::State, Self::Idle, Self::Reads];

    /// The word in the title.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Entry => "ENTRY",
            Self::State => "STATE",
            Self::Idle => "IDLE",
            Self::Reads => "READS",
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }

    fn compare(self, a: &PendingLine, b: &PendingLine) -> Ordering {
        let first = match self {
            Self::Entry => Ordering::Equal,
            Self::State => a.hold.cmp(&b.hold),
            Self::Idle => b.idle.cmp(&a.idle),
            Self::Reads => b.reads.cmp(&a.reads),
        };
        first.then_with(|| a.key().cmp(&b.key()))
    }
}

/// What Valkey answered, and Postgres to its jobs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PendingPage {
    /// The rows of the window, oldest first.
    pub rows: Vec<PendingLine>,
    /// Whether there are rows before them.
    pub before: bool,
    /// Whether there are rows behind them.
    pub after: bool,
    /// How many entries are pending.
    pub total: u64,
    /// The place that was asked for.
    pub place: Place,
}

impl PendingPage {
    /// Whether it has all rows that there are.
    pub const fn is_whole(&self) -> bool {
        !self.before && !self.after
    }

    /// How many consumers hold something in the window; parked entries are nobody's.
    pub fn consumers(&self) -> usize {
        let held = self.rows.iter().filter_map(|line| line.worker.as_ref());
        held.collect::<std::collections::HashSet<_>>().len()
    }
}

/// The view: data, list, filter, sort, and where the window stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The data.
    pub page: Remote<PendingPage>,
    /// Cursor, scroll, marks.
    pub list: List<PendingKey>,
    /// The filter.
    pub filter: Filter,
    /// The sort.
    pub sort: PendingSort,
    /// Whether the sort is turned round.
    pub turned: bool,
    /// Where the window stands.
    pub place: Place,
    /// It moves: nobody asks for another place before this one is answered.
    pub moving: bool,
}

impl Pending {
    /// Rows of a window.
    pub const WINDOW: u32 = 200;
    /// Rows of a window that a filter goes through.
    pub const FILTERED: u32 = 1_000;
    /// So near to an edge of the window it moves.
    const NEAR: usize = 70;
    /// So many rows before the cursor stay in a window that has moved.
    const KEPT: usize = 100;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            sort: PendingSort::default(),
            turned: false,
            place: Place::First,
            moving: false,
        }
    }

    /// How many rows are asked for.
    pub fn limit(&self) -> u32 {
        if self.filter.is_empty() {
            Self::WINDOW
        } else {
            Self::FILTERED
        }
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<&PendingLine> {
        let key = self.list.cursor?;
        self.page.value()?.rows.iter().find(|line| line.key() == key)
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(&PendingLine, bool)> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let by_key: HashMap<PendingKey, &PendingLine> = rows.iter().map(|line| (line.key(), line)).collect();
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|key| {
                by_key
                    .get(key)
                    .map(|line| (*line, self.list.cursor == Some(*key)))
            })
            .collect()
    }

    /// The keys of the rows that pass the filter, in the order of the sort.
    pub fn wanted(&self) -> Vec<PendingKey> {
        let asked = Asked::read(&self.filter);
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let mut lines: Vec<&PendingLine> = rows.iter().filter(|line| line.passes(&asked)).collect();
        lines.sort_by(|a, b| self.sort.compare(a, b));
        if self.turned {
            lines.reverse();
        }
        lines.into_iter().map(PendingLine::key).collect()
    }

    /// Whether the rows stand as the server has them: only then can the window follow the cursor.
    pub fn is_in_order(&self) -> bool {
        self.sort == PendingSort::Entry && !self.turned && self.filter.is_empty()
    }

    /// Puts the rows in order; the window's own order needs no patience, since it never changes.
    pub fn arrange(&mut self, height: usize) {
        let wanted = self.wanted();
        if self.sort == PendingSort::Entry {
            self.list.rearrange(&wanted, height);
        } else {
            self.list.arrange(&wanted, height);
        }
    }

    /// Takes an answer. One to a place that is not asked for any more is nobody's.
    pub fn receive(&mut self, page: PendingPage, now: DateTime<Utc>, height: usize) {
        if page.place != self.place {
            return;
        }
        let (place, first) = (page.place, page.rows.first().map(|line| line.entry));
        self.moving = false;
        self.place = match (place, first) {
            (Place::First, _) | (_, None) => Place::First,
            (_, Some(_)) if !page.before => Place::First,
            (Place::Before(_) | Place::Last, Some(first)) => Place::At(first),
            (Place::At(_), Some(_)) => place,
        };
        self.page.receive(page, now);
        self.arrange(height);
        if place == Place::Last {
            self.list.step(Step::Last, height);
        }
    }

    /// Moves the window after the cursor, if that has come near an edge behind which there are more rows.
    pub fn follow(&mut self, step: Step) {
        let Some(page) = self.page.value().filter(|_| !self.moving) else {
            return;
        };
        let last = self.list.len().saturating_sub(1);
        let at = |nth: usize| self.list.order.get(nth.min(last)).map(|key| key.0);
        let near_end = self.list.at + Self::NEAR >= last;
        let place = match step {
            Step::First if page.before => Some(Place::First),
            Step::Last if page.after => Some(Place::Last),
            _ if !self.is_in_order() => None,
            Step::By(1..) | Step::Page(1..) if page.after && near_end => {
                at(self.list.at.saturating_sub(Self::KEPT)).map(Place::At)
            }
            Step::By(_) | Step::Page(_) if page.before && self.list.at < Self::NEAR => {
                at(self.list.at + Self::KEPT).map(Place::Before)
            }
            _ => None,
        };
        if let Some(place) = place.filter(|place| *place != self.place) {
            self.place = place;
            self.moving = true;
        }
    }
}

/// What an entry works on, in few words.
pub fn input_words(line: &PendingLine) -> Untrusted {
    line.input
        .as_ref()
        .map_or_else(|| Untrusted::new("-"), short_input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn entry(seq: u64) -> EntryId {
        EntryId { ms: 1, seq }
    }

    fn line(seq: u64) -> PendingLine {
        let page = crate::sample::story().pending.page;
        let first = page.value().map(|page| page.rows[0].clone()).unwrap();
        PendingLine {
            entry: entry(seq),
            ..first
        }
    }

    fn page(rows: std::ops::Range<u64>, place: Place, of: u64) -> PendingPage {
        PendingPage {
            before: rows.start > 0,
            after: rows.end < of,
            rows: rows.map(line).collect(),
            total: of,
            place,
        }
    }

    fn pending() -> Pending {
        Pending::new(crate::sample::now())
    }

    #[test]
    fn the_window_follows_the_cursor_down_and_up_again() {
        let now = crate::sample::now();
        let mut pending = pending();
        pending.receive(page(0..200, Place::First, 1_000), now, 20);
        for _ in 0..7 {
            pending.list.step(Step::Page(1), 20);
            pending.follow(Step::Page(1));
        }
        let Place::At(from) = pending.place else {
            panic!("{:?}", pending.place)
        };
        assert_eq!(pending.list.cursor, Some((entry(133), pending.list.order[0].1)));
        pending.receive(page(from.seq..from.seq + 200, pending.place, 1_000), now, 20);
        assert_eq!(
            pending.list.cursor.unwrap().0,
            entry(133),
            "the cursor stays on its row"
        );
        for _ in 0..3 {
            pending.list.step(Step::Page(-1), 20);
            pending.follow(Step::Page(-1));
        }
        assert!(matches!(pending.place, Place::Before(_)), "{:?}", pending.place);
    }

    #[test]
    fn the_end_of_a_long_list_is_one_key_away() {
        let now = crate::sample::now();
        let mut pending = pending();
        pending.receive(page(0..200, Place::First, 1_000_000), now, 20);
        pending.list.step(Step::Last, 20);
        pending.follow(Step::Last);
        assert_eq!(pending.place, Place::Last);
        let last = page(999_800..1_000_000, Place::Last, 1_000_000);
        pending.receive(last, now, 20);
        assert_eq!(pending.list.cursor.unwrap().0, entry(999_999));
        assert_eq!(
            pending.place,
            Place::At(entry(999_800)),
            "it stands still from here"
        );
    }

    #[test]
    fn a_filter_tells_states_times_and_words_apart() {
        let Model { mut pending, .. } = crate::sample::story();
        let mut count = |text: &str| {
            pending.filter = Filter::new(text);
            pending.wanted().len()
        };
        assert_eq!(count(""), 14);
        assert_eq!(count("status:lost"), 4);
        assert_eq!(count("worker:w-02"), 4);
        assert_eq!(count("idle>10"), 4);
        assert_eq!(count("reads>1 status:retrying"), 1);
        assert_eq!(count("mastra idle>1h"), 0);
    }
}
