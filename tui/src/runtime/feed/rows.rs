//! Rows of the servers as lines of the model. What cannot be read is left out, never guessed.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::{Finding, JobId, JobState, SpanId, SpanKind, SpanStatus};
use millstream::engine::card::{Card, CardState};
use millstream::queue::inspect::Seen;
use millstream::queue::lease::SUSPECT_AFTER;
use millstream::store::console::{AttemptFacts, ConsoleJob, FaredRow, FlowRow, SpanFacts, Spent, StretchRow};
use millstream::store::counts::Counts as StoreCounts;
use millstream::store::telemetry::StoredEvent;
use millstream::untrusted::{Untrusted, one_line};

use super::postgres::worker;
use crate::model::figures::{Counts, LedgerFigures};
use crate::model::happening::{Happening, HappeningKind};
use crate::model::history::Flow;
use crate::model::job::{AttemptLine, EventLine, FindingLine, JobFacts, Outcome, StepLine, StepState};
use crate::model::jobs::JobLine;
use crate::model::time::{seconds, since};
use crate::model::trace::{SpanLine, TraceFacts};
use crate::model::workers::{RUN_TIME_BUCKETS, RunningJob, Stretch, WorkerLine, WorkerState};

/// After its heart stops a killed worker's jobs move within this.
const MOVED_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// The agents of a review, in the order in which people are shown them.
const AGENTS: [&str; 4] = ["security", "performance", "ux", "judge"];
/// A line of a list holds no more of a text.
const LONGEST: usize = 400;

/// Postgres's figures.
pub fn ledger(
    row: &StoreCounts,
    flow: &[FlowRow],
    spent: Spent,
    recent: Vec<ConsoleJob>,
    allowed: u32,
) -> LedgerFigures {
    let count = i64::unsigned_abs;
    let small = |number: i64| u32::try_from(number).unwrap_or(0);
    LedgerFigures {
        counted_at: row.counted_at,
        counts: Counts {
            accepted: count(row.accepted),
            scheduled: count(row.scheduled),
            waiting: count(row.waiting),
            running: count(row.running),
            retrying: count(row.retrying),
            dead: count(row.dead),
            dropped: count(row.dropped),
            cancelled: count(row.cancelled),
            done: count(row.done),
        },
        oldest_waiting: row.oldest_waiting_s.map(seconds),
        died_last_minute: count(row.died_last_minute),
        in_per_s: row.in_per_s,
        out_per_s: row.out_per_s,
        in_lately_per_s: row.in_lately_per_s,
        spent_usd: spent.cost_usd,
        tokens: count(spent.tokens),
        flow: flow
            .iter()
            .map(|flow| Flow {
                second: flow.second,
                accepted: small(flow.accepted),
                ended: small(flow.ended),
            })
            .collect(),
        recent: recent
            .into_iter()
            .filter_map(|row| happening(row, allowed))
            .collect(),
    }
}

/// A job's row in a list; nothing when its state is none that we know.
pub fn line(row: ConsoleJob, allowed: u32) -> Option<JobLine> {
    let text = |text: Option<String>| text.map(|text| Untrusted::new(one_line(&text, LONGEST)));
    Some(JobLine {
        id: JobId(row.id),
        state: row.state.parse().ok()?,
        input: Untrusted::new(row.payload),
        verdict: row.verdict.map(Untrusted::new),
        phase: row.phase.map(Untrusted::new),
        attempt: u32::try_from(row.attempt).unwrap_or(0),
        attempts_allowed: allowed,
        worker: row.worker.map(worker),
        created_at: row.created_at,
        first_started_at: row.first_started_at,
        started_at: row.started_at,
        attempt_ended_at: row.attempt_ended_at,
        finished_at: row.finished_at,
        due_at: row.run_at,
        tokens: row.tokens.unsigned_abs(),
        cost_usd: row.cost_usd,
        class: row.error_class.map(Untrusted::new),
        error: text(row.error),
    })
}

