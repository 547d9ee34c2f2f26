//! One review: how it ended and why, what was found, and what happened step by step.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use millstream::domain::{Finding, JobState, PrUrl, Severity};
use millstream::store::reviews::{AttemptRow, NoteRow, ReviewRow, SpanRecord};
use millstream::untrusted::visible;

use super::waterfall::waterfall;
use super::words::{ago, count, duration, input, look, money, prose, state_pill, verdict_pill};
use crate::access::{Client, Scope};
use crate::follow::Detail;

/// Everything that is shown of a review.
#[derive(Debug)]
pub struct Run {
    /// The review.
    pub review: ReviewRow,
    /// What the agents wrote.
    pub notes: Vec<NoteRow>,
    /// The findings with their parts.
    pub findings: Vec<Finding>,
    /// Its attempts.
    pub attempts: Vec<AttemptRow>,
    /// What happened.
    pub spans: Vec<SpanRecord>,
    /// The clock.
    pub now: DateTime<Utc>,
}

impl Run {
    fn state(&self) -> Option<JobState> {
        self.review.state.as_deref().and_then(|word| word.parse().ok())
    }

    /// Whether nothing moves it on but an operator.
    fn is_final(&self) -> bool {
        let by_reference = matches!(self.review.status.as_str(), "done" | "error");
        self.state().map_or(by_reference, JobState::is_final)
    }

    fn tokens(&self) -> i64 {
        i64::from(self.review.input_tokens) + i64::from(self.review.output_tokens)
    }

    /// Over all attempts; nothing before the first.
    fn run_s(&self) -> Option<f64> {
        let took = |row: &AttemptRow| (row.ended_at.unwrap_or(self.now) - row.started_at).num_milliseconds();
        let all: i64 = self.attempts.iter().map(took).sum();
        (!self.attempts.is_empty()).then_some(all as f64 / 1e3)
    }
}

/// The page. `told` is what a move came to.
pub fn page(client: &Client, run: &Run, told: Option<&str>) -> Markup {
    let title = input(&run.review.pr_url);
    let main = html! {
        nav.crumbs aria-label="Breadcrumb" { a href="/" { "Reviews" } span aria-hidden="true" { " › " } span { (title) } }
        @if let Some(text) = told { p.alert role="alert" { (text) } }
        (live(client, run))
    };
    super::whole(Some(client), &title, &main)
}

/// A longer title is written smaller: it has no bound, and the review is below it.
const LONG_TITLE: usize = 90;

/// The part that is fetched anew.
pub fn live(client: &Client, run: &Run) -> Markup {
    let look = look(run.review.state.as_deref(), &run.review.status);
    let verdict = run.review.verdict.as_deref();
    let title = input(&run.review.pr_url);
    let said = match verdict {
        Some(verdict) => format!("{}: {}", look.word, visible(verdict)),
        None => look.word.to_owned(),
    };
    html! {
        div #live data-live=(if run.is_final() { "ended" } else { "run" }) data-said=(said)
            data-page={ "/reviews/" (run.review.id) }
            data-stream={ "/api/reviews/" (run.review.id) "/stream" } {
            div.bar {
                div.title {
                    h1.long[title.chars().count() > LONG_TITLE] { (title) }
                    div.pills { (state_pill(look)) @if let Some(verdict) = verdict { (verdict_pill(verdict)) } }
                }
                @if client.may(Scope::Operate) { (moves(run)) }
            }
            (facts(run))
            (reason(run, client.detail()))
            (findings(run, client.detail()))
            (steps(run, client.detail()))
        }
    }
}

