//! A section is a rule with its name; what belongs to the whole section stands at the right of it.

use crate::glyph;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// Draws `── Name ───────── note ──` over the first row.
pub fn rule(canvas: &mut Canvas<'_>, name: &Words, note: &Words) {
    let theme = canvas.theme;
    let width = canvas.width();
    canvas.fill(0, 0, width, glyph::RULE, theme.rule);
    if name.is_empty() || width < 8 {
        return;
    }
    let end = title(canvas, 3, name, width.saturating_sub(6));
    // A note that would touch the name is left out: the name says what this is, the note only more.
    if !note.is_empty() && end + note.width() + 6 <= width {
        title(canvas, width - note.width() - 3, note, note.width());
    }
}

/// Words in a rule, with a space on both sides; answers the column behind them.
fn title(canvas: &mut Canvas<'_>, x: u16, words: &Words, width: u16) -> u16 {
    let ground = canvas.theme.ground;
    let end = canvas.put(x - 1, 0, " ", ground);
    let end = canvas.fitted(end, 0, words, width);
    canvas.put(end, 0, " ", ground)
}
