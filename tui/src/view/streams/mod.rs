//! Which group falls behind, and can the figure be trusted?
//!
//! The list with a few lines of the row under the cursor; [`told`] are those lines, [`whole`] is the row with the screen
//! for itself.

pub mod told;
pub mod whole;

use chrono::{DateTime, Utc};

use crate::format::{self, Trust};
use crate::glyph;
use crate::model::Model;
use crate::model::streams::{Lag, StreamLine, StreamsPage};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::widgets::split::Split;
use crate::view::widgets::table::{Column, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

const fn columns(room: Room) -> [Column; 12] {
    let (stream, group) = match room {
        Room::Narrow => (14, 7),
        Room::Medium => (20, 10),
        Room::Wide => (14, 9),
    };
    [
        Column::words("STREAM", stream, 12).elastic(40),
        Column::words("GROUP", group, 11).elastic(20),
        Column::number("LENGTH", 9, 5),
        Column::number("LAG", 8, 10),
        Column::number("PENDING", 7, 9),
        Column::number("OLDEST", 7, 7),
        Column::number("CONSUMERS", 9, 1),
        Column::number("LAG AGE", 7, 6),
        Column::number("IN/S", 5, 4),
        Column::number("OUT/S", 5, 3),
        Column::number("DRAINS", 7, 8),
        Column::words("WHY THE MARK", 13, 2).elastic(17),
    ]
}

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    if model.streams.open {
        whole::draw(canvas, model, airy);
        return;
    }
    heading(canvas, model);
    let gap = u16::from(airy);
    let top = 1 + gap;
    let detail = detail_rows(Room::of(canvas.width()), canvas.height());
    let told = model.streams.selected().map(|_| (detail, gap));
    let split = Split::new(canvas, top, told);
    list(&mut split.list(canvas), model);
    let aged = canvas.theme.aged();
    let theme = if model.streams.page.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    if let (Some(line), Some(mut place)) = (model.streams.selected(), split.detail(canvas)) {
        let mut place = place.themed(theme);
        if split.is_beside() {
            beside(&mut place, line, model, gap);
        } else {
            told::draw(&mut place, line, model);
        }
    }
}

/// The row under the cursor beside the list: its figures, one under the other, and below them what is told of it.
fn beside(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model, gap: u16) {
    let theme = canvas.theme;
    let whose = Words::of(if line.ours { "ours" } else { "foreign" }, theme.muted);
    section::rule(canvas, &told::name(line, theme), &whose);
    let width = canvas.width().saturating_sub(2);
    let rows = whole::facts_below(&mut canvas.part(1, 1, width, u16::MAX), line, model);
    told::pane(&mut canvas.below(1 + rows + gap), line, model);
}

/// Lines of the row under the cursor, on a view of so many.
const fn detail_rows(room: Room, height: u16) -> u16 {
    match (room, height) {
        (Room::Narrow, _) | (_, 0..=12) => 0,
        (_, 13..=24) => 7,
        _ => 14,
    }
}

