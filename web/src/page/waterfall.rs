//! The spans of a run as a waterfall: a line for each, in its place in time, under the span that it is part of.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use millstream::store::reviews::SpanRecord;
use millstream::untrusted::visible;
use serde_json::Value;
use uuid::Uuid;

use super::words::{count, duration};
use crate::follow::Detail;

/// Lines of one waterfall: a page with more is of use to nobody, and the API has all.
const MOST_LINES: usize = 400;
/// Levels that are set in; deeper ones stand at the last.
const MOST_LEVELS: usize = 4;
/// Of an input or an output so many characters are shown.
const MOST_SHOWN: usize = 20_000;
/// The width of the picture, in units of its own.
const WIDTH: f64 = 1_000.0;
/// A span that took no time is still to be seen.
const NARROWEST: f64 = 4.0;

/// The stretch of time that the waterfall shows.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: DateTime<Utc>,
    ms: f64,
}

impl Stretch {
    fn of(spans: &[&SpanRecord], now: DateTime<Utc>) -> Option<Self> {
        let start = spans.iter().map(|span| span.started_at).min()?;
        let end = spans.iter().map(|span| span.ended_at.unwrap_or(now)).max()?;
        let ms = (end - start).num_milliseconds().max(1) as f64;
        Some(Self { start, ms })
    }

    /// Where a span lies, and how wide it is.
    fn place(self, span: &SpanRecord, now: DateTime<Utc>) -> (f64, f64) {
        let at = |time: DateTime<Utc>| (time - self.start).num_milliseconds() as f64 / self.ms * WIDTH;
        let from = at(span.started_at).clamp(0.0, WIDTH - NARROWEST);
        let to = at(span.ended_at.unwrap_or(now)).clamp(from, WIDTH);
        (from, (to - from).max(NARROWEST))
    }
}

/// The waterfall of one attempt; nothing without spans.
pub fn waterfall(spans: &[&SpanRecord], now: DateTime<Utc>, detail: Detail) -> Markup {
    let Some(stretch) = Stretch::of(spans, now) else {
        return html! {};
    };
    let lines = in_order(spans);
    let left_out = lines.len().saturating_sub(MOST_LINES);
    html! {
        ol.waterfall {
            @for (level, span) in lines.into_iter().take(MOST_LINES) {
                li { (line(span, level, stretch, now, detail)) }
            }
        }
        p.axis aria-hidden="true" { span { "0 s" } span { (duration(stretch.ms / 1e3)) } }
        @if left_out > 0 { p.hint { (left_out) " more spans are not shown; the API has them." } }
    }
}

/// The spans with their levels: each right behind the one that it is part of.
fn in_order<'a>(spans: &[&'a SpanRecord]) -> Vec<(usize, &'a SpanRecord)> {
    let mut children: HashMap<Option<Uuid>, Vec<&SpanRecord>> = HashMap::new();
    let known: HashMap<Uuid, ()> = spans.iter().map(|span| (span.span_id, ())).collect();
    for span in spans {
        // A span whose parent was never written stands by itself.
        let parent = span.parent_span_id.filter(|id| known.contains_key(id));
        children.entry(parent).or_default().push(span);
    }
    let mut lines = Vec::with_capacity(spans.len());
    let mut open: Vec<(usize, &SpanRecord)> = Vec::new();
    let enter = |level: usize, of: &mut Vec<&'a SpanRecord>, open: &mut Vec<(usize, &'a SpanRecord)>| {
        of.sort_by_key(|span| std::cmp::Reverse((span.started_at, span.span_id)));
        open.extend(of.drain(..).map(|span| (level, span)));
    };
    enter(0, &mut children.remove(&None).unwrap_or_default(), &mut open);
    while let Some((level, span)) = open.pop() {
        lines.push((level, span));
        // Taken out, so that spans that are part of each other end nowhere and cost nothing.
        if let Some(mut of) = children.remove(&Some(span.span_id)) {
            enter(level + 1, &mut of, &mut open);
        }
    }
    lines
}

fn line(span: &SpanRecord, level: usize, stretch: Stretch, now: DateTime<Utc>, detail: Detail) -> Markup {
    let took = (span.ended_at.unwrap_or(now) - span.started_at).num_milliseconds() as f64 / 1e3;
    let class = match (span.status.as_str(), span.kind.as_str()) {
        ("running", _) => "busy",
        ("error", _) => "dead",
        (_, "agent") => "agent",
        (_, "tool") => "tool",
        _ => "llm",
    };
    let (x, width) = stretch.place(span, now);
    html! {
        details id={ "s-" (span.span_id) } {
            summary {
                span class={ "name level-" (level.min(MOST_LEVELS)) } {
                    @if span.kind != span.name { span.kind { (visible(&span.kind)) } " " }
                    (visible(&span.name))
                    @if span.status == "error" { span.word.dead { " failed" } }
                    @if span.ended_at.is_none() { span.word.busy { " running" } }
                }
                svg.track viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                    rect class={ "bar " (class) } x=(format!("{x:.1}")) y="1" width=(format!("{width:.1}")) height="10" rx="2" {}
                }
                span.took { (duration(took)) @if span.ended_at.is_none() { span aria-hidden="true" { " »" } } }
            }
            (inside(span, detail))
        }
    }
}

