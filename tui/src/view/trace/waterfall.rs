//! The rows: what each try and span is, when it ran on the common scale, what it took and cost.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{SpanId, SpanKind, SpanStatus};
use ratatui::style::Style;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::job::{AttemptLine, Outcome};
use crate::model::skew::Outside;
use crate::model::trace::{Fold, SpanLine, Trace, TraceFacts, TraceKey, TraceRow};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::state;
use crate::view::trace::time_words;
use crate::view::widgets::bar::{self, End, Scale, Weight};
use crate::view::words::Words;

/// The columns of the waterfall, each with its right or left edge.
struct Columns {
    /// Where the mark of a fold stands; names end before it.
    fold: u16,
    /// Where bars begin.
    bar: u16,
    /// Where times end.
    time: u16,
    /// Where tokens end, if there is room for them.
    tokens: Option<u16>,
    /// Where costs end, if there is room for them.
    cost: Option<u16>,
}

/// What all rows of a picture share.
struct Picture<'a> {
    facts: &'a TraceFacts,
    columns: Columns,
    room: Room,
    scale: Scale,
    /// When the scale begins.
    origin: DateTime<Utc>,
    now: DateTime<Utc>,
    /// Spans that decided how long their try took.
    critical: HashSet<SpanId>,
    trace: &'a Trace,
}

/// A bar before it has a scale.
struct Bar {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    weight: Weight,
    end: End,
    style: Style,
}

/// What a row says, whatever it is about.
struct Line {
    glyph: (&'static str, Style),
    name: Words,
    /// At the right end of the name: `kept`, `not seen`.
    aside: Words,
    bar: Option<Bar>,
    time: Words,
    tokens: Words,
    cost: Words,
}

/// Draws titles, ticks and rows.
pub fn draw(canvas: &mut Canvas<'_>, facts: &TraceFacts, model: &Model, room: Room) {
    let columns = columns(canvas.width(), room);
    let picture = picture(facts, model, columns, room);
    head(canvas, &picture);
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (row, cursor)) in (1..).zip(model.trace.visible(rows, picture.now)) {
        let line = line(&picture, row.key, canvas.theme);
        draw_row(canvas, y, &picture, (row, &line));
        if cursor {
            canvas.put(0, y, glyph::CURSOR, canvas.theme.accent);
            canvas.select_row(y);
        }
    }
}

fn columns(width: u16, room: Room) -> Columns {
    let end = width.saturating_sub(1);
    let (name, cost, tokens) = match room {
        Room::Wide => (
            (width * 31 / 100).clamp(34, 60),
            Some(end),
            Some(end.saturating_sub(9)),
        ),
        Room::Medium => (31, Some(end), None),
        Room::Narrow => (18, None, None),
    };
    let before = |edge: Option<u16>, wide: u16| edge.map(|edge| edge.saturating_sub(wide));
    let time = before(tokens, 18).or_else(|| before(cost, 9)).unwrap_or(end);
    Columns {
        fold: name,
        bar: name + 3,
        time,
        tokens,
        cost,
    }
}

fn picture<'a>(facts: &'a TraceFacts, model: &'a Model, columns: Columns, room: Room) -> Picture<'a> {
    let (trace, now) = (&model.trace, model.server_now());
    let number = trace.attempt().unwrap_or(0);
    let (origin, whole) = trace.stretch(facts, now);
    let wide = columns.time.saturating_sub(columns.bar + 9);
    let mut scale = Scale::fitting(wide, whole / trace.zoom.factor.max(1));
    scale.from = whole.mul_f64(f64::from(trace.zoom.from_ppm) / 1_000_000.0);
    let critical = if trace.critical {
        facts.critical(number, now)
    } else {
        HashSet::new()
    };
    Picture {
        facts,
        columns,
        room,
        scale,
        origin,
        now,
        critical,
        trace,
    }
}

