//! The job engine: runs any job type from a queue, and keeps the delivery promises.
//!
//! One shape throughout: the world becomes an event, a synchronous function decides, a thin runtime
//! does what it says.
//!
//! * [`dispatcher`] decides. It is pure, and its invariant is a property test: every delivered entry
//!   ends exactly once, and after its lease is lost nothing is written for it.
//! * [`outcome`] says which failure is followed by what.
//! * `runtime` has the one `select!`; `fetch`, `listen`, `heartbeat`, `sweep`, `reconcile`, `release` and
//!   `telemetry` are the loops around it. They talk to it by channels, never to each other.
//! * `asking` says how many questions for entries are on their way, for `fetch`.
//! * [`worker`] starts the loops in order and stops them in reverse.
//! * [`job`], [`context`] and [`ledger`] are what a job type sees.
//!
//! One round of `sweep`, `reconcile`, `release` and `leases` can be called by itself, for whoever has a clock of their
//! own: the model test does.
//!
//! `examples/` has a complete second job type.

mod asking;
mod attempt;
pub mod card;
mod clerk;
pub mod context;
pub mod dispatcher;
mod fetch;
mod heartbeat;
mod held;
pub mod job;
pub mod leases;
pub mod ledger;
mod listen;
pub mod outcome;
pub mod preflight;
pub mod reconcile;
pub mod release;
mod runtime;
pub mod sweep;
mod telemetry;
pub mod worker;

pub use context::JobContext;
pub use heartbeat::Hearts;
pub use job::{Handler, Job};
pub use ledger::{Ledger, NoLedger};
pub use worker::{EngineError, Identity, Stop, Worker};
