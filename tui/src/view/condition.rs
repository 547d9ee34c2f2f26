//! What a view says when it has nothing to show: still loading, failed, empty, nothing that matches.

use chrono::{DateTime, Utc};
use ratatui::style::Modifier;

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::keymap;
use crate::model::Model;
use crate::model::filter::Filter;
use crate::model::remote::Remote;
use crate::view::canvas::Canvas;
use crate::view::words::Words;

/// Says why there is no value, if there is none. Answers whether there is one.
pub fn has_value<T>(canvas: &mut Canvas<'_>, y: u16, remote: &Remote<T>) -> bool {
    let theme = canvas.theme;
    let width = canvas.width().saturating_sub(2);
    let words = match remote {
        Remote::Ready { .. } | Remote::Stale { .. } => return true,
        Remote::Loading { .. } => Words::of(glyph::MORE, theme.muted),
        Remote::Failed { why, .. } => Words::of(glyph::DEAD, theme.dead)
            .gap(1)
            .and_outside(why, theme.text),
    };
    canvas.fitted(1, y, &words, width);
    false
}

/// `12 s old: connection refused`, for a value that is.
#[must_use]
pub fn staleness<T>(remote: &Remote<T>, now: DateTime<Utc>) -> Option<String> {
    let age = remote.age(now).filter(|_| remote.is_stale())?;
    let why = remote.why().map_or_else(String::new, |why| format!(": {why}"));
    Some(format!("{} old{why}", format::age(age)))
}

/// `No entry matches class:timeout.   Esc clears it`.
pub fn no_match(canvas: &mut Canvas<'_>, y: u16, subject: &str, filter: &Filter) {
    let theme = canvas.theme;
    let words = Words::of(format!("{subject} matches "), theme.text)
        .and_outside(&filter.text.as_str().into(), theme.accent)
        .and(".   ", theme.text)
        .and("Esc", theme.accent.add_modifier(Modifier::BOLD))
        .and(" clears it", theme.muted);
    canvas.fitted(1, y, &words, canvas.width().saturating_sub(2));
}

/// A sentence, with the keys that change it: `Nothing waits.  n submit  b burst`.
pub fn sentence(canvas: &mut Canvas<'_>, y: u16, model: &Model, text: &str, keys: &[CommandId]) {
    let theme = canvas.theme;
    let available = keys.iter().filter(|command| command.is_available(model));
    let words = available.fold(Words::of(text, theme.text), |words, command| {
        let Some(key) = keymap::key(model, *command) else {
            return words;
        };
        words
            .gap(3)
            .and(key.label(), theme.accent)
            .gap(1)
            .and(command.command().short, theme.muted)
    });
    let width = canvas.width().saturating_sub(2);
    canvas.fitted(1, y, &words, width);
}
