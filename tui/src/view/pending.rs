//! Who holds what, and is it stuck?

use crate::command::CommandId;
use crate::format::{self, Trust};
use crate::glyph;
use crate::model::Model;
use crate::model::jobs::short_id;
use crate::model::pending::{Hold, Payload, PendingLine, PendingPage, PendingSort, input_words};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{self, Column, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

/// The columns; on a narrow screen the input is cut, elsewhere others leave before it is.
const fn columns(room: Room) -> [Column; 11] {
    let (input, entry) = match room {
        Room::Narrow => (9, 15),
        Room::Medium | Room::Wide => (16, 15),
    };
    [
        Column::words("STATE", 8, 9),
        Column::words("ENTRY", entry, 11).elastic(17),
        Column::words("JOB", 6, 6),
        Column::words("INPUT", input, 5).elastic(48),
        Column::words("WORKER", 6, 10).elastic(12),
        Column::number("IDLE", 6, 8),
        Column::number("READS", 5, 2),
        Column::number("TRY", 3, 7),
        Column::number("LEASE", 6, 1),
        Column::words("NEXT", 9, 4),
        Column::words("PAYLOAD", 7, 3),
    ]
}

/// Lines of the entry under the cursor, on a screen of so many.
#[must_use]
pub const fn detail_rows(room: Room, height: u16) -> u16 {
    match (room, height) {
        (Room::Narrow, _) | (_, 0..=12) => 0,
        (_, 13..=24) => 4,
        _ => 9,
    }
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    heading(canvas, model);
    let gap = u16::from(airy);
    let top = 1 + gap;
    let detail = detail_rows(Room::of(canvas.width()), canvas.height());
    let told = model.pending.selected().map(|_| (detail, gap));
    let split = Split::new(canvas, top, told);
    list(&mut split.list(canvas), model);
    let aged = canvas.theme.aged();
    let theme = if model.pending.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    if let (Some(line), Some(mut beside)) = (model.pending.selected(), split.detail(canvas)) {
        details(&mut beside.themed(theme), line, split.is_beside());
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let pending = &model.pending;
    let left =
        Words::of("Pending", theme.strong())
            .gap(3)
            .then(title::filter(canvas, model, &pending.filter));
    let stale = condition::staleness(&pending.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let Some(page) = pending.page.value() else {
        title::draw(canvas, &left, &[Words::of(glyph::MORE, theme.muted)]);
        return;
    };
    let marked = match pending.list.marks.len() {
        0 => Words::default(),
        marked => Words::of(format!("{marked} marked"), theme.marked),
    };
    let clock = Words::of("idle by the server's clock", theme.muted);
    let sort = title::sort(canvas, pending.sort.word(), pending.turned, pending.list.waiting);
    title::draw(
        canvas,
        &left,
        &[
            clock,
            stale,
            sort,
            marked,
            read(model, page, theme),
            total(model, page, theme),
        ],
    );
}

/// `14 = held by 3 consumers`.
fn total(model: &Model, page: &PendingPage, theme: &Theme) -> Words {
    let mark = if model.pending.page.is_stale() {
        Trust::Unknown
    } else {
        Trust::Exact
    };
    let words = Words::of(format::count(page.total), theme.strong())
        .gap(1)
        .and(mark.mark(), theme.muted);
    if !page.is_whole() || page.rows.is_empty() {
        return words;
    }
    let consumers = format::plural(page.consumers() as u64, "consumer", "consumers");
    words.and(format!(" held by {consumers}"), theme.muted)
}

/// What is seen of the list: rows that pass the filter, and how far it reaches.
fn read(model: &Model, page: &PendingPage, theme: &Theme) -> Words {
    let pending = &model.pending;
    let rows = format::count(page.rows.len() as u64);
    // What lies beyond was not looked at: it may hold more that pass.
    let of = match (page.before, page.after) {
        (false, false) => format!("of {rows}"),
        (false, true) => format!("of the first {rows}+"),
        (true, false) => format!("of the last {rows}+"),
        (true, true) => format!("of {rows} read here+"),
    };
    if !pending.filter.is_empty() {
        let passed = format::count(pending.list.len() as u64);
        return Words::of(passed, theme.strong()).gap(1).and(of, theme.muted);
    }
    if page.is_whole() {
        return Words::default();
    }
    let place = match (page.before, page.after) {
        (false, _) => format!("the first {rows}"),
        (true, true) => format!("{rows} in the middle"),
        (true, false) => format!("the last {rows}"),
    };
    Words::of(place, theme.muted)
}

fn list(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let pending = &model.pending;
    let columns = columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, sorted_column(pending.sort));
    if !condition::has_value(canvas, 1, &pending.page) {
        return;
    }
    if pending.list.is_empty() {
        empty(canvas, model);
        return;
    }
    let aged = theme.aged();
    let mut canvas = canvas.themed(if pending.page.is_stale() { &aged } else { theme });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (line, cursor)) in (1..).zip(pending.visible(rows)) {
        let drawn = Row {
            cursor,
            marked: pending.list.marks.contains(&line.key()),
            ..row(line, canvas.theme)
        };
        layout.row(&mut canvas, y, &drawn);
    }
}

fn empty(canvas: &mut Canvas<'_>, model: &Model) {
    let filter = &model.pending.filter;
    if filter.is_empty() {
        let keys = [CommandId::Submit, CommandId::Burst];
        condition::sentence(
            canvas,
            1,
            model,
            "Nothing is pending: no worker holds anything.",
            &keys,
        );
    } else {
        condition::no_match(canvas, 1, "No entry", filter);
    }
}

const fn sorted_column(sort: PendingSort) -> Option<&'static str> {
    match sort {
        PendingSort::Entry => None,
        PendingSort::State => Some("STATE"),
        PendingSort::Idle => Some("IDLE"),
        PendingSort::Reads => Some("READS"),
    }
}