fn heading(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let streams = &model.streams;
    let left =
        Words::of("Streams", theme.strong())
            .gap(3)
            .then(title::filter(canvas, model, &streams.filter));
    let stale = condition::staleness(&streams.page, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let Some(page) = streams.page.value() else {
        title::draw(canvas, &left, &[Words::of(glyph::MORE, theme.muted)]);
        return;
    };
    let sort = title::sort(canvas, streams.sort.word(), streams.turned, streams.list.waiting);
    title::draw(
        canvas,
        &left,
        &[seen(model, page, theme), stale, sort, counted(model, page, theme)],
    );
}

/// `5 groups on 4 streams`, with a mark while names are looked for or when there are too many.
fn counted(model: &Model, page: &StreamsPage, theme: &Theme) -> Words {
    let groups = page.rows.iter().filter(|line| line.group.is_some()).count();
    let groups = format::plural(groups as u64, "group", "groups");
    let mark = if page.capped || page.scanned_at.is_none() {
        Trust::AtLeast.mark()
    } else {
        ""
    };
    let streams = format::plural(page.names, "stream", "streams");
    let words = Words::of(format!("{groups} on {streams}{mark}"), theme.text);
    if model.streams.filter.is_empty() {
        return words;
    }
    Words::of(
        format!("{} of ", format::count(model.streams.list.len() as u64)),
        theme.strong(),
    )
    .then(words)
}

/// How the names were found, and when.
fn seen(model: &Model, page: &StreamsPage, theme: &Theme) -> Words {
    let text = match page.scanned_at {
        _ if page.capped => "only the first 1,000 names are kept".to_owned(),
        Some(at) => format!(
            "names by SCAN {} ago",
            format::age(format::between(at, model.now))
        ),
        None => "still looking for names".to_owned(),
    };
    Words::of(text, theme.muted)
}

fn list(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let streams = &model.streams;
    let columns = columns(Room::of(canvas.width()));
    let layout = Layout::new(&columns, canvas.width());
    layout.head(canvas, Some(streams.sort.word()));
    if !condition::has_value(canvas, 1, &streams.page) {
        return;
    }
    if streams.list.is_empty() {
        if streams.filter.is_empty() {
            condition::sentence(canvas, 1, model, "There is no stream on this server.", &[]);
        } else {
            condition::no_match(canvas, 1, "No stream", &streams.filter);
        }
        return;
    }
    let stale = streams.page.is_stale();
    let aged = theme.aged();
    let mut canvas = canvas.themed(if stale { &aged } else { theme });
    let rows = usize::from(canvas.height().saturating_sub(1));
    for (y, (line, cursor)) in (1..).zip(streams.visible(rows)) {
        let drawn = row(line, (stale, model.server_now()), canvas.theme);
        layout.row(&mut canvas, y, &Row { cursor, ..drawn });
    }
}

fn row(line: &StreamLine, (stale, now): (bool, DateTime<Utc>), theme: &Theme) -> Row {
    let text = |text: String| Words::of(text, theme.text);
    let none = || Words::of("-", theme.muted);
    let has_group = line.group.is_some();
    // A rate of what is old is no rate.
    let rate = |per_s: Option<f64>| match per_s.filter(|_| !stale) {
        Some(per_s) => text(format::rate(per_s)),
        None => Words::of("?", theme.muted),
    };
    let behind = line.lag.figure() != Some(0) && has_group;
    let (glyph, style) = match line.lag {
        Lag::None => (glyph::GRID, theme.muted),
        _ if behind => (glyph::WAITING, theme.waiting),
        _ => (glyph::DONE, theme.ok),
    };
    let stream = if line.ours { theme.strong() } else { theme.text };
    let cells = vec![
        Words::outside(&line.stream, stream),
        line.group
            .as_ref()
            .map_or_else(none, |group| Words::outside(group, theme.text)),
        text(format::count(line.length)),
        lag(line.lag, stale, theme),
        if has_group {
            text(format::count(line.pending))
        } else {
            none()
        },
        oldest(line, theme),
        if has_group {
            text(format::count(line.consumers))
        } else {
            none()
        },
        lag_age(line, now, theme),
        rate(line.in_per_s),
        if has_group { rate(line.out_per_s) } else { none() },
        drains(line, stale, theme),
        Words::of(line.lag.why(), theme.muted),
    ];
    Row {
        glyph: Words::of(glyph, style),
        cells,
        ..Row::default()
    }
}

/// How long the oldest pending entry has waited for its consumer.
fn oldest(line: &StreamLine, theme: &Theme) -> Words {
    match line.oldest {
        _ if line.pending == 0 => Words::of("-", theme.muted),
        Some(idle) => Words::of(format::age(idle), theme.text),
        None => Words::of("?", theme.muted),
    }
}

/// How old the oldest entry is that the group was not given.
fn lag_age(line: &StreamLine, now: DateTime<Utc>, theme: &Theme) -> Words {
    if line.lag == Lag::None || line.lag.figure() == Some(0) {
        return Words::of("-", theme.muted);
    }
    match line.lag_age(now) {
        Some(age) => Words::of(format::age(age), theme.text),
        None => Words::of("?", theme.muted),
    }
}

fn lag(lag: Lag, stale: bool, theme: &Theme) -> Words {
    let mark = match lag {
        Lag::None => return Words::of("-", theme.muted),
        _ if stale => Trust::Unknown,
        Lag::Counter(_) | Lag::Ours(_) => Trust::Exact,
        Lag::Counted(_) => Trust::Estimated,
        Lag::AtLeast(_) => Trust::AtLeast,
        Lag::Unknown => Trust::Unknown,
    };
    let figure = lag.figure().map_or_else(String::new, format::count);
    let style = if lag.figure() > Some(0) {
        theme.strong()
    } else {
        theme.text
    };
    Words::of(figure, style).and(mark.mark(), theme.muted)
}

fn drains(line: &StreamLine, stale: bool, theme: &Theme) -> Words {
    if line.lag == Lag::None || line.lag.figure() == Some(0) {
        return Words::of("-", theme.muted);
    }
    match line.drains().filter(|_| !stale) {
        Some(Some(time)) => Words::of(format!("~{}", format::age(time)), theme.text),
        Some(None) => Words::of("never", theme.retrying),
        None => Words::of("?", theme.muted),
    }
}
