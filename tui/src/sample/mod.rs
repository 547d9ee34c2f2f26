//! One story, told by fixed data: what `millstream frame` draws and the snapshots compare.
//!
//! A burst of 200 jobs came 97 s ago, one of three workers was killed 11 s ago, and one run of the model's
//! time-outs has buried four jobs. Ids and clock never change, and figures agree from view to view.

mod flow;
mod jobs;
mod trace;
mod workers;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::JobId;
use millstream::untrusted::Untrusted;
use uuid::Uuid;

use crate::command::CommandId;
use crate::model::connection::{Load, Sent, Server};
use crate::model::figures::{Counts, LedgerFigures, QueueFigures};
use crate::model::filter::Filter;
use crate::model::job::Job;
use crate::model::jobs::{JobSort, JobsPage};
use crate::model::need::{Harm, Need, Target};
use crate::model::overlay::{Button, Dialog, Intent, Overlay};
use crate::model::remote::Remote;
use crate::model::trace::{SpanText, Trace, TraceKey};
use crate::model::view::{Size, View};
use crate::model::workers::WorkersPage;
use crate::model::{Access, Fleet, Model, Profile};

/// 2026-11-21T14:03:27Z.
const NOW: i64 = 1_795_269_807;

/// The clock of the story.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap_or_default()
}

/// So many seconds before the clock of the story.
fn ago(seconds: f64) -> DateTime<Utc> {
    now() - TimeDelta::milliseconds((seconds * 1000.0).round() as i64)
}

/// The job whose id begins with these six digits.
fn id(digits: &str) -> JobId {
    let head = u32::from_str_radix(digits, 16).unwrap_or_default();
    JobId(Uuid::from_fields(
        head << 8,
        0,
        0x4000,
        &[0x80, 0, 0, 0, 0, 0, 0, 1],
    ))
}

/// The whole story, at 120 columns and 36 lines, with the overview open.
pub fn story() -> Model {
    let mut model = unanswered();
    lamps(&mut model);
    model.connection.load = Load {
        commands_per_s: 14.0,
        queries_per_s: 3.0,
    };
    model.overview.queue = Remote::ready(queue_figures(), now());
    model.overview.ledger = Remote::ready(ledger_figures(), now());
    model.overview.needs = needs();
    model.overview.out_before_loss = Some(1.2);
    model.history = flow::history();
    for happening in jobs::happenings() {
        model.happenings.add(happening);
    }
    model.workers.page = Remote::ready(
        WorkersPage {
            rows: workers::rows(),
        },
        now(),
    );
    let names = model.workers.wanted();
    model.workers.list.rearrange(&names, 3);
    model.jobs.page = Remote::ready(jobs_page(Filter::default()), now());
    let wanted = model.jobs.wanted(now());
    model.jobs.list.rearrange(&wanted, 20);
    model.job = Some(open_job());
    model.trace = open_trace();
    model.sent = sent();
    model
}

/// The story before any server has answered.
fn unanswered() -> Model {
    let profile = Profile {
        name: "demo".into(),
        is_production: false,
        queue: "reviews:queue".into(),
        group: "reviewers".into(),
    };
    let size = Size {
        width: 120,
        height: 36,
    };
    let mut model = Model::new(size, profile, now());
    model.started_at = ago(554.0);
    model.connection.valkey.place = "valkey:6379".into();
    model.connection.postgres.place = "postgres:5432".into();
    model.fleet = Some(Fleet {
        workers: 2,
        web_url: "http://127.0.0.1:40123".into(),
    });
    model
}

fn lamps(model: &mut Model) {
    model
        .connection
        .valkey
        .answered(Duration::from_micros(300), now());
    model
        .connection
        .postgres
        .answered(Duration::from_micros(1_200), now());
}

