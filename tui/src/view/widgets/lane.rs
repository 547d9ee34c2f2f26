//! The lane of a worker: how many of its slots worked, moment by moment, and what went wrong.

use crate::glyph;
use crate::model::workers::LaneCell;
use crate::view::canvas::Canvas;

/// Draws the cells over the first row, the last of them at the right.
pub fn draw(canvas: &mut Canvas<'_>, cells: &[LaneCell]) {
    let theme = canvas.theme;
    for (column, cell) in (0..canvas.width()).zip(cells) {
        let (glyph, style) = match cell {
            LaneCell::Unknown => continue,
            LaneCell::Busy(load) => (block(*load), theme.busy),
            LaneCell::Failed => (glyph::DEAD, theme.dead),
            LaneCell::Silent => (glyph::BROKEN, theme.lost),
        };
        canvas.put(column, 0, glyph, style);
    }
}

/// The block of a load, from 0 to 1.
///
/// Low, and never empty: idle is a thin line, and all slots are six eighths, so that the lanes of two
/// workers do not touch.
#[must_use]
pub fn block(load: f64) -> &'static str {
    let step = (load.clamp(0.0, 1.0) * 5.0).round() as usize;
    glyph::BLOCKS[step]
}