fn row(line: &PendingLine, theme: &Theme) -> Row {
    let (glyph, style) = state::hold(theme, line.hold);
    let text = |text: String| Words::of(text, theme.text);
    let none = || Words::of("-", theme.muted);
    let cells = vec![
        Words::of(line.hold.word(), style),
        text(line.entry.to_string()),
        line.job
            .map_or_else(none, |job| Words::of(short_id(job), theme.accent)),
        Words::outside(&input_words(line), theme.text),
        line.worker.as_ref().map_or_else(none, |worker| {
            Words::of(worker.short(), worker_style(line, theme))
        }),
        text(format::took(line.idle)),
        text(format::count(line.reads)),
        attempts(line, theme),
        line.lease.map_or_else(none, |left| text(format::age(left))),
        next(line, theme),
        payload(&line.payload, theme),
    ];
    Row {
        glyph: Words::of(glyph, style),
        cells,
        ..Row::default()
    }
}

const fn worker_style(line: &PendingLine, theme: &Theme) -> ratatui::style::Style {
    match line.hold {
        Hold::Lost => theme.lost,
        _ => theme.text,
    }
}

fn attempts(line: &PendingLine, theme: &Theme) -> Words {
    match line.attempt {
        Some(attempt) => Words::of(format!("{attempt}/{}", line.attempts_allowed), theme.text),
        None => Words::of("?", theme.muted),
    }
}

/// What becomes of it without anybody's help.
fn next(line: &PendingLine, theme: &Theme) -> Words {
    match (line.hold, line.due_in) {
        (Hold::Lost, _) => Words::of("take-over", theme.lost),
        (Hold::Stuck, _) => Words::of("take-over", theme.retrying),
        (Hold::Due, _) => Words::of("now", theme.retrying),
        (Hold::Retrying, Some(left)) => Words::of(format!("in {}", format::age(left)), theme.text),
        // A parked entry without a due time is found by the sweeper.
        (Hold::Retrying, None) => Words::of("?", theme.muted),
        (Hold::Foreign | Hold::Running, _) => Words::of("-", theme.muted),
    }
}

