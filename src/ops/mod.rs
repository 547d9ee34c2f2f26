//! Everything that changes the system on somebody's behalf starts here: producers submit, operators
//! act. Console, commands and page call the same functions.
//!
//! An operator's action writes its intent first, then has its effect, then writes the outcome, so the
//! book shows what was wanted even when the process died in between. Each answers what was done and what was
//! refused; none of them prints.
//!
//! * [`submit`]: a review is accepted.
//! * [`bulk`]: many jobs are accepted at once.
//! * [`jobs`]: a job is run now, called off, given up, or taken from who holds it.
//! * [`dead`]: dead jobs are put back, or thrown away.
//! * [`pause`]: a queue gives nothing out, or runs again.
//! * [`tokens`]: somebody is let in over HTTP, or no longer.
//! * [`plan`], [`runs`]: many dead jobs are put back, at a pace ([`pace`]), by whoever drives the run.
//! * [`undo`]: an action is taken back, as far as that goes.
//! * [`edit`]: a dead job gets another input. [`burst`]: many submissions at once. [`scale`]: more or fewer workers.
//! * [`glass`]: what can be done while Postgres is away.
//! * [`rights`]: who may, and what they have to type before.

mod action;
pub mod bulk;
pub mod burst;
mod callback;
pub mod dead;
pub mod edit;
mod enqueue;
mod error;
pub mod glass;
mod headroom;
mod intake;
pub mod jobs;
mod marks;
mod operator;
mod outcome;
pub mod pace;
pub mod pause;
pub mod plan;
pub mod rights;
pub mod runs;
pub mod scale;
pub mod submit;
pub mod tokens;
pub mod undo;

pub use callback::{Callbacks, reach};
pub use dead::Selection;
pub use edit::Edited;
pub use error::OpsError;
pub use glass::Glass;
pub use operator::{MOST_IDS, Operator};
pub use outcome::{Mode, Outcome, Refusal, Why};
pub use plan::{Plan, Tally};
pub use rights::{Consent, Count, Refused, Rights, Who};
pub use runs::DriveEnd;
pub use scale::{DemoFleet, Fleet, FleetError, Scaled};
pub use submit::{Submission, Submitted, Submitter};
pub use undo::Undoing;