/// The list of jobs with the filter of the story: all that timed out at least once.
pub fn jobs() -> Model {
    let mut model = at(&[View::Overview, View::Jobs]);
    let filter = Filter::new("class:timeout");
    model.jobs.page = Remote::ready(jobs_page(filter.clone()), now());
    model.jobs.filter = filter;
    model.jobs.sort = JobSort::Status;
    let wanted = model.jobs.wanted(now());
    model.jobs.list.rearrange(&wanted, 20);
    model.jobs.list.marks = [id("c41f09"), id("77ab3e")].into();
    model.jobs.list.select(&id("77ab3e"), 20);
    model
}

/// The job 5d07be in full.
pub fn job() -> Model {
    at(&[View::Overview, View::Jobs, View::Job])
}

/// The trace of 8f2c1a, which runs.
pub fn trace() -> Model {
    at(&[View::Overview, View::Trace])
}

/// The workers.
pub fn workers() -> Model {
    at(&[View::Overview, View::Workers])
}

/// The help over the jobs.
pub fn help() -> Model {
    Model {
        overlay: Some(Overlay::Help),
        ..jobs()
    }
}

/// The question before a worker is killed, on Cancel.
pub fn dialog() -> Model {
    let mut model = workers();
    model.overlay = Some(Overlay::Dialog(Dialog {
        title: "Kill w-7f3a".into(),
        lines: vec![
            "kill -9 to process 48110 on render-7d9.".into(),
            "4 jobs run there. Another worker takes them over within 5 s;".into(),
            "what their agents have finished is kept and not paid for again.".into(),
        ],
        confirm: "Kill",
        rung: 3,
        focus: Button::Cancel,
        intent: Intent::KillWorker(workers::name("7f3a")),
    }));
    model
}

/// Nothing was ever submitted, and one worker waits.
pub fn empty() -> Model {
    let mut model = unanswered();
    lamps(&mut model);
    model.overview.queue = Remote::ready(QueueFigures::default(), now());
    model.overview.ledger = Remote::ready(
        LedgerFigures {
            counts: Counts::default(),
            oldest_waiting: None,
            died_last_minute: 0,
            in_per_s: 0.0,
            out_per_s: 0.0,
            spent_usd: 0.0,
            tokens: 0,
            recent: Vec::new(),
            ..ledger_figures()
        },
        now(),
    );
    model.jobs.page = Remote::ready(JobsPage::default(), now());
    model.workers.page = Remote::ready(
        WorkersPage {
            rows: vec![workers::idle()],
        },
        now(),
    );
    let names = model.workers.wanted();
    model.workers.list.rearrange(&names, 3);
    model.job = None;
    model
}

/// The servers were asked 0.4 s ago and have not answered yet.
pub fn loading() -> Model {
    let mut model = unanswered();
    model.now = now() + TimeDelta::milliseconds(400);
    model.job = Some(Job::new(id("5d07be"), now()));
    model.trace.id = Some(id("8f2c1a"));
    model
}

/// A filter that nothing passes, over the jobs.
pub fn no_match() -> Model {
    let mut model = jobs();
    model.jobs.filter = Filter::new("class:timeout worker:w-ffff");
    model.jobs.page = Remote::ready(
        JobsPage {
            matching: 0,
            rows: Vec::new(),
            ..jobs_page(model.jobs.filter.clone())
        },
        now(),
    );
    model.jobs.list.rearrange(&[], 20);
    model
}

/// Nothing was answered for 12 s although no server said no.
pub fn stale() -> Model {
    let mut model = later(story());
    for server in [Server::Valkey, Server::Postgres] {
        lose(&mut model, server, "no answer within 5 s");
    }
    model
}

/// Valkey is away for 12 s; Postgres goes on answering.
pub fn valkey_lost() -> Model {
    let mut model = later(story());
    let fresh = model.now;
    lose(&mut model, Server::Valkey, "Connection refused (os error 111)");
    model.overview.ledger = Remote::ready(ledger_figures(), fresh);
    model
        .connection
        .postgres
        .answered(Duration::from_micros(1_300), fresh);
    model
}

