//! The story in every condition a system can be in: new, silent, half away, wholly away, only looked at.

use std::time::Duration;

use chrono::TimeDelta;
use millstream::untrusted::Untrusted;

use super::{figures, id, jobs, jobs_page, lamps, now, story, unanswered, workers};
use crate::model::activity::ActivityPage;
use crate::model::connection::Server;
use crate::model::dead::{DeadPage, LettersPage};
use crate::model::figures::{Counts, LedgerFigures, QueueFigures};
use crate::model::filter::Filter;
use crate::model::job::Job;
use crate::model::jobs::JobsPage;
use crate::model::pending::PendingPage;
use crate::model::remote::Remote;
use crate::model::streams::StreamsPage;
use crate::model::workers::WorkersPage;
use crate::model::{Access, Frozen, Model};

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
            in_lately_per_s: 0.0,
            spent_usd: 0.0,
            tokens: 0,
            recent: Vec::new(),
            ..figures::ledger()
        },
        now(),
    );
    model.jobs.page = Remote::ready(JobsPage::default(), now());
    model.pending.page = Remote::ready(PendingPage::default(), now());
    model.dead.page = Remote::ready(DeadPage::default(), now());
    let none = LettersPage {
        whole: true,
        ..LettersPage::default()
    };
    model.dead.letters = Remote::ready(none, now());
    model.streams.page = Remote::ready(StreamsPage::default(), now());
    model.activity.page = Remote::ready(ActivityPage::default(), now());
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
    let nothing = Filter::new("worker:w-ffff");
    model.workers.filter = nothing.clone();
    model.workers.list.rearrange(&[], 20);
    model.trace.filter = nothing.clone();
    let rows: Vec<_> = model.trace.rows(now()).iter().map(|row| row.key).collect();
    model.trace.list.rearrange(&rows, 14);
    model.pending.filter = nothing.clone();
    model.pending.list.rearrange(&[], 20);
    model.dead.filter = nothing.clone();
    model.dead.list.rearrange(&[], 20);
    model.streams.filter = nothing.clone();
    model.streams.list.rearrange(&[], 20);
    model.activity.filter = nothing;
    model.activity.list.rearrange(&[], 20);
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
    model.overview.ledger = Remote::ready(figures::ledger(), fresh);
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
        .pending
        .page
        .fail("reach Valkey: Connection refused (os error 111)".into(), now());
    model
        .trace
        .facts
        .fail("reach Postgres: Connection refused (os error 111)".into(), now());
    model
}

/// A console that only looks, on a system elsewhere.
pub fn read_only() -> Model {
    let mut model = story();
    model.access = Access::ReadOnly;
    model.fleet = None;
    model.profile.name = "remote".into();
    model
}

/// The screen was stopped 12 s ago.
pub fn frozen() -> Model {
    let mut model = story();
    model.frozen = Some(Frozen {
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
            model.pending.page.fail(why.clone(), seen);
            model.streams.page.fail(why.clone(), seen);
            model.dead.letters.fail(why.clone(), seen);
            model.workers.page.fail(why, seen);
        }
        Server::Postgres => {
            model.dead.page.fail(why.clone(), seen);
            model.activity.page.fail(why.clone(), seen);
            model.overview.ledger.fail(why.clone(), seen);
            model.jobs.page.fail(why.clone(), seen);
            model.trace.facts.fail(why.clone(), seen);
            if let Some(job) = &mut model.job {
                job.facts.fail(why, seen);
            }
        }
    }
}
