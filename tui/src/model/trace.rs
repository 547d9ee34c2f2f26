//! The waterfall of one job: attempts, their spans, what is folded, and which part of time is shown.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::{JobId, SpanId, SpanKind, SpanStatus};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::job::AttemptLine;
use super::jobs::JobLine;
use super::list::List;
use super::remote::Remote;
use super::time::since;

/// Deeper nesting than any review has; a cycle among foreign spans ends here.
const DEEPEST: u16 = 32;

/// A span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpanLine {
    /// Its identity.
    pub id: SpanId,
    /// The span it is part of.
    pub parent: Option<SpanId>,
    /// Of which attempt; 0 for a reference worker's.
    pub attempt: u32,
    /// What it measures.
    pub kind: SpanKind,
    /// Its name.
    pub name: Untrusted,
    /// How it stands.
    pub status: SpanStatus,
    /// Its failure.
    pub error: Option<Untrusted>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Tokens read; nothing while it is not known.
    pub input_tokens: Option<u64>,
    /// Tokens written; nothing while it is not known.
    pub output_tokens: Option<u64>,
    /// What they cost, estimated; nothing while it is not known.
    pub cost_usd: Option<f64>,
    /// The model that answered.
    pub model: Option<Untrusted>,
    /// An earlier attempt paid for it.
    pub kept: bool,
}

impl SpanLine {
    /// How long it took, or has taken so far.
    pub fn took(&self, now: DateTime<Utc>) -> Duration {
        since(self.started_at, self.ended_at.unwrap_or(now))
    }

    /// Whether it is one of those that are searched for.
    fn holds(&self, words: &[String]) -> bool {
        if words.is_empty() {
            return true;
        }
        let error = self.error.as_ref().map_or("", Untrusted::raw);
        let model = self.model.as_ref().map_or("", Untrusted::raw);
        let text = format!("{} {} {model} {error}", self.kind.word(), self.name.raw()).to_lowercase();
        words.iter().all(|word| text.contains(word.as_str()))
    }
}

/// What went into a span and came out: asked for only while it is selected.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpanText {
    /// What went in, as JSON.
    pub input: Option<Untrusted>,
    /// What came out, as JSON.
    pub output: Option<Untrusted>,
}

/// The data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceFacts {
    /// The job's row.
    pub line: JobLine,
    /// Its attempts, first one first.
    pub attempts: Vec<AttemptLine>,
    /// The spans of all attempts, in the order of their beginning.
    pub spans: Vec<SpanLine>,
}

impl TraceFacts {
    /// The span of an id.
    pub fn span(&self, id: SpanId) -> Option<&SpanLine> {
        self.spans.iter().find(|span| span.id == id)
    }

    /// The attempt of a number.
    pub fn attempt(&self, number: u32) -> Option<&AttemptLine> {
        self.attempts.iter().find(|attempt| attempt.number == number)
    }

    /// The spans of an attempt that decided how long it took: from its end backwards, always the one that
    /// ended last before the one behind it began.
    pub fn critical(&self, attempt: u32, now: DateTime<Utc>) -> HashSet<SpanId> {
        let mut children: HashMap<Option<SpanId>, Vec<&SpanLine>> = HashMap::new();
        for span in self.spans.iter().filter(|span| span.attempt == attempt) {
            children.entry(span.parent).or_default().push(span);
        }
        let mut path = HashSet::new();
        let mut open = vec![None];
        while let Some(parent) = open.pop() {
            let mut until = DateTime::<Utc>::MAX_UTC;
            let mut of_parent = children.remove(&parent).unwrap_or_default();
            of_parent.sort_by_key(|span| std::cmp::Reverse(span.ended_at.unwrap_or(now)));
            for span in of_parent {
                if span.ended_at.unwrap_or(now) <= until {
                    until = span.started_at;
                    path.insert(span.id);
                    open.push(Some(span.id));
                }
            }
        }
        path
    }
}

/// What a row of the waterfall is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TraceKey {
    /// An attempt.
    Attempt(u32),
    /// A span.
    Span(SpanId),
    /// A span that others name as their parent and that is not there.
    Ghost(SpanId),
}

/// Whether a row has rows below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fold {
    /// It has none.
    Leaf,
    /// They are shown.
    Open,
    /// So many are hidden.
    Folded(usize),
}

