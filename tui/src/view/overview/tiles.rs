//! The figures: each with a mark of how far it can be trusted, each with the age of its own server.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ratatui::style::{Modifier, Style};

use crate::format::{self, Trust};
use crate::glyph;
use crate::model::Model;
use crate::model::figures::{Counts, Drain, LedgerFigures, QueueFigures};
use crate::model::remote::Remote;
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// A figure with its label and what is said about it.
struct Tile {
    label: &'static str,
    figure: Words,
    notes: Vec<Words>,
}

/// A figure of a server that answers.
struct Figure {
    text: String,
    style: Style,
    mark: Option<Trust>,
    notes: Vec<Words>,
    /// It tells the future, which nobody knows from old figures.
    is_forecast: bool,
}

impl Figure {
    fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
            mark: None,
            notes: Vec::new(),
            is_forecast: false,
        }
    }

    fn forecast(self) -> Self {
        Self {
            is_forecast: true,
            ..self
        }
    }

    fn mark(self, mark: Trust) -> Self {
        Self {
            mark: Some(mark),
            ..self
        }
    }

    fn note(mut self, text: impl Into<String>, style: Style) -> Self {
        self.notes.push(Words::of(text, style));
        self
    }
}

/// Draws labels, figures and notes.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, room: Room, airy: bool) {
    let theme = canvas.theme;
    let tiles = match room {
        Room::Wide => wide(model, theme),
        Room::Medium | Room::Narrow => medium(model, theme),
    };
    let starts: &[u16] = match room {
        Room::Wide => &[0, 17, 37, 54, 73, 91, 105, 118],
        Room::Medium | Room::Narrow => &[0, 15, 32, 47, 63, 78],
    };
    let whole = u32::from(*starts.last().unwrap_or(&1));
    let spread = |at: u16| {
        let scaled = u32::from(at) * u32::from(canvas.width().saturating_sub(2)) / whole.max(1);
        u16::try_from(scaled + 1).unwrap_or(u16::MAX)
    };
    let edges: Vec<u16> = starts.iter().map(|at| spread(*at)).collect();
    let rows = if airy { 2 } else { 1 };
    let gap = if room == Room::Wide { 2 } else { 1 };
    for ((nth, tile), edge) in (1..).zip(&tiles).zip(edges.windows(2)) {
        // The last one ends at the edge of the screen.
        let gap = if nth == tiles.len() { 0 } else { gap };
        let width = (edge[1] - edge[0]).saturating_sub(gap);
        canvas.put(edge[0], 0, tile.label, theme.muted);
        canvas.fitted(edge[0], 1, &tile.figure, width);
        for (y, note) in (2..).zip(tile.notes.iter().take(rows)) {
            canvas.fitted(edge[0], y, note, width);
        }
    }
}

fn wide(model: &Model, theme: &Theme) -> Vec<Tile> {
    let mut tiles = queue_tiles(model, theme);
    tiles.extend([
        ledger(model, theme, "DEAD", dead),
        ledger(model, theme, "IN / OUT", |ledger, theme| {
            flow(ledger, model, theme)
        }),
        ledger(model, theme, "DRAINS IN", |ledger, theme| {
            drains(ledger, model, theme)
        }),
        ledger(model, theme, "SPENT", spent),
    ]);
    tiles
}

fn medium(model: &Model, theme: &Theme) -> Vec<Tile> {
    let mut tiles = queue_tiles(model, theme);
    tiles.extend([
        ledger(model, theme, "DEAD", dead),
        ledger(model, theme, "DRAINS IN", |ledger, theme| {
            let rates = format!(
                "in {} out {}",
                format::rate(ledger.in_per_s),
                format::rate(ledger.out_per_s)
            );
            let mut figure = drains(ledger, model, theme);
            figure.notes.insert(0, Words::of(rates, theme.muted));
            figure
        }),
    ]);
    tiles
}

fn queue_tiles(model: &Model, theme: &Theme) -> Vec<Tile> {
    let age = model.overview.queue.age(model.now).unwrap_or_default();
    vec![
        queue(model, theme, "WAITING", waiting),
        queue(model, theme, "IN FLIGHT", |queue, theme| {
            in_flight(queue, model, theme)
        }),
        queue(model, theme, "RETRYING", |queue, theme| {
            retrying(queue, age, theme)
        }),
    ]
}

/// A tile of Valkey's.
fn queue(
    model: &Model,
    theme: &Theme,
    label: &'static str,
    figure: impl Fn(&QueueFigures, &Theme) -> Figure,
) -> Tile {
    tile(label, &model.overview.queue, model.now, theme, figure)
}

