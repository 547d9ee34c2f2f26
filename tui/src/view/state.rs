//! How states are shown everywhere: a glyph, a word and a colour, never one of them alone.

use millstream::domain::{JobState, SpanStatus};
use ratatui::style::Style;

use crate::glyph;
use crate::model::activity::Ended;
use crate::model::happening::HappeningKind;
use crate::model::job::Outcome;
use crate::model::need::Harm;
use crate::model::pending::Hold;
use crate::model::workers::WorkerState;
use crate::theme::Theme;
use crate::view::words::Words;

/// The colour of a job's state.
#[must_use]
pub const fn job(theme: &Theme, state: JobState) -> Style {
    match state {
        JobState::Scheduled | JobState::Waiting => theme.waiting,
        JobState::Running => theme.busy,
        JobState::Retrying => theme.retrying,
        JobState::Dead => theme.dead,
        JobState::Dropped | JobState::Cancelled => theme.muted,
        JobState::Done => theme.ok,
    }
}

/// Glyph and word of a job's state.
#[must_use]
pub fn job_words(theme: &Theme, state: JobState) -> Words {
    let style = job(theme, state);
    Words::of(glyph::state(state), style)
        .gap(1)
        .and(state.word(), style)
}

/// The colour of a verdict, by its word.
#[must_use]
pub fn verdict(theme: &Theme, word: &str) -> Style {
    match word {
        "approve" => theme.ok,
        "request-changes" => theme.dead,
        _ => theme.text,
    }
}

/// Glyph and colour of a worker's state.
#[must_use]
pub const fn worker(theme: &Theme, state: WorkerState) -> (&'static str, Style) {
    match state {
        WorkerState::Lost => (glyph::LOST, theme.lost),
        WorkerState::Draining => (glyph::LEFT, theme.retrying),
        WorkerState::Busy => (glyph::LAMP, theme.ok),
        WorkerState::Idle => (glyph::LAMP_OUT, theme.muted),
    }
}

/// Glyph and colour of an attempt.
#[must_use]
pub const fn outcome(theme: &Theme, outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Running => (glyph::RUNNING, theme.busy),
        Outcome::Done => (glyph::DONE, theme.ok),
        Outcome::Failed => (glyph::DEAD, theme.dead),
        Outcome::Crashed => (glyph::LOST, theme.lost),
        Outcome::HandedBack => (glyph::LEFT, theme.retrying),
        Outcome::Cancelled => (glyph::CANCELLED, theme.muted),
    }
}

/// Glyph and colour of a span.
#[must_use]
pub const fn span(theme: &Theme, status: SpanStatus) -> (&'static str, Style) {
    match status {
        SpanStatus::Running => (glyph::RUNNING, theme.busy),
        SpanStatus::Ok => (glyph::DONE, theme.ok),
        SpanStatus::Error => (glyph::DEAD, theme.dead),
    }
}

/// Glyph and colour of what happened.
#[must_use]
pub const fn happening(theme: &Theme, kind: HappeningKind) -> (&'static str, Style) {
    match kind {
        HappeningKind::Done => (glyph::DONE, theme.ok),
        HappeningKind::Retrying => (glyph::RETRYING, theme.retrying),
        HappeningKind::Dead => (glyph::DEAD, theme.dead),
        HappeningKind::Cancelled => (glyph::CANCELLED, theme.muted),
        HappeningKind::Joined => (glyph::JOINED, theme.accent),
        HappeningKind::Left => (glyph::LEFT, theme.accent),
        HappeningKind::Lost => (glyph::LOST, theme.lost),
    }
}

/// Glyph and colour of how an action ended.
#[must_use]
pub const fn ended(theme: &Theme, ended: Ended) -> (&'static str, Style) {
    match ended {
        Ended::Running => (glyph::RUNNING, theme.busy),
        Ended::Unheard => (glyph::LOST, theme.lost),
        Ended::Done => (glyph::DONE, theme.ok),
        Ended::Partly => (glyph::LOST, theme.retrying),
        Ended::Refused => (glyph::DEAD, theme.dead),
    }
}

/// Glyph and colour of a pending entry.
#[must_use]
pub const fn hold(theme: &Theme, hold: Hold) -> (&'static str, Style) {
    match hold {
        Hold::Lost => (glyph::LOST, theme.lost),
        Hold::Stuck => (glyph::LOST, theme.retrying),
        Hold::Due | Hold::Retrying => (glyph::RETRYING, theme.retrying),
        Hold::Foreign => (glyph::LATER, theme.waiting),
        Hold::Running => (glyph::RUNNING, theme.busy),
    }
}

/// Glyph and colour of what needs a person.
#[must_use]
pub const fn harm(theme: &Theme, harm: Harm) -> (&'static str, Style) {
    match harm {
        Harm::Lost => (glyph::LOST, theme.lost),
        Harm::Dead => (glyph::DEAD, theme.dead),
        Harm::Slow => (glyph::RETRYING, theme.retrying),
        Harm::Growing => (glyph::JOINED, theme.waiting),
    }
}
