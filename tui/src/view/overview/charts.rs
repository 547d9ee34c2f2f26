//! The last five minutes: what waited, and what came and went, on one axis of time.

use ratatui::style::Style;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::history::{MarkKind, Point, TimeMark};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::overview::tiles;
use crate::view::widgets::{chart, section};
use crate::view::words::Words;

/// How far back the charts go.
const SECONDS: u32 = 300;
/// Columns left of the axis of the first chart.
const FIGURES: u16 = 5;
/// The same of the second, which names its lines there.
const NAMES: u16 = 10;

/// Draws both charts beside each other, or the first alone.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, room: Room, airy: bool) {
    let aged = canvas.theme.aged();
    let stale = model.overview.ledger.is_stale() || model.overview.queue.is_stale();
    let theme = if stale { &aged } else { canvas.theme };
    let strong = canvas.theme.strong();
    let mut canvas = canvas.themed(theme);
    let width = canvas.width();
    let name = Words::of("Waiting, last 5 min", strong);
    if room != Room::Wide {
        section::rule(&mut canvas, &name, &tiles::short_sum(model, theme));
        waiting(&mut canvas.below(1), model, airy);
        return;
    }
    let half = (width - 2) / 2;
    let mut left = canvas.part(0, 0, half, u16::MAX);
    section::rule(&mut left, &name, &Words::default());
    waiting(&mut left.below(1), model, airy);
    let mut right = canvas.beside(half + 2);
    section::rule(
        &mut right,
        &Words::of("In and done per second", strong),
        &Words::default(),
    );
    flow(&mut right.below(1), model, airy);
}

/// Rows for the area itself: the labels take one, the axis one where there is room.
fn area_rows(canvas: &Canvas<'_>, airy: bool) -> u16 {
    canvas.height().saturating_sub(if airy { 2 } else { 1 })
}

fn waiting(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let theme = canvas.theme;
    let rows = area_rows(canvas, airy);
    let columns = canvas.width().saturating_sub(FIGURES + 2);
    let values = history(model, columns, |point| {
        point.waiting.map(|waiting| waiting as f64)
    });
    let top = chart::round_up(values.iter().flatten().copied().fold(0.0, f64::max));
    let mut figures = vec![
        (0, format::count(top as u64)),
        (rows.saturating_sub(1), "0".to_owned()),
    ];
    if rows >= 5 {
        figures.push(((rows - 1) / 2, format::count((top / 2.0) as u64)));
    }
    chart::axis(canvas, FIGURES, rows, &figures);
    chart::area(
        &mut canvas.part(FIGURES + 1, 0, columns, rows),
        &values,
        top,
        theme.waiting,
    );
    foot(&mut canvas.part(FIGURES, rows, columns + 2, 2), model, airy);
}

/// Arrivals above, ends below, each on its own scale.
fn flow(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let theme = canvas.theme;
    let rows = area_rows(canvas, airy);
    let columns = canvas.width().saturating_sub(NAMES + 2);
    let upper = rows / 2;
    line(
        canvas,
        (0, upper),
        columns,
        (
            "in",
            theme.accent,
            history(model, columns, |point| Some(f64::from(point.accepted))),
        ),
    );
    line(
        canvas,
        (upper, rows - upper),
        columns,
        (
            "done",
            theme.ok,
            history(model, columns, |point| Some(f64::from(point.ended))),
        ),
    );
    foot(&mut canvas.part(NAMES, rows, columns + 2, 2), model, airy);
}

fn line(canvas: &mut Canvas<'_>, (y, rows): (u16, u16), columns: u16, line: (&str, Style, Vec<Option<f64>>)) {
    let (name, style, values) = line;
    let (top, more) = top_of(&values);
    let mut part = canvas.below(y);
    part.put(1, 0, name, style);
    let figures = [
        (0, format!("{}{more}", format::rate(top))),
        (rows.saturating_sub(1), "0".to_owned()),
    ];
    chart::axis(
        &mut part,
        NAMES,
        rows,
        if rows > 1 { &figures } else { &figures[..1] },
    );
    chart::area(&mut part.part(NAMES + 1, 0, columns, rows), &values, top, style);
}

/// The top of a scale, and `+` when something stands out above it.
///
/// A burst of one moment would flatten five minutes of everything else, so it is cut and marked.
fn top_of(values: &[Option<f64>]) -> (f64, &'static str) {
    let mut known: Vec<f64> = values.iter().flatten().copied().collect();
    known.sort_by(f64::total_cmp);
    let highest = known.last().copied().unwrap_or(0.0);
    let usual = known.get(known.len() * 95 / 100).copied().unwrap_or(highest);
    let (top, more) = if highest > usual * 4.0 && usual > 0.0 {
        (usual * 2.0, "+")
    } else {
        (highest, "")
    };
    let top = if top <= 2.0 {
        (top * 5.0).ceil().max(1.0) / 5.0
    } else {
        chart::round_up(top)
    };
    (top, more)
}

fn history(model: &Model, columns: u16, pick: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
    model
        .history
        .columns(model.server_now(), SECONDS, usize::from(columns) * 2, pick)
}

/// The axis of time, and under it how long ago, and what happened when.
fn foot(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let theme = canvas.theme;
    let width = canvas.width();
    if airy {
        canvas.put(0, 0, "└", theme.rule);
        canvas.fill(1, 0, width.saturating_sub(2), glyph::RULE, theme.rule);
    }
    let mut row = canvas.part(1, u16::from(airy), width.saturating_sub(2), 1);
    let mut taken: Vec<(u16, u16)> = Vec::new();
    let width = row.width();
    let marks = model
        .history
        .marks()
        .rev()
        .filter_map(|mark| label(mark, model, width, theme));
    let times =
        [(5, 0), (3, width * 2 / 5)].map(|(minutes, x)| (x, Words::of(format!("-{minutes}m"), theme.muted)));
    for (x, words) in marks.chain(times) {
        let end = x + words.width();
        // What would touch its neighbour is left out; the newest stands.
        if end <= width && taken.iter().all(|(from, to)| end < *from || x > *to) {
            row.words(x, 0, &words);
            taken.push((x, end));
        }
    }
}

/// What happened, at its place: `▲200`, `w-02de ✗`.
fn label(mark: &TimeMark, model: &Model, width: u16, theme: &Theme) -> Option<(u16, Words)> {
    let ago = (model.server_now() - mark.at).num_seconds();
    let column = i64::from(SECONDS) - ago;
    if ago < 0 || column < 0 {
        return None;
    }
    let column = u16::try_from(column * i64::from(width) / i64::from(SECONDS))
        .ok()?
        .min(width.saturating_sub(1));
    let (glyph, style) = match mark.kind {
        MarkKind::Burst | MarkKind::Joined => (glyph::JOINED, theme.accent),
        MarkKind::Left => (glyph::LEFT, theme.accent),
        MarkKind::Lost => (glyph::DEAD, theme.lost),
    };
    let words = Words::of(glyph, style);
    if mark.kind == MarkKind::Lost {
        let words = Words::outside(&mark.label, theme.muted).gap(1).then(words);
        return Some(((column + 1).saturating_sub(words.width()), words));
    }
    let words = words.and_outside(&mark.label, style);
    Some((column.min(width.saturating_sub(words.width())), words))
}