/// Both servers are away for 12 s.
pub fn both_lost() -> Model {
    let mut model = later(story());
    for server in [Server::Valkey, Server::Postgres] {
        lose(&mut model, server, "Connection refused (os error 111)");
    }
    model
}

/// The first question was refused.
pub fn failed() -> Model {
    let mut model = unanswered();
    for server in [Server::Valkey, Server::Postgres] {
        lose(&mut model, server, "Connection refused (os error 111)");
    }
    model
        .jobs
        .page
        .fail("reach Postgres: Connection refused (os error 111)".into(), now());
    model
        .trace
        .facts
        .fail("reach Postgres: Connection refused (os error 111)".into(), now());
    model
}

/// A console that only looks, on a system in production.
pub fn read_only() -> Model {
    let mut model = story();
    model.access = Access::ReadOnly;
    model.fleet = None;
    model.profile.name = "PROD".into();
    model.profile.is_production = true;
    model
}

/// The screen was stopped 12 s ago.
pub fn frozen() -> Model {
    let mut model = story();
    model.frozen = Some(crate::model::Frozen {
        since: model.now,
        held: Vec::new(),
        new: 340,
    });
    model.now += TimeDelta::seconds(12);
    model
}

/// The model 12 s later, with no answer since.
fn later(mut model: Model) -> Model {
    model.now += TimeDelta::seconds(12);
    model
}

fn lose(model: &mut Model, server: Server, why: &str) {
    let (seen, why) = (model.now, Untrusted::new(why));
    let lamp = model.connection.lamp_mut(server);
    for _ in 0..4 {
        lamp.failed(why.clone(), seen + TimeDelta::seconds(3), now());
    }
    match server {
        Server::Valkey => {
            model.overview.queue.fail(why.clone(), seen);
            model.workers.page.fail(why, seen);
        }
        Server::Postgres => {
            model.overview.ledger.fail(why.clone(), seen);
            model.jobs.page.fail(why.clone(), seen);
            model.trace.facts.fail(why.clone(), seen);
            if let Some(job) = &mut model.job {
                job.facts.fail(why, seen);
            }
        }
    }
}

/// The story with these views open, one after the other.
fn at(path: &[View]) -> Model {
    Model {
        path: path.to_vec(),
        ..story()
    }
}

const fn queue_figures() -> QueueFigures {
    QueueFigures {
        waiting: 128,
        pending: 14,
        parked: 2,
        dead_letters: 7,
        oldest_waiting: Some(Duration::from_secs(97)),
        next_retry: Some(Duration::from_millis(4_100)),
        paused: false,
    }
}

fn ledger_figures() -> LedgerFigures {
    LedgerFigures {
        counted_at: now(),
        counts: Counts {
            accepted: 640,
            scheduled: 0,
            waiting: 128,
            running: 12,
            retrying: 2,
            dead: 7,
            dropped: 0,
            cancelled: 1,
            done: 490,
        },
        oldest_waiting: Some(Duration::from_secs(97)),
        died_last_minute: 1,
        in_per_s: 0.1,
        out_per_s: 0.8,
        spent_usd: 9.41,
        tokens: 7_400_000,
        flow: Vec::new(),
        recent: jobs::happenings(),
    }
}

fn jobs_page(filter: Filter) -> JobsPage {
    let rows = jobs::rows();
    let unfiltered = filter.is_empty();
    JobsPage {
        matching: if unfiltered { 640 } else { rows.len() as u64 },
        matching_at_least: false,
        total: 640,
        filter,
        rows,
    }
}

fn open_job() -> Job {
    let mut job = Job::new(id("5d07be"), now());
    let facts = jobs::facts();
    job.findings
        .rearrange(&(0..facts.findings.len()).collect::<Vec<_>>(), 6);
    let numbers: Vec<u32> = facts.attempts.iter().map(|attempt| attempt.number).collect();
    job.attempts.rearrange(&numbers, 6);
    job.events
        .rearrange(&(0..facts.events.len()).collect::<Vec<_>>(), 6);
    job.facts = Remote::ready(Some(facts), now());
    job
}

