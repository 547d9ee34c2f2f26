//! What the servers say, or do not say, and how lists are put in order after it.

use std::collections::HashSet;

use millstream::untrusted::Untrusted;

use super::needs;
use crate::model::Model;
use crate::model::figures::{Counts, LedgerFigures};
use crate::model::happening::{Happening, HappeningKind};
use crate::model::history::{MarkKind, TimeMark};
use crate::model::job::Job;
use crate::model::pending::PendingLine;
use crate::model::remote::Remote;
use crate::model::trace::{TraceFacts, TraceKey};
use crate::model::view::View;
use crate::model::workers::{WorkerLine, WorkerState, WorkersPage};
use crate::msg::{Answer, Topic};

/// After its end a worker's jobs move within this.
const MOVED_WITHIN: chrono::TimeDelta = chrono::TimeDelta::seconds(5);
/// A burst on the chart: so many jobs in one second.
const BURST: u32 = 25;

/// Takes an answer, or holds it while the screen stands still.
pub fn receive(model: &mut Model, answer: Answer) {
    let new = news(model, &answer);
    if let Some(frozen) = &mut model.frozen {
        frozen.new = new.unwrap_or(frozen.new);
        let kind = std::mem::discriminant(&answer);
        frozen.held.retain(|held| std::mem::discriminant(held) != kind);
        frozen.held.push(answer);
        return;
    }
    let now = model.now;
    match answer {
        Answer::Queue(figures) => {
            model.history.take_waiting(figures.waiting, now);
            model.overview.queue.receive(figures, now);
        }
        Answer::Ledger(figures) => ledger(model, figures),
        Answer::Workers(rows) => workers(model, rows),
        Answer::Jobs(page) => {
            // An answer to a filter that is not asked for any more would show rows that do not pass.
            if page.filter.text == model.jobs.filter.text.trim() {
                model.jobs.page.receive(page, now);
            }
        }
        Answer::Pending(page) => {
            let height = model.list_height();
            model.pending.receive(page, now, height);
        }
        Answer::Dead(page) => model.dead.page.receive(page, now),
        Answer::Letters(page) => model.dead.letters.receive(page, now),
        Answer::Streams(page) => model.streams.receive(page, now),
        Answer::Activity(page) => model.activity.page.receive(page, now),
        Answer::Job(id, facts) => {
            if let Some(job) = model.job.as_mut().filter(|job| job.id == id) {
                job.facts.receive(facts, now);
            }
        }
        Answer::Trace(id, facts) if model.trace.id == Some(id) => {
            fold_old_attempts(model, facts.as_ref());
            model.trace.facts.receive(facts, now);
        }
        Answer::SpanText(id, text) if model.trace.selected_span() == Some(id) => {
            model.trace.text = Some((id, Remote::ready(text, now)));
        }
        Answer::Trace(..) | Answer::SpanText(..) => {}
    }
    arrange_all(model);
    needs::find(model);
}

/// How much an answer has that the screen does not show; nothing when that is not counted.
fn news(model: &Model, answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Ledger(figures) => {
            let before = model.overview.ledger.value()?;
            Some(moves(&figures.counts).saturating_sub(moves(&before.counts)))
        }
        Answer::Jobs(page) => Some(page.total.saturating_sub(model.jobs.page.value()?.total)),
        Answer::Pending(page) => {
            let known: HashSet<_> = model
                .pending
                .page
                .value()?
                .rows
                .iter()
                .map(PendingLine::key)
                .collect();
            let new = page.rows.iter().filter(|row| !known.contains(&row.key()));
            Some(new.count() as u64)
        }
        Answer::Dead(page) => Some(page.total.saturating_sub(model.dead.page.value()?.total)),
        Answer::Activity(page) => {
            let last = model.activity.page.value()?.rows.iter().map(|row| row.id).max();
            Some(page.rows.iter().filter(|row| Some(row.id) > last).count() as u64)
        }
        _ => None,
    }
}

/// How often a job was accepted or ended by these counts: their difference is what was missed meanwhile.
const fn moves(counts: &Counts) -> u64 {
    counts.accepted + counts.done + counts.dead + counts.cancelled
}

/// What was answered before still holds; only its age begins anew.
pub fn confirm(model: &mut Model, topic: Topic) {
    let now = model.now;
    match topic {
        Topic::Job(id) => {
            if let Some(job) = model.job.as_mut().filter(|job| job.id == id) {
                job.facts.confirm(now);
            }
        }
        Topic::Trace(id) if model.trace.id == Some(id) => model.trace.facts.confirm(now),
        Topic::Dead => model.dead.page.confirm(now),
        _ => {}
    }
}