fn head(canvas: &mut Canvas<'_>, picture: &Picture<'_>) {
    let theme = canvas.theme;
    let columns = &picture.columns;
    canvas.put(2, 0, "SPAN", theme.muted);
    let mut free = columns.bar;
    let ticks = picture.scale.ticks();
    for (nth, (x, at)) in ticks.iter().enumerate() {
        let text = tick(*at, picture.scale.step(), nth + 1 == ticks.len());
        let x = columns.bar + x;
        if x >= free && x + format::width(&text) <= columns.bar + picture.scale.columns + 4 {
            free = canvas.put(x, 0, &text, theme.muted) + 1;
        }
    }
    canvas.words_before(columns.time, 0, &Words::of("TIME", theme.muted));
    if let Some(x) = columns.tokens {
        canvas.words_before(x, 0, &Words::of("TOKENS IN>OUT", theme.muted));
    }
    if let Some(x) = columns.cost {
        canvas.words_before(x, 0, &Words::of("COST", theme.muted));
    }
}

/// A time on the scale, in the unit of the step: `5`, `0.2`, `2`; the last one names the unit.
fn tick(at: Duration, step: Duration, is_last: bool) -> String {
    let (text, unit) = match step.as_millis() {
        0..100 => (at.as_millis().to_string(), " ms"),
        100..1_000 => (format!("{:.1}", at.as_secs_f64()), " s"),
        1_000..60_000 => (at.as_secs().to_string(), " s"),
        _ => ((at.as_secs() / 60).to_string(), " min"),
    };
    let text = if at.is_zero() { "0".to_owned() } else { text };
    if is_last && !at.is_zero() {
        format!("{text}{unit}")
    } else {
        text
    }
}

fn draw_row(canvas: &mut Canvas<'_>, y: u16, picture: &Picture<'_>, (row, line): (TraceRow, &Line)) {
    let theme = canvas.theme;
    let columns = &picture.columns;
    let indent = 2 + 2 * row.depth.min(8);
    canvas.put(indent, y, line.glyph.0, line.glyph.1);
    let aside = columns.fold.saturating_sub(line.aside.width());
    let name_end = if line.aside.is_empty() {
        columns.fold
    } else {
        aside
    }
    .saturating_sub(1);
    canvas.fitted(indent + 2, y, &line.name, name_end.saturating_sub(indent + 2));
    canvas.words_before(columns.fold, y, &line.aside);
    let mark = match row.fold {
        Fold::Leaf => "",
        Fold::Open => glyph::UNFOLDED,
        Fold::Folded(_) => glyph::FOLDED,
    };
    canvas.put(columns.fold + 1, y, mark, theme.accent);
    grid(canvas, y, picture);
    if let Some(bar) = &line.bar {
        draw_bar(
            &mut canvas.part(columns.bar, y, picture.scale.columns, 1),
            bar,
            picture,
        );
    }
    canvas.words_before(columns.time + 1, y, &pad_running(&line.time));
    if let Some(x) = columns.tokens {
        canvas.words_before(x, y, &line.tokens);
    }
    if let Some(x) = columns.cost {
        canvas.words_before(x, y, &line.cost);
    }
}

/// A bar on the common scale; what ended before it begins is a mark at its left edge.
fn draw_bar(canvas: &mut Canvas<'_>, bar: &Bar, picture: &Picture<'_>) {
    if bar.to < picture.origin {
        canvas.put(0, 0, glyph::EARLIER, canvas.theme.muted);
        return;
    }
    let span = (
        format::between(picture.origin, bar.from),
        format::between(picture.origin, bar.to),
    );
    bar::draw(canvas, &picture.scale, span, (bar.weight, bar.end, bar.style));
}

/// Times stand under each other whether or not a mark follows them.
fn pad_running(time: &Words) -> Words {
    let runs = time
        .parts()
        .last()
        .is_some_and(|(text, _)| text.ends_with(glyph::MORE));
    if runs { time.clone() } else { time.clone().gap(1) }
}

