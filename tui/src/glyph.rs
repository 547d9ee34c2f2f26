//! The glyphs of the console, each one cell wide, and their ASCII twins.
//!
//! Screens draw the glyphs of this file. For a terminal without them, [`fold`] goes over the finished
//! picture once and puts the twin in place of each: nothing but ASCII is left, text from outside
//! included, and no screen has to think of it.

use millstream::domain::{JobState, Severity};
use ratatui::buffer::Buffer;

/// Ended well.
pub const DONE: &str = "✓";
/// Runs now.
pub const RUNNING: &str = "◐";
/// Will run.
pub const WAITING: &str = "○";
/// Not its turn yet, or not seen.
pub const LATER: &str = "◌";
/// Failed and will be tried again.
pub const RETRYING: &str = "↻";
/// Given up, or failed.
pub const DEAD: &str = "✗";
/// Not heard of any more.
pub const LOST: &str = "!";
/// Called off.
pub const CANCELLED: &str = "⊘";
/// A lamp that is lit.
pub const LAMP: &str = "●";
/// A lamp that is out.
pub const LAMP_OUT: &str = "○";
/// The row under the cursor.
pub const CURSOR: &str = "▌";
/// The right edge of what is marked for Enter.
pub const CURSOR_END: &str = "▐";
/// A row that a person has marked.
pub const MARKED: &str = "■";
/// Something is folded away.
pub const FOLDED: &str = "▸";
/// It is unfolded.
pub const UNFOLDED: &str = "▾";
/// Joined, or came in.
pub const JOINED: &str = "▲";
/// Left.
pub const LEFT: &str = "▼";
/// A thin line.
pub const RULE: &str = "─";
/// A heavy line: the open tab, the critical path.
pub const HEAVY: &str = "━";
/// A line of something not done again.
pub const KEPT: &str = "╌";
/// A line of something lost.
pub const BROKEN: &str = "┄";
/// It still grows.
pub const LIVE: &str = "»";
/// It began before what is shown.
pub const EARLIER: &str = "◂";
/// A column of a grid.
pub const GRID: &str = "·";
/// One inside the other.
pub const WITHIN: &str = "›";
/// More than fits, or not known yet.
pub const MORE: &str = "…";
/// Heights from an eighth to the whole of a cell.
pub const BLOCKS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The glyph of a state.
#[must_use]
pub const fn state(state: JobState) -> &'static str {
    match state {
        JobState::Scheduled => LATER,
        JobState::Waiting => WAITING,
        JobState::Running => RUNNING,
        JobState::Retrying => RETRYING,
        JobState::Dead => DEAD,
        JobState::Dropped | JobState::Cancelled => CANCELLED,
        JobState::Done => DONE,
    }
}

/// The glyph of how grave a finding is. Its blocks are those of a chart, so the twin is chosen here.
#[must_use]
pub const fn severity(severity: Severity, ascii: bool) -> &'static str {
    match (severity, ascii) {
        (Severity::Block, false) => "▇",
        (Severity::Warn, false) => "▄",
        (Severity::Info, false) => "▂",
        (Severity::Block, true) => "H",
        (Severity::Warn, true) => "M",
        (Severity::Info, true) => "L",
    }
}

/// Puts the ASCII twin in place of every cell that is not ASCII.
pub fn fold(buffer: &mut Buffer) {
    let mut covered = 0_usize;
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if covered > 0 {
            covered -= 1;
            cell.set_symbol("?");
        } else if !symbol.is_ascii() {
            // A wide character leaves its second cell empty; the twin fills both.
            covered = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            let twin = symbol.chars().next().map_or('?', twin);
            cell.set_char(twin);
        }
    }
}

/// The ASCII twin of a glyph; a character without one is `?`.
#[must_use]
pub fn twin(glyph: char) -> char {
    const RAMP: [char; 6] = ['_', '.', ':', '-', '=', '#'];
    match glyph {
        '✓' => 'v',
        '◐' | '●' => '*',
        '○' => 'o',
        '◌' | '·' | '╌' => '.',
        '↻' => 'r',
        '✗' => 'x',
        '⊘' => 'c',
        '▌' | '›' | '»' | '→' => '>',
        '▐' | '◂' | '←' => '<',
        '■' => '#',
        '▸' => '+',
        '▾' => '-',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '─' => '-',
        '━' => '=',
        '┄' => '~',
        '│' | '┤' | '├' => '|',
        '╭' | '╮' | '╰' | '╯' | '└' | '┌' | '┐' | '┘' | '┼' => '+',
        // Not `~`, which says that a figure is estimated.
        '…' => '.',
        '␛' => '^',
        '␊' => '/',
        '▁'..='█' => RAMP[((u32::from(glyph) - u32::from('▁')) as usize * 5 + 3) / 7],
        '\u{2800}'..='\u{28ff}' => match (u32::from(glyph) & 0xff).count_ones() as usize {
            0 => ' ',
            dots => RAMP[(dots - 1) * 5 / 7],
        },
        ascii if ascii.is_ascii() => ascii,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn every_glyph_is_one_cell_wide_and_has_a_twin() {
        let mut all = vec![
            DONE, RUNNING, WAITING, LATER, RETRYING, DEAD, LOST, CANCELLED, LAMP, LAMP_OUT, CURSOR,
            CURSOR_END, MARKED, FOLDED, UNFOLDED, JOINED, LEFT, RULE, HEAVY, KEPT, BROKEN, LIVE, EARLIER,
            GRID, WITHIN, MORE,
        ];
        all.extend(BLOCKS);
        for glyph in all {
            assert_eq!(glyph.width(), 1, "{glyph}");
            let twin = twin(glyph.chars().next().unwrap());
            assert!(twin.is_ascii_graphic() && twin != '?', "{glyph} becomes {twin}");
        }
    }

    #[test]
    fn nothing_but_ascii_is_left_after_the_fold() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 24, 1));
        buffer.set_string(0, 0, "✓ 漢字 ▁▄█ ⠀⣀⣿ é › …", Style::default());
        fold(&mut buffer);
        let line: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(line.trim_end(), "v ???? _:#  _# ? > .");
        assert!(line.is_ascii());
    }
}
