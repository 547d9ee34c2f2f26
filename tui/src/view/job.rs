//! One job in full: why it ended so, what was found, what each try did, what it told.

use std::time::Duration;

use millstream::domain::JobState;

use crate::format;
use crate::glyph;
use crate::model::Model;
use crate::model::job::{AttemptLine, FindingLine, Job, JobFacts, JobPane, Outcome, StepState};
use crate::model::jobs::{JobLine, short_id};
use crate::theme::Theme;
use crate::view::Room;
use crate::view::canvas::Canvas;
use crate::view::condition;
use crate::view::state;
use crate::view::widgets::bar::{self, End, Scale, Weight};
use crate::view::widgets::table::{Column, Layout, Row};
use crate::view::widgets::{section, title};
use crate::view::words::Words;

/// The columns of the findings; places are as wide as the widest of them, notes have the rest.
fn finding_columns(facts: &JobFacts) -> [Column; 4] {
    let places = facts
        .findings
        .iter()
        .map(|finding| format::width(&finding.location.to_string()));
    [
        Column::words("SEVERITY", 8, 9),
        Column::words("AGENT", 11, 6),
        Column::words("LOCATION", places.max().unwrap_or(8).clamp(8, LONGEST_PLACE), 7),
        Column::words("NOTE", 24, 8).elastic(u16::MAX),
    ]
}

/// A longer place is cut in front.
const LONGEST_PLACE: u16 = 40;

/// The agents that an attempt's row has a column for, with its title.
const AGENTS: [(&str, &str); 4] = [
    ("security", "SECURITY"),
    ("performance", "PERFORMANCE"),
    ("ux", "UX"),
    ("judge", "JUDGE"),
];

const ATTEMPTS: [Column; 11] = [
    Column::words("TRY", 3, 11),
    Column::words("WORKER", 6, 10),
    Column::words("STARTED", 9, 2),
    Column::number("RAN", 6, 9),
    Column::words(AGENTS[0].1, 8, 6),
    Column::words(AGENTS[1].1, 11, 5),
    Column::words(AGENTS[2].1, 7, 4),
    Column::words(AGENTS[3].1, 7, 7),
    Column::number("TOKENS", 7, 3),
    Column::number("COST", 7, 3),
    Column::words("RESULT", 11, 8).elastic(40),
];

/// Draws the view.
pub fn draw(canvas: &mut Canvas<'_>, model: &Model, airy: bool) {
    let Some(job) = &model.job else {
        canvas.put(1, 0, "No job was opened.", canvas.theme.muted);
        return;
    };
    heading(canvas, job, model);
    let gap = u16::from(airy);
    if !condition::has_value(canvas, 1 + gap, &job.facts) {
        return;
    }
    let Some(facts) = job.known() else {
        let words = format!("There is no job {}: it may have been erased.", short_id(job.id));
        canvas.put(1, 1 + gap, &words, canvas.theme.text);
        return;
    };
    let aged = canvas.theme.aged();
    let theme = if job.facts.is_stale() { &aged } else { canvas.theme };
    let mut canvas = canvas.themed(theme);
    summary(&mut canvas.below(1 + gap), &facts.line, model);
    sections(&mut canvas.below(2 + 2 * gap), job, facts, model, gap);
}

fn heading(canvas: &mut Canvas<'_>, job: &Job, model: &Model) {
    let theme = canvas.theme;
    let left = title::crumb(canvas, "Jobs", &short_id(job.id));
    let stale = condition::staleness(&job.facts, model.now)
        .map_or_else(Words::default, |text| Words::of(text, theme.stale));
    let input = job.known().map_or_else(Words::default, |facts| {
        Words::outside(&facts.line.input, theme.muted)
    });
    title::draw(canvas, &left, &[input, stale]);
}

/// State, verdict, try, worker, times, tokens, cost: as many as fit, the first ones first.
fn summary(canvas: &mut Canvas<'_>, line: &JobLine, model: &Model) {
    let theme = canvas.theme;
    let now = model.server_now();
    let text = |text: String| Words::of(text, theme.text);
    let mut parts = vec![state::job_words(theme, line.state)];
    if let Some(verdict) = &line.verdict {
        parts.push(Words::outside(verdict, state::verdict(theme, verdict.raw())));
    }
    parts.push(text(format!("try {} of {}", line.attempt, line.attempts_allowed)));
    parts.extend(line.worker.as_ref().map(|worker| text(worker.short())));
    parts.push(text(format!("waited {}", format::took(line.wait(now)))));
    parts.extend(
        line.run(now)
            .map(|ran| text(format!("ran {}", format::took(ran)))),
    );
    parts.push(text(format!("{} tokens", format::tokens(line.tokens))));
    parts.push(text(format::money(line.cost_usd)));
    parts.push(Words::of(format::clock(line.created_at), theme.muted));
    let end = canvas.width().saturating_sub(1);
    let gap = if canvas.width() >= 100 { 3 } else { 2 };
    let mut x = 1;
    for part in parts {
        if x + part.width() > end {
            return;
        }
        x = canvas.words(x, 0, &part) + gap;
    }
}

