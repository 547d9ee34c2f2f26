//! Words with their styles, and the only way by which text from outside gets into them.

use millstream::untrusted::Untrusted;
use ratatui::style::Style;

use crate::format;

/// More of a text than the widest screen has columns for. What is drawn in several lines is asked for as a whole.
const WIDEST: usize = 1_000;

/// A run of words on one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(Vec<(String, Style)>);

impl Words {
    /// Words of our own.
    pub fn of(text: impl Into<String>, style: Style) -> Self {
        Self(vec![(text.into(), style)])
    }

    /// Words of somebody else, with everything a terminal would obey made visible.
    #[must_use]
    pub fn outside(text: &Untrusted, style: Style) -> Self {
        Self::of(text.head(WIDEST), style)
    }

    /// These, and more of our own behind them.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>, style: Style) -> Self {
        self.0.push((text.into(), style));
        self
    }

    /// These, and somebody else's behind them.
    #[must_use]
    pub fn and_outside(self, text: &Untrusted, style: Style) -> Self {
        self.and(text.head(WIDEST), style)
    }

    /// These, and others behind them.
    #[must_use]
    pub fn then(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// These, and a space of so many columns.
    #[must_use]
    pub fn gap(self, columns: u16) -> Self {
        self.and(" ".repeat(usize::from(columns)), Style::default())
    }

    /// Each part with its style.
    #[must_use]
    pub fn parts(&self) -> &[(String, Style)] {
        &self.0
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(text, _)| text.is_empty())
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.0
            .iter()
            .fold(0, |sum, (text, _)| sum.saturating_add(format::width(text)))
    }

    /// The words cut to a width; a cut ends in `…`.
    #[must_use]
    pub fn fit(&self, columns: u16) -> Self {
        if self.width() <= columns {
            return self.clone();
        }
        let mut room = columns;
        let mut out = Self::default();
        for (text, style) in &self.0 {
            let wide = format::width(text);
            if wide < room {
                room -= wide;
                out = out.and(text.as_str(), *style);
                continue;
            }
            // Either this part is too long, or something follows it for which there is no room.
            let cut = if wide == room {
                format!("{text} ")
            } else {
                text.clone()
            };
            return out.and(format::fit(&cut, room), *style);
        }
        out
    }

    /// All of it in one style.
    #[must_use]
    pub fn restyled(self, style: Style) -> Self {
        Self(self.0.into_iter().map(|(text, _)| (text, style)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &Words) -> String {
        words.parts().iter().map(|(text, _)| text.as_str()).collect()
    }

    #[test]
    fn words_are_cut_as_one_text() {
        let words = Words::of("try 2", Style::new())
            .gap(1)
            .and("timeout", Style::new());
        assert_eq!(text(&words.fit(13)), "try 2 timeout");
        assert_eq!(text(&words.fit(9)), "try 2 ti…");
        assert_eq!(text(&words.fit(5)), "try …");
        assert_eq!(text(&words.fit(0)), "");
    }

    #[test]
    fn text_from_outside_is_shown_and_not_obeyed() {
        let words = Words::outside(&Untrusted::new("fix\u{202e}gpj \u{1b}[31m"), Style::new());
        assert_eq!(text(&words), "fix\\u{202e}gpj ␛[31m");
    }
}