/// A question was not answered: what it was about grows old from here.
pub fn miss(model: &mut Model, topic: Topic, why: &Untrusted) {
    let (now, why) = (model.now, why.clone());
    match topic {
        Topic::Queue => model.overview.queue.fail(why, now),
        Topic::Ledger => model.overview.ledger.fail(why, now),
        Topic::Jobs => model.jobs.page.fail(why, now),
        Topic::Workers => model.workers.page.fail(why, now),
        Topic::Pending => {
            model.pending.moving = false;
            model.pending.page.fail(why, now);
        }
        Topic::Dead => model.dead.page.fail(why, now),
        Topic::Letters => model.dead.letters.fail(why, now),
        Topic::Streams => model.streams.page.fail(why, now),
        Topic::Activity => model.activity.page.fail(why, now),
        Topic::Job(id) => {
            if let Some(job) = model.job.as_mut().filter(|job| job.id == id) {
                job.facts.fail(why, now);
            }
        }
        Topic::Trace(id) if model.trace.id == Some(id) => model.trace.facts.fail(why, now),
        Topic::SpanText(id) => {
            if let Some((known, text)) = &mut model.trace.text
                && *known == id
            {
                text.fail(why, now);
            }
        }
        Topic::Trace(_) => {}
    }
}

fn ledger(model: &mut Model, figures: LedgerFigures) {
    let now = model.now;
    let ahead = chrono::TimeDelta::milliseconds(model.connection.clock_ahead_ms);
    model.history.take_flow(&figures.flow, now + ahead);
    for flow in figures.flow.iter().filter(|flow| flow.accepted >= BURST) {
        if let Some(at) = chrono::DateTime::from_timestamp(flow.second, 0) {
            model.history.mark_once(TimeMark {
                at,
                kind: MarkKind::Burst,
                label: Untrusted::new(flow.accepted.to_string()),
            });
        }
    }
    for happening in &figures.recent {
        model.happenings.add(happening.clone());
    }
    model.overview.ledger.receive(figures, now);
}

/// Takes the workers; who has come, gone or fallen silent since is told.
fn workers(model: &mut Model, mut rows: Vec<WorkerLine>) {
    let now = model.now;
    let before = model.workers.page.value().cloned();
    if let Some(before) = &before {
        for row in &mut rows {
            if let Some(known) = before.find(&row.name) {
                row.ended = row.ended.take().or_else(|| known.ended.clone());
                bury_ended(row, known, now);
                if row.state == WorkerState::Lost {
                    keep_last_words(row, known);
                }
            }
        }
        tell_changes(model, before, &rows);
    }
    let page = WorkersPage { rows };
    model.history.take_slots(page.live_slots(), now);
    model.workers.page.receive(page, now);
}

/// A process of ours that has ended is gone, though its last heartbeat still looks fresh.
fn bury_ended(row: &mut WorkerLine, known: &WorkerLine, now: chrono::DateTime<chrono::Utc>) {
    if row.ended.is_none() {
        return;
    }
    row.state = WorkerState::Lost;
    row.is_ours = false;
    row.busy = u32::try_from(row.jobs.len()).unwrap_or(u32::MAX);
    let holds = row.busy > 0;
    row.moved_by = known.moved_by.or(Some(now + MOVED_WITHIN)).filter(|_| holds);
}

/// A lost worker's card goes; what it last said about itself stays.
fn keep_last_words(row: &mut WorkerLine, known: &WorkerLine) {
    row.pid = row.pid.or(known.pid);
    row.host = row.host.take().or_else(|| known.host.clone());
    row.started_at = row.started_at.or(known.started_at);
    if row.slots == 0 {
        row.slots = known.slots;
    }
}

fn tell_changes(model: &mut Model, before: &WorkersPage, rows: &[WorkerLine]) {
    for row in rows {
        let was = before.find(&row.name).map(|known| known.state);
        match (was, row.state) {
            (None, state) if state != WorkerState::Lost => joined(model, row),
            (Some(was), WorkerState::Lost) if was != WorkerState::Lost => lost(model, row),
            _ => {}
        }
    }
    let there: HashSet<_> = rows.iter().map(|row| &row.name).collect();
    for row in before.rows.iter().filter(|row| !there.contains(&row.name)) {
        if row.state != WorkerState::Lost {
            left(model, row);
        }
    }
}

fn joined(model: &mut Model, row: &WorkerLine) {
    let note = format!("{} slots", row.slots);
    told(model, row, HappeningKind::Joined, "joined", &note);
    mark(model, row, MarkKind::Joined);
}

