//! What to start as a guarded child: the program, its surroundings, and the way it wants to be ended.
//!
//! This is `std::process::Command` without what a guarded child cannot have (a standard input, a pipe for
//! its output) and with what it must have (a log file, a stop signal, a grace period).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

/// How long a child may take to end by itself once we are gone, before it is killed. Nothing may be left
/// two seconds after a `kill -9`, and the watcher needs some of that for itself.
const GRACE: Duration = Duration::from_millis(1200);

/// Waits for a line before it becomes the program, so that the watcher stands first.
const GATE: &str = r#"read -r _ || exit 125; exec "$@" </dev/null"#;

/// Ends the child (`$1`) with a signal (`$2`), and with KILL after so many tenths of a second (`$3`), once
/// standard input is closed. KILL goes to the child's whole group: what the child had started goes too. A
/// child that has ended stays a zombie where nobody reaps orphans (the first process of many containers), and
/// signal 0 reaches a zombie; `/proc` tells it apart where there is one.
const WATCHER: &str = r#"trap "" HUP INT TERM
while read -r _; do :; done
kill -s "$2" "$1" 2>/dev/null || exit 0
tenths=0
while [ "$tenths" -lt "$3" ]; do
  kill -0 "$1" 2>/dev/null || break
  stat=
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null
  case $stat in *") Z "*) break ;; esac
  sleep 0.1 || sleep 1
  tenths=$((tenths + 1))
done
kill -s KILL -- "-$1" 2>/dev/null
exit 0"#;

/// A program to be started by [`Guarded::spawn`](super::Guarded::spawn).
#[derive(Debug, Clone)]
pub struct Launch {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, Option<OsString>)>,
    dir: Option<PathBuf>,
    account: Option<(u32, u32)>,
    log: PathBuf,
    stop_signal: Signal,
    grace: Duration,
    held: Option<Arc<File>>,
}

impl Launch {
    /// Starts `program` (a path, or a name that is looked up in `PATH`) with its standard output and error
    /// appended to the file `log`. It inherits our environment and folder, and is ended with SIGTERM.
    pub fn new(program: impl AsRef<OsStr>, log: impl Into<PathBuf>) -> Launch {
        Launch {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            dir: None,
            account: None,
            log: log.into(),
            stop_signal: Signal::TERM,
            grace: GRACE,
            held: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Launch {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Launch {
        self.envs
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable out of the environment that the child inherits.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Launch {
        self.envs.push((name.as_ref().to_owned(), None));
        self
    }

    /// Runs the child in this folder.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Launch {
        self.dir = Some(dir.into());
        self
    }

    /// Runs the child as another account. Only root can.
    #[must_use]
    pub fn run_as(mut self, uid: u32, gid: u32) -> Launch {
        self.account = Some((uid, gid));
        self
    }

    /// The signal that asks the child to end: SIGTERM unless set.
    #[must_use]
    pub fn stop_signal(mut self, signal: Signal) -> Launch {
        self.stop_signal = signal;
        self
    }

    /// How long the child may take to end after its owner is gone, before it is killed: 1.2 s unless set.
    /// It counts only when the child is dropped or we die; [`Guarded::stop`](super::Guarded::stop) takes
    /// its own limit.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Launch {
        self.grace = grace;
        self
    }

    /// Keeps a file open until the child is gone, also when we go first: a lock on it then says whether
    /// anything of ours still runs.
    #[must_use]
    pub fn holding(mut self, file: Arc<File>) -> Launch {
        self.held = Some(file);
        self
    }

    /// The file that takes the child's output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The program to run, for messages.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    pub(super) fn asked_to_end_with(&self) -> Signal {
        self.stop_signal
    }

    /// The shell that waits for a line and then becomes the program. Its group is its own: a Ctrl-C in the
    /// terminal must reach us alone, since we end the children in the right order.
    pub(super) fn gate(&self, output: File) -> io::Result<Command> {
        let mut gate = Command::new("/bin/sh");
        gate.arg("-c")
            .arg(GATE)
            .arg("millstream-gate")
            .arg(&self.program)
            .args(&self.args);
        gate.stdin(Stdio::piped())
            .stderr(output.try_clone()?)
            .stdout(output)
            .process_group(0);
        for (name, value) in &self.envs {
            match value {
                Some(value) => gate.env(name, value),
                None => gate.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            gate.current_dir(dir);
        }
        if let Some((uid, gid)) = self.account {
            gate.uid(uid).gid(gid);
        }
        Ok(gate)
    }

    /// The shell that ends the child `pid` when its standard input closes. It holds nothing of ours: not
    /// our folder, and not our output, or a reader of our output would wait for it after we are gone.
    pub(super) fn watcher(&self, pid: u32) -> io::Result<Command> {
        let mut watcher = Command::new("/bin/sh");
        watcher.arg("-c").arg(WATCHER).arg("millstream-watcher");
        watcher.arg(pid.to_string()).arg(signal_name(self.stop_signal));
        watcher.arg((self.grace.as_millis() / 100).to_string());
        let held = match &self.held {
            Some(file) => Stdio::from(file.try_clone()?),
            None => Stdio::null(),
        };
        // What is held is the watcher's standard output, which it never writes to.
        watcher.stdin(Stdio::piped()).stdout(held).stderr(Stdio::null());
        watcher.current_dir("/").process_group(0);
        Ok(watcher)
    }
}

/// The name that `kill -s` knows a stop signal by.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::QUIT => "QUIT",
        Signal::HUP => "HUP",
        Signal::KILL => "KILL",
        _ => "TERM",
    }
}
