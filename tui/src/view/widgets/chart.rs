//! Charts of one line or a few: filled areas in braille, columns in eighths of a cell.

use ratatui::style::Style;

use crate::glyph;
use crate::view::canvas::Canvas;

/// Fills the canvas with the area under the values, two columns of dots to a cell.
///
/// What is not nought has at least one dot: a quiet line is not an empty one.
pub fn area(canvas: &mut Canvas<'_>, values: &[Option<f64>], top: f64, style: Style) {
    let rows = canvas.height();
    let dots = f64::from(rows) * 4.0;
    let height = |value: Option<f64>| match value {
        Some(value) if value > 0.0 && top > 0.0 => ((value / top * dots).round() as u16).clamp(1, rows * 4),
        _ => 0,
    };
    for column in 0..canvas.width() {
        let at = usize::from(column) * 2;
        let pair = [at, at + 1].map(|at| height(values.get(at).copied().flatten()));
        for row in 0..rows {
            let below = (rows - 1 - row) * 4;
            let [left, right] = pair.map(|height| height.saturating_sub(below).min(4));
            if left + right > 0 {
                canvas.put(column, row, &braille(left, right).to_string(), style);
            }
        }
    }
}

/// The braille pattern with so many dots from the bottom, left and right.
fn braille(left: u16, right: u16) -> char {
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    let bits = LEFT[usize::from(left.min(4))] | RIGHT[usize::from(right.min(4))];
    char::from_u32(0x2800 + bits).unwrap_or(' ')
}

/// A row of columns in eighths of a cell, scaled to the highest; nought is a space.
#[must_use]
pub fn columns(counts: &[u64]) -> String {
    let top = counts.iter().copied().max().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|count| match count {
            0 => " ",
            count => glyph::BLOCKS[(count * 7 / top) as usize % 8],
        })
        .collect()
}

/// The axis at the left of a chart: a tick on each row, figures where they are given.
pub fn axis(canvas: &mut Canvas<'_>, x: u16, rows: u16, figures: &[(u16, String)]) {
    let theme = canvas.theme;
    for row in 0..rows {
        canvas.put(x, row, "┤", theme.rule);
    }
    for (row, figure) in figures {
        let start = x.saturating_sub(crate::format::width(figure) + 1);
        canvas.put(start, *row, figure, theme.text);
    }
}

/// A round figure at or above a value, with halves that are whole: 4, 10, 20, 60, 100, 220.
#[must_use]
pub fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 4.0 {
        return 4.0;
    }
    let magnitude = 10_f64.powf(value.log10().floor());
    let step = if value / magnitude < 2.0 {
        magnitude / 5.0
    } else {
        magnitude / 2.0
    };
    let step = step.max(2.0);
    (value / step).ceil() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_grow_from_the_bottom() {
        assert_eq!(braille(4, 4), '⣿');
        assert_eq!(braille(1, 1), '⣀');
        assert_eq!(braille(0, 4), '⢸');
        assert_eq!(columns(&[0, 1, 50, 100]), " ▁▄█");
    }

    #[test]
    fn an_axis_ends_at_a_round_figure() {
        let tops = [0.0, 3.0, 7.0, 12.0, 93.0, 204.0, 1_150.0].map(round_up);
        assert_eq!(tops, [4.0, 4.0, 8.0, 12.0, 95.0, 250.0, 1_200.0]);
    }
}
