//! A picture as SVG: a monospace grid in the theme's colours, the same in every viewer.
//!
//! Runs of text are pinned to the grid at both ends; lines, blocks and braille are drawn as shapes, so a
//! chart has no seams and needs no font.

use std::collections::BTreeMap;
use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::{shapes, text};

/// The size of a cell in the picture's own units.
const CELL: (f32, f32) = (9.03, 19.0);
/// From the top of a cell to the line on which letters stand.
const BASELINE: f32 = 14.0;
/// Around the whole.
const MARGIN: f32 = 14.0;
/// What a terminal that was told no colour shows.
const INK: Rgb = (0xd8, 0xde, 0xe6);
const GROUND: Rgb = (0x0e, 0x13, 0x18);

type Rgb = (u8, u8, u8);

/// The picture with its title, which screen readers read.
#[must_use]
pub fn write(buffer: &Buffer, title: &str) -> String {
    let ground = buffer.content.first().map_or(GROUND, |cell| look(cell).1);
    let width = f32::from(buffer.area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f32::from(buffer.area.height) * CELL.1 + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" xml:space=\"preserve\" \
         font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"15\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n",
        escape(title),
        hex(ground)
    );
    for (y, row) in text::rows(buffer).enumerate() {
        let top = MARGIN + y as f32 * CELL.1;
        grounds(&mut out, row, top, ground);
        letters(&mut out, row, top);
        drawn(&mut out, row, top);
    }
    out.push_str("</svg>\n");
    out
}

/// Stretches of cells whose ground is not the picture's.
fn grounds(out: &mut String, row: &[Cell], top: f32, ground: Rgb) {
    let mut x = 0;
    while x < row.len() {
        let colour = look(&row[x]).1;
        let run = row[x..].iter().take_while(|cell| look(cell).1 == colour).count();
        if colour != ground {
            let (left, width) = (MARGIN + x as f32 * CELL.0, run as f32 * CELL.0);
            put(
                out,
                format_args!(
                    "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{:.2}\" fill=\"{}\"/>\n",
                    CELL.1,
                    hex(colour)
                ),
            );
        }
        x += run;
    }
}

/// A run of letters of one look.
struct Run {
    start: usize,
    columns: usize,
    text: String,
    look: (Rgb, Modifier),
}

/// The letters of a row, run by run; a blank ends a run only where the look changes.
fn letters(out: &mut String, row: &[Cell], top: f32) {
    let mut run: Option<Run> = None;
    for (x, cell) in text::visible(row) {
        let columns = cell.symbol().width().max(1);
        let look = (look(cell).0, cell.modifier);
        let is_text = shapes::of(cell.symbol()).is_none();
        match &mut run {
            Some(open) if is_text && open.look == look && open.start + open.columns == x => {
                open.text.push_str(cell.symbol());
                open.columns += columns;
            }
            _ => {
                flush(out, run.take(), top);
                run = is_text.then(|| Run {
                    start: x,
                    columns,
                    text: cell.symbol().to_owned(),
                    look,
                });
            }
        }
    }
    flush(out, run, top);
}

