//! What is told of one stream and group: what its consumers hold, who they are, what came last.

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::pending::Payload;
use crate::model::streams::{ConsumerLine, Detail, HeldLine, StreamLine, StreamPane};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::widgets::section;
use crate::view::widgets::table::{Column, Layout, Row};
use crate::view::words::Words;

const HELD: [Column; 5] = [
    Column::words("ENTRY", 17, 9),
    Column::words("CONSUMER", 12, 8).elastic(24),
    Column::number("IDLE", 6, 7),
    Column::number("READS", 5, 6),
    Column::words("PAYLOAD", 16, 5).elastic(u16::MAX),
];

const CONSUMERS: [Column; 3] = [
    Column::words("CONSUMER", 20, 9).elastic(48),
    Column::number("PENDING", 8, 8),
    Column::number("IDLE", 8, 7),
];

const ENTRIES: [Column; 2] = [
    Column::words("ENTRY", 17, 9),
    Column::words("PAYLOAD", 20, 8).elastic(u16::MAX),
];

/// The row under the cursor: its ids, and what its consumers hold, who they are, or what came last.
pub fn draw(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) {
    let theme = canvas.theme;
    let pane = model.streams.shown_pane();
    let name = name(line, theme).gap(3).and(pane.name(), theme.accent);
    let whose = if line.ours {
        "ours"
    } else {
        "foreign: only looked at"
    };
    let id = |id: Option<millstream::domain::EntryId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let note = match Room::of(canvas.width()) {
        Room::Wide => format!("{} {} {}   {whose}", id(line.first), glyph::MORE, id(line.last)),
        Room::Medium | Room::Narrow => whose.to_owned(),
    };
    section::rule(canvas, &name, &Words::of(note, theme.muted));
    lines(&mut canvas.below(1), line, model, 0);
}

/// `orders:events › billing`.
pub fn name(line: &StreamLine, theme: &Theme) -> Words {
    let name = Words::outside(&line.stream, theme.strong());
    match &line.group {
        Some(group) => name
            .and(format!(" {} ", glyph::WITHIN), theme.muted)
            .and_outside(group, theme.strong()),
        None => name,
    }
}

/// The open pane under its own name.
pub fn pane(canvas: &mut Canvas<'_>, line: &StreamLine, model: &Model) {
    let name = Words::of(model.streams.shown_pane().name(), canvas.theme.accent);
    section::rule(canvas, &name, &Words::default());
    lines(&mut canvas.below(1), line, model, 0);
}

/// What its group holds, who its consumers are, or what came last, from this line on.
pub fn lines(below: &mut Canvas<'_>, line: &StreamLine, model: &Model, first: usize) {
    let theme = below.theme;
    match (model.streams.detail(), model.streams.shown_pane()) {
        (Some(Detail::Pending(rows)), _) if rows.is_empty() => {
            below.put(1, 0, "Nothing is pending here.", theme.muted);
        }
        (Some(Detail::Pending(rows)), _) => held(below, &rows[first.min(rows.len())..]),
        (Some(Detail::Consumers(Some(told))), _) if told.rows.is_empty() => {
            below.put(1, 0, "No consumer has asked for anything yet.", theme.muted);
        }
        (Some(Detail::Consumers(Some(told))), _) => {
            consumers(below, &told.rows[first.min(told.rows.len())..]);
        }
        (Some(Detail::Consumers(None)), _) => {
            let text = format!(
                "{} consumers: the server tells all of them at once or none, so they are only counted",
                format::count(line.consumers)
            );
            below.put(1, 0, &text, theme.muted);
        }
        (Some(Detail::Entries(rows)), _) if rows.is_empty() => {
            below.put(1, 0, "The stream is empty.", theme.muted);
        }
        (Some(Detail::Entries(rows)), _) => entries(below, &rows[first.min(rows.len())..]),
        (None, StreamPane::Groups) => {}
        (None, StreamPane::Pending | StreamPane::Consumers | StreamPane::Entries) => {
            below.put(1, 0, glyph::MORE, theme.muted);
        }
    }
}

fn held(canvas: &mut Canvas<'_>, rows: &[HeldLine]) {
    let theme = canvas.theme;
    let cells = rows.iter().map(|line| {
        vec![
            Words::of(line.entry.to_string(), theme.text),
            Words::outside(&line.consumer, theme.text),
            Words::of(format::took(line.idle), theme.text),
            Words::of(format::count(line.reads), theme.text),
            payload(&line.payload, theme),
        ]
    });
    table(canvas, &HELD, cells);
}

fn consumers(canvas: &mut Canvas<'_>, rows: &[ConsumerLine]) {
    let theme = canvas.theme;
    let cells = rows.iter().map(|line| {
        vec![
            Words::outside(&line.name, theme.text),
            Words::of(format::count(line.pending), theme.text),
            Words::of(format::age(line.idle), theme.text),
        ]
    });
    table(canvas, &CONSUMERS, cells);
}

fn entries(canvas: &mut Canvas<'_>, rows: &[(millstream::domain::EntryId, Payload)]) {
    let theme = canvas.theme;
    let cells = rows
        .iter()
        .map(|(id, held)| vec![Words::of(id.to_string(), theme.text), payload(held, theme)]);
    table(canvas, &ENTRIES, cells);
}

fn table(canvas: &mut Canvas<'_>, columns: &[Column], rows: impl Iterator<Item = Vec<Words>>) {
    let layout = Layout::new(columns, canvas.width());
    layout.head(canvas, None);
    for (y, cells) in (1..canvas.height()).zip(rows) {
        let row = Row {
            cells,
            ..Row::default()
        };
        layout.row(canvas, y, &row);
    }
}

/// `type=refund order=88121 … 212 B`.
pub fn payload(payload: &Payload, theme: &Theme) -> Words {
    match payload {
        Payload::There { fields, bytes } => fields.iter().fold(
            Words::of(format::bytes(*bytes), theme.muted),
            |words, (name, value)| {
                words
                    .gap(2)
                    .and_outside(name, theme.muted)
                    .and("=", theme.muted)
                    .and_outside(value, theme.text)
            },
        ),
        Payload::Gone => Words::of(format!("{} gone", glyph::LOST), theme.lost),
        Payload::Unread => Words::of("?", theme.muted),
    }
}
