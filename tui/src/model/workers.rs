//! The workers: who is there, what they run, and how they have fared in the last minute.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{JobId, WorkerId};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::list::List;
use super::remote::Remote;
use super::time::since;
use super::trouble::{self, Trouble};

/// Buckets of the run-time distribution, from one to sixty seconds on a logarithmic axis.
pub const RUN_TIME_BUCKETS: usize = 18;

/// A worker's id as its consumer name; a reference worker's is any text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerName(Untrusted);

impl WorkerName {
    /// The worker of that id.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Untrusted::new(text))
    }

    /// The id as it came, for asking and comparing.
    pub fn raw(&self) -> &str {
        self.0.raw()
    }

    /// `w-7f3a`, or a foreign worker's own name.
    pub fn short(&self) -> String {
        match self.raw().parse::<WorkerId>() {
            Ok(id) => id.short(),
            Err(_) => self.0.to_string(),
        }
    }
}

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkerState {
    /// It has not been heard of lately.
    Lost,
    /// It finishes what it has.
    Draining,
    /// It runs something.
    Busy,
    /// It runs nothing.
    Idle,
}

impl WorkerState {
    /// The word beside the glyph.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Draining => "draining",
            Self::Busy => "busy",
            Self::Idle => "idle",
        }
    }
}

/// A job that a worker runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningJob {
    /// The job.
    pub id: JobId,
    /// What it works on, as submitted.
    pub input: Untrusted,
    /// Which attempt it is.
    pub attempt: u32,
    /// What runs in it: `judge`.
    pub phase: Option<Untrusted>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// What it has cost so far, estimated.
    #[serde(default)]
    pub cost_usd: f64,
}

/// An attempt of the last minute, for the lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// When it began.
    pub from: DateTime<Utc>,
    /// When it ended; nothing while it runs.
    pub to: Option<DateTime<Utc>>,
    /// Whether it failed.
    pub failed: bool,
    /// What it cost, estimated.
    #[serde(default)]
    pub cost_usd: f64,
}

/// A cell of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum LaneCell {
    /// Nothing is known about the worker then.
    Unknown,
    /// It was silent.
    Silent,
    /// So much of its slots was busy, from 0 to 1.
    Busy(f64),
    /// An attempt failed then.
    Failed,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerLine {
    /// Its id.
    pub name: WorkerName,
    /// Its process, while its card is up.
    pub pid: Option<u32>,
    /// Its machine.
    pub host: Option<Untrusted>,
    /// Its version.
    pub version: Option<Untrusted>,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// How it is.
    pub state: WorkerState,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// How many run now, or were held when it went silent.
    pub busy: u32,
    /// What it runs, longest first.
    pub jobs: Vec<RunningJob>,
    /// When it was heard of last, by our clock.
    pub beat_at: DateTime<Utc>,
    /// When its jobs will have moved, of a lost one that holds some; an estimate.
    pub moved_by: Option<DateTime<Utc>>,
    /// What is known about its end, of a lost one: `exit by signal 9`.
    pub ended: Option<Untrusted>,
    /// Whether we can kill it: it is a child of this process.
    pub is_ours: bool,
    /// Attempts that ended well.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts ended in the last minute.
    pub per_minute: f64,
    /// Median run time.
    pub p50: Option<Duration>,
    /// 95th percentile of the run time.
    pub p95: Option<Duration>,
    /// Its run times, in logarithmic buckets from 1 to 60 s.
    pub run_times: [u32; RUN_TIME_BUCKETS],
    /// Its attempts of the last minute.
    pub stretches: Vec<Stretch>,
}

impl WorkerLine {
    /// The age of its last heartbeat.
    pub fn silence(&self, now: DateTime<Utc>) -> Duration {
        since(self.beat_at, now)
    }

    /// What it has run longest.
    pub fn longest(&self) -> Option<&RunningJob> {
        self.jobs.iter().min_by_key(|job| job.started_at)
    }

    /// Until its jobs have moved; nothing when it holds none or they should have.
    pub fn moves_in(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.moved_by
            .map(|at| since(now, at))
            .filter(|left| !left.is_zero())
    }

    /// The last `seconds` before `now` in `cells` cells, oldest first.
    pub fn lane(&self, now: DateTime<Utc>, seconds: u32, cells: usize) -> Vec<LaneCell> {
        let cell = f64::from(seconds) / cells.max(1) as f64;
        (0..cells)
            .map(|nth| {
                let back = |cells_back: usize| {
                    chrono::TimeDelta::milliseconds((cells_back as f64 * cell * 1000.0) as i64)
                };
                let (from, to) = (now - back(cells - nth), now - back(cells - nth - 1));
                self.cell(from, to)
            })
            .collect()
    }

    fn cell(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> LaneCell {
        if self.started_at.is_some_and(|start| start >= to) {
            return LaneCell::Unknown;
        }
        let ended = |stretch: &Stretch| stretch.to.is_some_and(|end| end > from && end <= to);
        if self
            .stretches
            .iter()
            .any(|stretch| stretch.failed && ended(stretch))
        {
            return LaneCell::Failed;
        }
        if self.state == WorkerState::Lost && from >= self.beat_at {
            return LaneCell::Silent;
        }
        let busy: f64 = self
            .stretches
            .iter()
            .map(|stretch| since(stretch.from.max(from), stretch.to.unwrap_or(to).min(to)).as_secs_f64())
            .sum();
        let whole = since(from, to).as_secs_f64() * f64::from(self.slots.max(1));
        LaneCell::Busy((busy / whole.max(f64::EPSILON)).clamp(0.0, 1.0))
    }
}

/// What both servers answered together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkersPage {
    /// The workers: lost ones first, then by age.
    pub rows: Vec<WorkerLine>,
}