fn flush(out: &mut String, run: Option<Run>, top: f32) {
    let Some(run) = run.filter(|run| !run.text.trim().is_empty()) else {
        return;
    };
    let text = run.text.trim_end();
    let columns = run.columns - (run.text.width() - text.width());
    let lead = text.len() - text.trim_start().len();
    let left = MARGIN + (run.start + lead) as f32 * CELL.0;
    let length = (columns - lead) as f32 * CELL.0;
    let (ink, modifier) = run.look;
    let weight = if modifier.contains(Modifier::BOLD) {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let slant = if modifier.contains(Modifier::ITALIC) {
        " font-style=\"italic\""
    } else {
        ""
    };
    let struck = if modifier.contains(Modifier::CROSSED_OUT) {
        " text-decoration=\"line-through\""
    } else {
        ""
    };
    put(
        out,
        format_args!(
            "<text x=\"{left:.2}\" y=\"{:.2}\" textLength=\"{length:.2}\" fill=\"{}\"{weight}{slant}{struck}>{}</text>\n",
            top + BASELINE,
            hex(ink),
            // Browsers take spaces in a row for one, and stretch what is left.
            escape(text.trim_start()).replace("  ", "\u{a0}\u{a0}")
        ),
    );
}

/// Lines, blocks and braille, one path for each colour.
fn drawn(out: &mut String, row: &[Cell], top: f32) {
    let mut paths: BTreeMap<Rgb, String> = BTreeMap::new();
    for (x, cell) in row.iter().enumerate() {
        let Some(parts) = shapes::of(cell.symbol()) else {
            continue;
        };
        let path = paths.entry(look(cell).0).or_default();
        for [left, above, width, height] in parts {
            let (left, above) = (MARGIN + (x as f32 + left) * CELL.0, top + above * CELL.1);
            let (width, height) = (width * CELL.0, height * CELL.1);
            put(
                path,
                format_args!("M{left:.2} {above:.2}h{width:.2}v{height:.2}h-{width:.2}z"),
            );
        }
    }
    for (colour, path) in paths {
        put(
            out,
            format_args!("<path fill=\"{}\" d=\"{path}\"/>\n", hex(colour)),
        );
    }
}

/// Ink and ground of a cell as they are seen.
fn look(cell: &Cell) -> (Rgb, Rgb) {
    let (ink, ground) = (rgb(cell.fg).unwrap_or(INK), rgb(cell.bg).unwrap_or(GROUND));
    let ink = if cell.modifier.contains(Modifier::DIM) {
        between(ink, ground)
    } else {
        ink
    };
    if cell.modifier.contains(Modifier::REVERSED) {
        (ground, ink)
    } else {
        (ink, ground)
    }
}

/// A colour two thirds of the way from the second to the first.
fn between(one: Rgb, other: Rgb) -> Rgb {
    let mix = |a: u8, b: u8| u8::try_from((u16::from(a) * 2 + u16::from(b)) / 3).unwrap_or(u8::MAX);
    (mix(one.0, other.0), mix(one.1, other.1), mix(one.2, other.2))
}

/// The colour as red, green and blue; none for the terminal's own.
fn rgb(colour: Color) -> Option<Rgb> {
    Some(match colour {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => (r, g, b),
        Color::Indexed(n) => indexed(n),
        Color::Black => sixteen(0),
        Color::Red => sixteen(1),
        Color::Green => sixteen(2),
        Color::Yellow => sixteen(3),
        Color::Blue => sixteen(4),
        Color::Magenta => sixteen(5),
        Color::Cyan => sixteen(6),
        Color::Gray => sixteen(7),
        Color::DarkGray => sixteen(8),
        Color::LightRed => sixteen(9),
        Color::LightGreen => sixteen(10),
        Color::LightYellow => sixteen(11),
        Color::LightBlue => sixteen(12),
        Color::LightMagenta => sixteen(13),
        Color::LightCyan => sixteen(14),
        Color::White => sixteen(15),
    })
}

/// The 256 of xterm: the sixteen, a cube, a ramp of greys.
fn indexed(n: u8) -> Rgb {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match n {
        0..=15 => sixteen(n),
        16..=231 => {
            let cube = usize::from(n - 16);
            (LEVELS[cube / 36], LEVELS[cube / 6 % 6], LEVELS[cube % 6])
        }
        232..=255 => {
            let grey = 8 + 10 * (n - 232);
            (grey, grey, grey)
        }
    }
}

/// The sixteen as xterm has them.
fn sixteen(n: u8) -> Rgb {
    const COLOURS: [Rgb; 16] = [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229, 229, 229),
        (127, 127, 127),
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255, 255, 255),
    ];
    COLOURS[usize::from(n & 15)]
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes whatever is written into it.
    let _written = out.write_fmt(text);
}