/// Reason, findings, tries, events, each as tall as it must be and as there is room for.
fn sections(canvas: &mut Canvas<'_>, job: &Job, facts: &JobFacts, model: &Model, gap: u16) {
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let height = canvas.height();
    let mut y = 0;
    if facts.reason.is_some() || facts.line.error.is_some() {
        let most = if gap > 0 { 5 } else { 2 };
        y += reason(&mut canvas.part(0, 0, u16::MAX, most + 1), facts) + gap;
    }
    let tries = rows(facts.attempts.len()).min(4);
    let bars = if gap > 0 && Room::of(canvas.width()) != Room::Narrow {
        tries + 1
    } else {
        0
    };
    let after = 2 + tries + bars + gap;
    let room = height.saturating_sub(y + after).max(3);
    let listed = rows(facts.findings.len().max(1))
        .saturating_add(1 + gap)
        .min(room.max(2));
    findings(&mut canvas.part(0, y, u16::MAX, listed), job, facts);
    y += listed + gap;
    attempts(&mut canvas.part(0, y, u16::MAX, 2 + tries), job, facts, model);
    y += 2 + tries;
    if bars > 0 {
        timeline(&mut canvas.part(0, y + 1, u16::MAX, tries), facts, model);
        y += bars;
    }
    y += gap;
    if height > y + 1 {
        events(&mut canvas.below(y), job, facts);
    }
}

/// The judge's words, or the last failure; answers the rows it took.
fn reason(canvas: &mut Canvas<'_>, facts: &JobFacts) -> u16 {
    let theme = canvas.theme;
    let judge = facts.attempts.first().and_then(|attempt| step(attempt, "judge"));
    let note = match judge {
        Some(StepState::Done(took)) => Words::of(format!("judge, {}", format::took(took)), theme.muted),
        _ => Words::default(),
    };
    let (name, text, style) = match (&facts.reason, &facts.line.error) {
        (Some(reason), _) => ("Reason", reason, theme.text),
        (None, Some(error)) => ("Last failure", error, theme.dead),
        (None, None) => return 0,
    };
    section::rule(canvas, &Words::of(name, theme.strong()), &note);
    let width = canvas.width().saturating_sub(2);
    let rows = canvas.height();
    1 + canvas
        .part(1, 1, width, rows.saturating_sub(1))
        .paragraph(0, &text.to_string(), style)
}

fn findings(canvas: &mut Canvas<'_>, job: &Job, facts: &JobFacts) {
    let theme = canvas.theme;
    let name = Words::of(format!("Findings  {}", facts.findings.len()), theme.strong());
    section::rule(canvas, &name, &Words::of("by severity", theme.muted));
    if facts.findings.is_empty() {
        let nothing = match facts.line.state {
            JobState::Done => "Nothing was found.",
            _ => "There is no result yet.",
        };
        canvas.put(1, 1, nothing, theme.muted);
        return;
    }
    let columns = finding_columns(facts);
    let layout = Layout::new(&columns, canvas.width());
    // The headings leave when every row is needed for a finding.
    let top = if usize::from(canvas.height()) > facts.findings.len() + 1 {
        2
    } else {
        1
    };
    if top == 2 {
        layout.head(&mut canvas.below(1), None);
    }
    let rows = usize::from(canvas.height().saturating_sub(top));
    let shown = &job.findings.order[job.findings.window(rows)];
    for (y, number) in (top..).zip(shown) {
        if let Some(finding) = facts.findings.get(*number) {
            let cursor = job.pane == JobPane::Findings && job.findings.cursor == Some(*number);
            layout.row(canvas, y, &finding_row(finding, cursor, theme));
        }
    }
}

fn finding_row(finding: &FindingLine, cursor: bool, theme: &Theme) -> Row {
    use millstream::domain::Severity;
    let style = match finding.severity {
        Severity::Block => theme.dead,
        Severity::Warn => theme.retrying,
        Severity::Info => theme.muted,
    };
    let location = format::fit_tail(&finding.location.to_string(), LONGEST_PLACE);
    Row {
        glyph: Words::of(glyph::severity(finding.severity, theme.ascii), style),
        cells: vec![
            Words::of(finding.severity.word(), style),
            Words::outside(&finding.agent, theme.text),
            Words::of(location, theme.muted),
            Words::outside(&finding.note, theme.text),
        ],
        cursor,
        ..Row::default()
    }
}

fn attempts(canvas: &mut Canvas<'_>, job: &Job, facts: &JobFacts, model: &Model) {
    let theme = canvas.theme;
    section::rule(
        canvas,
        &Words::of("Attempts", theme.strong()),
        &Words::of("newest first", theme.muted),
    );
    if facts.attempts.is_empty() {
        canvas.put(1, 1, "It was not started yet.", theme.muted);
        return;
    }
    let layout = Layout::new(&ATTEMPTS, canvas.width());
    layout.head(&mut canvas.below(1), None);
    let rows = usize::from(canvas.height().saturating_sub(2));
    let shown = &job.attempts.order[job.attempts.window(rows)];
    for (y, number) in (2..).zip(shown) {
        if let Some(attempt) = facts.attempts.iter().find(|attempt| attempt.number == *number) {
            let cursor = job.pane == JobPane::Attempts && job.attempts.cursor == Some(*number);
            layout.row(canvas, y, &attempt_row(attempt, cursor, model, theme));
        }
    }
}