/// A row of the waterfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRow {
    /// What it is about.
    pub key: TraceKey,
    /// How deep it stands; an attempt stands at 0.
    pub depth: u16,
    /// What lies below it.
    pub fold: Fold,
}

/// What the panel below the waterfall shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TracePane {
    /// What went in.
    #[default]
    Input,
    /// What came out.
    Output,
    /// Everything else that is known.
    Attributes,
}

/// The part of time that the bars show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zoom {
    /// How many times larger than the whole, a power of two.
    pub factor: u32,
    /// Where the shown part begins, in millionths of the whole.
    pub from_ppm: u32,
}

impl Default for Zoom {
    fn default() -> Self {
        Self {
            factor: 1,
            from_ppm: 0,
        }
    }
}

impl Zoom {
    /// Beyond this a bar of a minute shows a millisecond in a cell.
    const MOST: u32 = 1024;

    /// The whole.
    const WHOLE: u32 = 1_000_000;

    /// Twice as large, or half; the left edge stays.
    pub fn change(&mut self, larger: bool) {
        self.factor = if larger {
            (self.factor * 2).min(Self::MOST)
        } else {
            (self.factor / 2).max(1)
        };
        self.pan(0);
    }

    /// Moves by so many quarters of what is shown.
    pub fn pan(&mut self, quarters: i32) {
        let shown = Self::WHOLE / self.factor.clamp(1, Self::MOST);
        let moved = i64::from(self.from_ppm) + i64::from(quarters) * i64::from(shown / 4);
        let furthest = Self::WHOLE - shown;
        self.from_ppm = moved.clamp(0, i64::from(furthest)) as u32;
    }

    /// Moves no further than it takes to have this stretch in sight, from its middle when all of it fits, else from its
    /// beginning. The stretch is told as parts of the whole.
    pub fn keep_in_sight(&mut self, from: f64, to: f64) {
        let shown = 1.0 / f64::from(self.factor.max(1));
        let wanted = if to - from < shown {
            f64::midpoint(from, to) - shown / 2.0
        } else {
            from - shown / 10.0
        };
        self.from_ppm = (wanted.clamp(0.0, 1.0) * f64::from(Self::WHOLE)) as u32;
        self.pan(0);
    }
}

/// The view: which job, its data, the list, what is folded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Which job; nothing until one was chosen.
    pub id: Option<JobId>,
    /// Its data; nothing in it when there is no such job.
    pub facts: Remote<Option<TraceFacts>>,
    /// Texts of the selected span.
    pub text: Option<(SpanId, Remote<SpanText>)>,
    /// Cursor and scroll.
    pub list: List<TraceKey>,
    /// Rows whose children are hidden.
    pub folded: BTreeSet<TraceKey>,
    /// Whether the folds were chosen for the data: all attempts but the last are folded at first.
    pub folds_chosen: bool,
    /// Spans shorter than this are hidden.
    pub shortest: Duration,
    /// The filter: only spans whose name or error holds it, and what they are part of.
    pub filter: Filter,
    /// Whether the critical path is told apart.
    pub critical: bool,
    /// The part of time.
    pub zoom: Zoom,
    /// What the panel shows.
    pub pane: TracePane,
    /// Spans are shown by the servers' clock, as far as it can be told; else by their workers'.
    pub adjusted: bool,
}

impl Trace {
    /// The steps of `m`: hide what is shorter.
    pub const SHORTEST: [Duration; 4] = [
        Duration::ZERO,
        Duration::from_millis(100),
        Duration::from_secs(1),
        Duration::from_secs(5),
    ];

    /// The view before its first answer.
    pub fn new(id: Option<JobId>, now: DateTime<Utc>) -> Self {
        Self {
            id,
            facts: Remote::asked(now),
            text: None,
            list: List::default(),
            folded: BTreeSet::new(),
            folds_chosen: false,
            shortest: Duration::ZERO,
            filter: Filter::default(),
            critical: true,
            zoom: Zoom::default(),
            pane: TracePane::default(),
            adjusted: false,
        }
    }

