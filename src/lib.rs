//! Millstream: the job stream for AI agents.

pub mod backoff;
pub mod bench;
pub mod clock;
pub mod domain;
pub mod engine;
pub mod exit;
pub mod logging;
pub mod ops;
pub mod queue;
pub mod reports;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod untrusted;
