//! The trace of 8f2c1a: its first try timed out, its second one runs and is at the judge.

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::{SpanId, SpanKind, SpanStatus};
use uuid::Uuid;

use super::jobs::rows;
use super::workers::name;
use super::{ago, id};
use crate::model::job::{AttemptLine, Outcome};
use crate::model::trace::{SpanLine, TraceFacts};

/// What the judge was given.
pub const JUDGE_INPUT: &str = r#"{"findings":[{"agent":"security","severity":"info","location":"pnpm-lock.yaml","note":"2 new packages, known"},{"agent":"performance","severity":"block","location":"VectorStoreIndex.ts:233","note":"embeds one node per call inside a loop; batch of 64 would be 1/40 of the calls"},{"agent":"ux","severity":"info","location":"examples/rag/page.tsx:18","note":"no label"}]}"#;
/// What it has answered so far.
pub const JUDGE_OUTPUT: &str = r#"{"verdict":"request-changes","reason":"Each node is embedded alone, so indexing 10,000 nodes makes 10,000 calls wh"#;

/// The span of a path such as `judge/llm/0`; the number 1 in front is the first try.
pub fn span(path: &str) -> SpanId {
    // FNV-1a: any fixed hash would do.
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SpanId(Uuid::from_u64_pair(hash, 0x8000_0000_0000_0001))
}

/// The trace.
pub fn facts() -> TraceFacts {
    let line = rows().into_iter().find(|line| line.id == id("8f2c1a"));
    TraceFacts {
        line: line.unwrap_or_else(|| rows().remove(0)),
        attempts: vec![first(), second()],
        spans: spans(),
    }
}

/// The trace as a worker whose clock is 1.7 s behind wrote its first try, a part of which got lost.
pub fn skewed() -> TraceFacts {
    let mut facts = facts();
    let behind = TimeDelta::milliseconds(1_800);
    for span in facts.spans.iter_mut().filter(|span| span.attempt == 1) {
        span.started_at -= behind;
        span.ended_at = span.ended_at.map(|at| at - behind);
    }
    // A step that was measured elsewhere, and one whose parent never arrived.
    let call = |path| move |known: &&mut SpanLine| known.id == span(path);
    if let Some(early) = facts.spans.iter_mut().find(call("1/performance/llm/0")) {
        early.started_at -= TimeDelta::milliseconds(700);
    }
    if let Some(orphan) = facts.spans.iter_mut().find(call("1/security/llm/0")) {
        orphan.parent = Some(span("1/gone"));
    }
    facts
}

fn first() -> AttemptLine {
    AttemptLine {
        number: 1,
        worker: name("91bc"),
        started_at: ago(61.1),
        ended_at: Some(ago(30.1)),
        outcome: Outcome::Failed,
        class: Some("timeout".into()),
        error: Some("performance, turn 1: chat claude-haiku-4-5 gave no reply within 30 s".into()),
        tokens: 9_713,
        cost_usd: 0.011,
        steps: Vec::new(),
    }
}

fn second() -> AttemptLine {
    AttemptLine {
        number: 2,
        worker: name("7f3a"),
        started_at: ago(22.1),
        ended_at: None,
        outcome: Outcome::Running,
        class: None,
        error: None,
        tokens: 23_618,
        cost_usd: 0.027,
        steps: Vec::new(),
    }
}

// A table, a span a line.
#[rustfmt::skip]
fn spans() -> Vec<SpanLine> {
    use SpanKind::{Agent, Llm, Tool};
    let mut all = vec![
        one(1, "1/security", None, Agent, "security", 61.0, Some(53.8), None),
        one(1, "1/security/llm/0", Some("1/security"), Llm, "llm", 61.0, Some(53.8), Some((3_120, 101, 0.004))),
        one(1, "1/performance", None, Agent, "performance", 61.0, Some(30.1), None),
        one(1, "1/performance/llm/0", Some("1/performance"), Llm, "llm", 61.0, Some(60.2), Some((6_292, 200, 0.007))),
        one(1, "1/performance/llm/1", Some("1/performance"), Llm, "llm", 60.1, Some(30.1), None),
        one(2, "security", None, Agent, "security", 21.7, Some(21.7), Some((0, 0, 0.0))),
        one(2, "performance", None, Agent, "performance", 21.7, Some(8.0), Some((13_724, 600, 0.017))),
        one(2, "performance/llm/0", Some("performance"), Llm, "llm", 21.7, Some(17.8), Some((6_120, 212, 0.007))),
        one(2, "performance/grep", Some("performance"), Tool, "grep", 17.8, Some(17.2), None),
        one(2, "performance/read_hunk", Some("performance"), Tool, "read_hunk", 17.2, Some(16.7), None),
        one(2, "performance/llm/1", Some("performance"), Llm, "llm", 16.7, Some(8.0), Some((7_604, 388, 0.010))),
        one(2, "ux", None, Agent, "ux", 21.7, Some(13.6), Some((6_480, 240, 0.008))),
        one(2, "ux/llm/0", Some("ux"), Llm, "llm", 21.7, Some(17.0), Some((3_100, 120, 0.004))),
        one(2, "ux/contrast_ratio", Some("ux/llm/0"), Tool, "contrast_ratio", 17.0, Some(16.9), None),
        one(2, "ux/llm/1", Some("ux"), Llm, "llm", 16.9, Some(13.6), Some((3_380, 120, 0.004))),
        one(2, "judge", None, Agent, "judge", 7.9, None, None),
        one(2, "judge/llm/0", Some("judge"), Llm, "llm", 7.8, None, None),
    ];
    for (path, error) in [
        ("1/performance", "no reply within 30 s"),
        ("1/performance/llm/1", "no reply within 30 s"),
        ("performance/read_hunk", "429 Too Many Requests"),
    ] {
        if let Some(failed) = all.iter_mut().find(|known| known.id == span(path)) {
            failed.status = SpanStatus::Error;
            failed.error = Some(error.into());
        }
    }
    if let Some(kept) = all.iter_mut().find(|known| known.id == span("security")) {
        kept.kept = true;
    }
    all
}

#[expect(clippy::too_many_arguments, reason = "a table of spans, one a line")]
fn one(
    attempt: u32,
    path: &str,
    parent: Option<&str>,
    kind: SpanKind,
    called: &str,
    from: f64,
    to: Option<f64>,
    used: Option<(u64, u64, f64)>,
) -> SpanLine {
    let ended_at: Option<DateTime<Utc>> = to.map(ago);
    SpanLine {
        id: span(path),
        parent: parent.map(span),
        attempt,
        kind,
        name: called.into(),
        status: if to.is_some() {
            SpanStatus::Ok
        } else {
            SpanStatus::Running
        },
        error: None,
        started_at: ago(from),
        ended_at,
        input_tokens: used.map(|(input, _, _)| input),
        output_tokens: used.map(|(_, output, _)| output),
        cost_usd: used.map(|(_, _, cost)| cost),
        model: (kind == SpanKind::Llm).then(|| "claude-haiku-4-5".into()),
        kept: false,
    }
}
