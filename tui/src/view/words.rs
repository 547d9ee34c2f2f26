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

    /// The words in lines of at most so many columns, broken at spaces where there are any; all but the first line begin
    /// so much further in.
    #[must_use]
    pub fn wrap(&self, columns: u16, indent: u16) -> Vec<Self> {
        let indent = indent.min(columns / 2);
        let mut lines = Vec::new();
        let (mut line, mut holds_words) = (Self::default(), false);
        for (text, style) in &self.0 {
            for piece in pieces(text) {
                let room = columns.saturating_sub(line.width());
                let is_space = piece.starts_with(' ');
                if format::width(piece) <= room {
                    holds_words |= !is_space;
                    line = line.and(piece, *style);
                    continue;
                }
                if holds_words {
                    lines.push(std::mem::take(&mut line));
                    line = line.gap(indent);
                    holds_words = false;
                }
                if is_space {
                    continue;
                }
                // A word that no line has room for is broken; its last piece stays open.
                let mut parts = format::wrap(piece, columns - indent).into_iter().peekable();
                while let Some(part) = parts.next() {
                    line = line.and(part, *style);
                    holds_words = true;
                    if parts.peek().is_some() {
                        lines.push(std::mem::take(&mut line));
                        line = line.gap(indent);
                    }
                }
            }
        }
        if holds_words {
            lines.push(line);
        }
        lines
    }

    /// All of it in one style.
    #[must_use]
    pub fn restyled(self, style: Style) -> Self {
        Self(self.0.into_iter().map(|(text, _)| (text, style)).collect())
    }
}

/// A text as words and the spaces between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_space = rest.chars().next()? == ' ';
        let end = rest.find(|c: char| (c == ' ') != is_space).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
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
    fn words_are_wrapped_at_spaces_and_hang() {
        let words = Words::of("R", Style::new())
            .gap(3)
            .and("puts it back where", Style::new())
            .and(" it was", Style::new());
        let lines =
            |columns, indent| -> Vec<String> { words.wrap(columns, indent).iter().map(text).collect() };
        assert_eq!(lines(30, 4), ["R   puts it back where it was"]);
        assert_eq!(
            lines(12, 4),
            ["R   puts it ", "    back ", "    where it", "    was"]
        );
        assert_eq!(
            lines(5, 0),
            ["R   ", "puts ", "it ", "back ", "where", "it ", "was"]
        );
        let id = Words::of("0123456789", Style::new());
        let broken: Vec<String> = id.wrap(4, 1).iter().map(text).collect();
        assert_eq!(broken, ["012", " 345", " 678", " 9"]);
        assert!(Words::default().wrap(0, 3).is_empty());
        assert!(words.wrap(0, 3).is_empty(), "nothing has room for it");
    }

    #[test]
    fn text_from_outside_is_shown_and_not_obeyed() {
        let words = Words::outside(&Untrusted::new("fix\u{202e}gpj \u{1b}[31m"), Style::new());
        assert_eq!(text(&words), "fix\\u{202e}gpj ␛[31m");
    }
}
