//! What just happened, and what needs a person: two lists beside or under each other.

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::keymap;
use crate::model::Model;
use crate::model::happening::{Happening, HappeningKind};
use crate::model::need::Need;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::section;
use crate::view::words::Words;

/// Draws both.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, room: Room) {
    let width = canvas.width();
    if room == Room::Wide {
        let right = (width * 34 / 100).min(64);
        needs(&mut canvas.beside(width - right), model, Shape::Tall);
        happenings(&mut canvas.part(0, 0, width - right - 2, u16::MAX), model);
        return;
    }
    let shown = u16::try_from(model.overview.needs.len().clamp(1, 2)).unwrap_or(2);
    needs(&mut canvas.part(0, 0, width, 1 + shown), model, Shape::Flat);
    happenings(&mut canvas.below(1 + shown), model);
}

/// What is said while nothing was ever answered: nobody knows yet, or nobody can.
fn unknown(model: &Model) -> &'static str {
    let lamps = [&model.connection.valkey, &model.connection.postgres];
    if lamps.iter().any(|lamp| lamp.is_lost()) {
        "Not known yet."
    } else {
        glyph::MORE
    }
}

/// How much room a line of what needs a person has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Two rows.
    Tall,
    /// One row.
    Flat,
}

fn needs(canvas: &mut Canvas<'_>, model: &Model, shape: Shape) {
    let theme = canvas.theme;
    let needs = &model.overview.needs;
    let count = if needs.is_empty() {
        String::new()
    } else {
        format!("  {}", needs.len())
    };
    section::rule(
        canvas,
        &Words::of(format!("Needs you{count}"), theme.strong()),
        &Words::default(),
    );
    if needs.is_empty() {
        let overview = &model.overview;
        let is_known = overview.queue.value().is_some() && overview.ledger.value().is_some();
        canvas.put(
            1,
            1,
            if is_known { "Nothing." } else { unknown(model) },
            theme.muted,
        );
        return;
    }
    let mut y = 1;
    for need in needs {
        if y >= canvas.height() {
            break;
        }
        y += match shape {
            Shape::Tall => tall_need(canvas, y, need, model),
            Shape::Flat => flat_need(canvas, y, need, model),
        };
    }
}

/// What is the matter, and under it what comes of it, with the key that answers it.
fn tall_need(canvas: &mut Canvas<'_>, y: u16, need: &Need, model: &Model) -> u16 {
    let theme = canvas.theme;
    let width = canvas.width();
    let (glyph, style) = state::harm(theme, need.harm);
    canvas.put(1, y, glyph, style);
    let inner = width.saturating_sub(4);
    canvas.fitted(3, y, &Words::outside(&need.what, theme.text), inner);
    let end = answer(canvas, y + 1, need, model);
    canvas.fitted(
        3,
        y + 1,
        &Words::outside(&need.detail, theme.muted),
        end.saturating_sub(5),
    );
    2
}

fn flat_need(canvas: &mut Canvas<'_>, y: u16, need: &Need, model: &Model) -> u16 {
    let theme = canvas.theme;
    let (glyph, style) = state::harm(theme, need.harm);
    canvas.put(1, y, glyph, style);
    let end = answer(canvas, y, need, model);
    let words = Words::outside(&need.what, theme.text)
        .and(": ", theme.muted)
        .and_outside(&need.detail, theme.muted);
    canvas.fitted(3, y, &words, end.saturating_sub(5));
    1
}

/// The key at the right edge; answers where it begins.
fn answer(canvas: &mut Canvas<'_>, y: u16, need: &Need, model: &Model) -> u16 {
    let theme = canvas.theme;
    let end = canvas.width().saturating_sub(1);
    let Some(key) = keymap::key(model, need.command) else {
        return end;
    };
    let words = Words::of(key.label(), theme.accent)
        .gap(1)
        .and(need.command.command().short, theme.muted);
    canvas.words_before(end, y, &words)
}

fn happenings(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    section::rule(canvas, &Words::of("Just now", theme.strong()), &Words::default());
    if model.happenings.is_empty() {
        if model.overview.ledger.value().is_none() {
            canvas.put(1, 1, unknown(model), theme.muted);
            return;
        }
        let text = "Nothing has ended yet.";
        condition::sentence(canvas, 1, model, text, &[CommandId::Submit, CommandId::Burst]);
        return;
    }
    for (y, happening) in (1..canvas.height()).zip(model.happenings.iter()) {
        row(canvas, y, happening);
    }
}

/// Columns for worker, time and cost.
const DETAIL: u16 = 23;

fn row(canvas: &mut Canvas<'_>, y: u16, happening: &Happening) {
    let theme = canvas.theme;
    let width = canvas.width();
    let (glyph, style) = state::happening(theme, happening.kind);
    canvas.put(1, y, &format::moment(happening.at), theme.muted);
    canvas.put(10, y, glyph, style);
    // The rest is shared by what it is about, what became of it, and what more there is to say.
    let rest = width.saturating_sub(13);
    let what = if rest >= 56 { 18 } else { rest / 3 };
    let subject = rest.saturating_sub(what + DETAIL).clamp(10, 40);
    canvas.fitted(
        12,
        y,
        &subject_words(happening, canvas),
        subject.saturating_sub(1),
    );
    let what_style = match happening.kind {
        HappeningKind::Done => state::verdict(theme, happening.what.raw()),
        _ => style,
    };
    canvas.fitted(
        12 + subject,
        y,
        &Words::outside(&happening.what, what_style),
        what.saturating_sub(1),
    );
    let x = 12 + subject + what;
    detail(canvas, x, y, happening);
}

fn subject_words(happening: &Happening, canvas: &Canvas<'_>) -> Words {
    let subject = match happening.job {
        Some(_) => crate::model::jobs::short_input(&happening.subject),
        None => happening.subject.clone(),
    };
    Words::outside(&subject, canvas.theme.text)
}

/// Why, or by whom, how long and for how much, numbers under numbers.
fn detail(canvas: &mut Canvas<'_>, x: u16, y: u16, happening: &Happening) {
    let theme = canvas.theme;
    let end = canvas.width().saturating_sub(1);
    if let Some(note) = &happening.note {
        canvas.fitted(x, y, &Words::outside(note, theme.text), end.saturating_sub(x));
        return;
    }
    if let Some(worker) = &happening.worker {
        canvas.put(x, y, &format::fit(&worker.short(), 8), theme.text);
    }
    let took = happening.took.map_or_else(String::new, format::took);
    let cost = happening.cost_usd.map_or_else(String::new, format::money);
    for (column, text) in [(x + 15, took), (x + 23, cost)] {
        if column <= end {
            canvas.words_before(column, y, &Words::of(text, theme.text));
        }
    }
}
