//! Text from outside: titles, file names, model output, errors of other systems.
//!
//! What is shown to a person passes through here: control, bidirectional and zero-width characters
//! are made visible instead of obeyed, so none of them can move a cursor or forge a line.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthChar;

/// Text that somebody else wrote. It prints with every dangerous character escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Marks a text as somebody else's.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it came, for storing and comparing, never for showing.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Untrusted {
    /// As much of it as may be shown in so many characters; a cut ends in `…`.
    #[must_use]
    pub fn head(&self, limit: usize) -> String {
        let mut text = Shown::default();
        let mut rest = self.0.chars();
        rest.by_ref().take(limit).for_each(|c| text.push(c));
        if rest.next().is_some() {
            text.out.push('…');
        }
        text.out
    }
}

/// More than a screen of 200x50 shows. Who prints longer texts in full does so from [`Untrusted::raw`].
const PRINTED: usize = 16_384;

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.head(PRINTED))
    }
}

/// More marks than any script puts over one letter; a terminal stacks the rest of a storm over the lines above.
const MARKS: u32 = 8;

/// A text as it is shown, character by character.
#[derive(Default)]
struct Shown {
    out: String,
    /// Characters without a width since the last one that has one.
    marks: u32,
}

impl Shown {
    fn push(&mut self, c: char) {
        if self.is_too_much(c) {
            self.out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            return;
        }
        self.out.push(match c {
            '\n' => '␊',
            '\t' => ' ',
            '\u{1b}' => '␛',
            c => c,
        });
    }

    /// Whether a character has to be written as its number.
    fn is_too_much(&mut self, c: char) -> bool {
        if c.width() == Some(0) && !is_hidden(c) {
            self.marks += 1;
            return self.marks > MARKS;
        }
        if !is_hidden(c) {
            self.marks = 0;
        }
        is_hidden(c) && !matches!(c, '\n' | '\t' | '\u{1b}')
    }
}

/// The text with every character shown that a terminal would obey or hide.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = Shown::default();
    text.chars().for_each(|c| shown.push(c));
    shown.out
}

/// JSON in which every character that a terminal would obey or hide is written as its escape, which means the same
/// to whoever parses it.
#[must_use]
pub fn visible_json(json: &str) -> String {
    let mut shown = Shown::default();
    for c in json.chars() {
        if shown.is_too_much(c) || is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                shown.out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.out.push(c);
        }
    }
    shown.out
}

/// Whether a terminal would obey this character or show nothing for it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line of at most `limit` characters, for an error message or a log line. Breaks and tabs are spaces in it;
/// whatever else would be obeyed or hidden is shown.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let spaced = |c: char| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
    let mut line = Shown::default();
    text.chars().take(limit).map(spaced).for_each(|c| line.push(c));
    if text.chars().nth(limit).is_some() {
        line.out.push('…');
    }
    line.out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_is_shown_and_not_sent() {
        assert_eq!(
            Untrusted::new("\u{1b}[31mred\u{202e}txt\n").to_string(),
            "␛[31mred\\u{202e}txt␊"
        );
    }

    #[test]
    fn a_long_text_is_cut_to_one_line() {
        assert_eq!(one_line("ab\ncdef", 4), "ab c…");
        assert_eq!(one_line("abcd", 4), "abcd");
    }

    #[test]
    fn a_storm_of_marks_is_counted_and_not_stacked() {
        let storm = format!("e{}", "\u{301}".repeat(10));
        let shown = format!("e{}\\u{{301}}\\u{{301}}", "\u{301}".repeat(8));
        assert_eq!(visible(&storm), shown);
        assert_eq!(visible("Vie\u{302}\u{323}t"), "Vie\u{302}\u{323}t");
    }

    #[test]
    fn what_one_line_takes_out_is_shown() {
        assert_eq!(one_line("a\r\nb\u{1b}[2J\u{202e}", 40), "a  b␛[2J\\u{202e}");
    }

    #[test]
    fn a_text_of_megabytes_is_printed_as_far_as_it_can_be_seen() {
        let long = Untrusted::new("x".repeat(10 << 20));
        assert_eq!(long.to_string().chars().count(), PRINTED + 1);
        assert_eq!(long.head(3), "xxx…");
        assert_eq!(Untrusted::new("abc").head(3), "abc");
    }

    #[test]
    fn json_says_the_same_with_its_escapes() {
        let said = "\u{9b}2J\u{7f}\u{202e}\u{e0041}\u{1b}\"漢\u{feff}";
        let json = serde_json::to_string(said).unwrap();
        let shown = visible_json(&json);
        assert_eq!(shown, r#""\u009b2J\u007f\u202e\udb40\udc41\u001b\"漢\ufeff""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), said);
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text: String) {
            prop_assert!(!visible(&text).chars().any(is_hidden));
            prop_assert!(!one_line(&text, 40).chars().any(is_hidden));
        }

        #[test]
        fn json_stays_what_it_was(text: String) {
            let shown = visible_json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