/// A tile of Postgres's.
fn ledger(
    model: &Model,
    theme: &Theme,
    label: &'static str,
    figure: impl Fn(&LedgerFigures, &Theme) -> Figure,
) -> Tile {
    tile(label, &model.overview.ledger, model.now, theme, figure)
}

fn tile<T>(
    label: &'static str,
    remote: &Remote<T>,
    now: DateTime<Utc>,
    theme: &Theme,
    figure: impl Fn(&T, &Theme) -> Figure,
) -> Tile {
    let (figure, notes) = match remote {
        Remote::Loading { .. } => (Words::of(glyph::MORE, theme.muted), Vec::new()),
        Remote::Failed { .. } => (
            Words::of(Trust::Unknown.mark(), theme.stale),
            vec![Words::of("no answer yet", theme.stale)],
        ),
        Remote::Ready { value, .. } => {
            let figure = figure(value, theme);
            (with_mark(&figure, theme), figure.notes)
        }
        Remote::Stale { value, at, .. } => {
            let aged = theme.aged();
            let mut figure = figure(value, &aged).mark(Trust::Unknown);
            figure.style = aged.text;
            if figure.is_forecast {
                return Tile {
                    label,
                    figure: Words::of(Trust::Unknown.mark(), aged.text),
                    notes: Vec::new(),
                };
            }
            let old = format!("{} old", format::age(format::between(*at, now)));
            (with_mark(&figure, &aged), vec![Words::of(old, aged.text)])
        }
    };
    Tile { label, figure, notes }
}

fn with_mark(figure: &Figure, theme: &Theme) -> Words {
    let words = Words::of(figure.text.as_str(), figure.style.add_modifier(Modifier::BOLD));
    match figure.mark {
        Some(mark) => words.gap(1).and(mark.mark(), theme.muted),
        None => words,
    }
}

fn waiting(queue: &QueueFigures, theme: &Theme) -> Figure {
    let figure = Figure::new(format::count(queue.waiting), theme.text).mark(Trust::Exact);
    match (queue.paused, queue.oldest_waiting) {
        (true, _) => figure.note("the queue is paused", theme.retrying),
        (false, Some(age)) if queue.waiting > 0 => {
            figure.note(format!("oldest {}", format::age(age)), theme.muted)
        }
        (false, _) => figure.note("nobody waits", theme.muted),
    }
}

fn in_flight(queue: &QueueFigures, model: &Model, theme: &Theme) -> Figure {
    let figure = Figure::new(format::count(queue.in_flight()), theme.busy);
    let Some(page) = model.workers.page.fresh() else {
        return figure;
    };
    let slots = (
        format!("{} of {} slots", page.busy_slots(), page.live_slots()),
        theme.muted,
    );
    let lost = match page.on_lost() {
        0 => return figure.note(slots.0, slots.1),
        lost => (format!("{lost} on a lost one"), theme.lost),
    };
    // Where one note has room, it is the one that matters.
    let (first, second) = if Room::of(model.size.width) == Room::Wide {
        (slots, lost)
    } else {
        (lost, slots)
    };
    figure.note(first.0, first.1).note(second.0, second.1)
}

fn retrying(queue: &QueueFigures, age: Duration, theme: &Theme) -> Figure {
    let style = if queue.parked > 0 {
        theme.retrying
    } else {
        theme.text
    };
    let figure = Figure::new(format::count(queue.parked), style);
    match queue.next_retry.map(|due| due.saturating_sub(age)) {
        Some(Duration::ZERO) => figure.note("next is due", theme.muted),
        Some(due) => figure.note(format!("next in {}", format::age(due)), theme.muted),
        None => figure.note("none parked", theme.muted),
    }
}

fn dead(ledger: &LedgerFigures, theme: &Theme) -> Figure {
    let figure = match ledger.counts.dead {
        0 => Figure::new("0", theme.text),
        dead => Figure::new(format!("{} {}", format::count(dead), glyph::DEAD), theme.dead),
    };
    match ledger.died_last_minute {
        0 => figure.note("none of late", theme.muted),
        new => figure.note(format!("+{new} this minute"), theme.dead),
    }
}

fn flow(ledger: &LedgerFigures, model: &Model, theme: &Theme) -> Figure {
    let (came, went) = (format::rate(ledger.in_per_s), format::rate(ledger.out_per_s));
    // With its age and its mark there is no room for the unit.
    let unit = if model.overview.ledger.is_stale() {
        ""
    } else {
        " per s"
    };
    let figure = Figure::new(format!("{came} / {went}{unit}"), theme.text);
    match model.overview.out_before_loss {
        Some(before) => figure
            .note(format!("{} out before", format::rate(before)), theme.muted)
            .note("the loss", theme.muted),
        None => figure.note("last minute", theme.muted),
    }
}

