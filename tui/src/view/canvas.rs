//! A rectangle to draw on. What falls outside is not drawn, so no screen has to count cells to be safe.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::format;
use crate::theme::Theme;
use crate::view::words::Words;

/// A part of the picture, with the theme it is drawn in. Positions count from its own corner.
#[derive(Debug)]
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    /// What things look like here.
    pub theme: &'a Theme,
}

impl<'a> Canvas<'a> {
    /// The whole of an area, as far as the picture has it.
    pub fn new(buffer: &'a mut Buffer, area: Rect, theme: &'a Theme) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, theme }
    }

    /// Columns.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.area.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> u16 {
        self.area.height
    }

    /// Whether nothing can be drawn on it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.area.width == 0 || self.area.height == 0
    }

    /// A part of it, cut to what there is.
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let x = x.min(self.area.width);
        let y = y.min(self.area.height);
        let area = Rect {
            x: self.area.x + x,
            y: self.area.y + y,
            width: width.min(self.area.width - x),
            height: height.min(self.area.height - y),
        };
        Canvas {
            buffer: self.buffer,
            area,
            theme: self.theme,
        }
    }

    /// Everything from a row on.
    pub fn below(&mut self, y: u16) -> Canvas<'_> {
        self.part(0, y, u16::MAX, u16::MAX)
    }

    /// Everything from a column on.
    pub fn beside(&mut self, x: u16) -> Canvas<'_> {
        self.part(x, 0, u16::MAX, u16::MAX)
    }

    /// The same rectangle in another theme, for what is old.
    pub fn themed<'b>(&'b mut self, theme: &'b Theme) -> Canvas<'b> {
        Canvas {
            buffer: self.buffer,
            area: self.area,
            theme,
        }
    }

    /// Writes a text and answers the column behind it. What does not fit is cut without a mark.
    pub fn put(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return x;
        }
        let room = usize::from(self.area.width - x);
        let end = self
            .buffer
            .set_stringn(self.area.x + x, self.area.y + y, text, room, style)
            .0;
        end - self.area.x
    }

    /// Writes words and answers the column behind them.
    pub fn words(&mut self, x: u16, y: u16, words: &Words) -> u16 {
        words
            .parts()
            .iter()
            .fold(x, |x, (text, style)| self.put(x, y, text, *style))
    }

    /// Writes words into a width; what is too long ends in a mark.
    pub fn fitted(&mut self, x: u16, y: u16, words: &Words, width: u16) -> u16 {
        let room = width.min(self.area.width.saturating_sub(x));
        if words.width() <= room {
            self.words(x, y, words)
        } else {
            self.words(x, y, &words.fit(room))
        }
    }

    /// Writes words that end before a column; answers the column where they begin.
    pub fn words_before(&mut self, end: u16, y: u16, words: &Words) -> u16 {
        let start = end.saturating_sub(words.width());
        self.fitted(start, y, words, end - start);
        start
    }

    /// Repeats a glyph over columns of a row.
    pub fn fill(&mut self, x: u16, y: u16, columns: u16, glyph: &str, style: Style) {
        for column in x..x.saturating_add(columns).min(self.area.width) {
            self.put(column, y, glyph, style);
        }
    }

    /// Makes a row the one under the cursor: its bar, bold, a tint, and no word too quiet for it.
    pub fn select_row(&mut self, y: u16) {
        if y >= self.area.height {
            return;
        }
        let theme = self.theme;
        for x in self.area.left()..self.area.right() {
            if let Some(cell) = self.buffer.cell_mut((x, self.area.y + y)) {
                let said = Style {
                    fg: cell.style().fg,
                    add_modifier: cell.modifier,
                    ..Style::default()
                };
                cell.set_style(theme.on_selected(said));
            }
        }
    }

    /// Empties the rectangle down to the ground.
    pub fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                    cell.set_style(self.theme.ground);
                }
            }
        }
    }

    /// Takes the colour out of everything, for what lies behind something that floats.
    pub fn recede(&mut self) {
        let quiet = self
            .theme
            .rule
            .remove_modifier(Modifier::BOLD | Modifier::REVERSED);
        let quiet = Style {
            bg: self.theme.ground.bg,
            ..quiet
        };
        self.buffer.set_style(self.area, quiet);
    }

    /// The finished picture, for what has to look at it as a whole.
    pub fn buffer(&mut self) -> &mut Buffer {
        self.buffer
    }

    /// A text in lines as wide as the rectangle; answers the row below the last.
    pub fn paragraph(&mut self, y: u16, text: &str, style: Style) -> u16 {
        let mut row = y;
        let lines = if self.is_empty() {
            Vec::new()
        } else {
            format::wrap(text, self.width())
        };
        for line in lines {
            if row >= self.height() {
                break;
            }
            self.put(0, row, &line, style);
            row += 1;
        }
        row
    }
}
