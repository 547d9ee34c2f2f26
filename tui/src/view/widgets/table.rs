//! Tables: words at the left, numbers at the right, one column that takes what is left over.
//!
//! The first three columns of cells belong to the cursor, the mark and the glyph of the state. What does
//! not fit leaves by its rank, never by being squeezed.

use crate::format;
use crate::glyph;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// Cells before the first column: cursor, mark, glyph, space.
const LEAD: u16 = 4;
/// Between two columns.
const GAP: u16 = 2;

/// Where the words of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    width: u16,
    align: Align,
    keep: u8,
    most: Option<u16>,
}

impl Column {
    /// A column of words; those with the highest `keep` stay longest.
    #[must_use]
    pub const fn words(title: &'static str, width: u16, keep: u8) -> Self {
        Self {
            title,
            width,
            align: Align::Left,
            keep,
            most: None,
        }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn number(title: &'static str, width: u16, keep: u8) -> Self {
        Self {
            align: Align::Right,
            ..Self::words(title, width, keep)
        }
    }

    /// The same column, which takes what the others leave, up to so much.
    #[must_use]
    pub const fn elastic(self, most: u16) -> Self {
        Self {
            most: Some(most),
            ..self
        }
    }
}

/// A row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The glyph of its state.
    pub glyph: Words,
    /// A cell for each column.
    pub cells: Vec<Words>,
    /// Whether the cursor is on it.
    pub cursor: bool,
    /// Whether a person has marked it.
    pub marked: bool,
}

/// The columns that fit into a width, as (number, start, width), and how they are drawn.
#[derive(Debug, Clone)]
pub struct Layout<'a> {
    columns: &'a [Column],
    placed: Vec<(usize, u16, u16)>,
}

impl<'a> Layout<'a> {
    /// Chooses and places the columns for a width.
    #[must_use]
    pub fn new(columns: &'a [Column], width: u16) -> Self {
        let mut kept: Vec<usize> = (0..columns.len()).collect();
        let needs = |kept: &[usize]| {
            let gaps = GAP * u16::try_from(kept.len().saturating_sub(1)).unwrap_or(0);
            LEAD + 1 + gaps + kept.iter().map(|at| columns[*at].width).sum::<u16>()
        };
        while kept.len() > 1 && needs(&kept) > width {
            let weakest = kept.iter().copied().min_by_key(|at| columns[*at].keep);
            kept.retain(|at| Some(*at) != weakest);
        }
        let spare = width.saturating_sub(needs(&kept));
        Self {
            columns,
            placed: place(columns, &kept, spare),
        }
    }

    /// Where a column stands, as start and width; none when it does not fit.
    #[must_use]
    pub fn place_of(&self, title: &str) -> Option<(u16, u16)> {
        let found = self
            .placed
            .iter()
            .find(|(at, ..)| self.columns[*at].title == title);
        found.map(|(_, start, width)| (*start, *width))
    }

    /// Draws the titles over the first row of the canvas.
    pub fn head(&self, canvas: &mut Canvas<'_>, sorted_by: Option<&str>) {
        let theme = canvas.theme;
        for (at, start, width) in &self.placed {
            let column = &self.columns[*at];
            let style = if sorted_by == Some(column.title) {
                theme.accent
            } else {
                theme.muted
            };
            let title = Words::of(column.title, style);
            put_cell(canvas, (*start, 0, *width), column.align, &title);
        }
    }

    /// Draws a row over a row of the canvas.
    pub fn row(&self, canvas: &mut Canvas<'_>, y: u16, row: &Row) {
        let theme = canvas.theme;
        if row.marked {
            canvas.put(1, y, glyph::MARKED, theme.marked);
        }
        canvas.words(2, y, &row.glyph);
        for (at, start, width) in &self.placed {
            if let Some(words) = row.cells.get(*at) {
                put_cell(canvas, (*start, y, *width), self.columns[*at].align, words);
            }
        }
        if row.cursor {
            canvas.put(0, y, glyph::CURSOR, theme.accent);
            canvas.select_row(y);
        }
    }
}

fn place(columns: &[Column], kept: &[usize], spare: u16) -> Vec<(usize, u16, u16)> {
    let mut spare = spare;
    let mut start = LEAD;
    let mut placed = Vec::with_capacity(kept.len());
    for at in kept {
        let column = &columns[*at];
        let more = column
            .most
            .map_or(0, |most| most.saturating_sub(column.width).min(spare));
        spare -= more;
        placed.push((*at, start, column.width + more));
        start += column.width + more + GAP;
    }
    placed
}

fn put_cell(canvas: &mut Canvas<'_>, place: (u16, u16, u16), align: Align, words: &Words) {
    let (start, y, width) = place;
    let indent = match align {
        Align::Left => 0,
        Align::Right => width.saturating_sub(words.width()),
    };
    canvas.fitted(start + indent, y, words, width - indent);
}

/// Lines that a single fact may take.
const MOST_LINES: usize = 6;

/// As [`facts`], with what is too long in more lines than one.
pub fn facts_in_full(canvas: &mut Canvas<'_>, y: u16, label_width: u16, facts: &[(&str, Words)]) -> u16 {
    let theme = canvas.theme;
    let room = canvas.width().saturating_sub(label_width);
    let mut row = y;
    for (label, value) in facts {
        canvas.put(0, row, &format::fit(label, label_width), theme.muted);
        let lines = value.wrap(room, 0);
        let more = lines.len() > MOST_LINES;
        for (nth, line) in lines.iter().take(MOST_LINES).enumerate() {
            let line = match more && nth + 1 == MOST_LINES {
                true => line.clone().and(glyph::MORE, theme.muted),
                false => line.clone(),
            };
            canvas.fitted(label_width, row, &line, room);
            row = row.saturating_add(1);
        }
        row = row.saturating_add(u16::from(lines.is_empty()));
    }
    row
}

/// Label and value, one under the other, labels in a column of their own; answers the row below.
pub fn facts(canvas: &mut Canvas<'_>, y: u16, label_width: u16, facts: &[(&str, Words)]) -> u16 {
    let theme = canvas.theme;
    let width = canvas.width();
    let mut row = y;
    for (label, value) in facts {
        canvas.put(0, row, &format::fit(label, label_width), theme.muted);
        canvas.fitted(label_width, row, value, width.saturating_sub(label_width));
        row += 1;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::words("STATUS", 9, 9),
        Column::words("INPUT", 10, 8).elastic(30),
        Column::number("TOKENS", 7, 3),
        Column::number("COST", 6, 2),
    ];

    #[test]
    fn the_elastic_column_takes_what_is_left_and_the_weakest_leaves_first() {
        let places = |width| Layout::new(&COLUMNS, width).placed;
        assert_eq!(places(60), [(0, 4, 9), (1, 15, 27), (2, 44, 7), (3, 53, 6)]);
        assert_eq!(places(40), [(0, 4, 9), (1, 15, 15), (2, 32, 7)]);
        assert_eq!(places(0), [(0, 4, 9)]);
    }
}
