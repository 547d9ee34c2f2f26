//! The title row of a view: where we are and what is filtered at the left, how much is shown at the right.

use ratatui::style::Style;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::filter::Filter;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// Why something is old is not cut to less: its age is in it.
const LEAST: u16 = 10;

/// Draws it over the first row. When both sides do not fit, why something is old
/// is cut, since its beginning says most; then the first parts go.
pub fn draw(canvas: &mut Canvas<'_>, left: &Words, right: &[Words]) {
    let width = canvas.width();
    let gap = if width >= 100 { 3 } else { 2 };
    let joined = |parts: &[Words]| {
        let parts = parts.iter().filter(|part| !part.is_empty());
        parts.fold(Words::default(), |words, part| {
            if words.is_empty() {
                part.clone()
            } else {
                words.gap(gap).then(part.clone())
            }
        })
    };
    let room = width.saturating_sub(left.width() + 4);
    let right = (0..=right.len())
        .find_map(|from| {
            let parts = &right[from..];
            let over = joined(parts).width().saturating_sub(room);
            Some(joined(&cut(parts, over, canvas.theme.stale)?))
        })
        .unwrap_or_default();
    let start = canvas.words_before(width.saturating_sub(1), 0, &right);
    canvas.fitted(1, 0, left, start.saturating_sub(2).max(width.min(2)));
}

/// The parts without so many columns, which the one that tells of old data gives; nothing if it cannot.
fn cut(parts: &[Words], over: u16, stale: Style) -> Option<Vec<Words>> {
    let mut parts = parts.to_vec();
    if over > 0 {
        let is_why = |part: &&mut Words| part.parts().first().is_some_and(|(_, style)| *style == stale);
        let why = parts.iter_mut().find(is_why)?;
        let left = why.width().saturating_sub(over);
        if left < LEAST {
            return None;
        }
        *why = why.fit(left);
    }
    Some(parts)
}

/// `/ class:timeout`, or what is being typed, with a caret.
#[must_use]
pub fn filter(canvas: &Canvas<'_>, model: &Model, filter: &Filter) -> Words {
    let theme = canvas.theme;
    match &model.typing {
        Some(typing) => Words::of("/ ", theme.accent)
            .and_outside(&typing.text.as_str().into(), theme.strong())
            .and("█", theme.accent),
        None if filter.is_empty() => Words::default(),
        None => Words::of("/ ", theme.muted).and_outside(&filter.text.as_str().into(), theme.accent),
    }
}

/// `sort RUN ↓`, or `sort waits: g` while rows must not move.
#[must_use]
pub fn sort(canvas: &Canvas<'_>, word: &str, turned: bool, waiting: usize) -> Words {
    let theme = canvas.theme;
    if waiting > 0 {
        return Words::of(
            format!("{} new, sort waits: ", format::count(waiting as u64)),
            theme.retrying,
        )
        .and("g", theme.accent);
    }
    let arrow = if turned { "↑" } else { "↓" };
    Words::of("sort ", theme.muted).and(format!("{word} {arrow}"), theme.text)
}

/// `Jobs › 8f2c1a`.
#[must_use]
pub fn crumb(canvas: &Canvas<'_>, view: &str, id: &str) -> Words {
    let theme = canvas.theme;
    Words::of(view, theme.text)
        .and(format!(" {} ", glyph::WITHIN), theme.muted)
        .and(id, theme.accent)
}