fn grid(canvas: &mut Canvas<'_>, y: u16, picture: &Picture<'_>) {
    let theme = canvas.theme;
    for (x, at) in picture.scale.ticks() {
        if !at.is_zero() {
            canvas.put(picture.columns.bar + x, y, glyph::GRID, theme.rule);
        }
    }
}

fn line(picture: &Picture<'_>, key: TraceKey, theme: &Theme) -> Line {
    match key {
        TraceKey::Attempt(number) => match picture.facts.attempt(number) {
            Some(attempt) => attempt_line(picture, attempt, theme),
            None => nameless(format!("try {number}"), "not recorded", theme),
        },
        TraceKey::Span(id) => match picture.facts.span(id) {
            Some(span) => span_line(picture, span, theme),
            None => nameless("span".to_owned(), "gone", theme),
        },
        TraceKey::Ghost(_) => nameless("parent span".to_owned(), "not seen", theme),
    }
}

fn nameless(name: String, aside: &str, theme: &Theme) -> Line {
    Line {
        glyph: (glyph::LATER, theme.muted),
        name: Words::of(name, theme.muted),
        aside: Words::of(aside, theme.muted),
        bar: None,
        time: Words::default(),
        tokens: Words::default(),
        cost: Words::default(),
    }
}

fn attempt_line(picture: &Picture<'_>, attempt: &AttemptLine, theme: &Theme) -> Line {
    let (glyph, style) = state::outcome(theme, attempt.outcome);
    let name = Words::of(format!("try {}", attempt.number), style)
        .and(format!(" on {}", attempt.worker.short()), theme.text);
    let name = match &attempt.class {
        Some(class) => name.gap(2).and_outside(class, theme.dead),
        None => name,
    };
    let end = match attempt.outcome {
        Outcome::Running => End::Live,
        Outcome::Done => End::Whole,
        _ => End::Failed,
    };
    let runs = attempt.outcome == Outcome::Running;
    let until = attempt.ended_at.unwrap_or(picture.now);
    Line {
        glyph: (glyph, style),
        name,
        aside: Words::default(),
        bar: Some(Bar {
            from: attempt.started_at,
            to: until,
            weight: Weight::Critical,
            end,
            style,
        }),
        time: time_words(attempt.ran(picture.now), runs, theme),
        tokens: Words::of(format::tokens(attempt.tokens), theme.text),
        cost: Words::of(format::money(attempt.cost_usd), theme.text),
    }
}

fn span_line(picture: &Picture<'_>, span: &SpanLine, theme: &Theme) -> Line {
    let (glyph, style) = state::span(theme, span.status);
    let end = match span.status {
        SpanStatus::Running => End::Live,
        SpanStatus::Ok => End::Whole,
        SpanStatus::Error => End::Failed,
    };
    let weight = match (span.kept, picture.critical.contains(&span.id)) {
        (true, _) => Weight::Kept,
        (false, true) => Weight::Critical,
        (false, false) => Weight::Other,
    };
    let ahead = picture.trace.ahead(picture.facts, span.attempt, picture.now);
    let until = span.ended_at.map_or(picture.now, |end| end - ahead);
    let runs = span.status == SpanStatus::Running;
    Line {
        glyph: (glyph, style),
        name: span_name(picture, span, (style, theme)),
        aside: aside(picture, span, theme),
        bar: Some(Bar {
            from: span.started_at - ahead,
            to: until,
            weight,
            end,
            style,
        }),
        time: time_words(span.took(picture.now), runs, theme),
        tokens: tokens(span, theme),
        cost: cost(span, theme),
    }
}

/// What is odd about a span: it was paid for earlier, or it sticks out of the one that it is part of.
fn aside(picture: &Picture<'_>, span: &SpanLine, theme: &Theme) -> Words {
    let word = match picture.facts.outside(span) {
        _ if span.kept => return Words::of("kept", theme.muted),
        None => return Words::default(),
        Some(_) if picture.room == Room::Narrow => "",
        Some(Outside::Before) => " early",
        Some(Outside::After) => " late",
    };
    Words::of(format!("{}{word}", glyph::LOST), theme.lost)
}

