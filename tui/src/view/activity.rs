//! Who did that, to what, and what came of it?

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::activity::{ActionLine, Ended};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{self, Column, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

const fn columns(room: Room) -> [Column; 9] {
    let (to, result) = match room {
        Room::Narrow => (10, 6),
        Room::Medium => (20, 14),
        // With the row under the cursor told beside the list all but the reason still fit.
        Room::Wide => (20, 20),
    };
    [
        Column::words("TIME", 9, 10),
        Column::words("WHO", 12, 4).elastic(16),
        Column::words("DID", 12, 9),
        Column::words("TO", to, 6).elastic(40),
        Column::words("END", 7, 8),
        Column::words("RESULT", result, 5).elastic(60),
        Column::words("REASON", 16, 1).elastic(40),
        Column::number("TOOK", 6, 3),
        Column::number("UNDO", 5, 7),
    ]
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    heading(canvas, model);
    let gap = u16::from(airy);
    let top = 1 + gap;
    let detail = detail_rows(Room::of(canvas.width()), canvas.height());
    let told = model.activity.selected().map(|_| (detail, gap));
    let split = Split::new(canvas, top, told);
    list(&mut split.list(canvas), model);
    let aged = canvas.theme.aged();
    let theme = if model.activity.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    if let (Some(line), Some(mut beside)) = (model.activity.selected(), split.detail(canvas)) {
        details(&mut beside.themed(theme), line, split.is_beside());
    }
}

const fn detail_rows(room: Room, height: u16) -> u16 {
    match (room, height) {
        (Room::Narrow, _) | (_, 0..=12) => 0,
        (_, 13..=24) => 4,
        _ => 7,
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let activity = &model.activity;
    let left =
        Words::of("Activity", theme.strong())
            .gap(3)
            .then(title::filter(canvas, model, &activity.filter));
    let stale = condition::staleness(&activity.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let book = Words::of("append-only, the intent before the effect", theme.muted);
    let count = activity.page.value().map_or_else(
        || Words::of(glyph::MORE, theme.muted),
        |page| {
            let mark = if page.more { "+" } else { "=" };
            let rows = format::count(page.rows.len() as u64);
            let passed = format::count(activity.list.len() as u64);
            let words = if activity.filter.is_empty() {
                Words::of(rows, theme.strong())
            } else {
                Words::of(passed, theme.strong()).and(format!(" of {rows}"), theme.muted)
            };
            words.gap(1).and(mark, theme.muted)
        },
    );
    title::draw(canvas, &left, &[book, stale, count]);
}

fn list(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let activity = &model.activity;
    let columns = columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, None);
    if !condition::has_value(canvas, 1, &activity.page) {
        return;
    }
    if activity.list.is_empty() {
        if activity.filter.is_empty() {
            let text = "Nobody has done anything by hand yet.";
            condition::sentence(canvas, 1, model, text, &[]);
        } else {
            condition::no_match(canvas, 1, "No action", &activity.filter);
        }
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if activity.page.is_stale() { &aged } else { theme });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (line, cursor)) in (1..).zip(activity.visible(rows)) {
        let drawn = row(line, canvas.theme);
        layout.row(&mut canvas, y, &Row { cursor, ..drawn });
    }
}

fn row(line: &ActionLine, theme: &Theme) -> Row {
    let (glyph, style) = state::ended(theme, line.ended);
    let took = line.took().map_or_else(|| "-".to_owned(), format::took);
    let cells = vec![
        Words::of(format::clock(line.at), theme.muted),
        Words::outside(&line.who, theme.text),
        Words::outside(&line.verb, theme.strong()),
        Words::outside(&line.to, theme.text),
        Words::of(line.ended.word(), style),
        Words::outside(&line.result, theme.text),
        line.reason().map_or_else(
            || Words::of("-", theme.muted),
            |reason| Words::outside(reason, theme.text),
        ),
        Words::of(took, theme.muted),
        undo(line, theme),
    ];
    Row {
        glyph: Words::of(glyph, style),
        cells,
        ..Row::default()
    }
}

/// How many jobs of an action can still come back; a switch can be turned back as a whole.
fn undo(line: &ActionLine, theme: &Theme) -> Words {
    match (line.has_way_back(), line.left) {
        (false, _) => Words::of("-", theme.muted),
        (true, 0) => Words::of("z", theme.accent),
        (true, left) => Words::of(format!("z {}", format::count(left)), theme.accent),
    }
}

/// The action under the cursor, as the book has it.
fn details(canvas: &mut Canvas<'_>, line: &ActionLine, is_beside: bool) {
    let theme = canvas.theme;
    let name = Words::outside(&line.verb, theme.strong())
        .and(" by ", theme.muted)
        .and_outside(&line.who, theme.text);
    let note = match (line.ended, line.took()) {
        (Ended::Unheard, _) => "its end was never written down".to_owned(),
        (Ended::Running, _) => "it goes on".to_owned(),
        (_, Some(took)) => format!("action {}, took {}", line.id, format::took(took)),
        (_, None) => format!("action {}", line.id),
    };
    section::rule(canvas, &name, &Words::of(note, theme.muted));
    let names: Vec<(String, Words)> = line
        .facts
        .iter()
        .map(|(name, value)| (name.to_string(), Words::outside(value, theme.text)))
        .collect();
    let widest = names
        .iter()
        .map(|(name, _)| format::width(name))
        .max()
        .unwrap_or(0);
    let facts: Vec<(&str, Words)> = names
        .iter()
        .map(|(name, words)| (name.as_str(), words.clone()))
        .collect();
    let width = canvas.width().saturating_sub(2);
    let mut body = canvas.part(1, 1, width, u16::MAX);
    if is_beside {
        table::facts_in_full(&mut body, 0, widest.min(14) + 2, &facts);
    } else {
        table::facts(&mut body, 0, widest.min(20) + 2, &facts);
    }
}
