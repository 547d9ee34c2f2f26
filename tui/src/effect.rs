//! What the update asks the runtime to do. Effects carry ids, never "the selected row".

use millstream::domain::{JobId, SpanId};
use serde::Serialize;

use crate::model::filter::Filter;
use crate::model::order::Order;
use crate::model::pending::Place;
use crate::model::streams::{StreamKey, StreamPane};
use crate::msg::WorkerProcess;

/// What is on the screen and must be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Wish {
    /// Figures, workers, what just happened.
    Overview,
    /// A page of jobs.
    Jobs {
        /// The filter.
        filter: Filter,
        /// At most so many rows.
        limit: u32,
    },
    /// A window of what is pending.
    Pending {
        /// Where it stands.
        place: Place,
        /// At most so many rows.
        limit: u32,
    },
    /// The dead by their cause.
    Dead {
        /// The cause whose jobs are listed.
        unfolded: Option<String>,
    },
    /// The streams of the whole server.
    Streams {
        /// The row under the cursor.
        near: Option<StreamKey>,
        /// What is told of it.
        pane: StreamPane,
        /// It has the screen for itself.
        open: bool,
    },
    /// The newest actions.
    Activity {
        /// At most so many.
        limit: u32,
    },
    /// One job.
    Job(JobId),
    /// One trace, with the texts of one span.
    Trace {
        /// The job.
        id: JobId,
        /// The span.
        span: Option<SpanId>,
    },
    /// The workers.
    Workers,
    /// Nothing: no job was chosen.
    Nothing,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// From now on this is on the screen; what was asked for before is not needed any more.
    Watch(Wish),
    /// Ask now.
    Refresh,
    /// Ask this often; nothing means not at all.
    Every(Option<std::time::Duration>),
    /// Ask what would come of an order.
    Foresee(Order),
    /// Carry an order out.
    Carry(Order),
    /// Put a text on the clipboard of whoever sits at the terminal.
    Copy(String),
    /// Submit so many demo diffs.
    Submit(u32),
    /// Start a worker process.
    AddWorker,
    /// Let a worker process finish and leave.
    DrainWorker(WorkerProcess),
    /// Kill a worker process.
    KillWorker(WorkerProcess),
    /// Begin a recording, or end the one that runs.
    Record,
    /// Draw everything again, as after a resize.
    Redraw,
    /// Stop, as a shell's Ctrl-Z stops a program, until the shell lets us go on.
    Stop,
    /// Leave the console.
    Quit,
}