fn left(model: &mut Model, row: &WorkerLine) {
    told(model, row, HappeningKind::Left, "left", "nothing was left undone");
    mark(model, row, MarkKind::Left);
}

fn lost(model: &mut Model, row: &WorkerLine) {
    let out = model.overview.ledger.value().map(|ledger| ledger.out_per_s);
    model.overview.out_before_loss = out;
    let pid = row.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let note = format!("held {} jobs{pid}", row.busy);
    told(model, row, HappeningKind::Lost, "went silent", &note);
    mark(model, row, MarkKind::Lost);
}

fn told(model: &mut Model, row: &WorkerLine, kind: HappeningKind, what: &str, note: &str) {
    let at = model.now;
    model.happenings.add(Happening {
        at,
        kind,
        job: None,
        attempt: 0,
        subject: Untrusted::new(row.name.short()),
        what: what.into(),
        note: Some(note.into()),
        worker: Some(row.name.clone()),
        took: None,
        cost_usd: None,
    });
}

fn mark(model: &mut Model, row: &WorkerLine, kind: MarkKind) {
    let at = model.now;
    model.history.mark(TimeMark {
        at,
        kind,
        label: Untrusted::new(row.name.short()),
    });
}

/// A worker process of ours ended: that is known before its silence is.
pub fn worker_ended(model: &mut Model, pid: u32, how: &Untrusted) {
    let Some(page) = model.workers.page.value() else {
        return;
    };
    let mut rows = page.rows.clone();
    for row in rows.iter_mut().filter(|row| row.pid == Some(pid)) {
        row.ended = Some(how.clone());
    }
    // It is taken in as an answer: who is lost is told, marked and needed at once.
    workers(model, rows);
    arrange_all(model);
    needs::find(model);
}

/// At first only the last attempt is open.
fn fold_old_attempts(model: &mut Model, facts: Option<&TraceFacts>) {
    let Some(facts) = facts.filter(|_| !model.trace.folds_chosen) else {
        return;
    };
    let last = facts.attempts.last().map(|attempt| attempt.number);
    model.trace.folded = facts
        .attempts
        .iter()
        .filter(|attempt| Some(attempt.number) != last)
        .map(|attempt| TraceKey::Attempt(attempt.number))
        .collect();
}

/// Puts every list in order after data has come; cursors stay on their rows.
pub fn arrange_all(model: &mut Model) {
    let now = model.server_now();
    let height = model.list_height();
    let names = model.workers.wanted();
    model.workers.list.arrange(&names, height);
    let ids = model.jobs.wanted(now);
    model.jobs.list.arrange(&ids, height);
    model.pending.arrange(height);
    let keys = model.dead.wanted();
    model.dead.list.arrange(&keys, height);
    let keys = model.streams.wanted();
    model.streams.list.arrange(&keys, height);
    let numbers = model.activity.wanted();
    model.activity.list.arrange(&numbers, height);
    let rows: Vec<TraceKey> = model.trace.rows(now).iter().map(|row| row.key).collect();
    // The waterfall is a tree: its rows have no other order than the one they stand in.
    model.trace.list.rearrange(&rows, height);
    if let Some(job) = &mut model.job {
        arrange_job(job, height);
    }
}

fn arrange_job(job: &mut Job, height: usize) {
    let (findings, attempts, events) = match job.known() {
        Some(facts) => (
            (0..facts.findings.len()).collect(),
            facts.attempts.iter().map(|attempt| attempt.number).collect(),
            (0..facts.events.len()).collect(),
        ),
        None => (Vec::new(), Vec::new(), Vec::new()),
    };
    job.findings.rearrange(&findings, height);
    job.attempts.rearrange(&attempts, height);
    job.events.rearrange(&events, height);
}

/// Puts the open view's list in the order it should have, at once.
pub fn rearrange(model: &mut Model) {
    let now = model.server_now();
    let height = model.list_height();
    match model.view() {
        View::Jobs => {
            let ids = model.jobs.wanted(now);
            model.jobs.list.rearrange(&ids, height);
        }
        View::Overview | View::Workers => {
            let names = model.workers.wanted();
            model.workers.list.rearrange(&names, height);
        }
        View::Pending => {
            let keys = model.pending.wanted();
            model.pending.list.rearrange(&keys, height);
        }
        View::Dead => {
            let keys = model.dead.wanted();
            model.dead.list.rearrange(&keys, height);
        }
        View::Streams => {
            let keys = model.streams.wanted();
            model.streams.list.rearrange(&keys, height);
        }
        View::Activity => {
            let numbers = model.activity.wanted();
            model.activity.list.rearrange(&numbers, height);
        }
        View::Trace => arrange_all(model),
        View::Job => {}
    }
}
