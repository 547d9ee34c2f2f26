//! One story, told by fixed data: what `millstream frame` draws and the snapshots compare.
//!
//! A burst of 200 jobs came 97 s ago, one of three workers was killed 11 s ago, and one run of the model's
//! time-outs has buried four jobs. Ids and clock never change, and figures agree from view to view.
//! `conditions` has the same story while servers are away, [`crowd`] as much as a console ever shows.

mod activity;
mod conditions;
mod crowd;
mod dead;
mod figures;
mod flow;
mod jobs;
mod needs;
mod pending;
mod sent;
mod streams;
mod trace;
mod workers;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use millstream::domain::{JobId, SpanId};
use uuid::Uuid;

pub use conditions::{both_lost, empty, failed, frozen, loading, no_match, read_only, stale, valkey_lost};
pub use crowd::{crowd, fleet, long_trace};

use crate::model::connection::Load;
use crate::model::dead::DeadKey;
use crate::model::filter::Filter;
use crate::model::job::Job;
use crate::model::jobs::{JobSort, JobsPage};
use crate::model::overlay::{Choice, Dialog, Intent, Overlay};
use crate::model::pending::PendingSort;
use crate::model::remote::Remote;
use crate::model::streams::{Detail, StreamPane};
use crate::model::trace::{SpanText, Trace, TraceKey};
use crate::model::view::{Size, View};
use crate::model::workers::WorkersPage;
use crate::model::{Fleet, Model, Profile};

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
    model.overview.queue = Remote::ready(figures::queue(), now());
    model.overview.ledger = Remote::ready(figures::ledger(), now());
    model.overview.needs = needs::needs();
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
    model.pending.page = Remote::ready(pending::page(), now());
    model.pending.arrange(20);
    model.dead.page = Remote::ready(dead::page(), now());
    model.dead.letters = Remote::ready(dead::letters(), now());
    let causes = model.dead.wanted();
    model.dead.list.rearrange(&causes, 20);
    model.streams.page = Remote::ready(streams::page(), now());
    let names = model.streams.wanted();
    model.streams.list.rearrange(&names, 20);
    model.streams.list.select(&streams::chosen(), 20);
    model.activity.page = Remote::ready(activity::page(), now());
    let actions = model.activity.wanted();
    model.activity.list.rearrange(&actions, 20);
    model.job = Some(open_job());
    model.trace = open_trace();
    model.sent = sent::sent();
    model
}

/// The story before any server has answered.
fn unanswered() -> Model {
    let profile = Profile {
        name: "demo".into(),
        queue: "reviews:queue".into(),
        group: "reviewers".into(),
        tint: None,
        is_production: false,
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

/// The same on a worker whose clock is 1.7 s behind, with a span whose parent was never written; the first try is
/// looked at.
pub fn skewed_trace() -> Model {
    let mut model = trace();
    model.trace.facts = Remote::ready(Some(trace::skewed()), now());
    model.trace.folded.clear();
    let rows: Vec<TraceKey> = model.trace.rows(now()).iter().map(|row| row.key).collect();
    model.trace.list.rearrange(&rows, 14);
    let chosen = TraceKey::Span(trace::span("1/performance/llm/0"));
    model.trace.list.select(&chosen, 14);
    model
}

/// A tool of that trace, which ran when its turn had ended.
pub fn contrast_span() -> SpanId {
    trace::span("ux/contrast_ratio")
}

/// What is pending, the gravest first.
pub fn pending() -> Model {
    let mut model = at(&[View::Overview, View::Pending]);
    model.pending.sort = PendingSort::State;
    let wanted = model.pending.wanted();
    model.pending.list.rearrange(&wanted, 20);
    model
}

/// The dead by their cause, the largest unfolded.
pub fn dead() -> Model {
    let mut model = at(&[View::Overview, View::Dead]);
    model.dead.unfolded = Some("e3a91c07b4d2".to_owned());
    let wanted = model.dead.wanted();
    model.dead.list.rearrange(&wanted, 20);
    model
}

/// The same with the letters unfolded that no row knows.
pub fn dead_letters() -> Model {
    let mut model = at(&[View::Overview, View::Dead]);
    model.dead.unfolded = Some("letters:4d01c29be7a5".to_owned());
    let wanted = model.dead.wanted();
    model.dead.list.rearrange(&wanted, 20);
    if let Some(letter) = wanted.iter().find(|key| matches!(key, DeadKey::Letter(_))) {
        model.dead.list.select(letter, 20);
    }
    model
}

/// The streams of the whole server.
pub fn streams() -> Model {
    at(&[View::Overview, View::Streams])
}

/// One stream with the screen for itself: what its group holds.
pub fn stream() -> Model {
    let mut model = streams();
    model.streams.open();
    model
}

/// The same, with the many consumers of its group.
pub fn stream_consumers() -> Model {
    let mut model = stream();
    model.streams.pane = StreamPane::Consumers;
    if let Some(page) = model.streams.page.value_mut() {
        let told = Detail::Consumers(Some(streams::consumers()));
        page.detail = Some((streams::chosen(), told));
    }
    model
}

/// The same, with all groups of the stream.
pub fn stream_groups() -> Model {
    let mut model = stream();
    model.streams.pane = StreamPane::Groups;
    model
}

/// The operators' book.
pub fn activity() -> Model {
    at(&[View::Overview, View::Activity])
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
    let lines = vec![
        "kill -9 to process 48110 on render-7d9.".into(),
        "4 jobs run there. Another worker takes them over within 5 s;".into(),
        "what their agents have finished is kept and not paid for again.".into(),
    ];
    let kill = Choice::new("Kill", Intent::KillWorker(workers::name("7f3a")));
    let mut dialog = Dialog::new("Kill w-7f3a", lines, kill);
    let drain = Intent::DrainWorker(workers::name("7f3a"));
    dialog.choices.push(Choice::new("Drain instead", drain));
    model.overlay = Some(Overlay::Dialog(dialog));
    model
}

/// The story with these views open, one after the other.
fn at(path: &[View]) -> Model {
    Model {
        path: path.to_vec(),
        ..story()
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
        assert_eq!(model.pending.page.value().unwrap().total, queue.pending);
        assert_eq!(model.dead.page.value().unwrap().total, ledger.counts.dead);
    }

    #[test]
    fn every_state_of_the_story_has_its_cursor_on_a_row() {
        for model in [
            story(),
            jobs(),
            job(),
            trace(),
            pending(),
            dead(),
            streams(),
            activity(),
            workers(),
            help(),
            dialog(),
            frozen(),
            read_only(),
        ] {
            assert!(model.workers.selected().is_some());
            assert!(model.jobs.selected().is_some());
            assert!(model.pending.selected().is_some());
            assert!(model.dead.selected().is_some());
            assert!(model.streams.selected().is_some());
            assert!(model.activity.selected().is_some());
            assert!(model.trace.selected_span().is_some());
        }
        assert_eq!(jobs().jobs.list.position(), Some(1));
        assert_eq!(jobs().jobs.list.len(), 11);
    }
}
