//! The console's picture without a terminal: drawn into a buffer, written as text, ANSI or SVG.
//!
//! `millstream frame` prints these, the README shows one, and the snapshot tests compare [`runs`], in
//! which a change of colour alone is a change.

pub mod ansi;
pub mod runs;
pub mod scene;
pub mod shapes;
pub mod svg;
pub mod text;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::Model;
use crate::theme::Theme;
use crate::view;

/// Draws a model at a size.
#[must_use]
pub fn picture(model: &Model, theme: &Theme, (width, height): (u16, u16)) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    view::draw(model, theme, &mut buffer);
    buffer
}
