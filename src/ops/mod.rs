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

mod action;
pub mod bulk;
mod callback;
pub mod dead;
mod enqueue;
mod error;
pub mod jobs;
mod operator;
mod outcome;
pub mod pause;
pub mod submit;

pub use callback::{Callbacks, reach};
pub use dead::Selection;
pub use error::OpsError;
pub use operator::{MOST_IDS, Operator};
pub use outcome::{Mode, Outcome, Refusal, Why};
pub use submit::{Submission, Submitted, Submitter};
