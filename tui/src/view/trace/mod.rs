//! What is it doing now, what held it up, what did it cost?
//!
//! [`waterfall`] has the rows and bars, [`panel`] what is known about the one under the cursor. All bars
//! share one scale, which begins with the try under the cursor; earlier tries are behind its left edge.

pub mod panel;
pub mod waterfall;

use crate::command::CommandId;
use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::jobs::short_id;
use crate::model::trace::{Trace, TraceFacts};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::title;
use crate::view::words::Words;

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let trace = &model.trace;
    let gap = u16::from(airy);
    let Some(id) = trace.id else {
        canvas.put(1, 0, "Trace", canvas.theme.strong());
        condition::sentence(
            canvas,
            1 + gap,
            model,
            "No job is chosen: pick one in the list, then t.",
            &[CommandId::Jobs],
        );
        return;
    };
    heading(canvas, &short_id(id), model);
    if !condition::has_value(canvas, 1 + gap, &trace.facts) {
        return;
    }
    let Some(facts) = trace.known() else {
        let words = format!("There is no job {}: it may have been erased.", short_id(id));
        canvas.put(1, 1 + gap, &words, canvas.theme.text);
        return;
    };
    let aged = canvas.theme.aged();
    let theme = if trace.facts.is_stale() {
        &aged
    } else {
        canvas.theme
    };
    known(&mut canvas.themed(theme), facts, model, gap);
}

/// Rows, legend and panel, below the heading.
fn known(canvas: &mut Canvas<'_>, facts: &TraceFacts, model: &Model, gap: u16) {
    let trace = &model.trace;
    let height = canvas.height();
    let room = Room::of(canvas.width());
    let legend = 2 * gap;
    let panel = match (room, gap) {
        (Room::Narrow, _) => 0,
        (_, 0) => height.saturating_sub(8).min(4),
        (_, _) => height.saturating_sub(8 + legend + gap).min(12),
    };
    let most = height.saturating_sub(2 + gap + legend + panel + gap).max(1);
    let rows = u16::try_from(trace.list.len()).unwrap_or(u16::MAX).min(most);
    let mut y = 1 + gap;
    waterfall::draw(&mut canvas.part(0, y, u16::MAX, 1 + rows), facts, model, room);
    y += 1 + rows;
    if legend > 0 {
        waterfall::legend(&mut canvas.below(y + 1), trace, model);
        y += legend;
    }
    if panel > 0 {
        panel::draw(&mut canvas.below(y + gap), facts, model);
    }
}

fn heading(canvas: &mut Canvas<'_>, id: &str, model: &Model) {
    let theme = canvas.theme;
    let trace = &model.trace;
    let filter = title::filter(canvas, model, &trace.filter);
    let left = title::crumb(canvas, "Trace", id).gap(2);
    let stale = condition::staleness(&trace.facts, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let Some(facts) = trace.known() else {
        title::draw(canvas, &left, &[stale]);
        return;
    };
    let left = if filter.is_empty() {
        left.then(Words::outside(&facts.line.short_input(), theme.text))
    } else {
        left.then(filter)
    };
    let mut parts = vec![stale, clock(model, theme)];
    parts.extend(totals(trace, facts, model, theme));
    // Whether the bars can be trusted matters more than what they cost.
    parts.insert(parts.len() - 1, skew(trace, facts, model, theme));
    title::draw(canvas, &left, &parts);
}

/// How far the servers' clock is ahead of ours: bars of running spans end there.
fn clock(model: &Model, theme: &Theme) -> Words {
    match model.connection.clock_ahead_ms {
        0 => Words::default(),
        ahead => Words::of(format!("clock {ahead:+} ms"), theme.muted),
    }
}

/// How far the clocks of workers are off, and whether the bars make up for it: `w-91bc 2.0 s behind, raw`.
fn skew(trace: &Trace, facts: &TraceFacts, model: &Model, theme: &Theme) -> Words {
    let skews = facts.skews(model.server_now());
    let Some(worst) = skews.iter().max_by_key(|skew| skew.ahead.abs()) else {
        return Words::default();
    };
    let more = match skews.len() {
        1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let how = if trace.adjusted { "adjusted" } else { "raw" };
    Words::of(
        format!("{} {}{more}", worst.worker.short(), off(worst.ahead)),
        theme.lost,
    )
    .and(format!(", {how}"), theme.muted)
}

/// `2.0 s behind`, `40 ms ahead`.
fn off(ahead: chrono::TimeDelta) -> String {
    let way = if ahead < chrono::TimeDelta::zero() {
        "behind"
    } else {
        "ahead"
    };
    format!(
        "{} {way}",
        format::latency(ahead.abs().to_std().unwrap_or_default())
    )
}

/// What the try under the cursor came to: try, cost, tokens, state with time.
fn totals(trace: &Trace, facts: &TraceFacts, model: &Model, theme: &Theme) -> Vec<Words> {
    let Some(attempt) = trace.attempt().and_then(|number| facts.attempt(number)) else {
        return vec![state::job_words(theme, facts.line.state)];
    };
    let (glyph, style) = state::outcome(theme, attempt.outcome);
    let ran = format::took(attempt.ran(model.server_now()));
    vec![
        Words::of(
            format!("try {} of {}", attempt.number, facts.line.attempts_allowed),
            theme.text,
        ),
        Words::of(format::money(attempt.cost_usd), theme.text),
        Words::of(format!("{} tokens", format::tokens(attempt.tokens)), theme.text),
        Words::of(format!("{glyph} {}", attempt.outcome.word()), style).and(format!(" {ran}"), theme.text),
    ]
}

/// `7.9 s`, or `7.9 s…` while it grows.
fn time_words(took: std::time::Duration, runs: bool, theme: &Theme) -> Words {
    let more = if runs { glyph::MORE } else { "" };
    Words::of(format!("{}{more}", format::took(took)), theme.text)
}
