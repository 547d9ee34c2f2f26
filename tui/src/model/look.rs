//! How the console is drawn: chosen once, or by a key.

use serde::{Deserialize, Serialize};

/// The palette by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThemeName {
    /// Light text on a dark ground.
    #[default]
    Dark,
    /// Dark text on a light ground.
    Light,
    /// Told apart without red and green.
    ColourBlind,
    /// No colour at all: bold, dim, reverse and underline.
    Mono,
}

impl ThemeName {
    /// All of them, in the order in which a key steps through them.
    pub const ALL: [Self; 4] = [Self::Dark, Self::Light, Self::ColourBlind, Self::Mono];

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::ColourBlind => "colour-blind",
            Self::Mono => "mono",
        }
    }
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Colours {
    /// 24 bits.
    #[default]
    True,
    /// The 256 of xterm.
    Indexed,
    /// The sixteen of old.
    Sixteen,
}

/// The colour of a profile's name: by its word, as people set it in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tint {
    /// As names usually are.
    Blue,
    /// As what is well.
    Green,
    /// As what needs an eye.
    Yellow,
    /// As what is dead.
    Red,
    /// As what is lost.
    Magenta,
    /// As what runs.
    Cyan,
}

impl Tint {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Blue,
        Self::Green,
        Self::Yellow,
        Self::Red,
        Self::Magenta,
        Self::Cyan,
    ];

    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
            Self::Magenta => "magenta",
            Self::Cyan => "cyan",
        }
    }
}

/// How the console is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    /// The palette.
    pub theme: ThemeName,
    /// How many colours there are.
    pub colours: Colours,
    /// Only ASCII characters are drawn.
    pub ascii: bool,
    /// Nothing but values moves.
    pub still: bool,
}
