//! Two live workers, and one that was killed 11 s ago.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{ago, id, now};
use crate::model::workers::{RUN_TIME_BUCKETS, RunningJob, Stretch, WorkerLine, WorkerName, WorkerState};

/// The worker whose short name ends in these four digits.
pub fn name(digits: &str) -> WorkerName {
    WorkerName::new(format!("w-{digits}000000000001"))
}

/// The story's three workers.
pub fn rows() -> Vec<WorkerLine> {
    vec![first(), second(), lost()]
}

/// A worker that has nothing to do.
pub fn idle() -> WorkerLine {
    WorkerLine {
        busy: 0,
        jobs: Vec::new(),
        state: WorkerState::Idle,
        done: 0,
        failed: 0,
        per_minute: 0.0,
        p50: None,
        p95: None,
        run_times: [0; RUN_TIME_BUCKETS],
        stretches: Vec::new(),
        ..first()
    }
}

fn first() -> WorkerLine {
    WorkerLine {
        name: name("7f3a"),
        pid: Some(48_110),
        host: Some("render-7d9".into()),
        version: Some("0.1.0".into()),
        started_at: Some(ago(553.9)),
        state: WorkerState::Busy,
        slots: 4,
        busy: 4,
        jobs: vec![
            running(
                "8f2c1a",
                "https://github.com/run-llama/LlamaIndexTS/pull/2234",
                2,
                "judge",
                22.1,
            ),
            running(
                "3c55e0",
                "https://github.com/mastra-ai/mastra/pull/17706",
                1,
                "performance",
                8.7,
            ),
            running(
                "d10b7f",
                "https://github.com/openai/openai-agents-js/pull/1371",
                1,
                "security",
                5.2,
            ),
            running(
                "6e2f98",
                "https://github.com/mastra-ai/mastra/pull/17710",
                1,
                "security",
                1.1,
            ),
        ],
        beat_at: ago(0.4),
        moved_by: None,
        ended: None,
        is_ours: true,
        done: 211,
        failed: 9,
        per_minute: 24.8,
        p50: Some(Duration::from_millis(9_400)),
        p95: Some(Duration::from_millis(20_800)),
        run_times: [2, 3, 8, 14, 22, 28, 33, 31, 24, 18, 11, 7, 4, 2, 1, 0, 1, 1],
        stretches: stretches(&[44.0], 0.0),
    }
}

fn second() -> WorkerLine {
    WorkerLine {
        name: name("91bc"),
        pid: Some(48_127),
        beat_at: ago(0.2),
        jobs: vec![
            running(
                "5a01de",
                "https://github.com/mastra-ai/mastra/pull/17704",
                1,
                "performance",
                6.0,
            ),
            running("0ab96c", "git:LlamaIndexTS@main~9..main", 2, "ux", 3.4),
            running(
                "97c3d0",
                "https://github.com/openai/openai-agents-js/pull/1373",
                1,
                "security",
                2.8,
            ),
            running(
                "4be110",
                "https://github.com/mastra-ai/mastra/pull/17713",
                1,
                "security",
                0.6,
            ),
        ],
        done: 204,
        failed: 14,
        per_minute: 24.1,
        p50: Some(Duration::from_millis(9_900)),
        p95: Some(Duration::from_millis(22_600)),
        run_times: [1, 3, 7, 13, 20, 26, 30, 32, 25, 19, 12, 8, 5, 2, 1, 1, 2, 1],
        stretches: stretches(&[21.0], 0.0),
        ..first()
    }
}

fn lost() -> WorkerLine {
    WorkerLine {
        name: name("02de"),
        pid: Some(48_213),
        started_at: Some(ago(240.0)),
        state: WorkerState::Lost,
        beat_at: ago(11.2),
        moved_by: Some(ago(-3.8)),
        ended: Some("exit by signal 9".into()),
        jobs: vec![
            running(
                "2d6cc1",
                "https://github.com/mastra-ai/mastra/pull/17711",
                1,
                "security",
                13.0,
            ),
            running(
                "e07f52",
                "https://github.com/openai/openai-agents-js/pull/1374",
                1,
                "ux",
                12.4,
            ),
            running(
                "b91a40",
                "https://github.com/run-llama/LlamaIndexTS/pull/2238",
                2,
                "judge",
                11.9,
            ),
            running("61c0d8", "git:mastra@HEAD~1..HEAD", 1, "security", 11.4),
        ],
        done: 75,
        failed: 5,
        per_minute: 0.0,
        p50: Some(Duration::from_millis(9_600)),
        p95: Some(Duration::from_millis(20_100)),
        run_times: [1, 1, 3, 5, 7, 9, 11, 12, 8, 7, 5, 3, 2, 1, 0, 0, 0, 1],
        stretches: stretches(&[51.0, 34.0, 12.5], 11.2),
        ..first()
    }
}

fn running(digits: &str, input: &str, attempt: u32, phase: &str, seconds: f64) -> RunningJob {
    RunningJob {
        id: id(digits),
        input: input.into(),
        attempt,
        phase: Some(phase.into()),
        started_at: ago(seconds),
        cost_usd: seconds * 0.001,
    }
}

/// Four slots that were busy for a minute, up to `until` seconds ago, with failures so many seconds ago.
fn stretches(failures: &[f64], until: f64) -> Vec<Stretch> {
    let mut all = Vec::new();
    for slot in 0..4_u32 {
        let length = 8.0 + f64::from(slot) * 1.5;
        let mut from = 64.0 + f64::from(slot) * 2.0;
        while from > until {
            let to = from - length;
            all.push(stretch(from, (to > until).then_some(to), false));
            // A slot stands empty for an instant between two jobs.
            from = to - 0.2 * f64::from(slot);
        }
    }
    all.extend(failures.iter().map(|at| stretch(at + 0.5, Some(*at), true)));
    all
}

fn stretch(from: f64, to: Option<f64>, failed: bool) -> Stretch {
    let end: Option<DateTime<Utc>> = to.map(ago);
    Stretch {
        from: ago(from).min(now()),
        to: end,
        failed,
        cost_usd: 0.019,
    }
}
