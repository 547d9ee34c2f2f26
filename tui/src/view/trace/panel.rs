//! What is known about the row under the cursor, and what went into it or came out.

use millstream::domain::SpanStatus;
use millstream::untrusted::{Untrusted, visible};
use serde_json::Value;

use crate::command::CommandId;
use crate::format;
use crate::keymap;
use crate::model::Model;
use crate::model::job::AttemptLine;
use crate::model::jobs::short_id;
use crate::model::remote::Remote;
use crate::model::skew::Outside;
use crate::model::trace::{SpanLine, SpanText, TraceFacts, TraceKey, TracePane};
use crate::model::view::View;
use crate::theme::Theme;
use crate::view::canvas::Canvas;
use crate::view::state;
use crate::view::trace::{off, waterfall};
use crate::view::widgets::{section, table};
use crate::view::words::Words;

/// Columns of the labels.
const LABELS: u16 = 12;
/// From this width on the keys of the text have words.
const WORDY: u16 = 48;

type Facts = Vec<(&'static str, Words)>;

/// Draws the panel: facts at the left, and at the right what went into a span or came out.
pub fn draw(canvas: &mut Canvas<'_>, facts: &TraceFacts, model: &Model) {
    let Some((heading, known)) = subject(facts, model, canvas.theme) else {
        return;
    };
    if model.trace.selected_span().is_none() {
        facts_of(canvas, &heading, &known);
        return;
    }
    let half = canvas.width().saturating_sub(2) / 2;
    facts_of(&mut canvas.part(0, 0, half, u16::MAX), &heading, &known);
    text(&mut canvas.beside(half + 2), model);
}

fn facts_of(canvas: &mut Canvas<'_>, heading: &Words, known: &Facts) {
    section::rule(canvas, heading, &Words::default());
    let width = canvas.width().saturating_sub(2);
    table::facts(&mut canvas.part(1, 1, width, u16::MAX), 0, LABELS, known);
}

/// The row under the cursor: its name, and what is known about it.
fn subject(facts: &TraceFacts, model: &Model, theme: &Theme) -> Option<(Words, Facts)> {
    match model.trace.list.cursor? {
        TraceKey::Span(id) => {
            let span = facts.span(id)?;
            let name = waterfall::whole_name(span, theme.strong());
            Some((name, span_facts(span, facts, model, theme)))
        }
        TraceKey::Attempt(number) => {
            let attempt = facts.attempt(number)?;
            let name = Words::of(format!("try {number}"), theme.strong());
            Some((name, attempt_facts(attempt, facts, model, theme)))
        }
        TraceKey::Ghost(id) => {
            let why = "others name it as their parent, and it was never written";
            let known = vec![
                ("span", Words::of(id.to_string(), theme.muted)),
                ("status", Words::of(why, theme.text)),
            ];
            Some((Words::of("parent span", theme.strong()), known))
        }
    }
}

/// The keys that choose what is shown.
fn panes(model: &Model, theme: &Theme, width: u16) -> Words {
    let commands = [
        CommandId::SpanInput,
        CommandId::SpanOutput,
        CommandId::SpanAttributes,
    ];
    commands.into_iter().fold(Words::default(), |words, command| {
        let key = model
            .keys
            .key(View::Trace, command)
            .map_or_else(String::new, keymap::Key::label);
        let words = if words.is_empty() { words } else { words.gap(2) };
        let words = words.and(key, theme.accent);
        if width < WORDY {
            return words;
        }
        words.gap(1).and(command.command().short, theme.muted)
    })
}

fn span_facts(span: &SpanLine, facts: &TraceFacts, model: &Model, theme: &Theme) -> Facts {
    let now = model.server_now();
    let (glyph, style) = state::span(theme, span.status);
    let text = |text: String| Words::of(text, theme.text);
    let status = Words::of(format!("{glyph} {}", span.status.word()), style)
        .and(format!(" {}", format::took(span.took(now))), theme.text);
    let mut known: Facts = vec![("status", status)];
    known.extend(
        span.error
            .as_ref()
            .map(|error| ("error", Words::outside(error, theme.dead))),
    );
    known.extend(
        span.model
            .as_ref()
            .map(|name| ("model", Words::outside(name, theme.text))),
    );
    known.extend(used(span, theme));
    if span.kept {
        known.push(("kept", text("an earlier try paid for it".to_owned())));
    }
    let end = span.ended_at.map_or_else(|| "now".to_owned(), format::clock);
    known.push((
        "time",
        text(format!("{} to {end}", format::clock(span.started_at))),
    ));
    let parent = span.parent.and_then(|parent| facts.span(parent));
    known.extend(parent.map(|parent| {
        let words = Words::outside(&parent.name, theme.text);
        let words = match facts.outside(span) {
            Some(Outside::Before) => words.and(", which began later", theme.lost),
            Some(Outside::After) => words.and(", which ended earlier", theme.lost),
            None => words,
        };
        ("parent", words)
    }));
    let ahead = facts.ahead(span.attempt, now);
    if !ahead.is_zero() {
        let how = if model.trace.adjusted {
            "adjusted"
        } else {
            "not adjusted"
        };
        known.push(("clock", text(format!("of the worker {} ~, {how}", off(ahead)))));
    }
    known.push(("try", text(span.attempt.to_string())));
    known.push(("job", Words::of(short_id(facts.line.id), theme.accent)));
    known.push(("span", Words::of(span.id.to_string(), theme.muted)));
    known
}

/// What it used so far: tokens and cost, as far as they are known.
fn used(span: &SpanLine, theme: &Theme) -> Facts {
    let mut known = Facts::new();
    let text = |text: String| Words::of(text, theme.text);
    if let Some(input) = span.input_tokens {
        let output = span.output_tokens.map_or_else(
            || "out is not known until it ends".to_owned(),
            |output| format!("{} out", format::tokens(output)),
        );
        known.push(("tokens", text(format!("{} in, {output}", format::tokens(input)))));
    }
    if let Some(usd) = span.cost_usd {
        let runs = span.status == SpanStatus::Running;
        let so_far = if runs { " ~ so far" } else { "" };
        known.push(("cost", text(format!("{}{so_far}", format::money(usd)))));
    }
    known
}

fn attempt_facts(attempt: &AttemptLine, facts: &TraceFacts, model: &Model, theme: &Theme) -> Facts {
    let (glyph, style) = state::outcome(theme, attempt.outcome);
    let ran = format::took(attempt.ran(model.server_now()));
    let text = |text: String| Words::of(text, theme.text);
    let end = attempt.ended_at.map_or_else(|| "now".to_owned(), format::clock);
    let mut known: Facts = vec![(
        "status",
        Words::of(format!("{glyph} {}", attempt.outcome.word()), style).and(format!(" {ran}"), theme.text),
    )];
    known.extend(
        attempt
            .error
            .as_ref()
            .map(|error| ("error", Words::outside(error, theme.dead))),
    );
    known.push(("worker", text(attempt.worker.short())));
    known.push((
        "time",
        text(format!("{} to {end}", format::clock(attempt.started_at))),
    ));
    known.push(("tokens", text(format::tokens(attempt.tokens))));
    known.push(("cost", text(format!("{} ~", format::money(attempt.cost_usd)))));
    known.push(("input", Words::outside(&facts.line.input, theme.text)));
    known.push(("job", Words::of(short_id(facts.line.id), theme.accent)));
    known
}

/// Input, output or everything else, as it was written down.
fn text(canvas: &mut Canvas<'_>, model: &Model) {
    let theme = canvas.theme;
    let pane = model.trace.pane;
    let name = match pane {
        TracePane::Input => "Input",
        TracePane::Output => "Output",
        TracePane::Attributes => "Attributes",
    };
    let width = canvas.width().saturating_sub(2);
    section::rule(
        canvas,
        &Words::of(name, theme.strong()),
        &panes(model, theme, width),
    );
    let mut body = canvas.part(1, 1, width, u16::MAX);
    let Some((_, remote)) = model
        .trace
        .text
        .as_ref()
        .filter(|(id, _)| Some(*id) == model.trace.selected_span())
    else {
        body.put(0, 0, "…", theme.muted);
        return;
    };
    match remote {
        Remote::Ready { value, .. } | Remote::Stale { value, .. } => lines(&mut body, value, pane),
        Remote::Loading { .. } => {
            body.put(0, 0, "…", theme.muted);
        }
        Remote::Failed { why, .. } => {
            body.fitted(0, 0, &Words::outside(why, theme.dead), width);
        }
    }
}

fn lines(canvas: &mut Canvas<'_>, text: &SpanText, pane: TracePane) {
    let theme = canvas.theme;
    let shown: Vec<(&str, &Option<Untrusted>)> = match pane {
        TracePane::Input => vec![("input", &text.input)],
        TracePane::Output => vec![("output", &text.output)],
        TracePane::Attributes => vec![("input", &text.input), ("output", &text.output)],
    };
    let mut y = 0;
    for (name, part) in shown {
        let Some(part) = part else {
            canvas.put(0, y, &format!("no {name} is written down yet"), theme.muted);
            y += 1;
            continue;
        };
        let bounded: String = part.raw().chars().take(READ).collect();
        for line in outline(&bounded) {
            if y >= canvas.height() {
                return;
            }
            y = entry(canvas, y, &line);
        }
    }
}

/// More of a text than any panel shows is not looked at.
const READ: usize = 16_384;

/// A line of a text: how far it is set in, its label, its value.
struct Entry {
    indent: u16,
    label: String,
    value: String,
}

/// Draws an entry, its value wrapped behind its label; answers the row below.
fn entry(canvas: &mut Canvas<'_>, y: u16, line: &Entry) -> u16 {
    let theme = canvas.theme;
    let start = canvas.put(line.indent, y, &visible(&line.label), theme.muted);
    // A label that takes most of the row leaves its value the row below.
    let start = if start * 2 > canvas.width() {
        line.indent + 2
    } else {
        start
    };
    let mut row = y;
    for part in line.value.lines() {
        row = canvas.beside(start).paragraph(row, &visible(part), theme.text);
    }
    row.max(y + 1)
}

/// JSON as an outline, without the quotes and brackets that only a machine needs; other text as it is.
fn outline(text: &str) -> Vec<Entry> {
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut lines = Vec::new();
    put_value(&value, (0, String::new()), &mut lines);
    lines
}

fn put_value(value: &Value, (indent, label): (u16, String), lines: &mut Vec<Entry>) {
    let inner = indent.saturating_add(2).min(16);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            // A nameless object needs no line of its own.
            let below = if label.is_empty() { indent } else { inner };
            if !label.is_empty() {
                lines.push(Entry {
                    indent,
                    label,
                    value: String::new(),
                });
            }
            for (name, field) in fields {
                put_value(field, (below, format!("{name}: ")), lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let below = if label.is_empty() { indent } else { inner };
            if !label.is_empty() {
                lines.push(Entry {
                    indent,
                    label,
                    value: String::new(),
                });
            }
            for item in items {
                let first = lines.len();
                put_value(item, (below + 2, String::new()), lines);
                if let Some(entry) = lines.get_mut(first) {
                    entry.indent = below;
                    entry.label = format!("- {}", entry.label);
                }
            }
        }
        scalar => lines.push(Entry {
            indent,
            label,
            value: scalar_text(scalar),
        }),
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => "none".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_an_outline() {
        let text = r#"{"findings":[{"agent":"ux","line":3},{"agent":"security"}],"kept":true}"#;
        let lines: Vec<String> = outline(text)
            .iter()
            .map(|line| {
                format!(
                    "{}{}{}",
                    " ".repeat(usize::from(line.indent)),
                    line.label,
                    line.value
                )
            })
            .collect();
        let wanted = [
            "findings: ",
            "  - agent: ux",
            "    line: 3",
            "  - agent: security",
            "kept: true",
        ];
        assert_eq!(lines, wanted);
        assert_eq!(outline("no json").len(), 1);
    }
}
