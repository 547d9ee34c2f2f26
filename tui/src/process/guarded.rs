//! A running child process that ends when its owner ends.
//!
//! A thread waits for the child, so no async runtime has to be alive for it to be reaped. The one lock here
//! orders "send a signal" before or after "give the pid back": a signal never meets a stranger.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tokio::sync::watch;
use tracing::debug;

use super::launch::Launch;
use super::log;

/// A child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The file for its output could not be opened.
    #[error("open the log {path}: {source}", path = .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The child or its watcher could not be started; neither is left.
    #[error("start {program}: {source}")]
    Start {
        /// What was to run.
        program: String,
        /// Why it did not.
        source: io::Error,
    },
}

/// A child process that ends when this value is dropped and when this process ends, even by `kill -9`.
///
/// Dropping it does not wait: the watcher asks the child to end and kills it after its grace period. To see
/// it end, call [`Guarded::stop`].
pub struct Guarded {
    pid: Pid,
    log: PathBuf,
    log_start: u64,
    stop_signal: Signal,
    life: Arc<Mutex<Life>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

/// What the owner and the reaper share.
struct Life {
    /// The pipe to the watcher: closing it ends the child.
    leash: Option<ChildStdin>,
    /// Set before the pid goes back to the system.
    over: bool,
}

impl Guarded {
    /// Starts a child. It runs once its watcher stands, so there is no instant at which our death would
    /// leave it behind.
    pub fn spawn(launch: &Launch) -> Result<Guarded, SpawnError> {
        let failed = |source| SpawnError::Start {
            program: launch.program().display().to_string(),
            source,
        };
        let unlogged = |source| SpawnError::Log {
            path: launch.log().to_owned(),
            source,
        };
        let output = log::open(launch.log()).map_err(unlogged)?;
        let log_start = output.metadata().map_err(unlogged)?.len();

        let mut child = launch
            .gate(output)
            .and_then(|mut gate| gate.spawn())
            .map_err(failed)?;
        let gate = child.stdin.take();
        let mut watcher = match launch.watcher(child.id()).and_then(|mut watcher| watcher.spawn()) {
            Ok(watcher) => watcher,
            Err(source) => {
                drop(gate); // the gate sees its pipe close and goes
                let _gone = child.wait();
                return Err(failed(source));
            }
        };
        let life = Arc::new(Mutex::new(Life {
            leash: watcher.stdin.take(),
            over: false,
        }));
        let pid = Pid::from_child(&child);
        let (tell, ended) = watch::channel(None);
        let shared = Arc::clone(&life);
        thread::Builder::new()
            .name(format!("reaper-{pid}", pid = child.id()))
            .spawn(move || reap(child, watcher, &shared, &tell))
            .map_err(failed)?;
        let guarded = Guarded {
            pid,
            log: launch.log().to_owned(),
            log_start,
            stop_signal: launch.asked_to_end_with(),
            life,
            ended,
        };
        gate.map_or(Ok(()), |mut gate| gate.write_all(b"\n"))
            .map_err(failed)?;
        Ok(guarded)
    }

    /// The pid of the program itself, not of a shell around it.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The file that takes the child's output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What the child has written since it was started: at most the last 64 KiB.
    pub fn output(&self) -> String {
        log::since(&self.log, self.log_start)
    }

    /// How the child ended, or nothing while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Sends a signal to the child; does nothing once it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let life = lock(&self.life);
        if life.over {
            return Ok(());
        }
        // Under the lock the child is at worst a zombie, which keeps its pid.
        kill_process(self.pid, signal).map_err(io::Error::from)
    }

    /// Asks the child to end (SIGTERM).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills the child (SIGKILL), with no chance to tidy up.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits until the child has ended. Any number of tasks may wait, on any runtime.
    pub async fn wait(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_else(unknown_status),
            Err(_) => unknown_status(),
        }
    }

    /// Asks the child to end in its own way, waits as long as `within`, then kills it.
    pub async fn stop(&self, within: Duration) -> ExitStatus {
        // A signal can fail only for a child that changed its account: the kill below is as good as it gets.
        let _asked = self.signal(self.stop_signal);
        if let Ok(status) = tokio::time::timeout(within, self.wait()).await {
            return status;
        }
        let _killed = self.kill();
        self.wait().await
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The watcher sees its pipe close and does the rest; the reaper's own handle to it must not count.
        lock(&self.life).leash = None;
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("pid", &self.pid())
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}

