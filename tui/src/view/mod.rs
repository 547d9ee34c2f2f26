//! Draws the model and decides nothing: the same model at the same size is always the same picture.
//!
//! * [`shell`] is around every view: header, tabs, message, keys. [`tiny`] is what is left of it on a
//!   screen too small for any of them.
//! * [`overview`], [`jobs`], [`job`], [`pending`], [`workers`], [`dead`], [`trace`], [`streams`], [`activity`] are the
//!   screens, [`overlay`] what floats over them, [`condition`] what a screen says instead of data.
//! * [`replay`] is around a recording that is played.
//! * [`canvas`] and [`words`] are what everything is drawn with, [`widgets`] what is drawn.

pub mod activity;
pub mod canvas;
pub mod condition;
pub mod dead;
pub mod job;
pub mod jobs;
pub mod overlay;
pub mod overview;
pub mod pending;
pub mod replay;
pub mod shell;
pub mod state;
pub mod streams;
pub mod tiny;
pub mod trace;
pub mod widgets;
pub mod words;
pub mod workers;

use ratatui::Frame;
use ratatui::buffer::Buffer;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::view::View;
use crate::theme::Theme;
use canvas::Canvas;

/// How much room there is, as the layouts tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// One column of facts.
    Narrow,
    /// Shorter names, fewer columns.
    Medium,
    /// Everything.
    Wide,
}

impl Room {
    /// The room of so many columns.
    #[must_use]
    pub const fn of(width: u16) -> Self {
        match width {
            0..=71 => Self::Narrow,
            72..=105 => Self::Medium,
            _ => Self::Wide,
        }
    }
}

/// From this height on an empty row stands between two sections.
const AIRY: u16 = 30;

/// Draws the model over the whole of the frame.
pub fn view(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    draw(model, theme, frame.buffer_mut());
}

/// Draws the model over the whole of the buffer.
pub fn draw(model: &Model, theme: &Theme, buffer: &mut Buffer) {
    format::in_zone(model.zone, || draw_all(model, theme, buffer));
}

fn draw_all(model: &Model, theme: &Theme, buffer: &mut Buffer) {
    let area = buffer.area;
    let mut canvas = Canvas::new(buffer, area, theme);
    canvas.clear();
    if tiny::is_tiny(area.width, area.height) {
        tiny::draw(&mut canvas, model);
    } else {
        shell::draw(&mut canvas, model);
        screen(&mut shell::body(&mut canvas), model, area.height >= AIRY);
        overlay::draw(&mut canvas, model);
    }
    if theme.ascii {
        glyph::fold(buffer);
    }
}

fn screen(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    match model.view() {
        View::Overview => overview::draw(canvas, model, airy),
        View::Jobs => jobs::draw(canvas, model, airy),
        View::Pending => pending::draw(canvas, model, airy),
        View::Dead => dead::draw(canvas, model, airy),
        View::Streams => streams::draw(canvas, model, airy),
        View::Activity => activity::draw(canvas, model, airy),
        View::Job => job::draw(canvas, model, airy),
        View::Trace => trace::draw(canvas, model, airy),
        View::Workers => workers::draw(canvas, model, airy),
    }
}
