//! Which one cause makes most of it, and which jobs died of it?

use crate::command::CommandId;
use crate::format::{self, Trust};
use crate::glyph;
use crate::model::Model;
use crate::model::dead::{Cause, DeadPage, DeadRow, DeadSort, LetterLine};
use crate::model::jobs::{JobLine, short_id};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{Column, Layout, Row};
use crate::view::widgets::{chart, section, title};
use crate::view::words::Words;

/// The columns; the failure itself is the last to be cut.
const fn columns(room: Room) -> [Column; 9] {
    let error = if matches!(room, Room::Narrow) { 14 } else { 24 };
    [
        Column::words("CAUSE", 8, 8),
        Column::words("CLASS", 11, 6),
        Column::words("ERROR, NORMALISED", error, 10).elastic(90),
        Column::number("COUNT", 6, 9),
        Column::words("FIRST", 9, 2),
        Column::words("LAST", 9, 7),
        Column::words("TRIES", 5, 3),
        Column::words("WORKERS", 7, 4),
        Column::words("5 MIN", 10, 5),
    ]
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    heading(canvas, model);
    let gap = u16::from(airy);
    let top = 1 + gap;
    let detail = detail_rows(Room::of(canvas.width()), canvas.height());
    let told = model.dead.selected().map(|_| (detail, gap));
    let split = Split::new(canvas, top, told);
    list(&mut split.list(canvas), model);
    let aged = canvas.theme.aged();
    let theme = if model.dead.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    if let (Some(row), Some(mut beside)) = (model.dead.selected(), split.detail(canvas)) {
        details(&mut beside.themed(theme), row);
    }
}

const fn detail_rows(room: Room, height: u16) -> u16 {
    match (room, height) {
        (Room::Narrow, _) | (_, 0..=12) => 0,
        (_, 13..=24) => 3,
        _ => 5,
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let dead = &model.dead;
    let left = Words::of("Dead letters", theme.strong())
        .gap(3)
        .then(title::filter(canvas, model, &dead.filter));
    let stale = condition::staleness(&dead.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let Some(page) = dead.page.value() else {
        title::draw(canvas, &left, &[Words::of(glyph::MORE, theme.muted)]);
        return;
    };
    let sort = title::sort(canvas, dead.sort.word(), dead.turned, dead.list.waiting);
    title::draw(
        canvas,
        &left,
        &[
            stale,
            sort,
            marked(model, theme),
            shown(model, page, theme),
            total(model, page, theme),
        ],
    );
}

/// How many dead are marked, by themselves or with their cause.
fn marked(model: &Model, theme: &Theme) -> Words {
    match model.dead.marked() {
        0 => Words::default(),
        marked => Words::of(format!("{} marked", format::count(marked)), theme.marked),
    }
}

/// `7 = in 3 groups`.
fn total(model: &Model, page: &DeadPage, theme: &Theme) -> Words {
    let mark = if model.dead.page.is_stale() {
        Trust::Unknown
    } else {
        Trust::Exact
    };
    let groups = format::plural(page.causes_total, "group", "groups");
    let words = Words::of(format::count(page.total), theme.strong())
        .gap(1)
        .and(format!("{} in {groups}", mark.mark()), theme.muted);
    words.then(letters(model, theme))
}

/// `, 2 = letters without a job`: what could not be read stands in no row.
fn letters(model: &Model, theme: &Theme) -> Words {
    let remote = &model.dead.letters;
    let (count, mark) = match remote.value() {
        Some(page) if remote.is_stale() => (format::count(page.total), Trust::Unknown),
        Some(page) if page.whole && page.total == 0 => return Words::default(),
        Some(page) if page.whole => (format::count(page.total), Trust::Exact),
        Some(page) => (format::count(page.total), Trust::AtLeast),
        None if remote.is_loading() => return Words::default(),
        None => (String::new(), Trust::Unknown),
    };
    let unlisted = remote.value().map_or(0, |page| page.ungrouped);
    let of_more = match unlisted {
        0 => String::new(),
        unlisted => format!(" ({} of causes not listed)", format::count(unlisted)),
    };
    Words::of(
        format!(", {count} {} without a job{of_more}", mark.mark()),
        theme.muted,
    )
}

/// How many groups pass the filter, or are listed of more.
fn shown(model: &Model, page: &DeadPage, theme: &Theme) -> Words {
    let listed = page.causes.len() as u64;
    if !model.dead.filter.is_empty() {
        let keys = model.dead.list.order.iter();
        let passed = keys.filter(|key| matches!(key, crate::model::dead::DeadKey::Cause(_)));
        let passed = format::count(passed.count() as u64);
        return Words::of(passed, theme.strong()).and(format!(" of {}", format::count(listed)), theme.muted);
    }
    if listed < page.causes_total {
        return Words::of(format!("the largest {}", format::count(listed)), theme.muted);
    }
    Words::default()
}

fn list(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let dead = &model.dead;
    let columns = columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, Some(sorted_column(dead.sort)));
    if !condition::has_value(canvas, 1, &dead.page) {
        return;
    }
    if dead.list.is_empty() {
        empty(canvas, model);
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if dead.page.is_stale() { &aged } else { theme });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (row, cursor)) in (1..).zip(dead.visible(rows)) {
        let drawn = match row {
            DeadRow::Cause(cause) => cause_row(cause, model, canvas.theme),
            DeadRow::Job(line) => job_row(line, canvas.theme),
            DeadRow::Letter(line) => letter_row(line, canvas.theme),
        };
        let marked = dead.is_marked(row);
        layout.row(
            &mut canvas,
            y,
            &Row {
                cursor,
                marked,
                ..drawn
            },
        );
    }
}

