//! What floats: a box with a name over a picture that steps back.

use ratatui::style::Style;

use crate::glyph;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// What the border says.
#[derive(Debug)]
pub struct Border<'a> {
    /// At the left of its upper edge.
    pub name: &'a str,
    /// At the right of it.
    pub note: &'a str,
    /// How it looks: calm, or a danger.
    pub style: Style,
}

/// Opens a box in the middle of the canvas, as large as asked for if there is room, and answers the
/// rectangle inside it, two columns from the sides.
pub fn open<'b>(canvas: &'b mut Canvas<'_>, size: (u16, u16), border: &Border<'_>) -> Canvas<'b> {
    let (width, height) = (size.0.min(canvas.width()), size.1.min(canvas.height()));
    let (x, y) = ((canvas.width() - width) / 2, (canvas.height() - height) / 2);
    let mut whole = canvas.part(x, y, width, height);
    whole.clear();
    frame(&mut whole, border);
    if width < 6 || height < 3 {
        return canvas.part(x, y, 0, 0);
    }
    canvas.part(x + 3, y + 1, width - 6, height - 2)
}

fn frame(canvas: &mut Canvas<'_>, border: &Border<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    let (right, bottom) = (width.saturating_sub(1), height.saturating_sub(1));
    for y in [0, bottom] {
        canvas.fill(0, y, width, glyph::RULE, border.style);
    }
    for y in 0..height {
        canvas.put(0, y, "│", border.style);
        canvas.put(right, y, "│", border.style);
    }
    for (x, y, corner) in [
        (0, 0, "╭"),
        (right, 0, "╮"),
        (0, bottom, "╰"),
        (right, bottom, "╯"),
    ] {
        canvas.put(x, y, corner, border.style);
    }
    let name = Words::of(format!(" {} ", border.name), canvas.theme.strong());
    let end = canvas.fitted(2, 0, &name, width.saturating_sub(4));
    let note = Words::of(format!(" {} ", border.note), border.style);
    if !border.note.is_empty() && end + note.width() + 4 <= width {
        canvas.words_before(width - 2, 0, &note);
    }
}
