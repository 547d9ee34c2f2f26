//! The built `millstream` binary, run as a user runs it: in a clean environment with a home of its own, with
//! a deadline, and with nothing left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use millstream::domain::JobId;
use millstream::settings::process_environment;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::until;
use super::world::World;

/// Far longer than any command of the suite takes; only a failing test waits so long.
const DEADLINE: Duration = Duration::from_secs(60);
/// A variable by which everything that a test has started is recognised.
const MARK: &str = "MILLSTREAM_TEST_HOME";

/// The binary, built from the sources as they are now.
fn binary() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(find) {
        Ok(path) => path,
        Err(why) => panic!("{why}: type `cargo build --workspace`"),
    }
}

/// Cargo builds a package's binary for that package's own tests only, so this one may be missing or old.
fn find() -> Result<PathBuf, String> {
    let suite = std::env::current_exe().map_err(|error| format!("find the suite's own program: {error}"))?;
    let folder = suite.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let path = folder.join("millstream");
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let Ok(built) = modified(&path) else {
        return Err(format!("there is no {}", path.display()));
    };
    let newer = |source: &PathBuf| source.is_file() && modified(source).is_ok_and(|at| at > built);
    match sources(&path.with_extension("d")).into_iter().find(newer) {
        Some(source) => Err(format!("{} is older than {}", path.display(), source.display())),
        None => Ok(path),
    }
}

/// The files that a program was built from, as cargo noted them.
fn sources(note: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(note).unwrap_or_default();
    let (_, list) = text.split_once(": ").unwrap_or_default();
    list.replace("\\ ", "\0")
        .split_whitespace()
        .map(|name| PathBuf::from(name.replace('\0', " ")))
        .collect()
}

/// A user with an empty home: no settings, no demo, nothing inherited but where programs and caches are.
pub struct Home {
    folder: TempDir,
    mark: String,
    vars: BTreeMap<String, String>,
    /// Another binary than the one that was built from the sources as they are now.
    other: Option<PathBuf>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command that goes on; it is killed when this is dropped.
pub struct Started {
    child: Mutex<Child>,
    pid: Pid,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("millstream-home-")
            .tempdir()
            .expect("a folder can be made");
        let runtime = folder.path().join("run");
        fs::create_dir(&runtime).expect("a fresh folder");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("our folder");
        let mark = JobId::fresh().to_string();
        let mut vars = BTreeMap::new();
        let mut set = |name: &str, value: Option<String>| {
            vars.extend(value.map(|value| (name.to_owned(), value)));
        };
        // What was fetched once is not fetched again.
        let cache = process_environment("XDG_CACHE_HOME")
            .or_else(|| process_environment("HOME").map(|home| format!("{home}/.cache")));
        set("XDG_CACHE_HOME", cache);
        for name in ["PATH", "TMPDIR", "MILLSTREAM_SERVERS"] {
            set(name, process_environment(name));
        }
        set("HOME", Some(folder.path().display().to_string()));
        set("XDG_RUNTIME_DIR", Some(runtime.display().to_string()));
        set(MARK, Some(mark.clone()));
        Self {
            folder,
            mark,
            vars,
            other: None,
        }
    }

    /// The home of somebody who works with a world's servers and queue.
    pub fn beside(world: &World) -> Self {
        Self::new()
            .with("VALKEY_URL", &world.valkey_url)
            .with("DATABASE_URL", &world.database_url)
            .with("QUEUE", &world.settings.name)
    }

    /// With a variable set.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With another binary, such as an earlier version's.
    pub fn with_binary(mut self, binary: PathBuf) -> Self {
        self.other = Some(binary);
        self
    }

    /// The binary, and the environment in which this user runs it.
    pub fn binary_and_vars(&self) -> (&Path, &BTreeMap<String, String>) {
        let binary = self.other.as_deref().unwrap_or_else(|| binary());
        (binary, &self.vars)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its runtime folder, where demos are found.
    pub fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    /// Leaves its folder behind, as evidence; answers its path.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// A file in it; answers its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        path.display().to_string()
    }