    /// When the bars begin, and how much time they show when nothing is magnified: the attempt under the cursor.
    pub fn stretch(&self, facts: &TraceFacts, now: DateTime<Utc>) -> (DateTime<Utc>, Duration) {
        let number = self.attempt().unwrap_or(0);
        let attempt = facts.attempt(number);
        let spans = || facts.spans.iter().filter(|span| span.attempt == number);
        let ahead = self.ahead(facts, number, now);
        let first = spans().map(|span| span.started_at - ahead).min();
        let last = spans()
            .map(|span| span.ended_at.map_or(now, |end| end - ahead))
            .max();
        // A span before its attempt is shown where it says it was.
        let begins = attempt
            .map(|attempt| attempt.started_at)
            .into_iter()
            .chain(first)
            .min();
        let origin = begins.unwrap_or(facts.line.created_at);
        let ends = attempt.map(|attempt| attempt.ended_at.unwrap_or(now)).max(last);
        (origin, since(origin, ends.unwrap_or(now)))
    }

    /// How far spans of an attempt are moved to be where the servers' clock has them.
    pub fn ahead(&self, facts: &TraceFacts, attempt: u32, now: DateTime<Utc>) -> TimeDelta {
        if self.adjusted {
            facts.ahead(attempt, now)
        } else {
            TimeDelta::zero()
        }
    }

    /// Magnifies or the other way round; the span under the cursor stays in sight.
    pub fn magnify(&mut self, larger: bool, now: DateTime<Utc>) {
        self.zoom.change(larger);
        let part = self.known().and_then(|facts| {
            let span = facts.span(self.selected_span()?)?;
            let (origin, whole) = self.stretch(facts, now);
            let ahead = self.ahead(facts, span.attempt, now);
            let at = |time: DateTime<Utc>| {
                since(origin, time - ahead).as_secs_f64() / whole.as_secs_f64().max(0.000_001)
            };
            Some((at(span.started_at), at(span.ended_at.unwrap_or(now + ahead))))
        });
        if let Some((from, to)) = part {
            self.zoom.keep_in_sight(from, to);
        }
    }

    /// Puts the cursor on the first span that is searched for, unless it is on one.
    pub fn select_match(&mut self, height: usize) {
        let Some(facts) = self.known() else { return };
        let words = self.words();
        if words.is_empty() {
            return;
        }
        let fits = |key: &TraceKey| match key {
            TraceKey::Span(id) => facts.span(*id).is_some_and(|span| span.holds(&words)),
            TraceKey::Attempt(_) | TraceKey::Ghost(_) => false,
        };
        if self.list.cursor.as_ref().is_some_and(fits) {
            return;
        }
        if let Some(first) = self.list.order.iter().copied().find(|key| fits(key)) {
            self.list.select(&first, height);
        }
    }

    /// What is searched for.
    fn words(&self) -> Vec<String> {
        self.filter
            .text
            .split_whitespace()
            .map(str::to_lowercase)
            .collect()
    }

    /// The data, if the job is there.
    pub fn known(&self) -> Option<&TraceFacts> {
        self.facts.value()?.as_ref()
    }

    /// The attempt that the row under the cursor belongs to, else the last one.
    pub fn attempt(&self) -> Option<u32> {
        let facts = self.known()?;
        let under = match self.list.cursor {
            Some(TraceKey::Attempt(number)) => Some(number),
            Some(TraceKey::Span(id)) => facts.span(id).map(|span| span.attempt),
            Some(TraceKey::Ghost(_)) | None => None,
        };
        under.or_else(|| facts.attempts.last().map(|attempt| attempt.number))
    }

    /// The rows as they are shown, top to bottom.
    pub fn rows(&self, now: DateTime<Utc>) -> Vec<TraceRow> {
        self.known()
            .map_or_else(Vec::new, |facts| Tree::new(self, facts, now).rows())
    }

    /// The rows that `height` lines show; `true` for the one under the cursor.
    pub fn visible(&self, height: usize, now: DateTime<Utc>) -> Vec<(TraceRow, bool)> {
        let rows = self.rows(now);
        let by_key: HashMap<TraceKey, TraceRow> = rows.into_iter().map(|row| (row.key, row)).collect();
        self.list.order[self.list.window(height)]
            .iter()
            .filter_map(|key| by_key.get(key).map(|row| (*row, self.list.cursor == Some(*key))))
            .collect()
    }