/// What is behind a span's line.
fn inside(span: &SpanRecord, detail: Detail) -> Markup {
    html! {
        div.inside {
            @if let Some(tokens) = span.tokens.filter(|tokens| *tokens > 0) { p { (count(tokens)) " tokens" } }
            @if detail == Detail::Outline {
                p.hint { "What went in and came out is shown to who has the scope read." }
            } @else {
                @if let Some(error) = &span.error { p.alert { (visible(error)) } }
                @for (title, value) in [("In", &span.input), ("Out", &span.output)] {
                    @if let Some(value) = value { h4 { (title) } pre tabindex="0" { (shown(value)) } }
                }
            }
        }
    }
}

/// A value as a person reads it: set out in lines, and no character in it that hides another. A reference worker may
/// have stored JSON as a text.
fn shown(value: &Value) -> String {
    let inner = value
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let text = match inner.as_ref().unwrap_or(value) {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value)
            .unwrap_or_default()
            .replace("\\n", "\n"),
    };
    let mut lines: String = text
        .chars()
        .take(MOST_SHOWN)
        .collect::<String>()
        .lines()
        .map(|line| visible(line) + "\n")
        .collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        lines.push('…');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u128, parent: Option<u128>, from_ms: i64, to_ms: Option<i64>) -> SpanRecord {
        let at = |ms| DateTime::from_timestamp_millis(1_795_000_000_000 + ms).expect("a time");
        SpanRecord {
            span_id: Uuid::from_u128(id),
            run_id: Uuid::nil(),
            parent_span_id: parent.map(Uuid::from_u128),
            name: "<script>".to_owned(),
            kind: "llm".to_owned(),
            status: "ok".to_owned(),
            input: Some(serde_json::json!({ "diff": "</pre><script>alert(1)</script>" })),
            output: None,
            error: None,
            started_at: at(from_ms),
            ended_at: to_ms.map(at),
            attempt: Some(1),
            tokens: Some(7),
            cost_usd: None,
        }
    }

    #[test]
    fn spans_stand_under_their_parents_and_a_ring_of_them_ends() {
        let all = [
            span(1, None, 0, Some(100)),
            span(2, None, 5, Some(10)),
            span(3, Some(1), 20, Some(30)),
            span(4, Some(99), 50, None),
            span(5, Some(6), 0, None),
            span(6, Some(5), 0, None),
        ];
        let lines = in_order(&all.iter().collect::<Vec<_>>());
        let lines: Vec<_> = lines
            .iter()
            .map(|(level, span)| (*level, span.span_id.as_u128()))
            .collect();
        assert_eq!(lines, [(0, 1), (1, 3), (0, 2), (0, 4)]);
    }

    #[test]
    fn a_span_lies_where_it_lay_in_time_and_a_running_one_reaches_the_edge() {
        let all = [span(1, None, 0, Some(500)), span(2, None, 500, None)];
        let now = all[0].started_at + chrono::TimeDelta::milliseconds(1_000);
        let stretch = Stretch::of(&all.iter().collect::<Vec<_>>(), now).expect("spans");
        assert_eq!(stretch.place(&all[0], now), (0.0, 500.0));
        assert_eq!(stretch.place(&all[1], now), (500.0, 500.0));
        let later = now + chrono::TimeDelta::milliseconds(1_000);
        let stretch = Stretch::of(&all.iter().collect::<Vec<_>>(), later).expect("spans");
        assert_eq!(stretch.place(&all[1], later), (250.0, 750.0));
    }

    #[test]
    fn what_agents_read_and_wrote_is_text_and_only_for_who_may_read() {
        let all = [span(1, None, 0, Some(500))];
        let spans: Vec<_> = all.iter().collect();
        let html = waterfall(&spans, all[0].started_at, Detail::Full).into_string();
        assert!(!html.contains("<script") && html.contains("&lt;script"), "{html}");
        let html = waterfall(&spans, all[0].started_at, Detail::Outline).into_string();
        assert!(
            !html.contains("alert(1)") && html.contains("scope read"),
            "{html}"
        );
    }
}