    /// Runs a command to its end, with nothing on its standard input.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(&[], args, b"").await
    }

    /// Runs a command to its end, with more variables and a standard input.
    pub async fn run_with(&self, vars: &[(&str, &str)], args: &[&str], input: &[u8]) -> Ran {
        let mut command = tokio::process::Command::from(self.command(vars, args));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .expect("the binary can be started");
        let mut pipe = child.stdin.take().expect("it is piped");
        let (_unread, ended) = tokio::join!(
            async move { pipe.write_all(input).await },
            tokio::time::timeout(DEADLINE, child.wait_with_output()),
        );
        let output = ended
            .unwrap_or_else(|_| panic!("millstream {args:?} did not end"))
            .expect("its output can be read");
        Ran {
            code: code(output.status),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Starts a command that goes on; its output goes to files called after `name`.
    pub fn start(&self, name: &str, vars: &[(&str, &str)], args: &[&str]) -> Started {
        let (stdout, stderr) = (
            self.path().join(format!("{name}.out")),
            self.path().join(format!("{name}.log")),
        );
        let file = |path: &Path| File::create(path).expect("a file can be made");
        let mut command = self.command(vars, args);
        command
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr));
        let child = command.spawn().expect("the binary can be started");
        Started {
            pid: Pid::from_child(&child),
            child: Mutex::new(child),
            stdout,
            stderr,
        }
    }

    fn command(&self, vars: &[(&str, &str)], args: &[&str]) -> std::process::Command {
        let (binary, own) = self.binary_and_vars();
        let mut command = std::process::Command::new(binary);
        command
            .args(args)
            .env_clear()
            .envs(own)
            .envs(vars.iter().copied());
        command
    }

    /// The processes that were started from this home, by whomever, or that work in this folder. A process
    /// that has ended and waits to be reaped is none.
    pub fn processes(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found: Vec<String> = entries
            .map(|entry| entry.path())
            .filter(|path| self.is_ours(path, folder))
            .map(|path| format!("{} {}", path.display(), text(&path.join("cmdline"))))
            .collect();
        found.sort();
        found
    }

    /// Postgres writes over its environment, so a process is also known by what it works in.
    fn is_ours(&self, process: &Path, folder: &Path) -> bool {
        let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut open = links
            .map(|entry| entry.path())
            .chain([process.join("cwd")])
            .filter_map(|link| fs::read_link(link).ok());
        text(&process.join("environ")).contains(&self.mark)
            || text(&process.join("cmdline")).contains(&folder.display().to_string())
            || open.any(|target| target.starts_with(folder))
    }
}

/// A file of `/proc`, with spaces where it has NULs; nothing if the process is gone.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The exit code, or 128 and the signal, as a shell has it.
fn code(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}

impl Ran {
    /// Its standard output: one line of JSON.
    pub fn json(&self) -> Value {
        one_line_of_json(&self.stdout)
    }

    /// The lines of its standard error.
    pub fn complaint(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }
}

fn one_line_of_json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "one line of JSON is wanted: {text}");
    serde_json::from_str(text).expect("JSON")
}

impl Started {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).expect("its file is there")
    }

    /// What it has written to standard error: the log of a service.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("its file is there")
    }

    /// Its standard output: one line of JSON.
    pub fn json(&self) -> Value {
        one_line_of_json(&self.stdout())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        assert_eq!(self.ended(), None, "its pid is its own while it runs");
        kill_process(self.pid, signal).expect("it is our child");
    }

    /// Waits until its log says something.
    pub async fn until_said(&self, words: &str) {
        until(&format!("the log says `{words}`"), || async {
            let said = self.stderr();
            assert!(said.contains(words) || self.ended().is_none(), "it ended: {said}");
            said.contains(words).then_some(())
        })
        .await;
    }

    /// Waits for its end.
    pub async fn until_ended(&self) -> i32 {
        until("the process ends", || async { self.ended() }).await
    }

    /// Its exit code, once it has ended.
    pub fn ended(&self) -> Option<i32> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("it is our child").map(code)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended, and then neither does anything.
        let _killed = child.kill();
        let _reaped = child.wait();
    }
}
