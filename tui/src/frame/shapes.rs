//! Line, block and braille characters as rectangles, for pictures that must not depend on a font.

/// A rectangle in a cell, in fractions of its width and height: left, top, width, height.
pub type Part = [f32; 4];

/// The rectangles of a character; none for one that a font has to draw.
#[must_use]
pub fn of(symbol: &str) -> Option<Vec<Part>> {
    let mut chars = symbol.chars();
    let (c, None) = (chars.next()?, chars.next()) else {
        return None;
    };
    match c {
        '▁'..='█' => {
            let height = (u32::from(c) - u32::from('▁') + 1) as f32 / 8.0;
            Some(vec![[0.0, 1.0 - height, 1.0, height]])
        }
        '▌' => Some(vec![[0.0, 0.0, 0.5, 1.0]]),
        '▐' => Some(vec![[0.5, 0.0, 0.5, 1.0]]),
        '\u{2800}'..='\u{28ff}' => Some(braille(u32::from(c) & 0xff)),
        _ => line(c),
    }
}

/// Half the height of a thin line, in fractions of the cell.
const THIN: f32 = 0.03;
/// Half the width of an upright line.
const SLIM: f32 = 0.06;

fn line(c: char) -> Option<Vec<Part>> {
    let across = |from: f32, to: f32, half: f32| [from, 0.5 - half, to - from, 2.0 * half];
    let upright = |from: f32, to: f32| [0.5 - SLIM, from, 2.0 * SLIM, to - from];
    let (left, right) = (across(0.0, 0.5 + SLIM, THIN), across(0.5 - SLIM, 1.0, THIN));
    let (above, below) = (upright(0.0, 0.5 + THIN), upright(0.5 - THIN, 1.0));
    Some(match c {
        '─' => vec![across(0.0, 1.0, THIN)],
        '━' => vec![across(0.0, 1.0, 0.075)],
        '╌' => vec![across(0.05, 0.4, THIN), across(0.6, 0.95, THIN)],
        '┄' => vec![
            across(0.0, 0.2, THIN),
            across(0.4, 0.6, THIN),
            across(0.8, 1.0, THIN),
        ],
        '│' => vec![upright(0.0, 1.0)],
        '┤' => vec![upright(0.0, 1.0), left],
        '└' | '╰' => vec![above, right],
        '┘' | '╯' => vec![above, left],
        '┌' | '╭' => vec![below, right],
        '┐' | '╮' => vec![below, left],
        _ => return None,
    })
}

/// The dots of a pattern: two columns of four.
fn braille(bits: u32) -> Vec<Part> {
    const DOTS: [(u32, u8, u8); 8] = [
        (0x01, 0, 0),
        (0x02, 0, 1),
        (0x04, 0, 2),
        (0x40, 0, 3),
        (0x08, 1, 0),
        (0x10, 1, 1),
        (0x20, 1, 2),
        (0x80, 1, 3),
    ];
    let lit = DOTS.into_iter().filter(|(bit, ..)| bits & bit != 0);
    lit.map(|(_, column, row)| {
        let (x, y) = (f32::from(column) * 0.5 + 0.11, f32::from(row) * 0.25 + 0.06);
        [x, y, 0.28, 0.13]
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_lies_in_its_cell() {
        let all = "▁▂▃▄▅▆▇█▌▐⣿⣀⢸─━╌┄│┤└┘┌┐╭╮╰╯";
        for c in all.chars() {
            for [x, y, width, height] in of(&c.to_string()).unwrap() {
                assert!(
                    x >= 0.0 && y >= 0.0 && x + width <= 1.001 && y + height <= 1.001,
                    "{c}"
                );
            }
        }
        assert!(of("a").is_none() && of("ab").is_none() && of("").is_none());
    }
}
