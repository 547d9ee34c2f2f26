//! Settings from the environment, read once, with all faults reported together.
//!
//! Each part of the product has a small struct. [`Reader`] looks variables up through a function,
//! so a test hands it a map. [`catalog`] lists every variable; `.env.example` and the table of the
//! README are made from it.

pub mod catalog;
mod parts;
mod reader;

pub use parts::{CallbackSettings, EngineSettings, LogFormat, LogSettings, QueueSettings, ServerSettings};
pub use reader::{Fault, Faults, Reader, process_environment};