fn empty(canvas: &mut Canvas<'_>, model: &Model) {
    let filter = &model.dead.filter;
    if filter.is_empty() {
        condition::sentence(
            canvas,
            1,
            model,
            "Nothing is dead: no job was given up.",
            &[CommandId::Jobs],
        );
    } else {
        condition::no_match(canvas, 1, "No cause", filter);
    }
}

const fn sorted_column(sort: DeadSort) -> &'static str {
    match sort {
        DeadSort::Count => "COUNT",
        DeadSort::Last => "LAST",
        DeadSort::First => "FIRST",
    }
}

fn cause_row(cause: &Cause, model: &Model, theme: &Theme) -> Row {
    let unfolded = model.dead.unfolded.as_ref() == Some(&cause.fingerprint);
    let fold = if unfolded { glyph::UNFOLDED } else { glyph::FOLDED };
    let text = |text: String| Words::of(text, theme.text);
    let (least, most) = cause.tries;
    let tries = if least == most {
        most.to_string()
    } else {
        format!("{least} - {most}")
    };
    let cells = vec![
        Words::of(cause.short(), theme.accent),
        Words::outside(&cause.class, theme.dead),
        Words::outside(&cause.form(), theme.text),
        text(format::count(cause.count)),
        Words::of(format::clock(cause.first_at), theme.muted),
        Words::of(format::clock(cause.last_at), theme.muted),
        text(tries),
        text(format::count(cause.workers)),
        Words::of(chart::columns(&cause.lately), theme.dead),
    ];
    Row {
        glyph: Words::of(fold, theme.accent),
        cells,
        ..Row::default()
    }
}

/// A job stands under its cause, a little further in.
fn job_row(line: &JobLine, theme: &Theme) -> Row {
    let died = line.finished_at.map_or_else(|| "-".to_owned(), format::clock);
    let error = line
        .error
        .as_ref()
        .map_or_else(Words::default, |error| Words::outside(error, theme.muted));
    let worker = line
        .worker
        .as_ref()
        .map_or_else(|| "-".to_owned(), |worker| worker.short());
    let cells = vec![
        Words::of(format!("  {}", short_id(line.id)), theme.accent),
        Words::default(),
        Words::outside(&line.short_input(), theme.text).gap(3).then(error),
        Words::default(),
        Words::default(),
        Words::of(died, theme.text),
        Words::of(line.attempt.to_string(), theme.text),
        Words::of(worker, theme.text),
        Words::default(),
    ];
    Row {
        cells,
        ..Row::default()
    }
}

/// A letter stands under its cause as well: there is no job to open, so it says what the entry held.
fn letter_row(line: &LetterLine, theme: &Theme) -> Row {
    let held = crate::view::streams::told::payload(&line.payload, theme);
    let cells = vec![
        Words::of("  letter", theme.accent),
        Words::default(),
        Words::of("entry ", theme.muted)
            .and_outside(&line.entry, theme.text)
            .gap(2)
            .then(held),
        Words::default(),
        Words::default(),
        Words::of(format::clock(line.died_at), theme.text),
        Words::default(),
        Words::outside(&line.worker, theme.text),
        Words::default(),
    ];
    Row {
        cells,
        ..Row::default()
    }
}

/// The row under the cursor: the failure in full.
fn details(canvas: &mut Canvas<'_>, row: DeadRow<'_>) {
    let theme = canvas.theme;
    let (name, note, text) = match row {
        DeadRow::Letter(line) => {
            let name = Words::of(format!("letter {}", line.id), theme.strong())
                .and("  of entry ", theme.muted)
                .and_outside(&line.entry, theme.text);
            let at = format!("given up {}", format::clock(line.died_at));
            (name, Words::of(at, theme.muted), line.error.clone())
        }
        DeadRow::Cause(cause) => {
            let kinds = cause.kinds.iter().fold(Words::default(), |words, kind| {
                let gap = u16::from(!words.is_empty());
                words.gap(gap).and_outside(kind, theme.muted)
            });
            let name = Words::of(cause.short(), theme.strong())
                .and("  the newest of ", theme.muted)
                .and(format::count(cause.count), theme.muted);
            (name, kinds, cause.sample.clone())
        }
        DeadRow::Job(line) => {
            let at = line
                .finished_at
                .map_or_else(String::new, |at| format!("died {}", format::clock(at)));
            let name = Words::of(short_id(line.id), theme.strong())
                .gap(2)
                .and_outside(&line.input, theme.text);
            let error = line.error.clone().unwrap_or_default();
            (name, Words::of(at, theme.muted), error)
        }
    };
    section::rule(canvas, &name, &note);
    if let DeadRow::Letter(line) = row {
        let held = crate::view::streams::told::payload(&line.payload, theme);
        canvas.fitted(1, 2, &held, canvas.width().saturating_sub(2));
    }
    let width = canvas.width().saturating_sub(2);
    canvas
        .part(1, 1, width, u16::MAX)
        .paragraph(0, &text.to_string(), theme.text);
}
