//! The palette: what is typed behind `:`, and the commands that fit, each with its key and its rung.

use crate::glyph;
use crate::keymap;
use crate::model::Model;
use crate::model::overlay::Palette;
use crate::view::canvas::Canvas;
use crate::view::widgets::popup::{self, Border};
use crate::view::words::Words;

/// Columns on a screen that has room for them.
const WIDTH: u16 = 92;
/// Commands that are shown at a time.
const ROWS: usize = 8;

/// Draws it.
pub fn draw(canvas: &mut Canvas<'_>, palette: &Palette, model: &Model) {
    let theme = canvas.theme;
    let border = Border {
        name: "Command",
        note: "Tab complete   ↑ history   Enter does it",
        style: theme.accent,
    };
    let shown = palette.found.len().clamp(1, ROWS);
    let height = u16::try_from(shown).unwrap_or(8) + 4;
    let (width, whole) = (WIDTH.min(canvas.width()), canvas.height());
    // Above the footer, where the eye is already.
    let y = whole.saturating_sub(height + 2);
    let x = (canvas.width() - width) / 2;
    let mut place = canvas.part(x, y, width, height);
    let mut inside = popup::open(&mut place, (width, height), &border);
    let typed = Words::of(":", theme.accent)
        .and_outside(&palette.text.as_str().into(), theme.strong())
        .and("█", theme.accent);
    let all = inside.width();
    inside.fitted(0, 0, &typed, all);
    if palette.found.is_empty() {
        inside.put(0, 2, "No command is called so.", theme.muted);
        return;
    }
    let first = palette.at.saturating_sub(ROWS - 1);
    for (y, nth) in (2..).zip(first..palette.found.len().min(first + ROWS)) {
        command(&mut inside.part(0, y, all, 1), (palette, nth), model);
    }
}

fn command(canvas: &mut Canvas<'_>, (palette, nth): (&Palette, usize), model: &Model) {
    let theme = canvas.theme;
    let command = palette.found[nth].command();
    let key = keymap::key(model, command.id).map_or_else(String::new, keymap::Key::label);
    let refusal = command.id.refusal(model);
    let end = canvas.width();
    let rung = Words::of(format!("rung {}", command.id.rung(model)), theme.muted);
    let end = canvas.words_before(end, 0, &rung).saturating_sub(2);
    let end = canvas
        .words_before(end, 0, &Words::of(key, theme.accent))
        .saturating_sub(2);
    let (word, about) = match refusal {
        Some(why) => (theme.muted, Words::of(why, theme.muted)),
        None => (theme.strong(), Words::of(command.about, theme.text)),
    };
    canvas.fitted(2, 0, &Words::of(command.word, word), 14);
    canvas.fitted(17, 0, &about, end.saturating_sub(17));
    if nth == palette.at {
        canvas.put(0, 0, glyph::CURSOR, theme.accent);
        canvas.select_row(0);
    }
}
