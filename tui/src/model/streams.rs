//! Every stream on the server with its groups: which one falls behind, and can the figure be trusted?

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::EntryId;
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::list::{List, Step};
use super::pending::Payload;
use super::remote::Remote;
use super::time::since;

/// A stream by its key, and one of its groups; names are bytes.
pub type StreamKey = (Vec<u8>, Option<Vec<u8>>);

/// How many entries a group has not been given, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lag {
    /// By the server's own counters.
    Counter(u64),
    /// Of our own queue: what is there less what is pending.
    Ours(u64),
    /// One by one.
    Counted(u64),
    /// There are more than were counted.
    AtLeast(u64),
    /// Nobody has counted them.
    Unknown,
    /// There is no group that could lag.
    None,
}

impl Lag {
    /// The figure, as far as there is one.
    pub const fn figure(self) -> Option<u64> {
        match self {
            Self::Counter(lag) | Self::Ours(lag) | Self::Counted(lag) | Self::AtLeast(lag) => Some(lag),
            Self::Unknown | Self::None => None,
        }
    }

    /// Why its mark is the one it is.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Counter(0) => "at the end",
            Self::Counter(_) => "counter whole",
            Self::Ours(_) => "ours",
            Self::Counted(_) => "counted by id",
            Self::AtLeast(_) => "one slice",
            Self::Unknown => "not counted",
            Self::None => "no group",
        }
    }
}

/// A row: a stream with one of its groups, or a stream that has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamLine {
    /// What it is known by.
    pub key: StreamKey,
    /// The stream's name.
    pub stream: Untrusted,
    /// The group's name.
    pub group: Option<Untrusted>,
    /// Whether it belongs to the queue that is looked at.
    pub ours: bool,
    /// Entries on the stream.
    pub length: u64,
    /// The first of them.
    pub first: Option<EntryId>,
    /// The last of them.
    pub last: Option<EntryId>,
    /// Entries that were ever added.
    pub added: Option<u64>,
    /// Entries that the group was ever given.
    pub read: Option<u64>,
    /// Entries that it has not been given.
    pub lag: Lag,
    /// Entries that its consumers hold.
    pub pending: u64,
    /// Its consumers.
    pub consumers: u64,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// Entries added a second, lately.
    pub in_per_s: Option<f64>,
    /// Entries given out a second, lately.
    pub out_per_s: Option<f64>,
    /// Since the oldest pending entry was given out last; nothing when it was not asked for.
    #[serde(default)]
    pub oldest: Option<Duration>,
    /// The first entry that the group was not given; nothing when it was not asked for.
    #[serde(default)]
    pub next: Option<EntryId>,
}

/// Ids before this are no times: an application numbers its entries itself. It is the beginning of 2009.
const FIRST_TIME_MS: u64 = 1_230_768_000_000;
/// A clock that is further ahead than this is no clock either.
const AHEAD_MS: u64 = 3_600_000;

impl StreamLine {
    /// Rates from what was read before; they settle over a few readings.
    fn learn(&mut self, before: &Self) {
        let seconds = since(before.at, self.at).as_secs_f64();
        if seconds < 0.2 {
            (self.in_per_s, self.out_per_s) = (before.in_per_s, before.out_per_s);
            return;
        }
        let rate = |now: Option<u64>, then: Option<u64>, known: Option<f64>| {
            // A counter that falls was begun anew.
            let grown = now?.checked_sub(then?)? as f64 / seconds;
            Some(known.map_or(grown, |known| known * 0.7 + grown * 0.3))
        };
        self.in_per_s = rate(self.added, before.added, before.in_per_s);
        self.out_per_s = rate(self.read, before.read, before.out_per_s);
    }

    /// How old the oldest entry is that the group was not given; nothing when that is not known. Entries tell their
    /// time by their ids, if they are times.
    pub fn lag_age(&self, now: DateTime<Utc>) -> Option<Duration> {
        let now = u64::try_from(now.timestamp_millis()).ok()?;
        let at = self.next?.ms;
        let is_time = (FIRST_TIME_MS..now.saturating_add(AHEAD_MS)).contains(&at);
        is_time.then(|| Duration::from_millis(now.saturating_sub(at)))
    }

