//! A picture as a terminal would be sent it, line by line, without moving the cursor.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::text;

/// Lines with their colours; each ends with everything switched off.
#[must_use]
pub fn write(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in text::rows(buffer) {
        let mut before = None;
        for (_, cell) in text::visible(row) {
            let codes = codes(cell);
            if before.as_ref() != Some(&codes) {
                out.push_str(&format!("\u{1b}[{codes}m"));
            }
            out.push_str(cell.symbol());
            before = Some(codes);
        }
        out.push_str("\u{1b}[0m\n");
    }
    out
}

/// The parameters that select a cell's style from any other.
fn codes(cell: &Cell) -> String {
    const MODIFIERS: [(Modifier, &str); 6] = [
        (Modifier::BOLD, "1"),
        (Modifier::DIM, "2"),
        (Modifier::ITALIC, "3"),
        (Modifier::UNDERLINED, "4"),
        (Modifier::REVERSED, "7"),
        (Modifier::CROSSED_OUT, "9"),
    ];
    let set = MODIFIERS
        .into_iter()
        .filter(|(modifier, _)| cell.modifier.contains(*modifier));
    let mut codes = vec!["0".to_owned()];
    codes.extend(set.map(|(_, code)| code.to_owned()));
    codes.extend(colour(cell.fg, 30));
    codes.extend(colour(cell.bg, 40));
    codes.join(";")
}

/// A colour as a parameter; `base` is 30 for the ink and 40 for the ground.
fn colour(colour: Color, base: u8) -> Option<String> {
    let bright = base + 60;
    let code = match colour {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => return Some(format!("{};2;{r};{g};{b}", base + 8)),
        Color::Indexed(n) => return Some(format!("{};5;{n}", base + 8)),
        Color::Black => base,
        Color::Red => base + 1,
        Color::Green => base + 2,
        Color::Yellow => base + 3,
        Color::Blue => base + 4,
        Color::Magenta => base + 5,
        Color::Cyan => base + 6,
        Color::Gray => base + 7,
        Color::DarkGray => bright,
        Color::LightRed => bright + 1,
        Color::LightGreen => bright + 2,
        Color::LightYellow => bright + 3,
        Color::LightBlue => bright + 4,
        Color::LightMagenta => bright + 5,
        Color::LightCyan => bright + 6,
        Color::White => bright + 7,
    };
    Some(code.to_string())
}
