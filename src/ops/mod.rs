//! Everything that changes the system on somebody's behalf starts here: producers submit, operators
//! act. Console, commands and page call the same functions.
//!
//! An operator's action writes its intent first, then has its effect, then writes the outcome, so the
//! book shows what was wanted even when the process died in between.

mod error;
pub mod submit;

pub use error::OpsError;
pub use submit::{Submission, Submitted, Submitter};
