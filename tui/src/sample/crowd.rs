//! As much as a console ever shows: what its bench draws.
//!
//! 2,000 jobs, which is as many rows as the list keeps, 64 workers and a trace of 500 spans; and a trace of 10,000, far
//! more than a review makes.

use chrono::TimeDelta;
use millstream::domain::{JobId, SpanId, SpanKind, SpanStatus};
use uuid::Uuid;

use super::{now, story, trace, workers};
use crate::model::Model;
use crate::model::jobs::{JobLine, Jobs, JobsPage};
use crate::model::remote::Remote;
use crate::model::trace::{SpanLine, Trace, TraceFacts, TraceKey};
use crate::model::view::Size;
use crate::model::workers::{WorkerLine, WorkerName, WorkersPage};

/// Workers of a large fleet.
const WORKERS: u16 = 64;
/// Workers of a fleet that no screen holds.
const FLEET: u16 = 200;
/// Spans of a long review: agents with their turns and tools.
const AGENTS: u16 = 50;
/// Turns and tools of each of them.
const STEPS: u16 = 9;
/// Agents of a trace of 10,000 spans.
const MANY_AGENTS: u16 = 1_000;

/// The crowd, on a large screen.
pub fn crowd() -> Model {
    let mut model = story();
    model.size = Size {
        width: 200,
        height: 50,
    };
    let page = jobs();
    model.jobs.limit = Jobs::MOST;
    model.jobs.page = Remote::ready(page, now());
    let wanted = model.jobs.wanted(now());
    model.jobs.list.rearrange(&wanted, model.list_height());
    model.workers.page = Remote::ready(
        WorkersPage {
            rows: workers_like(&workers::rows(), WORKERS),
        },
        now(),
    );
    let names = model.workers.wanted();
    model.workers.list.rearrange(&names, model.list_height());
    model.trace = open();
    if let Some(job) = &mut model.job {
        // The first row's, so that Enter opens one that is known in full.
        job.id = JobId(numbered(1, 0));
    }
    model
}

/// The story's jobs again and again, each with its own id and a little older than the one before.
fn jobs() -> JobsPage {
    let told = super::jobs::rows();
    let rows: Vec<JobLine> = told
        .iter()
        .cycle()
        .zip(0..Jobs::MOST)
        .map(|(line, nth)| JobLine {
            id: JobId(numbered(1, nth)),
            created_at: now() - TimeDelta::seconds(i64::from(nth)),
            ..line.clone()
        })
        .collect();
    JobsPage {
        matching: 10_000,
        matching_at_least: true,
        total: 48_210,
        rows,
        ..JobsPage::default()
    }
}

/// 200 workers, a few of them in trouble, with the list of them open.
pub fn fleet() -> Model {
    let mut model = workers();
    let mut rows: Vec<WorkerLine> = workers_like(&workers::rows()[..2], FLEET);
    for (nth, row) in rows.iter_mut().enumerate() {
        row.jobs.truncate(nth % 5);
        row.busy = (nth % 5) as u32;
        match nth {
            // Its longest run takes four times its percentile.
            38 => row.p95 = Some(std::time::Duration::from_secs(5)),
            // One with a job that has cost thirty times what is usual.
            88 => row.jobs.iter_mut().for_each(|job| job.cost_usd = 0.61),
            121 => row.stretches.iter_mut().for_each(|stretch| stretch.failed = true),
            _ => row.p95 = Some(std::time::Duration::from_secs(25)),
        }
    }
    let lost = &workers::rows()[2];
    rows[153] = WorkerLine {
        name: rows[153].name.clone(),
        ..lost.clone()
    };
    model.workers.page = Remote::ready(WorkersPage { rows }, now());
    let names = model.workers.wanted();
    model.workers.list.rearrange(&names, 20);
    model
}

fn workers_like(told: &[WorkerLine], count: u16) -> Vec<WorkerLine> {
    told.iter()
        .cycle()
        .zip(0..count)
        .map(|(line, nth)| WorkerLine {
            name: WorkerName::new(format!("w-{nth:04x}000000000001")),
            ..line.clone()
        })
        .collect()
}

fn open() -> Trace {
    let facts = trace::facts();
    let mut open = Trace::new(Some(facts.line.id), now());
    let spans = (0..AGENTS).flat_map(agent).collect();
    open.facts = Remote::ready(Some(TraceFacts { spans, ..facts }), now());
    open.folds_chosen = true;
    let rows: Vec<TraceKey> = open.rows(now()).iter().map(|row| row.key).collect();
    open.list.rearrange(&rows, 40);
    open
}

/// The facts of a trace of 10,000 spans, for the job whose trace is open.
pub fn long_trace() -> TraceFacts {
    let spans = (0..MANY_AGENTS).flat_map(agent).collect();
    TraceFacts {
        spans,
        ..trace::facts()
    }
}

/// An agent with its turns and tools, one after the other.
fn agent(nth: u16) -> Vec<SpanLine> {
    let number = u32::from(nth) * 100;
    let id = SpanId(numbered(2, number));
    let from = TimeDelta::milliseconds(22_000 - 400 * i64::from(nth % AGENTS));
    let span = |id, parent, kind, name: &str, begins: TimeDelta, takes: i64| SpanLine {
        id,
        parent,
        attempt: 2,
        kind,
        name: name.into(),
        status: SpanStatus::Ok,
        error: None,
        started_at: now() - begins,
        ended_at: Some(now() - begins + TimeDelta::milliseconds(takes)),
        input_tokens: (kind == SpanKind::Llm).then_some(6_120),
        output_tokens: (kind == SpanKind::Llm).then_some(212),
        cost_usd: (kind == SpanKind::Llm).then_some(0.007),
        model: (kind == SpanKind::Llm).then(|| "claude-haiku-4-5".into()),
        kept: false,
    };
    let mut spans = vec![span(id, None, SpanKind::Agent, "performance", from, 1_900)];
    spans.extend((1..=STEPS).map(|step| {
        let begins = from - TimeDelta::milliseconds(200 * i64::from(step - 1));
        let (kind, name) = if step % 2 == 1 {
            (SpanKind::Llm, "llm")
        } else {
            (SpanKind::Tool, "read_hunk")
        };
        let own = SpanId(numbered(2, number + u32::from(step)));
        span(own, Some(id), kind, name, begins, 190)
    }));
    spans
}

/// An id like one that was drawn, but always the same.
fn numbered(kind: u16, number: u32) -> Uuid {
    // Knuth's multiplier: neighbours differ in their first digits, as drawn ids do.
    let head = number.wrapping_mul(2_654_435_761);
    Uuid::from_fields(head, kind, 0x4000, &[0x80, 0, 0, 0, 0, 0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crowd_is_as_large_as_it_says() {
        let model = crowd();
        assert_eq!(model.jobs.list.len(), 2_000);
        assert_eq!(model.workers.list.len(), 64);
        let facts = model.trace.facts.value().unwrap().as_ref().unwrap();
        assert_eq!(facts.spans.len(), 500);
        assert_eq!(long_trace().spans.len(), 10_000);
        assert!(model.trace.selected_span().is_some() || model.trace.list.len() > 500);
    }
}