/// What a job's row tells of what happened last.
fn happening(row: ConsoleJob, allowed: u32) -> Option<Happening> {
    let changed = row.finished_at.unwrap_or(row.updated_at);
    let line = line(row, allowed)?;
    let (attempt, class) = (line.attempt, line.class.as_ref().map_or("failed", Untrusted::raw));
    let (kind, what, note) = match line.state {
        JobState::Done => {
            let verdict = line.verdict.as_ref().map_or("done", Untrusted::raw).to_owned();
            (HappeningKind::Done, verdict, None)
        }
        JobState::Dead => {
            let error = line.error.as_ref().map_or("", Untrusted::raw);
            let what = format!("dead after {attempt} of {allowed}");
            (HappeningKind::Dead, what, Some(format!("{class} {error}")))
        }
        JobState::Retrying => {
            let due = line.due_at.map_or(0.0, |due| since(changed, due).as_secs_f64());
            let what = format!("attempt {attempt} failed");
            (
                HappeningKind::Retrying,
                what,
                Some(format!("{class}, again in {due:.1} s")),
            )
        }
        JobState::Cancelled => (HappeningKind::Cancelled, "cancelled".to_owned(), None),
        _ => return None,
    };
    Some(Happening {
        at: changed,
        kind,
        job: Some(line.id),
        attempt,
        subject: line.short_input(),
        what: Untrusted::new(what),
        note: note.map(Untrusted::new),
        took: line.run(changed),
        cost_usd: Some(line.cost_usd),
        worker: line.worker,
    })
}

/// One job in full.
pub fn job(
    row: ConsoleJob,
    reason: Option<String>,
    findings: Vec<Finding>,
    attempts: Vec<AttemptFacts>,
    spans: &[SpanFacts],
    events: &[StoredEvent],
    allowed: u32,
) -> Option<JobFacts> {
    let mut attempts: Vec<AttemptLine> = attempts.into_iter().map(|row| attempt(row, spans)).collect();
    attempts.reverse();
    Some(JobFacts {
        line: line(row, allowed)?,
        reason: reason.map(Untrusted::new),
        findings: findings.into_iter().map(finding).collect(),
        attempts,
        events: events.iter().map(event).collect(),
    })
}

fn finding(finding: Finding) -> FindingLine {
    FindingLine {
        severity: finding.severity,
        location: Untrusted::new(finding.location()),
        agent: Untrusted::new(finding.agent),
        note: Untrusted::new(finding.note),
    }
}

fn event(row: &StoredEvent) -> EventLine {
    let field = |name: &str| row.body.get(name).and_then(|value| value.as_str()).unwrap_or("");
    let text = match field("type") {
        "phase" if field("detail").is_empty() => field("phase").to_owned(),
        "phase" => format!("{}: {}", field("phase"), field("detail")),
        "agent_start" => format!("{} begins", field("agent")),
        "agent_done" => format!("{}: {}", field("agent"), one_line(field("note"), LONGEST)),
        "error" => format!("error: {}", field("message")),
        other => format!("{other} {}", one_line(&row.body.to_string(), LONGEST)),
    };
    EventLine {
        at: row.at,
        attempt: u32::try_from(row.attempt).unwrap_or(0),
        text: Untrusted::new(text),
    }
}

fn attempt(row: AttemptFacts, spans: &[SpanFacts]) -> AttemptLine {
    let number = u32::try_from(row.attempt).unwrap_or(0);
    AttemptLine {
        number,
        steps: AGENTS.iter().map(|agent| step(agent, number, spans)).collect(),
        worker: worker(row.worker),
        started_at: row.started_at,
        ended_at: row.ended_at,
        outcome: Outcome::from_word(row.outcome.as_deref()),
        class: row.error_class.map(Untrusted::new),
        error: row.error.map(Untrusted::new),
        tokens: row.tokens.unsigned_abs(),
        cost_usd: row.cost_usd,
    }
}