fn attempt_row(attempt: &AttemptLine, cursor: bool, model: &Model, theme: &Theme) -> Row {
    let now = model.server_now();
    let (glyph, style) = state::outcome(theme, attempt.outcome);
    let text = |text: String| Words::of(text, theme.text);
    let mut cells = vec![
        text(attempt.number.to_string()),
        text(attempt.worker.short()),
        Words::of(format::clock(attempt.started_at), theme.muted),
        text(format::took(attempt.ran(now))),
    ];
    cells.extend(AGENTS.map(|(agent, _)| step_words(step(attempt, agent), model, theme)));
    let result = match &attempt.class {
        Some(class) if attempt.outcome != Outcome::Done => Words::outside(class, style),
        _ => Words::of(attempt.outcome.word(), style),
    };
    cells.extend([
        text(format::tokens(attempt.tokens)),
        text(format::money(attempt.cost_usd)),
        result,
    ]);
    Row {
        glyph: Words::of(glyph, style),
        cells,
        cursor,
        ..Row::default()
    }
}

fn step(attempt: &AttemptLine, agent: &str) -> Option<StepState> {
    let found = attempt.steps.iter().find(|step| step.agent.raw() == agent);
    found.map(|step| step.state)
}

fn step_words(step: Option<StepState>, model: &Model, theme: &Theme) -> Words {
    let with = |glyph: &str, style, text: String| Words::of(glyph, style).gap(1).and(text, theme.text);
    match step {
        Some(StepState::Kept) => Words::of(glyph::DONE, theme.muted).and(" kept", theme.muted),
        Some(StepState::Done(took)) => with(glyph::DONE, theme.ok, format::took(took)),
        Some(StepState::Failed(took)) => with(glyph::DEAD, theme.dead, format::took(took)),
        Some(StepState::Running(since)) => with(
            glyph::RUNNING,
            theme.busy,
            format::took(format::between(since, model.server_now())),
        ),
        Some(StepState::NotReached) | None => Words::of("-", theme.muted),
    }
}

/// A bar for each try on one scale, with what it failed of behind it.
fn timeline(canvas: &mut Canvas<'_>, facts: &JobFacts, model: &Model) {
    const START: u16 = 8;
    let theme = canvas.theme;
    let now = model.server_now();
    let longest = facts
        .attempts
        .iter()
        .map(|attempt| attempt.ran(now))
        .max()
        .unwrap_or_default();
    let columns = (canvas.width() / 2).max(10);
    let scale = Scale::fitting(columns, longest);
    for (y, attempt) in (0..canvas.height()).zip(&facts.attempts) {
        canvas.put(1, y, &format!("try {}", attempt.number), theme.muted);
        let (_, style) = state::outcome(theme, attempt.outcome);
        let end = match attempt.outcome {
            Outcome::Running => End::Live,
            Outcome::Done => End::Whole,
            _ => End::Failed,
        };
        let span = (Duration::ZERO, attempt.ran(now));
        bar::draw(
            &mut canvas.part(START, y, columns, 1),
            &scale,
            span,
            (Weight::Critical, end, style),
        );
        let text = START
            + u16::try_from(scale.column(span.1))
                .unwrap_or(columns)
                .min(columns)
            + 2;
        let words = match &attempt.error {
            Some(error) => Words::outside(error, theme.text),
            None => Words::of(attempt.outcome.word(), theme.muted),
        };
        canvas.fitted(text, y, &words, canvas.width().saturating_sub(text + 1));
    }
}

fn events(canvas: &mut Canvas<'_>, job: &Job, facts: &JobFacts) {
    let theme = canvas.theme;
    let name = Words::of(format!("Events  {}", facts.events.len()), theme.strong());
    section::rule(canvas, &name, &Words::of("oldest first", theme.muted));
    if facts.events.is_empty() {
        canvas.put(1, 1, "It has told nothing yet.", theme.muted);
        return;
    }
    let rows = usize::from(canvas.height().saturating_sub(1));
    let shown = &job.events.order[job.events.window(rows)];
    for (y, number) in (1..).zip(shown) {
        let Some(event) = facts.events.get(*number) else {
            continue;
        };
        let words = Words::of(format::moment(event.at), theme.muted)
            .gap(2)
            .and(format!("try {}", event.attempt), theme.muted)
            .gap(2)
            .and_outside(&event.text, theme.text);
        canvas.fitted(2, y, &words, canvas.width().saturating_sub(3));
        if job.pane == JobPane::Events && job.events.cursor == Some(*number) {
            canvas.put(0, y, glyph::CURSOR, theme.accent);
            canvas.select_row(y);
        }
    }
}
