//! A question before something is done: what will happen, and two buttons of which Cancel is marked first.

use ratatui::style::Modifier;

use crate::format;
use crate::glyph;
use crate::model::overlay::{Button, Dialog};
use crate::view::canvas::Canvas;
use crate::view::widgets::popup::{self, Border};
use crate::view::words::Words;

/// The width on a screen that has room for it.
const WIDTH: u16 = 76;
/// What the border takes at both sides.
const SIDES: u16 = 6;

/// Draws the question.
pub fn draw(canvas: &mut Canvas<'_>, dialog: &Dialog) {
    let theme = canvas.theme;
    let width = WIDTH.min(canvas.width());
    let inner = width.saturating_sub(SIDES);
    let lines: Vec<String> = dialog
        .lines
        .iter()
        .flat_map(|line| format::wrap(&line.to_string(), inner))
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(6);
    let border = Border {
        name: &dialog.title.to_string(),
        note: &format!("rung {} of 4", dialog.rung),
        style: if dialog.rung > 1 { theme.dead } else { theme.accent },
    };
    let mut inside = popup::open(canvas, (width, height), &border);
    let last = inside.height().saturating_sub(2);
    for (y, line) in (1..last).zip(&lines) {
        inside.put(0, y, line, theme.text);
    }
    buttons(&mut inside, last, dialog);
}

fn buttons(canvas: &mut Canvas<'_>, y: u16, dialog: &Dialog) {
    let end = canvas.width();
    let start = button(canvas, end, y, ("Cancel", dialog.focus == Button::Cancel));
    let start = button(
        canvas,
        start.saturating_sub(2),
        y,
        (dialog.confirm, dialog.focus == Button::Confirm),
    );
    let hint = Words::of("y", canvas.theme.accent)
        .and(" does it   ", canvas.theme.muted)
        .and("Esc", canvas.theme.accent)
        .and(" does not", canvas.theme.muted);
    if hint.width() + 2 <= start {
        canvas.words(0, y, &hint);
    }
}

/// A button that ends before a column; answers where it begins.
fn button(canvas: &mut Canvas<'_>, end: u16, y: u16, (word, marked): (&str, bool)) -> u16 {
    let theme = canvas.theme;
    let face = theme.text.patch(theme.selected);
    let words = if marked {
        let edge = theme.accent.patch(theme.selected);
        Words::of(glyph::CURSOR, edge)
            .and(
                format!("[ {word} ]"),
                face.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            )
            .and(glyph::CURSOR_END, edge)
    } else {
        Words::of(format!(" [ {word} ] "), theme.muted)
    };
    canvas.words_before(end, y, &words)
}
