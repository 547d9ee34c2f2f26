//! A picture as text and as a map of its styles, for snapshots: a change of colour alone is a change.
//!
//! Under the text stands a map of the same shape with one letter for each cell, and under it what each
//! letter stands for. Letters are given in the order in which the styles are met.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::text;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The text, the map and the legend.
#[must_use]
pub fn write(buffer: &Buffer) -> String {
    let mut legend: Vec<String> = Vec::new();
    let mut map = String::new();
    for row in text::rows(buffer) {
        let line: String = row.iter().map(|cell| letter(&mut legend, cell)).collect();
        map.push_str(&line);
        map.push('\n');
    }
    let mut out = format!("{}\n{map}\n", text::write(buffer));
    for (at, style) in legend.iter().enumerate() {
        // A string takes whatever is written into it.
        let _written = writeln!(out, "{} {style}", name(at));
    }
    out
}

fn letter(legend: &mut Vec<String>, cell: &Cell) -> char {
    let style = describe(cell);
    let at = legend
        .iter()
        .position(|known| *known == style)
        .unwrap_or_else(|| {
            legend.push(style);
            legend.len() - 1
        });
    name(at)
}

fn name(at: usize) -> char {
    LETTERS.get(at).map_or('?', |letter| char::from(*letter))
}

/// A style in words; the ink of a blank cell is not seen, so it is not told.
fn describe(cell: &Cell) -> String {
    let unseen = Modifier::BOLD | Modifier::DIM | Modifier::ITALIC;
    let blank = cell.symbol().trim().is_empty();
    let modifier = if blank {
        cell.modifier.difference(unseen)
    } else {
        cell.modifier
    };
    let ink = if blank && !modifier.contains(Modifier::REVERSED) {
        "-".to_owned()
    } else {
        colour(cell.fg)
    };
    let mut words = vec![format!("{ink} on {}", colour(cell.bg))];
    words.extend(modifier.iter_names().map(|(name, _)| name.to_lowercase()));
    words.join(" ")
}

fn colour(colour: Color) -> String {
    match colour {
        Color::Reset => "default".to_owned(),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        other => other.to_string().to_lowercase(),
    }
}
