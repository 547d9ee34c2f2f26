//! Where in the console we are, and how many rows of a list a view has room for.

use serde::{Deserialize, Serialize};

use super::Model;
use super::dead::DeadKey;
use super::list::List;

/// The terminal's size in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum View {
    /// Is it keeping up, and what needs me?
    #[default]
    Overview,
    /// Where is mine, why did it end so?
    Jobs,
    /// Who holds what, is it stuck?
    Pending,
    /// Which one cause makes most of it?
    Dead,
    /// Which group falls behind, can the figure be trusted?
    Streams,
    /// Who did that, and what came of it?
    Activity,
    /// One job in full; which one stands in [`Model::job`].
    Job,
    /// What is it doing now, what did it cost? Which one stands in [`Model::trace`].
    Trace,
    /// Who works, who is slow, who is gone?
    Workers,
}

impl View {
    /// The views that have a number, with it, in the order of the tabs.
    pub const TABS: [(char, Self); 8] = [
        ('1', Self::Overview),
        ('2', Self::Jobs),
        ('3', Self::Pending),
        ('4', Self::Workers),
        ('5', Self::Dead),
        ('6', Self::Trace),
        ('7', Self::Streams),
        ('8', Self::Activity),
    ];

    /// Its name in tabs and breadcrumbs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Jobs => "Jobs",
            Self::Job => "Job",
            Self::Trace => "Trace",
            Self::Workers => "Workers",
            Self::Pending => "Pending",
            Self::Dead => "Dead",
            Self::Streams => "Streams",
            Self::Activity => "Activity",
        }
    }

    /// Its name where there is little room for it.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Overview => "Over",
            Self::Pending => "Pend",
            Self::Workers => "Work",
            Self::Streams => "Strm",
            Self::Activity => "Act",
            other => other.name(),
        }
    }

    /// The tab that is open while it is shown.
    #[must_use]
    pub const fn tab(self) -> Self {
        match self {
            Self::Job => Self::Jobs,
            other => other,
        }
    }
}

/// From this width on the row under the cursor is told beside the list, and no longer below it.
pub const BESIDE_FROM: u16 = 160;

impl Model {
    /// How many rows the list of the open view has room for.
    ///
    /// The cursor's page steps by it. A view that has room for fewer still shows the cursor's row, since it
    /// draws what [`super::list::List::window`] says for the lines that it really has.
    pub fn list_height(&self) -> usize {
        let height = usize::from(self.size.height);
        let beside = self.size.width >= BESIDE_FROM;
        let taken = match self.view() {
            // Header, tabs, rule, title, empty, headings above; rule and footer below.
            View::Jobs | View::Pending | View::Dead | View::Activity if beside && height >= 30 => 8,
            View::Streams if beside && !self.streams.open && height >= 30 => 8,
            View::Overview => height - height.min(super::overview::worker_rows(self.size)),
            // Header, tabs, rule, title, empty, headings above; detail, rule, footer below.
            View::Jobs if height >= 30 => 10,
            View::Jobs => 7,
            View::Pending if height >= 30 => 19,
            View::Pending if height >= 18 => 11,
            View::Pending => 7,
            // Header, tabs, rule, title, facts, headings above; rule and footer below.
            View::Streams if self.streams.open && height >= 30 => 16,
            View::Streams if self.streams.open => 14,
            View::Streams if height >= 30 => 24,
            View::Streams => 13,
            View::Dead | View::Activity if height >= 30 => 15,
            View::Dead | View::Activity => 10,
            View::Job => height - (height / 4).min(8),
            View::Trace if height >= 30 => 22,
            View::Trace => 12,
            View::Workers if height >= 30 => height - height.saturating_sub(18).min(12),
            View::Workers => 12,
        };
        height.saturating_sub(taken).max(1)
    }
}

impl Model {
    /// Whether a row so many rows below the cursor, or above it, is on the screen.
    pub fn shows_row(&self, rows: i32) -> bool {
        fn shows<K: Ord + Clone + std::hash::Hash>(list: &List<K>, rows: i32, height: usize) -> bool {
            let here = list.position().and_then(|at| i32::try_from(at).ok());
            let there = here.and_then(|at| usize::try_from(at + rows).ok());
            there.is_some_and(|at| list.window(height).contains(&at))
        }
        let height = usize::from(self.size.height);
        match self.view() {
            View::Overview | View::Workers => shows(&self.workers.list, rows, height),
            View::Jobs => shows(&self.jobs.list, rows, height),
            View::Pending => shows(&self.pending.list, rows, height),
            View::Dead => shows(&self.dead.list, rows, height),
            View::Streams => shows(&self.streams.list, rows, height),
            View::Activity => shows(&self.activity.list, rows, height),
            View::Trace => shows(&self.trace.list, rows, height),
            View::Job => false,
        }
    }

    /// The job that a key would act on: the open one, the one under the cursor, or what a worker runs longest.
    pub fn chosen_job(&self) -> Option<millstream::domain::JobId> {
        match self.view() {
            View::Job => self.job.as_ref().map(|job| job.id),
            View::Trace => self.trace.id,
            View::Jobs => self.jobs.list.cursor,
            View::Pending => self.pending.selected().and_then(|line| line.job),
            View::Dead => self.dead.selected_job(),
            View::Streams | View::Activity => None,
            View::Overview | View::Workers => self
                .workers
                .selected()
                .and_then(|worker| worker.longest())
                .map(|job| job.id),
        }
    }
}

impl Model {
    /// The id of what is under the cursor, as it is copied and typed elsewhere.
    pub fn copied_id(&self) -> Option<String> {
        match self.view() {
            View::Overview | View::Workers => self.workers.selected().map(|row| row.name.raw().to_owned()),
            View::Jobs => self.jobs.list.cursor.map(|id| id.to_string()),
            View::Job => self.job.as_ref().map(|job| job.id.to_string()),
            View::Pending => self.pending.selected().map(|row| row.entry.to_string()),
            View::Dead => self.dead.list.cursor.as_ref().map(|key| match key {
                DeadKey::Cause(fingerprint) => fingerprint.clone(),
                DeadKey::Job(id) => id.to_string(),
                DeadKey::Letter(id) => id.to_string(),
            }),
            View::Trace => match self.trace.selected_span() {
                Some(span) => Some(span.to_string()),
                None => self.trace.id.map(|id| id.to_string()),
            },
            View::Streams => self.streams.selected().map(|row| row.stream.raw().to_owned()),
            View::Activity => self.activity.list.cursor.map(|id| id.to_string()),
        }
    }
}
