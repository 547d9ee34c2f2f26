//! The two rows below a recording that is played: a slider with its time, and the keys of the player.

use std::time::Duration;

use chrono::TimeDelta;
use ratatui::style::Modifier;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::replay::Replay;
use crate::theme::Theme;
use crate::view::canvas::Canvas;
use crate::view::words::Words;
use crate::view::{self, Room};

/// The keys of the player with what they do.
pub type Keys<'a> = &'a [(&'a str, &'a str)];

/// The rows that belong to the player: the model has the others, the last of which is covered.
const PLAYER: u16 = 1;

/// The size that the model has, of a screen of this one.
#[must_use]
pub fn model_size(screen: crate::model::view::Size) -> crate::model::view::Size {
    crate::model::view::Size {
        width: screen.width,
        height: screen.height.saturating_sub(PLAYER),
    }
}

/// Draws the moment and the player over the whole of the buffer.
pub fn draw(
    (model, replay): (&Model, &Replay),
    keys: Keys<'_>,
    theme: &Theme,
    buffer: &mut ratatui::buffer::Buffer,
) {
    let area = buffer.area;
    let above = ratatui::layout::Rect {
        height: area.height.saturating_sub(PLAYER),
        ..area
    };
    let mut moment = ratatui::buffer::Buffer::empty(above);
    view::draw(model, theme, &mut moment);
    buffer.merge(&moment);
    let mut canvas = Canvas::new(buffer, area, theme);
    let top = area.height.saturating_sub(PLAYER + 1);
    let mut rows = canvas.below(top);
    rows.clear();
    slider(&mut rows, replay);
    footer(&mut rows.below(1), replay, keys);
    if theme.ascii {
        glyph::fold(buffer);
    }
}

/// `» plays    14:03:27Z  1m 12s ━━━━━━●──!────── 5m 03s  2x`.
fn slider(canvas: &mut Canvas<'_>, replay: &Replay) {
    let theme = canvas.theme;
    let (mark, word, style) = if replay.playing {
        (glyph::LIVE, "plays", theme.ok)
    } else {
        (glyph::MARKED, "stopped", theme.marked)
    };
    let at = replay.began_at + TimeDelta::from_std(replay.at).unwrap_or_default();
    let narrow = Room::of(canvas.width()) == Room::Narrow;
    let mut left = Words::of(mark, style.add_modifier(Modifier::BOLD)).gap(1);
    if !narrow {
        left = left
            .and(format!("{word:<7}"), style)
            .gap(2)
            .and(format::clock(at), theme.strong())
            .gap(2);
    }
    let left = left.and(format::age(replay.at), theme.text).gap(1);
    let right = Words::of(format::age(replay.length), theme.muted)
        .gap(2)
        .and(replay.speed_words(), theme.accent);
    let start = canvas.words(1, 0, &left);
    let end = canvas.words_before(canvas.width().saturating_sub(1), 0, &right);
    let columns = end.saturating_sub(start + 1);
    if columns == 0 {
        return;
    }
    let column = |time: Duration| {
        let part = time.as_secs_f64() / replay.length.as_secs_f64().max(0.001);
        start + (part.clamp(0.0, 1.0) * f64::from(columns - 1)).round() as u16
    };
    let here = column(replay.at);
    canvas.fill(start, 0, columns, glyph::RULE, theme.rule);
    canvas.fill(start, 0, here - start, glyph::HEAVY, theme.accent);
    for incident in &replay.incidents {
        canvas.put(column(incident.at), 0, glyph::LOST, theme.lost);
    }
    canvas.put(here, 0, glyph::LAMP, theme.strong());
}

fn footer(canvas: &mut Canvas<'_>, replay: &Replay, keys: Keys<'_>) {
    let theme = canvas.theme;
    let width = canvas.width();
    if let Some(text) = &replay.typing {
        let words = Words::of("go to ", theme.accent)
            .and_outside(&text.as_str().into(), theme.strong())
            .and("█", theme.accent)
            .gap(3)
            .and(
                "1m30s since the beginning, or 14:03:27   Enter goes   Esc stays",
                theme.muted,
            );
        canvas.fitted(1, 0, &words, width.saturating_sub(2));
        return;
    }
    if let Some(notice) = &replay.notice {
        let words = Words::of(format!("{} ", glyph::WITHIN), theme.accent)
            .and_outside(&notice.as_str().into(), theme.strong());
        canvas.fitted(1, 0, &words, width.saturating_sub(2));
        return;
    }
    let file = Words::of("replay of ", theme.muted).and_outside(&replay.file, theme.text);
    let gap = if Room::of(width) == Room::Wide { 3 } else { 2 };
    let mut x = 1;
    for (key, word) in keys {
        let words = Words::of(*key, theme.accent.add_modifier(Modifier::BOLD))
            .gap(1)
            .and(*word, theme.muted);
        if x + words.width() + 1 > width {
            return;
        }
        x = canvas.words(x, 0, &words) + gap;
    }
    if x + file.width() < width {
        canvas.words_before(width.saturating_sub(1), 0, &file);
    }
}
