//! Eleven jobs that timed out at least once, one of them in full, and what just happened.

use std::time::Duration;

use chrono::TimeDelta;
use millstream::domain::{JobState, Severity};
use millstream::untrusted::Untrusted;

use super::workers::name;
use super::{ago, id};
use crate::model::happening::{Happening, HappeningKind};
use crate::model::job::{AttemptLine, EventLine, FindingLine, JobFacts, Outcome, StepLine, StepState};
use crate::model::jobs::JobLine;

const MASTRA: &str = "https://github.com/mastra-ai/mastra/pull/";
const LLAMA: &str = "https://github.com/run-llama/LlamaIndexTS/pull/";
const AGENTS: &str = "https://github.com/openai/openai-agents-js/pull/";

/// A job in as few words as it can be told in.
struct Told {
    digits: &'static str,
    state: JobState,
    input: String,
    attempt: u32,
    worker: Option<&'static str>,
    /// When the last attempt ended, in seconds ago; nothing while it runs.
    ended: Option<f64>,
    run: f64,
    wait: f64,
    tokens: u64,
    cost: f64,
    verdict: Option<&'static str>,
    phase: Option<&'static str>,
}

/// The rows of the list, newest first.
pub fn rows() -> Vec<JobLine> {
    let mut rows: Vec<JobLine> = told().iter().map(line).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
    rows
}

// A table, a job a line.
#[rustfmt::skip]
fn told() -> Vec<Told> {
    let told = |digits, state, input, attempt, worker, ended, run, wait, tokens, cost| Told {
        digits,
        state,
        input,
        attempt,
        worker,
        ended,
        run,
        wait,
        tokens,
        cost,
        verdict: None,
        phase: None,
    };
    use JobState::{Dead, Done, Retrying, Running};
    let mut all = vec![
        told("c41f09", Dead, format!("{MASTRA}17688"), 3, Some("91bc"), Some(3.0), 31.0, 41.0, 9_210, 0.010),
        told("77ab3e", Dead, format!("{MASTRA}17671"), 3, Some("7f3a"), Some(95.0), 30.9, 38.0, 8_874, 0.009),
        told("1e90d2", Dead, format!("{LLAMA}2219"), 3, Some("02de"), Some(176.0), 31.2, 44.0, 11_020, 0.012),
        told("b2c7f4", Dead, format!("{AGENTS}1359"), 3, Some("91bc"), Some(287.0), 30.8, 29.0, 7_640, 0.008),
        told("90d4ee", Retrying, "git:mastra@HEAD~3..HEAD".into(), 1, None, Some(1.0), 30.8, 12.0, 4_118, 0.005),
        told("f3187a", Retrying, format!("{LLAMA}2240"), 2, None, Some(9.9), 30.9, 62.0, 6_002, 0.007),
        told("8f2c1a", Running, format!("{LLAMA}2234"), 2, Some("7f3a"), None, 22.1, 18.0, 33_331, 0.038),
        told("0ab96c", Running, "git:LlamaIndexTS@main~9..main".into(), 2, Some("91bc"), None, 3.4, 55.0, 10_377, 0.012),
        told("5d07be", Done, format!("{AGENTS}1368"), 2, Some("7f3a"), Some(23.6), 19.4, 16.2, 21_305, 0.025),
        told("a6e013", Done, format!("{MASTRA}17702"), 2, Some("91bc"), Some(31.0), 12.0, 21.0, 13_990, 0.016),
        told("44f8bd", Done, "fix\u{202e}gpj.patch \u{1b}[31m".into(), 2, Some("02de"), Some(48.0), 7.7, 33.0, 3_204, 0.004),
    ];
    all[6].phase = Some("judge");
    all[7].phase = Some("ux");
    all[8].verdict = Some("request-changes");
    all[9].verdict = Some("approve");
    all[10].verdict = Some("unknown");
    all
}

fn line(told: &Told) -> JobLine {
    let seconds = |seconds: f64| TimeDelta::milliseconds((seconds * 1000.0).round() as i64);
    let started_at = ago(told.ended.unwrap_or(0.0) + told.run);
    // Each earlier attempt took its 31 s and the wait behind it 8 s.
    let first_started_at = started_at - seconds(39.0) * (told.attempt as i32 - 1);
    let ended_at = told.ended.map(ago);
    let is_final = told.state.is_final();
    JobLine {
        id: id(told.digits),
        state: told.state,
        input: Untrusted::new(told.input.clone()),
        verdict: told.verdict.map(Untrusted::new),
        phase: told.phase.map(Untrusted::new),
        attempt: told.attempt,
        attempts_allowed: 3,
        worker: told.worker.map(name),
        created_at: first_started_at - seconds(told.wait),
        first_started_at: Some(first_started_at),
        started_at: Some(started_at),
        attempt_ended_at: ended_at,
        finished_at: ended_at.filter(|_| is_final),
        due_at: due(told),
        tokens: told.tokens,
        cost_usd: told.cost,
        class: Some("timeout".into()),
        error: Some("performance, turn 1: chat claude-haiku-4-5 gave no reply within 30 s".into()),
    }
}

/// When the two that retry are due.
fn due(told: &Told) -> Option<chrono::DateTime<chrono::Utc>> {
    match told.digits {
        "90d4ee" => Some(ago(-7.2)),
        "f3187a" => Some(ago(-4.1)),
        _ => None,
    }
}