fn open_trace() -> Trace {
    let mut open = Trace::new(Some(id("8f2c1a")), now());
    open.facts = Remote::ready(Some(trace::facts()), now());
    open.folded = [TraceKey::Attempt(1), TraceKey::Span(trace::span("ux"))].into();
    open.folds_chosen = true;
    let rows: Vec<TraceKey> = open.rows(now()).iter().map(|row| row.key).collect();
    open.list.rearrange(&rows, 14);
    open.list.select(&TraceKey::Span(trace::span("judge/llm/0")), 14);
    let text = SpanText {
        input: Some(trace::JUDGE_INPUT.into()),
        output: Some(trace::JUDGE_OUTPUT.into()),
    };
    open.text = Some((trace::span("judge/llm/0"), Remote::ready(text, now())));
    open
}

fn needs() -> Vec<Need> {
    vec![
        Need {
            harm: Harm::Lost,
            what: "w-02de lost 11 s, exit by signal 9".into(),
            detail: "its 4 jobs move in ~4 s".into(),
            command: CommandId::Enter,
            target: Target::Worker(workers::name("02de")),
        },
        Need {
            harm: Harm::Dead,
            what: "4 dead by one cause: timeout".into(),
            detail: "chat claude-haiku-4-5: no reply within 30 s".into(),
            command: CommandId::ShowDead,
            target: Target::Jobs("status:dead class:timeout".to_owned()),
        },
        Need {
            harm: Harm::Slow,
            what: "LlamaIndexTS#2234 judge is slow".into(),
            detail: "22.1 s, p95 of w-7f3a is 20.8 s".into(),
            command: CommandId::ShowTrace,
            target: Target::Job(id("8f2c1a")),
        },
    ]
}

fn sent() -> std::collections::VecDeque<Sent> {
    let row = |seconds: f64, server, text: &str, count, micros| Sent {
        at: ago(seconds),
        server,
        text: text.into(),
        count,
        took: Some(Duration::from_micros(micros)),
    };
    [
        row(
            0.0,
            Server::Postgres,
            "counts and flow, workers, what ended last",
            3,
            1_200,
        ),
        row(
            0.0,
            Server::Valkey,
            "TIME, XLEN, XPENDING, ZCARD, ZRANGE, XRANGE, EXISTS, MGET",
            14,
            300,
        ),
        row(
            1.0,
            Server::Postgres,
            "counts and flow, workers, what ended last",
            3,
            1_250,
        ),
        row(
            1.0,
            Server::Valkey,
            "TIME, XLEN, XPENDING, ZCARD, ZRANGE, XRANGE, EXISTS, MGET",
            14,
            310,
        ),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_agree_from_view_to_view() {
        let model = story();
        let ledger = model.overview.ledger.value().unwrap();
        let queue = model.overview.queue.value().unwrap();
        let workers = model.workers.page.value().unwrap();
        assert!(ledger.counts.add_up());
        assert_eq!(ledger.counts.waiting, queue.waiting);
        assert_eq!(ledger.counts.running, queue.in_flight());
        let running = u64::from(workers.busy_slots() + workers.on_lost());
        assert_eq!(ledger.counts.running, running);
        let done: u64 = workers.rows.iter().map(|worker| worker.done).sum();
        assert_eq!(ledger.counts.done, done);
    }

    #[test]
    fn every_state_of_the_story_has_its_cursor_on_a_row() {
        for model in [
            story(),
            jobs(),
            job(),
            trace(),
            workers(),
            help(),
            dialog(),
            frozen(),
            read_only(),
        ] {
            assert!(model.workers.selected().is_some());
            assert!(model.jobs.selected().is_some());
            assert!(model.trace.selected_span().is_some());
        }
        assert_eq!(jobs().jobs.list.position(), Some(1));
        assert_eq!(jobs().jobs.list.len(), 11);
    }
}