fn payload(payload: &Payload, theme: &Theme) -> Words {
    match payload {
        Payload::There { bytes, .. } => Words::of(format::bytes(*bytes), theme.muted),
        Payload::Gone => Words::of(format!("{} gone", glyph::LOST), theme.lost),
        Payload::Unread => Words::of("?", theme.muted),
    }
}

/// The entry under the cursor: what its state means, its figures, its fields.
fn details(canvas: &mut Canvas<'_>, line: &PendingLine, is_beside: bool) {
    let theme = canvas.theme;
    let stream = match line.lane {
        millstream::domain::Lane::Shared => "the shared stream",
        millstream::domain::Lane::Own => "the own stream",
        millstream::domain::Lane::High => "the stream with priority",
    };
    let name = Words::of(line.entry.to_string(), theme.strong());
    let note = Words::of(stream, theme.muted);
    section::rule(canvas, &name, &note);
    let (glyph, style) = state::hold(theme, line.hold);
    let words = Words::of(format!("{glyph} {}", line.hold.word()), style)
        .gap(3)
        .and(meaning(line), theme.text);
    let figures = format!(
        "idle {}   read {}",
        format::took(line.idle),
        format::plural(line.reads, "time", "times")
    );
    let all = words.clone().gap(3).and(figures, theme.muted);
    let width = canvas.width().saturating_sub(2);
    let mut body = canvas.part(1, 1, width, u16::MAX);
    let mut y = 0;
    // Beside the list it is narrow, and there are rows enough.
    let lines = if is_beside {
        all.wrap(width, 0)
    } else if all.width() <= width {
        vec![all]
    } else {
        // The figures stand in the list as well.
        vec![words]
    };
    for words in &lines {
        body.fitted(0, y, words, width);
        y += 1;
    }
    fields(&mut body.below(y + u16::from(is_beside)), line);
}

fn meaning(line: &PendingLine) -> String {
    let worker = line
        .worker
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), |worker| worker.short());
    let silence = format::age(line.silence.unwrap_or_default());
    match line.hold {
        Hold::Lost => format!("{worker} was heard {silence} ago; another worker takes this over"),
        Hold::Stuck => format!(
            "{worker} lives and has not renewed this for {}",
            format::age(line.idle)
        ),
        Hold::Due => "parked, and due: the next free worker takes it".to_owned(),
        Hold::Retrying => match line.due_in {
            Some(left) => format!("parked, due again in {}", format::age(left)),
            None => "parked without a due time: the sweeper gives it one".to_owned(),
        },
        Hold::Foreign => format!("{worker} sends no heartbeat of ours"),
        Hold::Running => format!("{worker} works on it, heard {silence} ago"),
    }
}

fn fields(canvas: &mut Canvas<'_>, line: &PendingLine) {
    let theme = canvas.theme;
    let (fields, bytes) = match &line.payload {
        Payload::There { fields, bytes } => (fields, *bytes),
        Payload::Gone => {
            let text =
                "its payload was deleted or trimmed while it was pending: whoever meets it puts its job back";
            canvas.paragraph(0, text, theme.lost);
            return;
        }
        Payload::Unread => {
            canvas.paragraph(
                0,
                "its payload lies too far from the others to be read with them",
                theme.muted,
            );
            return;
        }
    };
    let rows = usize::from(canvas.height());
    let names = fields
        .iter()
        .take(rows)
        .map(|(name, _)| format::width(&name.to_string()));
    let width = names.max().unwrap_or(0).min(24) + 2;
    let shown = if fields.len() > rows {
        rows.saturating_sub(1)
    } else {
        rows
    };
    let facts: Vec<(String, Words)> = fields
        .iter()
        .take(shown)
        .map(|(name, value)| (name.to_string(), Words::outside(value, theme.text)))
        .collect();
    let borrowed: Vec<(&str, Words)> = facts
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let y = table::facts(canvas, 0, width, &borrowed);
    if fields.len() > shown {
        let more = fields.len() - shown;
        canvas.put(
            0,
            y,
            &format!("{more} more fields, {} in all", format::bytes(bytes)),
            theme.muted,
        );
    }
}
