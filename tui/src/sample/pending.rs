//! What is pending in the story: four entries of the worker that was killed, two that are parked, eight that run.

use std::time::Duration;

use millstream::domain::{EntryId, Lane};
use millstream::untrusted::Untrusted;

use super::id;
use super::workers::name;
use crate::model::pending::{Hold, Payload, PendingLine, PendingPage, Place};

const MASTRA: &str = "https://github.com/mastra-ai/mastra/pull/";
const LLAMA: &str = "https://github.com/run-llama/LlamaIndexTS/pull/";
const AGENTS: &str = "https://github.com/openai/openai-agents-js/pull/";
/// How long a silent worker keeps its jobs.
const LEASE: f64 = 15.0;

/// The whole list.
// A table, an entry a line.
#[rustfmt::skip]
pub fn page() -> PendingPage {
    use Hold::{Lost, Retrying, Running};
    let git = |text: &str| format!("git:{text}");
    let mut rows = vec![
        line(Lost, (1_795_269_781_604, 0), "2d6cc1", format!("{MASTRA}17711"), Some("02de"), 11.2, 1, 1),
        line(Lost, (1_795_269_781_604, 3), "e07f52", format!("{AGENTS}1374"), Some("02de"), 11.2, 1, 1),
        line(Lost, (1_795_269_782_011, 1), "b91a40", format!("{LLAMA}2238"), Some("02de"), 10.9, 2, 2),
        line(Lost, (1_795_269_770_377, 0), "61c0d8", git("mastra@HEAD~1..HEAD"), Some("02de"), 10.9, 1, 1),
        line(Retrying, (1_795_269_760_118, 0), "f3187a", format!("{LLAMA}2240"), None, 9.9, 2, 2),
        line(Retrying, (1_795_269_799_252, 0), "90d4ee", git("mastra@HEAD~3..HEAD"), None, 1.0, 1, 1),
        line(Running, (1_795_269_751_930, 0), "8f2c1a", format!("{LLAMA}2234"), Some("7f3a"), 0.4, 2, 2),
        line(Running, (1_795_269_784_406, 0), "0ab96c", git("LlamaIndexTS@main~9..main"), Some("91bc"), 0.2, 2, 2),
        line(Running, (1_795_269_786_118, 2), "3c55e0", format!("{MASTRA}17706"), Some("7f3a"), 0.4, 1, 1),
        line(Running, (1_795_269_786_118, 5), "d10b7f", format!("{AGENTS}1371"), Some("7f3a"), 0.4, 1, 1),
        line(Running, (1_795_269_787_340, 0), "5b0e13", format!("{LLAMA}2236"), Some("7f3a"), 0.4, 1, 1),
        line(Running, (1_795_269_787_340, 1), "a90c44", format!("{MASTRA}17709"), Some("91bc"), 0.2, 1, 1),
        line(Running, (1_795_269_788_007, 0), "c77d02", format!("{AGENTS}1373"), Some("91bc"), 0.2, 1, 1),
        line(Running, (1_795_269_788_951, 0), "1f6ea8", "fix\u{202e}gpj.patch \u{1b}[31m".into(), Some("91bc"), 0.2, 1, 1),
    ];
    rows[3].payload = Payload::Gone;
    (rows[3].input, rows[3].job, rows[3].attempt) = (None, None, None);
    rows[4].due_in = Some(Duration::from_millis(4_100));
    rows[5].due_in = Some(Duration::from_millis(7_200));
    rows.sort_by_key(PendingLine::key);
    PendingPage {
        total: rows.len() as u64,
        rows,
        before: false,
        after: false,
        place: Place::First,
    }
}

// An entry in as few words as it can be told in: the table above stays a table.
#[expect(clippy::too_many_arguments, reason = "a row of a table")]
fn line(
    hold: Hold,
    (ms, seq): (u64, u64),
    digits: &str,
    input: String,
    worker: Option<&str>,
    idle: f64,
    reads: u64,
    attempt: u32,
) -> PendingLine {
    let seconds = |seconds: f64| Duration::from_millis((seconds * 1000.0).round() as u64);
    let job = id(digits);
    let lane = if input.starts_with("https") {
        Lane::Shared
    } else {
        Lane::Own
    };
    let fields: Vec<(Untrusted, Untrusted)> = vec![
        ("reviewId".into(), job.to_string().into()),
        ("prUrl".into(), input.clone().into()),
        ("v".into(), "1".into()),
    ];
    let bytes = fields
        .iter()
        .map(|(name, value)| (name.raw().len() + value.raw().len()) as u64)
        .sum();
    PendingLine {
        entry: EntryId { ms, seq },
        lane,
        hold,
        job: Some(job),
        input: Some(input.into()),
        worker: worker.map(name),
        idle: seconds(idle),
        silence: worker.map(|_| seconds(idle)),
        reads,
        attempt: Some(attempt),
        attempts_allowed: 3,
        lease: worker.map(|_| seconds(LEASE - idle)),
        due_in: None,
        payload: Payload::There { fields, bytes },
    }
}
