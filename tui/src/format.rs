//! Figures and texts as the console writes them: three figures, exact widths, nothing cut in half.
//!
//! Everything answers plain text of a known width; who draws it decides where it goes.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::glyph;
use crate::zone::Zone;

/// How far a count can be trusted, as the mark behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// `=`: counted.
    Exact,
    /// `~`: estimated.
    Estimated,
    /// `+`: there are at least so many.
    AtLeast,
    /// `?`: was true once.
    Unknown,
}

impl Trust {
    /// The mark that follows the count.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Exact => "=",
            Self::Estimated => "~",
            Self::AtLeast => "+",
            Self::Unknown => "?",
        }
    }
}

/// A time that was measured: `0.4 s`, `22.1 s`, `1m 37s`, `3h 05m`, `2d 4h`.
#[must_use]
pub fn took(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        // What rounds up to a minute is one.
        age(time.max(Duration::from_mins(1)))
    }
}

/// How long ago, or how long still: as [`took`], but whole seconds from ten on, `41 s`.
#[must_use]
pub fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => took(time),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The silence of somebody who speaks every second: `<2 s`, `4 s`, then as [`age`]. What is well does not change on the
/// screen, since each change is sent over the line.
#[must_use]
pub fn silence(time: Duration) -> String {
    match time.as_secs() {
        0..=1 => "<2 s".to_owned(),
        seconds @ 2..=9 => format!("{seconds} s"),
        _ => age(time),
    }
}

/// A long time of which nobody counts the seconds: `41 s`, `9m`, `3h 05m`, `2d 4h`.
#[must_use]
pub fn roughly(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 60..=3_599 => format!("{}m", seconds / 60),
        _ => age(time),
    }
}

/// A short time of a server: `0.3 ms`, `41 ms`, `1.2 s`.
#[must_use]
pub fn latency(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..=9_949 => format!("{:.1} ms", micros as f64 / 1_000.0),
        9_950..=999_499 => format!("{} ms", (micros + 500) / 1_000),
        _ => took(time),
    }
}

/// The time from one moment to a later one; none when the clocks disagree.
#[must_use]
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

thread_local! {
    /// The zone of the picture that is drawn on this thread, so that a cell need not be handed it through every widget.
    static ZONE: Cell<Zone> = Cell::default();
}

/// Draws a picture whose clocks are in this zone.
pub fn in_zone<T>(zone: Zone, draw: impl FnOnce() -> T) -> T {
    let before = ZONE.replace(zone);
    let drawn = draw();
    ZONE.set(before);
    drawn
}

/// A moment of today's clock: `14:03:27Z`, or without the letter in another zone than UTC.
#[must_use]
pub fn clock(at: DateTime<Utc>) -> String {
    ZONE.get().clock(at)
}

/// The clock of the header, which names the zone.
#[must_use]
pub fn clock_with_zone(at: DateTime<Utc>) -> String {
    ZONE.get().clock_with_name(at)
}

/// A moment of a list whose header has the zone: `14:03:27`.
#[must_use]
pub fn moment(at: DateTime<Utc>) -> String {
    ZONE.get().moment(at)
}

/// A count with commas: `1,204,118`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Tokens: with commas, from a million `7.4 M`.
#[must_use]
pub fn tokens(n: u64) -> String {
    match n {
        0..=999_999 => count(n),
        1_000_000..=999_499_999 => format!("{} M", figures(n as f64 / 1e6)),
        _ => format!("{} G", figures(n as f64 / 1e9)),
    }
}

/// Money: `$0.027`, from a dollar on `$9.41`, from a thousand on `$1,204`.
#[must_use]
pub fn money(usd: f64) -> String {
    if !usd.is_finite() || usd < 0.0 {
        "?".to_owned()
    } else if usd == 0.0 {
        "$0".to_owned()
    } else if usd < 0.000_5 {
        "<$0.001".to_owned()
    } else if usd < 0.999_5 {
        format!("${usd:.3}")
    } else if usd < 999.995 {
        format!("${usd:.2}")
    } else {
        format!("${}", count(usd.round() as u64))
    }
}

/// A rate: `0.1`, `24.8`, `1,204`. A rate that is not nought is never written as nought.
#[must_use]
pub fn rate(per: f64) -> String {
    if !per.is_finite() || per < 0.0 {
        "?".to_owned()
    } else if per == 0.0 || per >= 0.05 {
        figures(per)
    } else {
        "<0.1".to_owned()
    }
}

/// One digit behind the point below a hundred, none above.
fn figures(x: f64) -> String {
    if x < 99.95 {
        format!("{x:.1}")
    } else {
        count(x.round() as u64)
    }
}

/// Bytes of memory: `38 MiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    STEPS.into_iter().find(|(size, _)| n >= *size).map_or_else(
        || format!("{n} B"),
        |(size, unit)| format!("{:.0} {unit}", n as f64 / size as f64),
    )
}

/// `1 job`, `2 jobs`.
#[must_use]
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// How many columns a text takes, counted as it is drawn: by what a person sees as one character.
#[must_use]
pub fn width(text: &str) -> u16 {
    let columns: usize = text.graphemes(true).map(UnicodeWidthStr::width).sum();
    u16::try_from(columns).unwrap_or(u16::MAX)
}