/// How an agent fared in an attempt: what its span says, and whether it asked a model at all.
fn step(agent: &str, number: u32, spans: &[SpanFacts]) -> StepLine {
    let own = |span: &&SpanFacts| {
        span.kind == "agent" && span.name == agent && span.attempt == i32::try_from(number).ok()
    };
    let state = match spans.iter().rfind(own) {
        None => StepState::NotReached,
        Some(span) => {
            let took = since(span.started_at, span.ended_at.unwrap_or(span.started_at));
            match span.status.as_str() {
                "running" => StepState::Running(span.started_at),
                "ok" if is_kept(span, spans) => StepState::Kept,
                "ok" => StepState::Done(took),
                _ => StepState::Failed(took),
            }
        }
    };
    StepLine {
        agent: agent.into(),
        state,
    }
}

/// An agent that answered without a single turn had all of them from an earlier attempt.
fn is_kept(span: &SpanFacts, spans: &[SpanFacts]) -> bool {
    span.kind == "agent"
        && span.status == "ok"
        && span.attempt.is_some_and(|attempt| attempt > 1)
        && !spans
            .iter()
            .any(|other| other.parent_span_id == Some(span.span_id))
}

/// One trace.
pub fn trace(
    row: ConsoleJob,
    attempts: Vec<AttemptFacts>,
    spans: Vec<SpanFacts>,
    allowed: u32,
) -> Option<TraceFacts> {
    let parents: HashSet<uuid::Uuid> = spans.iter().filter_map(|span| span.parent_span_id).collect();
    let attempts = attempts.into_iter().map(|row| attempt(row, &spans)).collect();
    Some(TraceFacts {
        line: line(row, allowed)?,
        attempts,
        spans: spans.into_iter().map(|row| span(row, &parents)).collect(),
    })
}

fn span(row: SpanFacts, parents: &HashSet<uuid::Uuid>) -> SpanLine {
    let kind = match row.kind.as_str() {
        "agent" => SpanKind::Agent,
        "llm" => SpanKind::Llm,
        _ => SpanKind::Tool,
    };
    let status = match row.status.as_str() {
        "running" => SpanStatus::Running,
        "ok" => SpanStatus::Ok,
        _ => SpanStatus::Error,
    };
    let late = row.attempt.is_some_and(|attempt| attempt > 1);
    let kept = late && kind == SpanKind::Agent && status == SpanStatus::Ok && !parents.contains(&row.span_id);
    // A span tells what it used when it ends, and only a model's turn uses anything.
    let is_known = kind == SpanKind::Llm && status != SpanStatus::Running;
    let tokens = |count: Option<i64>| count.filter(|_| is_known).map(i64::unsigned_abs);
    SpanLine {
        id: SpanId(row.span_id),
        parent: row.parent_span_id.map(SpanId),
        attempt: row
            .attempt
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0),
        kind,
        name: Untrusted::new(row.name),
        status,
        error: row.error.map(Untrusted::new),
        started_at: row.started_at,
        ended_at: row.ended_at,
        input_tokens: tokens(row.input_tokens),
        output_tokens: tokens(row.output_tokens),
        cost_usd: row.cost_usd.filter(|_| is_known),
        model: row.model.map(Untrusted::new),
        kept,
    }
}

/// The workers of one moment, from both servers.
pub struct Cast<'a> {
    /// Who beats, by Valkey.
    pub seen: &'a [Seen],
    /// What they ran in the last minute.
    pub stretches: Vec<StretchRow>,
    /// How they have fared.
    pub fared: &'a [FaredRow],
    /// The processes that are ours.
    pub ours: &'a [u32],
    /// Our clock.
    pub now: DateTime<Utc>,
}

