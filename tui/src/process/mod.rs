//! Child processes that end when this process ends.
//!
//! The demo starts servers, a web process and workers. However the demo goes (a normal end, a panic,
//! `kill -9`), nothing it started may stay behind. Neither `Drop` nor a signal handler runs on `kill -9`,
//! so the care is given to somebody else: each child has a *watcher*, a tiny shell whose standard input is
//! a pipe that only this process holds. The kernel closes the pipe when we are gone, the watcher's `read`
//! returns, and it ends the child.
//!
//! ```text
//!   us ──spawn──▶ gate (sh: waits for a line, then `exec`s the program: same pid) ──▶ the child
//!    │                                                                                  ▲
//!    └──pipe────▶ watcher (sh: waits for the pipe to close) ────── TERM, then KILL ─────┘
//! ```
//!
//! What holds, whatever the instant at which we die:
//!
//! - The child runs only once its watcher does: the gate opens after the watcher was started, and a gate
//!   whose pipe closes first goes away.
//! - The child's pid is the pid of the real program, so signals reach it and its exit status is its own.
//! - No signal is ever sent to a pid that was given to somebody else: the child is left a zombie, which
//!   keeps its pid, until its watcher is gone and no signal of ours is under way.
//! - Nothing depends on an async runtime: a child outlives the runtime it was started from, and it can be
//!   awaited from another one. The test suite starts its servers in one test and uses them in all.
//!
//! - [`launch`]: what to start and how it is to be ended.
//! - [`guarded`]: the running child.
//! - [`log`]: the file its output goes to.

pub mod guarded;
pub mod launch;
pub mod log;

pub use guarded::{Guarded, SpawnError};
pub use launch::Launch;