/// Waits for the child and lets go of it in the one safe order: nobody may send a signal any more, what the
/// child had started is gone, the watcher is gone, and only then does the pid go back to the system.
fn reap(mut child: Child, mut watcher: Child, life: &Mutex<Life>, tell: &watch::Sender<Option<ExitStatus>>) {
    wait_without_reaping(Pid::from_child(&child));
    let status = {
        let mut life = lock(life);
        life.over = true;
        // The child's group lives on in what it had started: a killed worker may leave a `git` behind.
        let _rest = kill_process_group(Pid::from_child(&child), Signal::KILL);
        // By group, since the watcher may be in one of its short sleeps.
        let _killed = kill_process_group(Pid::from_child(&watcher), Signal::KILL);
        let _gone = watcher.wait();
        life.leash = None;
        child.wait().unwrap_or_else(|_| unknown_status())
    };
    debug!(process.pid = child.id(), %status, "child ended");
    tell.send_replace(Some(status));
}

/// Returns when the process is a zombie, or is not ours to wait for.
fn wait_without_reaping(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
}

/// A status that nobody could read counts as a failure.
fn unknown_status() -> ExitStatus {
    ExitStatus::from_raw(255 << 8)
}

/// A thread that panicked with the lock held leaves nothing half done here.
fn lock(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, folder: &Path) -> Launch {
        Launch::new("sh", folder.join("child.log")).args(["-c", script])
    }

    /// Waits until the child has written something, so that it is past its first steps.
    async fn spoken(child: &Guarded) {
        while child.output().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_reports_its_own_pid_output_and_status() {
        let folder = tempfile::tempdir().unwrap();
        let child = Guarded::spawn(&sh("echo pid $$; exit 7", folder.path())).unwrap();
        assert_eq!(child.wait().await.code(), Some(7));
        assert_eq!(child.output(), format!("pid {}\n", child.pid()));
        child.terminate().expect("a signal after the end does nothing");
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_signal_is_killed_after_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let child = Guarded::spawn(&sh(
            "trap '' TERM; echo deaf; while :; do sleep 0.05; done",
            folder.path(),
        ))
        .unwrap();
        spoken(&child).await;
        let status = child.stop(Duration::from_millis(50)).await;
        assert_eq!(status.signal(), Some(9));
    }

    #[tokio::test]
    async fn a_dropped_child_is_asked_to_end_and_then_killed() {
        let folder = tempfile::tempdir().unwrap();
        let stubborn = sh(
            "trap '' TERM; echo deaf; while :; do sleep 0.05; done",
            folder.path(),
        );
        let child = Guarded::spawn(&stubborn.grace(Duration::from_millis(200))).unwrap();
        spoken(&child).await;
        let mut ended = child.ended.clone();
        drop(child);
        let status = *ended.wait_for(Option::is_some).await.unwrap();
        assert_eq!(status.and_then(|status| status.signal()), Some(9));
    }

    #[tokio::test]
    async fn what_a_killed_child_had_started_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let child = Guarded::spawn(&sh("sleep 600 & echo $!; wait", folder.path())).unwrap();
        spoken(&child).await;
        let grandchild = Pid::from_raw(child.output().trim().parse().unwrap()).unwrap();
        child.kill().unwrap();
        child.wait().await;
        // It is nobody's child now: whoever inherited it reaps it in a moment.
        while rustix::process::test_kill_process(grandchild).is_ok() && !is_zombie(grandchild) {
            tokio::task::yield_now().await;
        }
    }

    fn is_zombie(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_by_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new("/no/such/program", folder.path().join("child.log"));
        let child = Guarded::spawn(&launch).unwrap();
        assert_eq!(child.wait().await.code(), Some(127));
        assert!(child.output().contains("/no/such/program"), "{}", child.output());
    }

    #[test]
    fn a_child_outlives_the_runtime_it_was_started_from() {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let launch = sh("exec sleep 600", folder.path());
        let child = runtime().block_on(async { Guarded::spawn(&launch) }).unwrap();
        assert!(child.ended().is_none());
        let status = runtime().block_on(child.stop(Duration::from_secs(5)));
        assert_eq!(status.signal(), Some(15));
    }
}