/// `invoke_agent judge`, `chat claude-haiku-4-5`, `execute_tool grep`; without the verb where it is narrow.
fn span_name(picture: &Picture<'_>, span: &SpanLine, (style, theme): (Style, &Theme)) -> Words {
    let verb = match (span.kind, picture.room) {
        (SpanKind::Agent, Room::Wide) => "invoke_agent ",
        (SpanKind::Tool, Room::Wide) => "execute_tool ",
        (SpanKind::Llm, _) => "chat ",
        (SpanKind::Agent | SpanKind::Tool, _) => "",
    };
    let name = match (span.kind, &span.model) {
        (SpanKind::Llm, Some(model)) => model,
        _ => &span.name,
    };
    let words = Words::of(verb, style).and_outside(name, theme.text);
    match &span.error {
        Some(error) => words.gap(2).and_outside(error, theme.dead),
        None => words,
    }
}

/// The name of a span where there is room for it: `chat claude-haiku-4-5`.
#[must_use]
pub fn whole_name(span: &SpanLine, style: Style) -> Words {
    let (verb, name) = match (span.kind, &span.model) {
        (SpanKind::Llm, Some(model)) => ("chat ", model),
        (SpanKind::Tool, _) => ("execute_tool ", &span.name),
        (SpanKind::Agent, _) => ("invoke_agent ", &span.name),
        (SpanKind::Llm, None) => ("chat ", &span.name),
    };
    Words::of(verb, style).and_outside(name, style)
}

/// `6,120 > 212`; what is not known yet is `?`, what does not apply is nothing.
fn tokens(span: &SpanLine, theme: &Theme) -> Words {
    let figure = |tokens: Option<u64>| tokens.map_or_else(|| "?".to_owned(), format::tokens);
    if span.input_tokens.is_none() && span.output_tokens.is_none() {
        return Words::default();
    }
    Words::of(figure(span.input_tokens), theme.text)
        .and(" > ", theme.muted)
        .and(figure(span.output_tokens), theme.text)
}

fn cost(span: &SpanLine, theme: &Theme) -> Words {
    let about = if span.status == SpanStatus::Running {
        "~"
    } else {
        ""
    };
    span.cost_usd.map_or_else(Words::default, |usd| {
        Words::of(format::money(usd), theme.text).and(about, theme.muted)
    })
}

/// What the lines mean, how many spans there are, how large the picture is.
pub fn legend(canvas: &mut Canvas<'_>, trace: &Trace, model: &Model) {
    let theme = canvas.theme;
    let item = |glyph: &str, style: Style, word: &str| {
        Words::of(glyph, style).and(format!(" {word}   "), theme.muted)
    };
    let words = item(glyph::HEAVY, theme.ok, "critical path")
        .then(item(glyph::RULE, theme.ok, "other"))
        .then(item(glyph::KEPT, theme.ok, "kept"))
        .then(item(glyph::LIVE, theme.busy, "still running"))
        .then(item(glyph::DEAD, theme.dead, "failed"));
    let words = if trace.known().is_some_and(TraceFacts::has_outside) {
        words.then(item(glyph::LOST, theme.lost, "outside its parent"))
    } else {
        words
    };
    let hidden: usize = trace
        .rows(model.server_now())
        .iter()
        .map(|row| {
            if let Fold::Folded(rows) = row.fold {
                rows
            } else {
                0
            }
        })
        .sum();
    let all = trace.known().map_or(0, |facts| facts.spans.len());
    let mut right = format::plural(all as u64, "span", "spans");
    if hidden > 0 {
        right.push_str(&format!(", {hidden} folded"));
    }
    if !trace.shortest.is_zero() {
        right.push_str(&format!(", none under {}", format::took(trace.shortest)));
    }
    right.push_str(&format!("   zoom {}x", trace.zoom.factor));
    let width = canvas.width();
    let start = canvas.words_before(width.saturating_sub(1), 0, &Words::of(right, theme.muted));
    canvas.fitted(2, 0, &words, start.saturating_sub(3));
}