impl Cast<'_> {
    /// A line for each worker.
    pub fn rows(self) -> Vec<WorkerLine> {
        let mut by_worker: HashMap<&str, Vec<&StretchRow>> = HashMap::new();
        for row in &self.stretches {
            by_worker.entry(&row.worker).or_default().push(row);
        }
        self.seen
            .iter()
            .map(|seen| {
                let ran = by_worker.get(seen.worker.as_str()).map_or(&[][..], Vec::as_slice);
                self.row(seen, ran)
            })
            // One that was lost, holds nothing and did nothing for a minute is history.
            .filter(|row| row.state != WorkerState::Lost || row.busy > 0 || !row.stretches.is_empty())
            .collect()
    }

    fn row(&self, seen: &Seen, ran: &[&StretchRow]) -> WorkerLine {
        let card: Option<Card> = seen
            .card
            .as_deref()
            .and_then(|card| serde_json::from_str(card).ok());
        let running: Vec<RunningJob> = ran
            .iter()
            .filter(|row| row.ended_at.is_none())
            .map(|row| running(row))
            .collect();
        let state = state(card.as_ref(), seen);
        let fared = self.fared.iter().find(|fared| fared.worker == seen.worker);
        let beat_at = self.now - TimeDelta::from_std(seen.silence).unwrap_or_default();
        // What a lost worker still holds, Postgres knows; its card only says what it held.
        let held = u32::try_from(running.len()).unwrap_or(u32::MAX);
        let is_lost = state == WorkerState::Lost;
        let on_card = card.as_ref().and_then(|card| u32::try_from(card.busy).ok());
        let pid = card.as_ref().map(|card| card.pid);
        WorkerLine {
            name: worker(seen.worker.clone()),
            pid,
            is_ours: pid.is_some_and(|pid| self.ours.contains(&pid)),
            host: card.as_ref().map(|card| Untrusted::new(card.host.clone())),
            version: card.as_ref().map(|card| Untrusted::new(card.version.clone())),
            started_at: card.as_ref().and_then(|card| card.started_at.parse().ok()),
            slots: card
                .as_ref()
                .and_then(|card| u32::try_from(card.slots).ok())
                .unwrap_or(0),
            busy: if is_lost { held } else { on_card.unwrap_or(held) },
            jobs: running,
            beat_at,
            moved_by: (is_lost && held > 0).then(|| beat_at + MOVED_WITHIN),
            ended: None,
            state,
            done: fared.map_or(0, |fared| fared.done.unsigned_abs()),
            failed: fared.map_or(0, |fared| fared.failed.unsigned_abs()),
            per_minute: fared.map_or(0.0, |fared| fared.last_minute as f64),
            p50: fared.and_then(|fared| fared.p50_s).map(seconds),
            p95: fared.and_then(|fared| fared.p95_s).map(seconds),
            run_times: fared.map_or([0; RUN_TIME_BUCKETS], run_times),
            stretches: ran.iter().map(|row| stretch(row)).collect(),
        }
    }
}

fn running(row: &StretchRow) -> RunningJob {
    RunningJob {
        id: JobId(row.id),
        input: Untrusted::new(row.payload.clone()),
        attempt: u32::try_from(row.attempt).unwrap_or(0),
        phase: row.phase.clone().map(Untrusted::new),
        started_at: row.started_at,
        cost_usd: row.cost_usd,
    }
}

fn stretch(row: &StretchRow) -> Stretch {
    Stretch {
        from: row.started_at,
        to: row.ended_at,
        failed: matches!(row.outcome.as_deref(), Some("failed" | "crashed")),
        cost_usd: row.cost_usd,
    }
}

fn run_times(fared: &FaredRow) -> [u32; RUN_TIME_BUCKETS] {
    let mut buckets = [0; RUN_TIME_BUCKETS];
    for (bucket, count) in buckets.iter_mut().zip(&fared.run_times) {
        *bucket = u32::try_from(*count).unwrap_or(0);
    }
    buckets
}

fn state(card: Option<&Card>, seen: &Seen) -> WorkerState {
    match card {
        None => WorkerState::Lost,
        Some(_) if seen.silence >= SUSPECT_AFTER => WorkerState::Lost,
        Some(card) if card.state == CardState::Draining => WorkerState::Draining,
        Some(card) if card.busy > 0 => WorkerState::Busy,
        Some(_) => WorkerState::Idle,
    }
}
