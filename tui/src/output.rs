//! How answers are printed: JSON on one line, or columns for people.

use std::fmt::Display;
use std::io::{self, Write};

use millstream::untrusted::{visible, visible_json};
use serde::Serialize;

use crate::failure::Failure;

/// Prints a value: as JSON on one line, or in words.
///
/// # Errors
/// When standard output fails otherwise than by being closed.
pub fn answer<T: Serialize>(
    as_json: bool,
    value: &T,
    in_words: impl FnOnce(&T) -> Vec<String>,
) -> Result<(), Failure> {
    if as_json {
        json(value)
    } else {
        let shown: Vec<String> = in_words(value).iter().map(|line| visible(line)).collect();
        lines(&shown)
    }
}

/// Prints a value as JSON on one line. Other people's text in it may be shown by a terminal, so what that would obey
/// stands there as its escape, which means the same to a parser.
///
/// # Errors
/// When standard output fails otherwise than by being closed.
fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Demo(error.to_string()))?;
    lines(&[visible_json(&text)])
}

/// Prints lines. Whoever reads them may stop early.
///
/// # Errors
/// When standard output fails otherwise than by being closed.
fn lines(lines: &[String]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(|error| Failure::Demo(format!("write to standard output: {error}")))?,
        }
    }
    Ok(())
}

/// Says something on standard error: whatever it quotes, it is one line. The exit code says it too, and with standard
/// error closed it has to.
pub fn say(text: impl Display) {
    let _unheard = writeln!(io::stderr(), "millstream: {}", visible(&text.to_string()));
}

/// Rows under their headings, each column as wide as it must be. Cells are other people's text: what a
/// terminal would obey is shown instead.
#[must_use]
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    std::iter::once(line(&heading))
        .chain(rows.iter().map(|row| line(row)))
        .collect()
}

/// A duration in three figures: `0.4 s`, `41 s`, `1m 37s`, `3h 05m`, `2d 4h`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// The same, or `-`.
#[must_use]
pub fn seconds_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_figures() {
        let shown: Vec<String> = [0.04, 0.44, 9.96, 41.2, 97.0, 11_100.0, 187_200.0]
            .into_iter()
            .map(seconds)
            .collect();
        assert_eq!(
            shown,
            ["0.0 s", "0.4 s", "10 s", "41 s", "1m 37s", "3h 05m", "2d 4h"]
        );
    }

    #[test]
    fn a_hostile_cell_moves_no_cursor() {
        let table = table(&["A", "B"], &[vec!["\u{1b}[2J".into(), "x".into()]]);
        assert_eq!(table, ["A     B", "␛[2J  x"]);
    }
}