/// The job 5d07be in full.
pub fn facts() -> JobFacts {
    let all = told();
    JobFacts {
        line: line(&all[8]),
        reason: Some(
            "The change logs the full request, headers included, when a tool call fails; the bearer token of \
             the caller would be written to disk. Remove the header or redact it before merging. The retry \
             loop is sound; two smaller notes below."
                .into(),
        ),
        findings: findings(),
        attempts: attempts(),
        events: events(),
    }
}

fn findings() -> Vec<FindingLine> {
    let finding = |severity, agent: &str, location: &str, note: &str| FindingLine {
        severity,
        agent: agent.into(),
        location: location.into(),
        note: note.into(),
    };
    vec![
        finding(
            Severity::Block,
            "security",
            "packages/agents-core/src/run.ts:412",
            "Authorization header reaches the debug log on failure",
        ),
        finding(
            Severity::Warn,
            "performance",
            "packages/agents-core/src/retry.ts:88",
            "back-off has no upper bound; 12 tries wait an hour",
        ),
        finding(
            Severity::Info,
            "performance",
            "packages/agents-core/src/run.ts:377",
            "JSON.stringify of the whole history on every turn",
        ),
        finding(
            Severity::Info,
            "ux",
            "examples/chat/app.tsx:51",
            "grey on grey text, contrast 3.1, needs 4.5",
        ),
    ]
}

fn attempts() -> Vec<AttemptLine> {
    let step = |agent: &str, state| StepLine {
        agent: agent.into(),
        state,
    };
    let took = Duration::from_millis;
    vec![
        AttemptLine {
            number: 2,
            worker: name("7f3a"),
            started_at: ago(43.0),
            ended_at: Some(ago(23.6)),
            outcome: Outcome::Done,
            class: None,
            error: None,
            tokens: 8_412,
            cost_usd: 0.010,
            steps: vec![
                step("security", StepState::Kept),
                step("performance", StepState::Done(took(17_100))),
                step("ux", StepState::Kept),
                step("judge", StepState::Done(took(1_900))),
            ],
        },
        AttemptLine {
            number: 1,
            worker: name("91bc"),
            started_at: ago(82.0),
            ended_at: Some(ago(51.0)),
            outcome: Outcome::Failed,
            class: Some("timeout".into()),
            error: Some("chat claude-haiku-4-5: no reply within 30 s".into()),
            tokens: 12_893,
            cost_usd: 0.015,
            steps: vec![
                step("security", StepState::Done(took(7_200))),
                step("performance", StepState::Failed(took(30_000))),
                step("ux", StepState::Done(took(5_500))),
                step("judge", StepState::NotReached),
            ],
        },
    ]
}

fn events() -> Vec<EventLine> {
    [
        (82.0, 1, "prepare"),
        (81.6, 1, "filter: 9 files (5 noise dropped)"),
        (81.5, 1, "review"),
        (76.0, 1, "ux: 1 finding"),
        (74.3, 1, "security: 1 finding"),
        (51.0, 1, "error: chat claude-haiku-4-5: no reply within 30 s"),
        (43.0, 2, "prepare"),
        (42.6, 2, "review"),
        (25.5, 2, "performance: 2 findings"),
        (25.5, 2, "judge"),
        (23.6, 2, "done"),
    ]
    .into_iter()
    .map(|(seconds, attempt, text)| EventLine {
        at: ago(seconds),
        attempt,
        text: text.into(),
    })
    .collect()
}

/// What just happened, newest first.
pub fn happenings() -> Vec<Happening> {
    use HappeningKind::{Dead, Done, Lost, Retrying};
    let told = |seconds, kind, digits: Option<&str>, subject: &str, what: &str| Happening {
        at: ago(seconds),
        kind,
        job: digits.map(id),
        attempt: 1,
        subject: subject.into(),
        what: what.into(),
        note: None,
        worker: None,
        took: None,
        cost_usd: None,
    };
    let done = |seconds, digits, subject, verdict, worker, millis, cost| Happening {
        worker: Some(name(worker)),
        took: Some(Duration::from_millis(millis)),
        cost_usd: Some(cost),
        ..told(seconds, Done, Some(digits), subject, verdict)
    };
    let noted = |happening: Happening, note: &str| Happening {
        note: Some(note.into()),
        ..happening
    };
    vec![
        done(
            0.9,
            "7e0012",
            "LlamaIndexTS#2231",
            "request-changes",
            "7f3a",
            9_800,
            0.021,
        ),
        noted(
            told(
                1.0,
                Retrying,
                Some("90d4ee"),
                "mastra HEAD~3..HEAD",
                "attempt 1 failed",
            ),
            "timeout, again in 7.2 s",
        ),
        done(
            1.8,
            "7e0013",
            "openai-agents-js#1370",
            "approve",
            "91bc",
            6_100,
            0.009,
        ),
        noted(
            told(3.0, Dead, Some("c41f09"), "mastra#17688", "dead after 3 of 3"),
            "timeout in performance",
        ),
        done(
            4.0,
            "7e0014",
            "openai-agents-js#1366",
            "approve",
            "91bc",
            11_400,
            0.017,
        ),
        noted(
            told(11.0, Lost, None, "w-02de", "went silent"),
            "held 4 jobs, pid 48213",
        ),
    ]
}