    /// Until nothing lags; nothing when that is not known, and no time when it never comes.
    pub fn drains(&self) -> Option<Option<Duration>> {
        let lag = self
            .lag
            .figure()
            .filter(|_| !matches!(self.lag, Lag::AtLeast(_)))?;
        if lag == 0 {
            return None;
        }
        let gain = self.out_per_s? - self.in_per_s?;
        Some((gain > 0.01).then(|| super::time::seconds(lag as f64 / gain)))
    }

    fn passes(&self, filter: &Filter) -> bool {
        let group = self.group.as_ref().map_or("", Untrusted::raw).to_lowercase();
        let stream = self.stream.raw().to_lowercase();
        filter.text.split_whitespace().all(|part| {
            let lower = part.to_lowercase();
            match (lower.split_once(':'), lower.split_once('>')) {
                (Some(("stream", word)), _) => stream.starts_with(word),
                (Some(("group", word)), _) => group.starts_with(word),
                (_, Some(("lag", least))) => least
                    .parse::<u64>()
                    .is_ok_and(|least| self.lag.figure().is_some_and(|lag| lag > least)),
                _ => stream.contains(&lower) || group.contains(&lower),
            }
        })
    }
}

/// A pending entry of the row under the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldLine {
    /// Its id.
    pub entry: EntryId,
    /// Who holds it.
    pub consumer: Untrusted,
    /// Since its last delivery.
    pub idle: Duration,
    /// How often it was delivered.
    pub reads: u64,
    /// What it holds.
    pub payload: Payload,
}

/// A consumer of the row under the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerLine {
    /// Its name.
    pub name: Untrusted,
    /// Entries that it holds.
    pub pending: u64,
    /// Since it last asked for anything.
    pub idle: Duration,
}

/// Consumers of the row under the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consumers {
    /// Those that hold most, as many as are shown.
    pub rows: Vec<ConsumerLine>,
    /// How many there are.
    pub of: u64,
    /// When they were asked for: of many consumers that is done seldom.
    pub at: DateTime<Utc>,
}

/// What is told of the row under the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Detail {
    /// What its consumers hold, oldest first.
    Pending(Vec<HeldLine>),
    /// Who they are; nothing when there are too many to be told.
    Consumers(Option<Consumers>),
    /// The last entries of the stream, newest first.
    Entries(Vec<(EntryId, Payload)>),
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StreamPane {
    /// [`Detail::Pending`].
    #[default]
    Pending,
    /// [`Detail::Consumers`].
    Consumers,
    /// [`Detail::Entries`].
    Entries,
    /// All groups of the stream, which is told only where it has the screen for itself.
    Groups,
}

impl StreamPane {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Consumers, Self::Entries, Self::Groups];

    /// The next one; [`StreamPane::Groups`] only where the stream has the screen for itself.
    #[must_use]
    pub const fn next(self, whole: bool) -> Self {
        match self {
            Self::Pending => Self::Consumers,
            Self::Consumers => Self::Entries,
            Self::Entries if whole => Self::Groups,
            Self::Entries | Self::Groups => Self::Pending,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Consumers => "Consumers",
            Self::Entries => "Last entries",
            Self::Groups => "Groups",
        }
    }
}

/// The columns that the rows can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StreamSort {
    /// By name.
    #[default]
    Name,
    /// The greatest lag first.
    Lag,
    /// Most pending first.
    Pending,
    /// The longest first.
    Length,
}

impl StreamSort {
    const ALL: [Self; 4] = [Self::Name, Self::Lag, Self::Pending, Self::Length];

    /// The word in the title.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "STREAM",
            Self::Lag => "LAG",
            Self::Pending => "PENDING",
            Self::Length => "LENGTH",
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }

    fn compare(self, a: &StreamLine, b: &StreamLine) -> Ordering {
        let first = match self {
            Self::Name => Ordering::Equal,
            // What nobody knows may be anything: it stands behind what is known to lag, before what does not.
            Self::Lag => {
                let rank = |line: &StreamLine| match line.lag {
                    Lag::None => 0,
                    Lag::Unknown => 2,
                    known => known
                        .figure()
                        .filter(|lag| *lag > 0)
                        .map_or(1, |lag| lag.saturating_add(2)),
                };
                rank(b).cmp(&rank(a))
            }
            Self::Pending => b.pending.cmp(&a.pending),
            Self::Length => b.length.cmp(&a.length),
        };
        first.then_with(|| a.key.cmp(&b.key))
    }
}