/// The text, cut to a width. A cut text ends in `…`; a wide character is never split.
#[must_use]
pub fn fit(text: &str, columns: u16) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let mut out = head(text, room).to_owned();
    out.push_str(glyph::MORE);
    out
}

/// As much of the text as fits into a width, without a mark.
fn head(text: &str, columns: u16) -> &str {
    let mut used = 0;
    let end = text.grapheme_indices(true).find_map(|(at, seen)| {
        used += seen.width();
        (used > usize::from(columns)).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

/// A path, cut in front: the end of a path says more than its beginning.
#[must_use]
pub fn fit_tail(text: &str, columns: u16) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let mut used = 0;
    let start = text.grapheme_indices(true).rev().find_map(|(at, seen)| {
        used += seen.width();
        (used > usize::from(room)).then_some(at + seen.len())
    });
    format!("{}{}", glyph::MORE, &text[start.unwrap_or(0)..])
}

/// The text in lines of at most so many columns, broken between words where there are any.
#[must_use]
pub fn wrap(text: &str, columns: u16) -> Vec<String> {
    if columns == 0 {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let taken = width(&line) + u16::from(!line.is_empty());
        if columns.checked_sub(taken).is_some_and(|room| width(word) <= room) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        line = break_word(word, columns, &mut lines);
    }
    lines.push(line);
    lines
}

/// Breaks a word that is wider than a line; answers its last piece, which is not full yet.
fn break_word(word: &str, columns: u16, lines: &mut Vec<String>) -> String {
    let mut rest = word;
    while width(rest) > columns {
        let piece = head(rest, columns);
        if piece.is_empty() {
            // A wide character in a column of one cell: nothing of it can be shown.
            return String::new();
        }
        lines.push(piece.to_owned());
        rest = &rest[piece.len()..];
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_have_three_figures() {
        let ms = Duration::from_millis;
        let took_cases = [
            (0, "0.0 s"),
            (400, "0.4 s"),
            (9_960, "10.0 s"),
            (22_100, "22.1 s"),
            (59_940, "59.9 s"),
            (59_960, "1m 00s"),
            (97_000, "1m 37s"),
            (11_100_000, "3h 05m"),
            (187_200_000, "2d 4h"),
        ];
        for (time, text) in took_cases {
            assert_eq!(took(ms(time)), text, "{time} ms");
        }
        assert_eq!(age(ms(41_600)), "41 s");
        assert_eq!(age(ms(4_100)), "4.1 s");
        assert_eq!(silence(ms(1_900)), "<2 s");
        assert_eq!(silence(ms(4_900)), "4 s");
        assert_eq!(silence(ms(97_900)), "1m 37s");
        assert_eq!(roughly(ms(41_000)), "41 s");
        assert_eq!(roughly(ms(597_900)), "9m");
        assert_eq!(roughly(ms(11_100_000)), "3h 05m");
        assert_eq!(latency(Duration::from_micros(312)), "0.3 ms");
        assert_eq!(latency(ms(41)), "41 ms");
        assert_eq!(latency(ms(1_200)), "1.2 s");
    }

    #[test]
    fn counts_money_and_rates_read_as_people_write_them() {
        assert_eq!(count(1_204_118), "1,204,118");
        assert_eq!(tokens(23_618), "23,618");
        assert_eq!(tokens(7_400_000), "7.4 M");
        assert_eq!(money(0.0), "$0");
        assert_eq!(money(0.000_1), "<$0.001");
        assert_eq!(money(0.0271), "$0.027");
        assert_eq!(money(9.414), "$9.41");
        assert_eq!(money(1_204.4), "$1,204");
        assert_eq!(money(f64::NAN), "?");
        assert_eq!(rate(0.8), "0.8");
        assert_eq!(rate(0.01), "<0.1");
        assert_eq!(rate(0.0), "0.0");
        assert_eq!(rate(24.84), "24.8");
        assert_eq!(bytes(38 << 20), "38 MiB");
        assert_eq!(plural(1, "job", "jobs"), "1 job");
    }

    #[test]
    fn a_cut_says_that_it_is_one() {
        assert_eq!(fit("mastra#17688", 20), "mastra#17688");
        assert_eq!(fit("mastra#17688", 8), "mastra#…");
        assert_eq!(fit("漢字漢字", 6), "漢字…");
        assert_eq!(
            fit_tail("packages/agents-core/src/run.ts:412", 12),
            "…/run.ts:412"
        );
        assert_eq!(fit("x", 0), "");
    }

    #[test]
    fn words_stay_whole_when_they_can() {
        assert_eq!(wrap("the change logs", 10), ["the change", "logs"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(wrap("a ", 1), ["a", ""], "a space at the end of a full line");
    }

    proptest! {
        #[test]
        fn nothing_is_ever_wider_than_it_may_be(text in "\\PC{0,40}", columns in 0_u16..30) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
            prop_assert!(width(&fit_tail(&text, columns)) <= columns);
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns, "{line:?}");
            }
        }
    }
}
