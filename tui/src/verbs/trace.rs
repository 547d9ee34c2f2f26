//! `millstream trace`: the attempts and spans of a review.

use millstream::reports::{self, AttemptReport, SpanReport, TraceReport};
use millstream::untrusted::visible;

use crate::cli::TraceArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Deeper nesting than any review has; a cycle among foreign spans ends here.
const DEEPEST: usize = 32;

/// Prints the trace.
///
/// # Errors
/// When there is no such review, or Postgres is away.
pub async fn run(args: &TraceArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let found = reports::trace(&reach.store, args.id).await?;
    let report = found.ok_or_else(|| Failure::Refused(format!("there is no review {}", args.id)))?;
    output::answer(args.json, &report, in_words)?;
    Ok(0)
}

fn in_words(report: &TraceReport) -> Vec<String> {
    let mut lines = vec![format!("review {}", report.id)];
    if report.attempts.is_empty() {
        lines.push("not started yet".to_owned());
    }
    for attempt in &report.attempts {
        lines.push(heading(attempt));
        children(attempt, None, 1, &mut lines);
        orphans(attempt, &mut lines);
    }
    lines
}

fn heading(attempt: &AttemptReport) -> String {
    let outcome = attempt.outcome.as_deref().unwrap_or("running");
    let worker = attempt.worker.as_deref().unwrap_or("a reference worker");
    let error = attempt
        .error
        .as_ref()
        .map(|error| format!("  {}", visible(error)))
        .unwrap_or_default();
    format!("attempt {} on {worker}  {outcome}{error}", attempt.attempt)
}

fn children(attempt: &AttemptReport, parent: Option<&str>, depth: usize, lines: &mut Vec<String>) {
    if depth > DEEPEST {
        return;
    }
    for span in attempt
        .spans
        .iter()
        .filter(|span| span.parent.as_deref() == parent)
    {
        lines.push(line(span, depth));
        children(attempt, Some(&span.span_id), depth + 1, lines);
    }
}

/// Spans whose parent is not among them: shown, not hidden.
fn orphans(attempt: &AttemptReport, lines: &mut Vec<String>) {
    let known = |id: &str| attempt.spans.iter().any(|span| span.span_id == id);
    for span in attempt
        .spans
        .iter()
        .filter(|span| span.parent.as_deref().is_some_and(|id| !known(id)))
    {
        lines.push(format!("{}  (its parent is missing)", line(span, 1)));
        children(attempt, Some(&span.span_id), 2, lines);
    }
}

fn line(span: &SpanReport, depth: usize) -> String {
    let took = match (time(&span.started_at), span.ended_at.as_deref().and_then(time)) {
        (Some(start), Some(end)) => output::seconds((end - start).as_seconds_f64()),
        _ => "running".to_owned(),
    };
    let tokens = if span.tokens > 0 {
        format!("  {} tokens", span.tokens)
    } else {
        String::new()
    };
    let error = span
        .error
        .as_ref()
        .map(|error| format!("  {}", visible(error)))
        .unwrap_or_default();
    let indent = "  ".repeat(depth);
    format!(
        "{indent}{:<5} {}  {}  {took}{tokens}{error}",
        span.status,
        span.kind,
        visible(&span.name)
    )
}

fn time(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_rfc3339(text).ok()
}