fn drains(ledger: &LedgerFigures, model: &Model, theme: &Theme) -> Figure {
    match ledger.drains() {
        Drain::Empty => Figure::new("empty", theme.ok).note("none waits", theme.muted),
        Drain::Never => Figure::new("never", theme.retrying).note("more come in", theme.muted),
        Drain::In(time) => {
            let figure = Figure::new(format!("~{}", format::age(time)), theme.text).forecast();
            match with_one_more(ledger, model) {
                Some(sooner) => figure.note(format!("+1: ~{}", format::age(sooner)), theme.muted),
                None => figure,
            }
        }
    }
}

/// When the queue would be empty with one more worker like those that are there.
fn with_one_more(ledger: &LedgerFigures, model: &Model) -> Option<Duration> {
    let live = model.workers.page.fresh()?.live().count();
    let out = ledger.out_per_s * (live as f64 + 1.0) / live.max(1) as f64;
    let net = out - ledger.in_lately_per_s;
    let seconds = ledger.counts.waiting as f64 / net;
    (live > 0 && net > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

fn spent(ledger: &LedgerFigures, theme: &Theme) -> Figure {
    let figure = Figure::new(format::money(ledger.spent_usd), theme.text).mark(Trust::Estimated);
    let figure = match ledger.usd_per_job() {
        Some(each) => figure.note(format!("{} a job", format::money(each)), theme.muted),
        None => figure.note("none ended", theme.muted),
    };
    figure.note(format!("{} tok", format::tokens(ledger.tokens)), theme.muted)
}

/// `accepted 640 = waiting 128 + ..`: every job stands in one state, or we say that it does not.
pub fn sum(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let aged = theme.aged();
    let theme = if model.overview.ledger.is_stale() {
        &aged
    } else {
        theme
    };
    let Some(ledger) = model.overview.ledger.value() else {
        return;
    };
    let counts = &ledger.counts;
    let mut words = Words::of("accepted ", theme.muted).and(format::count(counts.accepted), theme.strong());
    for (nth, (word, count)) in parts(counts).into_iter().enumerate() {
        let sign = if nth == 0 { " = " } else { " + " };
        words = words
            .and(format!("{sign}{word} "), theme.muted)
            .and(format::count(count), theme.strong());
    }
    let width = canvas.width();
    let start = canvas.words_before(width.saturating_sub(1), 0, &verdict(counts, theme));
    canvas.fitted(1, 0, &words, start.saturating_sub(3));
}

/// The states of the sum; those that are rare are left out while they are nought.
fn parts(counts: &Counts) -> Vec<(&'static str, u64)> {
    let mut parts = vec![
        ("waiting", counts.waiting),
        ("running", counts.running),
        ("retrying", counts.retrying),
        ("dead", counts.dead),
        ("cancelled", counts.cancelled),
        ("done", counts.done),
    ];
    parts.extend(
        [("scheduled", counts.scheduled), ("dropped", counts.dropped)]
            .into_iter()
            .filter(|(_, n)| *n > 0),
    );
    parts
}

fn verdict(counts: &Counts, theme: &Theme) -> Words {
    if counts.add_up() {
        Words::of(format!("the sum is right {}", glyph::DONE), theme.ok)
    } else {
        Words::of(format!(" the sum is wrong {} ", glyph::DEAD), theme.danger)
    }
}

/// The same sum in few words, for a heading: `640 = 128+12+2+7+1+490 ✓`.
#[must_use]
pub fn short_sum(model: &Model, theme: &Theme) -> Words {
    let Some(ledger) = model.overview.ledger.value() else {
        return Words::default();
    };
    let counts = &ledger.counts;
    if counts.accepted == 0 {
        return Words::default();
    }
    let numbers: Vec<String> = parts(counts)
        .into_iter()
        .map(|(_, count)| count.to_string())
        .collect();
    let (mark, style) = if counts.add_up() {
        (glyph::DONE, theme.ok)
    } else {
        (glyph::DEAD, theme.danger)
    };
    Words::of(
        format!("{} = {} ", counts.accepted, numbers.join("+")),
        theme.muted,
    )
    .and(mark, style)
}

/// The figures of a narrow screen, one under the other; answers the rows.
pub fn facts(canvas: &mut Canvas<'_>, model: &Model) -> u16 {
    let theme = canvas.theme;
    let names = ["waiting", "in flight", "retrying", "dead", "drains"];
    let rows = u16::try_from(names.len()).unwrap_or(0);
    for ((y, name), tile) in (0..).zip(names).zip(medium(model, theme)) {
        canvas.put(1, y, name, theme.muted);
        canvas.words_before(18, y, &tile.figure);
        if let Some(note) = tile.notes.first() {
            canvas.fitted(20, y, note, canvas.width().saturating_sub(21));
        }
    }
    rows
}