/// Cancel while it has not ended, retry where there is something to retry.
fn moves(run: &Run) -> Markup {
    let id = run.review.id;
    let retries = matches!(
        run.state(),
        Some(JobState::Dead | JobState::Retrying | JobState::Scheduled)
    );
    html! {
        div.moves {
            @if retries {
                form method="post" action={ "/reviews/" (id) "/retry" } { button #retry { "Run now" } }
            }
            @if run.state().is_some() && !run.is_final() {
                form method="post" action={ "/reviews/" (id) "/cancel" } { button #cancel .danger { "Cancel" } }
            }
        }
    }
}

fn facts(run: &Run) -> Markup {
    let review = &run.review;
    let cost: f64 = run.attempts.iter().map(|attempt| attempt.cost_usd).sum();
    html! {
        dl.facts {
            div { dt { "Submitted" } dd { (ago(review.created_at, run.now)) } }
            div { dt { "Run time" } dd { @match run.run_s() { Some(seconds) => (duration(seconds)), None => "not started" } } }
            div { dt { "Tokens" } dd { (count(run.tokens())) } }
            @if cost > 0.0 { div { dt { "Cost, estimated" } dd { (money(cost)) } } }
            @if let Some(attempt) = review.attempt { div { dt { "Attempts" } dd { (attempt) } } }
            @if let Ok(pr) = review.pr_url.parse::<PrUrl>() {
                div { dt { "Pull request" } dd { a href=(pr) rel="noreferrer" { "on GitHub" } } }
            }
            div.wide { dt { "Id" } dd { code { (review.id) } } }
        }
    }
}

fn reason(run: &Run, detail: Detail) -> Markup {
    let title = if run.review.verdict.is_some() {
        "Reason"
    } else {
        "What went wrong"
    };
    html! {
        @if detail == Detail::Outline {
            p.hint { "Reasons, findings and what the agents read are shown to who has the scope " code { "read" } "." }
        } @else if let Some(reason) = run.review.reason.as_deref().filter(|text| !text.is_empty()) {
            section.reason aria-labelledby="reason-title" {
                h2 #reason-title { (title) }
                (prose(reason))
            }
        }
    }
}

fn findings(run: &Run, detail: Detail) -> Markup {
    let ended = run.review.status == "done";
    html! {
        @if detail == Detail::Full && (ended || !run.notes.is_empty()) {
            section aria-labelledby="findings-title" {
                h2 #findings-title { "Findings " span.count { (run.findings.len()) } }
                @if run.findings.is_empty() {
                    p.hint { "Nothing that stands by itself was found." }
                } @else {
                    ul.findings { @for one in &run.findings { (finding(one)) } }
                }
                @for note in &run.notes {
                    details.note id={ "n-" (note.id) } {
                        summary { "What " strong { (visible(&note.agent)) } " wrote" }
                        (prose(&note.note))
                    }
                }
            }
        }
    }
}

fn finding(finding: &Finding) -> Markup {
    let (glyph, class) = match finding.severity {
        Severity::Block => ("▇", "dead"),
        Severity::Warn => ("▄", "retrying"),
        Severity::Info => ("▂", "waiting"),
    };
    html! {
        li {
            p.head {
                span class={ "pill " (class) } { span.glyph aria-hidden="true" { (glyph) } (finding.severity.word()) }
                " " code { (visible(&finding.location())) }
                " " span.hint { (visible(&finding.agent)) }
            }
            (prose(&finding.note))
        }
    }
}

/// The spans, attempt by attempt, the latest first. Those of a reference worker have no number.
fn steps(run: &Run, detail: Detail) -> Markup {
    let mut by_attempt: BTreeMap<i32, Vec<&SpanRecord>> = BTreeMap::new();
    for span in &run.spans {
        by_attempt
            .entry(span.attempt.unwrap_or(0))
            .or_default()
            .push(span);
    }
    for attempt in &run.attempts {
        by_attempt.entry(attempt.attempt).or_default();
    }
    html! {
        section aria-labelledby="steps-title" {
            h2 #steps-title { "What happened" }
            @if by_attempt.is_empty() {
                p.hint { "Nothing yet: it waits for a worker." }
            }
            @for (number, spans) in by_attempt.iter().rev() {
                @let row = run.attempts.iter().find(|row| row.attempt == *number);
                section.attempt aria-label={ "Attempt " (number) } {
                    h3 {
                        @if *number > 0 { "Attempt " (number) } @else { "A reference worker’s" }
                        @if let Some(row) = row { (outcome(row, run.now)) }
                    }
                    @if let Some(error) = row.and_then(|row| row.error.as_deref()).filter(|_| detail == Detail::Full) {
                        p.alert { (visible(error)) }
                    }
                    (waterfall(spans, run.now, detail))
                }
            }
        }
    }
}

fn outcome(row: &AttemptRow, now: DateTime<Utc>) -> Markup {
    let took = (row.ended_at.unwrap_or(now) - row.started_at).num_milliseconds() as f64 / 1e3;
    let word = row.outcome.as_deref().unwrap_or("running").replace('_', " ");
    html! { span.hint { " " (visible(&word)) " · " (duration(took)) " · " (visible(&short(&row.worker))) } }
}

/// `w-7f3a` of a worker's whole id; a foreign consumer's name as it is.
fn short(worker: &str) -> String {
    match worker.strip_prefix("w-") {
        Some(bits) if bits.len() == 16 && bits.is_ascii() => format!("w-{}", &bits[..4]),
        _ => worker.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_000_000_000 + ms).expect("a time")
    }

    fn run(state: &str, status: &str) -> Run {
        const HOSTILE: &str = "\"><img src=x onerror=alert(1)>";
        Run {
            review: ReviewRow {
                id: uuid::Uuid::nil(),
                pr_url: HOSTILE.to_owned(),
                status: status.to_owned(),
                verdict: Some(HOSTILE.to_owned()),
                reason: Some(HOSTILE.to_owned()),
                source: None,
                workflow: None,
                input_tokens: 1_000,
                output_tokens: 234,
                created_at: at(0),
                updated_at: at(0),
                state: Some(state.to_owned()),
                attempt: Some(2),
            },
            notes: vec![NoteRow {
                id: 1,
                review_id: uuid::Uuid::nil(),
                agent: HOSTILE.to_owned(),
                note: HOSTILE.to_owned(),
                created_at: at(0),
            }],
            findings: vec![Finding {
                agent: HOSTILE.to_owned(),
                severity: Severity::Block,
                file: Some(HOSTILE.to_owned()),
                line: Some(7),
                note: HOSTILE.to_owned(),
            }],
            attempts: vec![AttemptRow {
                attempt: 1,
                worker: "w-7f3a000000000000".to_owned(),
                started_at: at(0),
                ended_at: Some(at(2_500)),
                outcome: Some("handed_back".to_owned()),
                error: Some(HOSTILE.to_owned()),
                tokens: 0,
                cost_usd: 0.5,
            }],
            spans: Vec::new(),
            now: at(10_000),
        }
    }

    #[test]
    fn whatever_others_wrote_is_text() {
        let client = Client::everything();
        let html = page(&client, &run("done", "done"), None).into_string();
        assert!(
            !html.contains("<img") && html.contains("&lt;img src=x onerror=alert(1)&gt;"),
            "{html}"
        );
        assert!(!html.contains(" style=") && !html.contains(" onclick"), "{html}");
        assert!(
            html.contains("1,234") && html.contains("2.5 s") && html.contains("w-7f3a"),
            "{html}"
        );
    }

    #[test]
    fn who_may_only_look_reads_nothing_that_was_written() {
        let html = live(&Client::looks_only(), &run("done", "done")).into_string();
        assert!(
            !html.contains("What <strong>") && !html.contains("Findings") && !html.contains("<form"),
            "{html}"
        );
    }

    #[test]
    fn a_move_is_offered_where_it_can_be_made() {
        let client = Client::everything();
        for (state, status, retry, cancel) in [
            ("dead", "error", true, false),
            ("retrying", "queued", true, true),
            ("running", "running", false, true),
            ("done", "done", false, false),
        ] {
            let html = live(&client, &run(state, status)).into_string();
            assert_eq!(
                (html.contains("/retry"), html.contains("/cancel")),
                (retry, cancel),
                "{state}"
            );
        }
    }
}
