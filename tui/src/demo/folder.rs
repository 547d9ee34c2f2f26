//! The demo's one folder: a temporary one that goes with it, or one that was named and stays.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::Failure;

/// Temporary folders are called so, with the demo's pid behind.
const PREFIX: &str = "millstream-demo-";

/// The folder.
pub struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Folder {
    /// Makes the folder, and removes those of demos that were killed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(root: &Path, named: Option<&Path>) -> Result<Self, Failure> {
        let failed =
            |path: &Path, error: &std::io::Error| Failure::Refused(format!("{}: {error}", path.display()));
        if let Some(path) = named {
            std::fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
            let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
            return Ok(Self {
                path,
                temporary: None,
            });
        }
        sweep(root);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(root);
        let temporary = made.map_err(|error| failed(root, &error))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            temporary: Some(temporary),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, if it is temporary.
    pub fn remove(self) {
        if let Some(temporary) = self.temporary
            && let Err(error) = temporary.close()
        {
            super::say(&format!("could not remove {}: {error}", self.path.display()));
        }
    }

    /// Leaves it for whoever looks into the logs, until the next demo starts.
    pub fn keep(self) {
        if let Some(temporary) = self.temporary {
            let _kept = temporary.keep();
        }
    }
}

/// Removes folders of demos that are gone.
fn sweep(root: &Path) {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_left(path)) {
        // It may be another account's, or being removed by another demo.
        let _not_ours = std::fs::remove_dir_all(path);
    }
}

/// Whether it is a demo's whose process is gone.
fn is_left(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix(PREFIX));
    let pid = name
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse().ok());
    pid.and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}