impl WorkersPage {
    /// Slots that live workers offer.
    pub fn live_slots(&self) -> u32 {
        self.live().map(|worker| worker.slots).sum()
    }

    /// Slots of live workers that are taken.
    pub fn busy_slots(&self) -> u32 {
        self.live().map(|worker| worker.busy).sum()
    }

    /// Jobs that lost workers held.
    pub fn on_lost(&self) -> u32 {
        self.rows
            .iter()
            .filter(|worker| worker.state == WorkerState::Lost)
            .map(|worker| worker.busy)
            .sum()
    }

    /// Workers that are there.
    pub fn live(&self) -> impl Iterator<Item = &WorkerLine> {
        self.rows
            .iter()
            .filter(|worker| worker.state != WorkerState::Lost)
    }

    /// The worker of a name.
    pub fn find(&self, name: &WorkerName) -> Option<&WorkerLine> {
        self.rows.iter().find(|worker| worker.name == *name)
    }
}

/// The columns that the list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WorkerSort {
    /// By age, so that rows keep their places; of a fleet that is larger than a screen the troubled ones first.
    #[default]
    Age,
    /// Troubled ones first.
    State,
    /// Most attempts first.
    Done,
    /// Most failures first.
    Failed,
    /// Slowest first.
    P95,
}

impl WorkerSort {
    /// All of them, in the order in which `s` steps.
    pub const ALL: [Self; 5] = [Self::Age, Self::State, Self::Done, Self::Failed, Self::P95];

    /// The word in the title.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Age => "AGE",
            Self::State => "STATE",
            Self::Done => "DONE",
            Self::Failed => "FAIL",
            Self::P95 => "P95",
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(here + 1) % Self::ALL.len()]
    }
}

/// The view: data, list, filter, sort. The overview's lanes are the same list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// The data.
    pub page: Remote<WorkersPage>,
    /// Cursor and scroll.
    pub list: List<WorkerName>,
    /// The filter: words that name, host or state hold.
    pub filter: Filter,
    /// The sort.
    pub sort: WorkerSort,
    /// Whether the sort is turned round.
    pub turned: bool,
}

impl Workers {
    /// Fleets up to this size keep their places when one of them is in trouble: all of them are seen.
    const FEW: usize = 12;

    /// The view before its first answer.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            page: Remote::asked(now),
            list: List::default(),
            filter: Filter::default(),
            sort: WorkerSort::default(),
            turned: false,
        }
    }

    /// The worker under the cursor.
    pub fn selected(&self) -> Option<&WorkerLine> {
        self.page.value()?.find(self.list.cursor.as_ref()?)
    }

    /// The rows that `height` lines show, in order; `true` for the one under the cursor.
    pub fn visible(&self, height: usize) -> Vec<(&WorkerLine, bool)> {
        let Some(page) = self.page.value() else {
            return Vec::new();
        };
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|name| {
                page.find(name)
                    .map(|line| (line, self.list.cursor.as_ref() == Some(name)))
            })
            .collect()
    }

    /// The names of the rows that pass the filter, in the order of the sort.
    pub fn wanted(&self) -> Vec<WorkerName> {
        let rows = self.page.value().map_or(&[][..], |page| &page.rows);
        let words: Vec<String> = self
            .filter
            .text
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let mut lines: Vec<&WorkerLine> = rows.iter().filter(|line| line.holds(&words)).collect();
        let usual = trouble::usual_cost(rows);
        let at = self.page.at().unwrap_or_default();
        let many = rows.len() > Self::FEW;
        let rank = |line: &WorkerLine| line.trouble(at, usual).map_or(u8::MAX, Trouble::rank);
        lines.sort_by(|a, b| {
            let first = match self.sort {
                WorkerSort::Age if many => rank(a).cmp(&rank(b)),
                WorkerSort::Age => std::cmp::Ordering::Equal,
                WorkerSort::State => a.state.cmp(&b.state),
                WorkerSort::Done => b.done.cmp(&a.done),
                WorkerSort::Failed => b.failed.cmp(&a.failed),
                WorkerSort::P95 => b.p95.cmp(&a.p95),
            };
            first
                .then_with(|| a.started_at.cmp(&b.started_at))
                .then_with(|| a.name.cmp(&b.name))
        });
        if self.turned {
            lines.reverse();
        }
        lines.into_iter().map(|line| line.name.clone()).collect()
    }
}

impl WorkerLine {
    fn holds(&self, words: &[String]) -> bool {
        let host = self.host.as_ref().map_or("", Untrusted::raw);
        let haystack = format!("{} {host} {}", self.name.raw(), self.state.word()).to_lowercase();
        words.iter().all(|word| {
            let word = word.strip_prefix("status:").unwrap_or(word);
            haystack.contains(word)
        })
    }
}
