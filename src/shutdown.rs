//! How a process ends: the first signal asks it to finish, the second insists, and nothing that still
//! blocks a thread holds up the exit.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a thread that still blocks has to end once the work is done.
const THREADS_END_WITHIN: Duration = Duration::from_millis(500);

/// Runs a process's work on a runtime of its own, and leaves it when the work is done.
///
/// # Errors
/// When the system gives no threads.
pub fn run<F: Future>(work: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    Ok(outcome)
}

/// SIGTERM and SIGINT, counted.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts listening. From here on neither signal ends the process by itself.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
