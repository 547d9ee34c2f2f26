//! The file by which a running demo is found: `millstream status` in another terminal needs no settings.
//!
//! A demo writes `millstream/<pid>.json` into the runtime folder and removes it when it ends. A demo that was
//! killed leaves its file; whoever reads next sweeps it. A file counts only if its process is alive *and* is
//! the one that wrote it: pids come back. It holds addresses that may carry passwords, so the folder and the
//! file are for our account alone, and a file of anybody else is never believed.

use std::fmt;
use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::process::{Pid, geteuid, test_kill_process};
use serde::{Deserialize, Serialize};

/// What a running demo tells about itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The demo's process.
    pub pid: u32,
    /// When it was ready.
    pub started_at: DateTime<Utc>,
    /// Where its Valkey answers.
    pub valkey_url: String,
    /// Where its Postgres answers.
    pub database_url: String,
    /// Where its web process answers.
    pub web_url: String,
    /// What its web process asks for, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The folder of its data and logs.
    pub data_dir: PathBuf,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The addresses may hold passwords.
        let mut shown = f.debug_struct("Running");
        shown
            .field("pid", &self.pid)
            .field("started_at", &self.started_at)
            .field("data_dir", &self.data_dir);
        shown.finish_non_exhaustive()
    }
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    running: Running,
    /// When the kernel started the process, where that can be read: a process that was given the same pid
    /// later has another one.
    #[serde(default)]
    process_start: Option<u64>,
}

/// The folder of the files.
#[derive(Debug, Clone)]
pub struct RuntimeFolder {
    path: PathBuf,
}

/// A written file; it is removed when this value is dropped.
#[derive(Debug)]
pub struct RuntimeFile {
    path: PathBuf,
}

impl RuntimeFolder {
    /// `$XDG_RUNTIME_DIR/millstream`, else a folder with our uid in its name under `$TMPDIR` or `/tmp`.
    pub fn locate(lookup: &dyn Fn(&str) -> Option<String>) -> RuntimeFolder {
        let folder = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let path = match folder("XDG_RUNTIME_DIR").filter(|path| path.is_dir()) {
            Some(runtime) => runtime.join("millstream"),
            None => folder("TMPDIR")
                .unwrap_or_else(|| PathBuf::from("/tmp"))
                .join(format!("millstream-run-{}", geteuid().as_raw()))
                .join("millstream"),
        };
        RuntimeFolder { path }
    }

    /// Writes the file of a running demo. A reader sees all of it or nothing.
    pub fn write(&self, running: &Running) -> io::Result<RuntimeFile> {
        self.claim()?;
        let record = Record {
            running: running.clone(),
            process_start: process_start(running.pid),
        };
        let mut fresh = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.path)?;
        fresh.write_all(&serde_json::to_vec(&record)?)?;
        let path = self.path.join(format!("{}.json", running.pid));
        fresh.persist(&path).map_err(|error| error.error)?;
        Ok(RuntimeFile { path })
    }

    /// The demo that was started last and still runs. Files that nobody needs any more are removed.
    pub fn newest_alive(&self) -> Option<Running> {
        if !fs::symlink_metadata(&self.path).is_ok_and(|folder| is_private(&folder)) {
            return None; // not there, or somebody else's
        }
        let mut alive = Vec::new();
        for entry in fs::read_dir(&self.path).ok()?.flatten() {
            match read(&entry.path()) {
                Reading::Alive(running) => alive.push(running),
                Reading::Stale => {
                    // Another reader may have swept it in the meantime.
                    let _swept = fs::remove_file(entry.path());
                }
                Reading::Foreign => {}
            }
        }
        alive.into_iter().max_by_key(|running| running.started_at)
    }

    /// Makes the folder ours alone, or says why it cannot be.
    fn claim(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        if is_private(&fs::symlink_metadata(&self.path)?) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{} belongs to others: remove it, or set XDG_RUNTIME_DIR",
            self.path.display()
        )))
    }
}

impl Drop for RuntimeFile {
    fn drop(&mut self) {
        // If it is gone already, that is what was wanted; if it cannot be removed, a reader sweeps it.
        let _removed = fs::remove_file(&self.path);
    }
}

/// What a file in the folder is.
enum Reading {
    /// A demo that runs.
    Alive(Running),
    /// A demo that is gone.
    Stale,
    /// Not a file of ours: it is left alone.
    Foreign,
}