/// What Valkey answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamsPage {
    /// A row for each group of the streams that were looked into so far.
    pub rows: Vec<StreamLine>,
    /// Names of streams that are known.
    pub names: u64,
    /// Whether there are more names than are kept.
    pub capped: bool,
    /// When all names had been seen last; nothing before the first time.
    pub scanned_at: Option<DateTime<Utc>>,
    /// What is told of a row.
    pub detail: Option<(StreamKey, Detail)>,
}

/// The view: data, list, filter, sort, and what is told of the row under the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// The data.
    pub page: Remote<StreamsPage>,
    /// Cursor, scroll.
    pub list: List<StreamKey>,
    /// The filter.
    pub filter: Filter,
    /// The sort.
    pub sort: StreamSort,
    /// Whether the sort is turned round.
    pub turned: bool,
    /// What is told of the row under the cursor.
    pub pane: StreamPane,
    /// The row under the cursor has the screen for itself.
    pub open: bool,
    /// The first line of what is told of it then.
    pub first_line: usize,
}

impl Streams {
    /// Lines that are asked for of a row that has the screen for itself: several screens.
    pub const LINES: usize = 200;
    /// Lines of the row under the cursor, below the list.
    pub const FEW_LINES: usize = 13;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            sort: StreamSort::default(),
            turned: false,
            pane: StreamPane::default(),
            open: false,
            first_line: 0,
        }
    }

    /// Gives the row under the cursor the screen for itself.
    pub fn open(&mut self) {
        self.open = self.list.cursor.is_some();
        self.first_line = 0;
    }

    /// Goes back to the list.
    pub fn close(&mut self) {
        self.open = false;
        if self.pane == StreamPane::Groups {
            self.pane = StreamPane::default();
        }
    }

    /// Goes on to what else there is to tell of the row under the cursor.
    pub fn next_pane(&mut self) {
        let has_group = !matches!(&self.list.cursor, Some((_, None)));
        self.pane = match self.shown_pane() {
            // Without a group there is nothing but entries.
            StreamPane::Entries if self.open && !has_group => StreamPane::Groups,
            StreamPane::Groups if !has_group => StreamPane::Entries,
            _ => self.pane.next(self.open),
        };
        self.first_line = 0;
    }

    /// How many lines there are to tell of it.
    pub fn lines(&self) -> usize {
        match (self.shown_pane(), self.detail()) {
            (StreamPane::Groups, _) => self.groups().len(),
            (_, Some(Detail::Pending(rows))) => rows.len(),
            (_, Some(Detail::Consumers(Some(told)))) => told.rows.len(),
            (_, Some(Detail::Entries(rows))) => rows.len(),
            (_, Some(Detail::Consumers(None)) | None) => 0,
        }
    }

    /// Moves through what is told of it, on a screen of so many lines.
    pub fn scroll(&mut self, step: Step, height: usize) {
        let last = self.lines().saturating_sub(height);
        let page = height.saturating_sub(1).max(1);
        let by = |rows: i32, each: usize| {
            let far = (rows.unsigned_abs() as usize).saturating_mul(each);
            if rows < 0 {
                self.first_line.saturating_sub(far)
            } else {
                self.first_line.saturating_add(far)
            }
        };
        self.first_line = match step {
            Step::By(rows) => by(rows, 1),
            Step::Page(pages) => by(pages, page),
            Step::First => 0,
            Step::Last => last,
        }
        .min(last);
    }

    /// The groups of the stream under the cursor.
    pub fn groups(&self) -> Vec<&StreamLine> {
        let Some((stream, _)) = &self.list.cursor else {
            return Vec::new();
        };
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let of_stream = |line: &&StreamLine| line.key.0 == *stream && line.group.is_some();
        rows.iter().filter(of_stream).collect()
    }

    /// Takes an answer, and learns from the one before.
    pub fn receive(&mut self, mut page: StreamsPage, now: DateTime<Utc>) {
        if let Some(before) = self.page.value() {
            let known: HashMap<&StreamKey, &StreamLine> =
                before.rows.iter().map(|line| (&line.key, line)).collect();
            for line in &mut page.rows {
                if let Some(before) = known.get(&line.key) {
                    line.learn(before);
                }
            }
        }
        self.page.receive(page, now);
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<&StreamLine> {
        let key = self.list.cursor.as_ref()?;
        self.page.value()?.rows.iter().find(|line| line.key == *key)
    }

    /// What is told of the row under the cursor, if it was asked for.
    pub fn detail(&self) -> Option<&Detail> {
        let (key, detail) = self.page.value()?.detail.as_ref()?;
        let pane = match detail {
            Detail::Pending(_) => StreamPane::Pending,
            Detail::Consumers(_) => StreamPane::Consumers,
            Detail::Entries(_) => StreamPane::Entries,
        };
        (self.list.cursor.as_ref() == Some(key) && self.shown_pane() == pane).then_some(detail)
    }

    /// The pane that is shown: a stream without a group has nothing but entries.
    pub fn shown_pane(&self) -> StreamPane {
        match &self.list.cursor {
            Some((_, None)) if self.pane != StreamPane::Groups => StreamPane::Entries,
            _ => self.pane,
        }
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(&StreamLine, bool)> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let by_key: HashMap<&StreamKey, &StreamLine> = rows.iter().map(|line| (&line.key, line)).collect();
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|key| {
                by_key
                    .get(key)
                    .map(|line| (*line, self.list.cursor.as_ref() == Some(key)))
            })
            .collect()
    }

    /// The keys of the rows that pass the filter, in the order of the sort.
    pub fn wanted(&self) -> Vec<StreamKey> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let mut lines: Vec<&StreamLine> = rows.iter().filter(|line| line.passes(&self.filter)).collect();
        lines.sort_by(|a, b| self.sort.compare(a, b));
        if self.turned {
            lines.reverse();
        }
        lines.into_iter().map(|line| line.key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn rates_are_learned_from_two_readings_and_a_reset_counter_says_nothing() {
        let first = crate::sample::streams().streams;
        let before = first.page.value().unwrap().rows[0].clone();
        let mut now = StreamLine {
            at: before.at + TimeDelta::seconds(2),
            added: before.added.map(|added| added + 20),
            read: before.read.map(|read| read + 60),
            in_per_s: None,
            out_per_s: None,
            lag: Lag::Counter(400),
            ..before.clone()
        };
        let still = StreamLine {
            in_per_s: None,
            out_per_s: None,
            ..before.clone()
        };
        now.learn(&still);
        assert_eq!((now.in_per_s, now.out_per_s), (Some(10.0), Some(30.0)));
        assert_eq!(now.drains(), Some(Some(Duration::from_secs(20))));
        now.added = Some(0);
        now.at += TimeDelta::seconds(2);
        let again = StreamLine {
            added: Some(0),
            ..now.clone()
        };
        let mut reset = again;
        reset.learn(&StreamLine {
            added: Some(7),
            at: before.at,
            ..now
        });
        assert_eq!(reset.in_per_s, None);
        assert_eq!(reset.drains(), None, "never a forecast from what is not known");
    }

    #[test]
    fn what_is_not_known_is_never_sorted_or_shown_as_nought() {
        let mut streams = crate::sample::streams().streams;
        streams.sort = StreamSort::Lag;
        let rows = streams.page.value().unwrap().rows.clone();
        let lag = |key: &StreamKey| rows.iter().find(|line| line.key == *key).unwrap().lag;
        let order: Vec<Lag> = streams.wanted().iter().map(lag).collect();
        let unknown = order.iter().position(|lag| *lag == Lag::Unknown).unwrap();
        assert!(order[..unknown].iter().all(|lag| lag.figure() > Some(0)));
        assert_eq!(Lag::Unknown.figure(), None);
    }
}
