//! Text from outside: titles, file names, model output, errors of other systems.
//!
//! What is shown to a person passes through here: control, bidirectional and zero-width characters
//! are made visible instead of obeyed, so none of them can move a cursor or forge a line.

use std::fmt;

use serde::{Deserialize, Serialize};

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

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&visible(&self.0))
    }
}

/// The text with every character shown that a terminal would obey or hide.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('␊'),
            '\t' => out.push(' '),
            '\u{1b}' => out.push('␛'),
            c if is_hidden(c) => {
                out.push_str("\\u{");
                out.push_str(&format!("{:x}", u32::from(c)));
                out.push('}');
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether a terminal would obey this character or show nothing for it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line of at most `limit` characters, for an error message or a log line.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text
        .chars()
        .take(limit)
        .map(|c| if is_hidden(c) { ' ' } else { c })
        .collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
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

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_comes_through(text: String) {
            prop_assert!(!visible(&text).chars().any(is_hidden));
            prop_assert!(!one_line(&text, 40).chars().any(is_hidden));
        }
    }
}
