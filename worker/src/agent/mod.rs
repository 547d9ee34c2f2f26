//! An agent: a prompt, at most one tool, and a conversation with a model that ends in an answer.
//!
//! [`roster`] lists the agents, [`parts`] cuts a large change, [`prompt`] writes what they are shown, [`turns`] holds the
//! conversation, [`budget`] ends one that does not end by itself, [`trace`] tells what happened.

pub mod budget;
pub mod parts;
pub mod prompt;
pub mod roster;
pub mod trace;
pub mod turns;

pub use budget::Limits;
pub use roster::Agent;
pub use turns::{Answer, Stage};
