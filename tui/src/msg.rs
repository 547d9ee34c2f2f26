//! What can happen to the console: a key, an answer, a tick of the clock.
//!
//! All of it comes through one ordered channel; nothing else changes the model.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{JobId, SpanId};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::keymap::Key;
use crate::model::Fleet;
use crate::model::activity::ActivityPage;
use crate::model::connection::{Load, Sent, Server};
use crate::model::dead::{DeadPage, LettersPage};
use crate::model::figures::{LedgerFigures, QueueFigures};
use crate::model::job::JobFacts;
use crate::model::jobs::JobsPage;
use crate::model::notice::Tone;
use crate::model::order::{Came, Order, RunNews};
use crate::model::pending::PendingPage;
use crate::model::replay::Recording;
use crate::model::streams::StreamsPage;
use crate::model::trace::{SpanText, TraceFacts};
use crate::model::view::Size;
use crate::model::workers::{WorkerLine, WorkerName};

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Valkey's figures.
    Queue(QueueFigures),
    /// Postgres's figures.
    Ledger(LedgerFigures),
    /// A page of jobs.
    Jobs(JobsPage),
    /// A window of what is pending.
    Pending(PendingPage),
    /// The dead by their cause.
    Dead(DeadPage),
    /// The dead letters that no row knows.
    Letters(LettersPage),
    /// The streams of the whole server.
    Streams(StreamsPage),
    /// The newest actions.
    Activity(ActivityPage),
    /// One job, or that there is none of that id.
    Job(JobId, Option<JobFacts>),
    /// One trace, or that there is no such job.
    Trace(JobId, Option<TraceFacts>),
    /// The texts of one span.
    SpanText(SpanId, SpanText),
    /// The workers.
    Workers(Vec<WorkerLine>),
}

/// What an answer is about, for the answers that did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// [`Answer::Queue`].
    Queue,
    /// [`Answer::Ledger`].
    Ledger,
    /// [`Answer::Jobs`].
    Jobs,
    /// [`Answer::Pending`].
    Pending,
    /// [`Answer::Dead`].
    Dead,
    /// [`Answer::Letters`].
    Letters,
    /// [`Answer::Streams`].
    Streams,
    /// [`Answer::Activity`].
    Activity,
    /// [`Answer::Job`].
    Job(JobId),
    /// [`Answer::Trace`].
    Trace(JobId),
    /// [`Answer::SpanText`].
    SpanText(SpanId),
    /// [`Answer::Workers`].
    Workers,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Msg {
    /// Time has passed.
    Tick {
        /// The time, by our clock.
        now: DateTime<Utc>,
    },
    /// The terminal has another size.
    Resize(Size),
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The mouse was used.
    Mouse(Pointed),
    /// A server answered.
    Answer(Box<Answer>),
    /// What was answered before still holds: nothing has changed since.
    Unchanged {
        /// The question.
        topic: Topic,
    },
    /// A server did not answer a question.
    Missed {
        /// The question.
        topic: Topic,
        /// Why.
        why: Untrusted,
    },
    /// A server is there.
    Up {
        /// Which.
        server: Server,
        /// How long its answer took.
        latency: Duration,
        /// How far its clock is ahead of ours, in milliseconds, if it was asked.
        clock_ahead_ms: Option<i64>,
    },
    /// A server is not there.
    Down {
        /// Which.
        server: Server,
        /// Why.
        why: Untrusted,
        /// When it is asked again.
        next_try: DateTime<Utc>,
    },
    /// The console's own load over the last seconds.
    Load(Load),
    /// The console sent something.
    Sent(Sent),
    /// The demo's processes changed.
    Fleet(Fleet),
    /// A worker process of the demo ended: how, in words.
    WorkerEnded {
        /// Its process.
        pid: u32,
        /// `exit by signal 9`.
        how: Untrusted,
        /// It finished what it had and left: nothing is lost.
        in_order: bool,
    },
    /// What would come of an order, or why that cannot be said.
    Foreseen {
        /// The order.
        order: Order,
        /// What would come of it.
        came: Result<Came, Untrusted>,
    },
    /// What came of an order, or why nothing did.
    Carried {
        /// The order.
        order: Order,
        /// What came of it.
        came: Result<Came, Untrusted>,
    },
    /// How far a run that is driven here has got.
    Run(RunNews),
    /// Something that was asked for is done or was refused.
    Told {
        /// How it is meant.
        tone: Tone,
        /// In words.
        text: Untrusted,
    },
    /// A recording began, goes on, or has ended. It is about this console, so no recording holds it.
    Recording(Option<Recording>),
    /// A signal asks the process to end.
    Quit,
}

/// What was done with the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pointing {
    /// Its left button was pressed.
    Click,
    /// Its wheel was turned away.
    WheelUp,
    /// Its wheel was turned towards its user.
    WheelDown,
}

/// Where the mouse was used, and what stood there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointed {
    /// What was done.
    pub what: Pointing,
    /// The column.
    pub x: u16,
    /// The row.
    pub y: u16,
    /// The row's text, as it was drawn.
    pub line: String,
    /// The row of the cursor, if one was drawn.
    pub cursor: Option<u16>,
}

/// The worker an effect is about, with its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerProcess {
    /// Its id.
    pub name: WorkerName,
    /// Its process.
    pub pid: u32,
}
