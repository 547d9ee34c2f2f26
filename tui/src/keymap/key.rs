//! A key, as it is pressed and as it is written.

use serde::{Deserialize, Serialize};

/// A key as it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// A character, with Shift where it has one.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with Shift.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

impl Key {
    /// Keys that are written as a word, with the word.
    const NAMED: [(&'static str, Self); 13] = [
        ("Enter", Self::Enter),
        ("Esc", Self::Esc),
        ("Tab", Self::Tab),
        ("Shift-Tab", Self::BackTab),
        ("Backspace", Self::Backspace),
        ("↑", Self::Up),
        ("↓", Self::Down),
        ("←", Self::Left),
        ("→", Self::Right),
        ("PgUp", Self::PageUp),
        ("PgDn", Self::PageDown),
        ("Home", Self::Home),
        ("End", Self::End),
    ];

    /// What stands on the key.
    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("Ctrl-{c}"),
            named => Self::NAMED
                .iter()
                .find(|(_, key)| *key == named)
                .map_or_else(String::new, |(word, _)| (*word).to_owned()),
        }
    }

    /// The key of a word in a key script: `enter`, `shift-tab`, `c-d`, `up`, `space`.
    pub fn from_word(word: &str) -> Option<Self> {
        let lower = word.to_lowercase();
        match lower.as_str() {
            "space" => Some(Self::Char(' ')),
            "lt" => Some(Self::Char('<')),
            "up" => Some(Self::Up),
            "down" => Some(Self::Down),
            "left" => Some(Self::Left),
            "right" => Some(Self::Right),
            other => match other.strip_prefix("c-") {
                Some(rest) => rest.chars().next().map(Self::Ctrl),
                None => Self::NAMED
                    .iter()
                    .find(|(name, _)| name.to_lowercase() == other)
                    .map(|(_, key)| *key),
            },
        }
    }
}

/// The keys of a script: `jjR<tab><enter>`, `/class:timeout<enter>`.
///
/// # Errors
/// When a word in angle brackets is no key; it is the answer.
pub fn parse(script: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let word = rest.strip_prefix('<').and_then(|inner| inner.split_once('>'));
        rest = match word {
            Some((word, behind)) => {
                keys.push(Key::from_word(word).ok_or_else(|| word.to_owned())?);
                behind
            }
            None => {
                keys.push(Key::Char(c));
                &rest[c.len_utf8()..]
            }
        };
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_a_person_would_press_it() {
        let keys = parse("jR<tab><enter>/a<lt>b<c-d>").unwrap();
        assert_eq!(keys.len(), 9);
        assert_eq!(
            (keys[2], keys[3], keys[8]),
            (Key::Tab, Key::Enter, Key::Ctrl('d'))
        );
        assert_eq!(parse("<nokey>"), Err("nokey".to_owned()));
    }
}