    /// The span under the cursor.
    pub fn selected_span(&self) -> Option<SpanId> {
        match self.list.cursor {
            Some(TraceKey::Span(id)) => Some(id),
            _ => None,
        }
    }
}

/// The spans by their parents, while rows are made of them.
struct Tree<'a> {
    trace: &'a Trace,
    facts: &'a TraceFacts,
    children: HashMap<(u32, Option<SpanId>), Vec<&'a SpanLine>>,
    shown: HashSet<SpanId>,
    /// Something is searched for: it is not looked for behind a fold.
    searches: bool,
}

impl<'a> Tree<'a> {
    fn new(trace: &'a Trace, facts: &'a TraceFacts, now: DateTime<Utc>) -> Self {
        let mut children: HashMap<(u32, Option<SpanId>), Vec<&SpanLine>> = HashMap::new();
        for span in &facts.spans {
            children
                .entry((span.attempt, span.parent))
                .or_default()
                .push(span);
        }
        let words = trace.words();
        let selected = trace.selected_span();
        // Hiding what is short never hides what is looked at.
        let passes = |span: &&SpanLine| {
            (span.took(now) >= trace.shortest || selected == Some(span.id)) && span.holds(&words)
        };
        let parents: HashMap<SpanId, Option<SpanId>> =
            facts.spans.iter().map(|span| (span.id, span.parent)).collect();
        let mut shown = HashSet::new();
        for span in facts.spans.iter().filter(passes) {
            // What a shown span is part of is shown too.
            let mut next = Some(span.id);
            while let Some(id) = next.filter(|id| shown.insert(*id)) {
                next = parents.get(&id).copied().flatten();
            }
        }
        Self {
            trace,
            facts,
            children,
            shown,
            searches: !words.is_empty(),
        }
    }

    fn rows(&self) -> Vec<TraceRow> {
        let mut rows = Vec::new();
        let mut numbers: Vec<u32> = self.facts.attempts.iter().map(|attempt| attempt.number).collect();
        if self
            .facts
            .spans
            .iter()
            .any(|span| !numbers.contains(&span.attempt))
        {
            numbers.extend(self.facts.spans.iter().map(|span| span.attempt));
            numbers.sort_unstable();
            numbers.dedup();
        }
        for number in numbers {
            let mut below = Vec::new();
            self.below(number, None, 1, &mut below);
            self.ghosts(number, &mut below);
            self.push(TraceKey::Attempt(number), 0, below, &mut rows);
        }
        rows
    }

    fn below(&self, attempt: u32, parent: Option<SpanId>, depth: u16, rows: &mut Vec<TraceRow>) {
        if depth > DEEPEST {
            return;
        }
        for span in self.children.get(&(attempt, parent)).into_iter().flatten() {
            if self.shown.contains(&span.id) {
                let mut below = Vec::new();
                self.below(attempt, Some(span.id), depth + 1, &mut below);
                self.push(TraceKey::Span(span.id), depth, below, rows);
            }
        }
    }

    /// Spans whose parent is not among them stand under a row for the parent.
    fn ghosts(&self, attempt: u32, rows: &mut Vec<TraceRow>) {
        let known: HashSet<SpanId> = self.facts.spans.iter().map(|span| span.id).collect();
        let mut missing: Vec<SpanId> = self
            .children
            .keys()
            .filter(|(number, _)| *number == attempt)
            .filter_map(|(_, parent)| *parent)
            .filter(|parent| !known.contains(parent))
            .collect();
        missing.sort_unstable();
        for parent in missing {
            let mut below = Vec::new();
            self.below(attempt, Some(parent), 2, &mut below);
            if !below.is_empty() {
                self.push(TraceKey::Ghost(parent), 1, below, rows);
            }
        }
    }

    fn push(&self, key: TraceKey, depth: u16, below: Vec<TraceRow>, rows: &mut Vec<TraceRow>) {
        let folded = self.trace.folded.contains(&key) && !self.searches;
        let fold = match below.len() {
            0 => Fold::Leaf,
            hidden if folded => Fold::Folded(hidden),
            _ => Fold::Open,
        };
        rows.push(TraceRow { key, depth, fold });
        if !folded {
            rows.extend(below);
        }
    }
}