fn read(path: &Path) -> Reading {
    let ours =
        fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.uid() == geteuid().as_raw());
    if !ours || path.extension().is_none_or(|extension| extension != "json") {
        return Reading::Foreign;
    }
    // A file that cannot be understood was written by a version we know nothing of.
    let record = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    let Some(record) = record else {
        return Reading::Foreign;
    };
    if is_alive(record.running.pid, record.process_start) {
        Reading::Alive(record.running)
    } else {
        Reading::Stale
    }
}

/// Whether a folder is ours, and nobody else can put anything into it.
fn is_private(folder: &Metadata) -> bool {
    folder.is_dir() && folder.uid() == geteuid().as_raw() && folder.mode() & 0o077 == 0
}

/// Whether the process that wrote a file still runs. Where the kernel does not tell start times (macOS) a
/// living pid has to be enough.
fn is_alive(pid: u32, started: Option<u64>) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    if test_kill_process(process).is_err() {
        return false; // gone, or an account's that cannot have written our file
    }
    started.is_none() || process_start(pid) == started
}

/// When the kernel started a living process, in its own ticks since the machine's start. A zombie has ended.
fn process_start(pid: u32) -> Option<u64> {
    parse_start(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field of `/proc/<pid>/stat`. The second is the program's name in brackets, which may itself hold
/// spaces and brackets, so fields are counted from the last bracket.
fn parse_start(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, RuntimeFolder) {
        let root = tempfile::tempdir().unwrap();
        let lookup = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| root.path().display().to_string());
        let folder = RuntimeFolder::locate(&lookup);
        (root, folder)
    }

    fn running(pid: u32, minute: u32) -> Running {
        Running {
            pid,
            started_at: format!("2026-11-22T10:{minute:02}:00Z").parse().unwrap(),
            valkey_url: "redis://127.0.0.1:20001/".to_owned(),
            database_url: "postgres://app@127.0.0.1:20002/millstream".to_owned(),
            web_url: "http://127.0.0.1:20003".to_owned(),
            token: None,
            data_dir: PathBuf::from("/tmp/x"),
        }
    }

    #[test]
    fn a_file_is_found_while_its_demo_runs_and_gone_with_it() {
        let (_root, folder) = folder();
        assert_eq!(folder.newest_alive(), None);
        let us = running(std::process::id(), 1);
        let file = folder.write(&us).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder.path), mode(&file.path)), (0o700, 0o600));
        assert_eq!(folder.newest_alive(), Some(us));
        drop(file);
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 0);
    }

    #[test]
    fn a_reused_pid_is_not_taken_for_the_demo() {
        let (_root, folder) = folder();
        folder.claim().unwrap();
        let record = Record {
            running: running(std::process::id(), 1),
            process_start: Some(1),
        };
        let path = folder.path.join("old.json");
        fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        let reused = process_start(std::process::id()).is_some(); // elsewhere than on Linux nobody can tell
        assert_eq!(folder.newest_alive().is_none(), reused);
        assert_eq!(path.exists(), !reused);
    }

    #[test]
    fn the_newest_of_two_demos_wins_and_a_dead_one_is_swept() {
        let (_root, folder) = folder();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let _us = folder.write(&running(std::process::id(), 1)).unwrap();
        let newer = folder.write(&running(child.id(), 2)).unwrap();
        assert_eq!(folder.newest_alive().map(|demo| demo.pid), Some(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            folder.newest_alive().map(|demo| demo.pid),
            Some(std::process::id())
        );
        assert!(!newer.path.exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_believed() {
        let (_root, folder) = folder();
        let _us = folder.write(&running(std::process::id(), 1)).unwrap();
        fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(folder.newest_alive(), None);
        assert!(folder.write(&running(std::process::id(), 1)).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_left_alone() {
        let (_root, folder) = folder();
        folder.claim().unwrap();
        fs::write(folder.path.join("7.json"), "{}").unwrap();
        assert_eq!(folder.newest_alive(), None);
        assert!(folder.path.join("7.json").exists());
    }

    #[test]
    fn start_times_are_read_behind_any_program_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        assert_eq!(parse_start(&format!("12 (we) ird) na(me) {rest}")), Some(4242));
        assert_eq!(
            parse_start(&format!("12 (sh) {}", rest.replacen('S', "Z", 1))),
            None
        );
        assert_eq!(parse_start("garbage"), None);
    }

    #[test]
    fn addresses_are_not_printed() {
        assert!(!format!("{:?}", running(1, 1)).contains("127.0.0.1"));
    }
}
