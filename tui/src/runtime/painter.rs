//! Paints frames over a terminal by their differences: only cells that have changed are sent.
//!
//! Where the bytes go is the caller's: to the terminal, or into a measurement.

use std::io::{self, Write};

use crossterm::clipboard::CopyToClipboard;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;

use crate::glyph;
use crate::model::view::Size;
use crate::msg::Pointed;

/// A painter with the frame that stands on its screen.
pub struct Painter<W: Write> {
    backend: CrosstermBackend<W>,
    shown: Buffer,
    next: Buffer,
    /// What stands on the screen is not what was painted last.
    unknown: bool,
    /// What goes to the clipboard with the next frame.
    copied: Option<String>,
}

impl<W: Write> Painter<W> {
    /// A painter that knows neither the size of its screen nor what stands there.
    pub fn new(output: W) -> Self {
        Self {
            backend: CrosstermBackend::new(output),
            shown: Buffer::empty(Rect::ZERO),
            next: Buffer::empty(Rect::ZERO),
            unknown: true,
            copied: None,
        }
    }

    /// Takes a new size; everything is painted anew.
    pub fn resize(&mut self, size: Size) {
        let area = Rect::new(0, 0, size.width, size.height);
        self.shown = Buffer::empty(area);
        self.next = Buffer::empty(area);
        self.unknown = true;
    }

    /// Adds to a use of the mouse the text of its row, and the row of the cursor.
    pub fn tell_what_stands_there(&self, pointed: &mut Pointed) {
        let area = self.shown.area;
        let cell = |x: u16, y: u16| self.shown.cell((x, y)).map_or(" ", Cell::symbol);
        pointed.line = (0..area.width).map(|x| cell(x, pointed.y)).collect();
        let cursors = [
            glyph::CURSOR.to_owned(),
            glyph::CURSOR.chars().map(glyph::twin).collect(),
        ];
        pointed.cursor = (0..area.height).find(|y| cursors.iter().any(|cursor| cell(0, *y) == cursor));
    }

    /// Hands a text to the terminal's clipboard with the next frame, by OSC 52.
    pub fn copy(&mut self, text: &str) {
        self.copied = Some(text.to_owned());
    }

    /// Paints a frame: only the cells that have changed are sent, and nothing at all when none has.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn paint(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.next.reset();
        draw(&mut self.next);
        let changed = self.shown.diff(&self.next);
        if changed.is_empty() && !self.unknown && self.copied.is_none() {
            return Ok(());
        }
        if let Some(text) = self.copied.take() {
            queue!(self.backend, CopyToClipboard::to_clipboard_from(text))?;
        }
        queue!(self.backend, BeginSynchronizedUpdate)?;
        if std::mem::take(&mut self.unknown) {
            self.backend.clear()?;
        }
        self.backend.draw(changed.into_iter())?;
        queue!(self.backend, EndSynchronizedUpdate)?;
        Write::flush(&mut self.backend)?;
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(())
    }
}
