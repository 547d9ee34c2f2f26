//! What floats over a view: help, a question, the palette, the list of commands sent.

pub mod dialog;
pub mod help;
pub mod palette;
pub mod sent;

use crate::model::Model;
use crate::model::overlay::Overlay;
use crate::view::canvas::Canvas;

/// Draws what floats, if anything does; the view behind it steps back.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model) {
    let Some(overlay) = &model.overlay else {
        return;
    };
    let height = canvas.height();
    canvas.part(0, 1, u16::MAX, height.saturating_sub(2)).recede();
    match overlay {
        Overlay::Help => help::draw(canvas, model),
        Overlay::Dialog(question) => dialog::draw(canvas, question),
        Overlay::Palette(palette) => palette::draw(canvas, palette, model),
        Overlay::Sent { offset } => sent::draw(canvas, *offset, model),
    }
}
