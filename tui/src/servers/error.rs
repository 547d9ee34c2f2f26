//! What can go wrong with the servers. Each message is one line that says what is wrong and what to type.

use std::io;
use std::path::{Path, PathBuf};

use super::version::Version;
use crate::process::SpawnError;

/// The servers could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// `MILLSTREAM_SERVERS` holds a word that means nothing.
    #[error("MILLSTREAM_SERVERS is {0:?}: set it to installed or fetched, or unset it")]
    UnknownChoice(String),
    /// A server is not on this machine and could not be fetched.
    #[error("find {what}: none is installed{tried}; {hint}")]
    Missing {
        /// The servers that are missing.
        what: String,
        /// What was tried, if anything.
        tried: String,
        /// What to type.
        hint: String,
    },
    /// A folder or file could not be prepared.
    #[error("prepare {path}: {source}; choose another data folder", path = .path.display())]
    Folder {
        /// What was to be prepared.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another demo runs on the data folder.
    #[error("use {dir}: other servers run on that data folder; end them, or choose another folder", dir = .dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// We are root, and there is no account that Postgres could run as.
    #[error(
        "start postgres: it refuses to run as root, and /etc/passwd has neither postgres nor nobody; run as another user, or set DATABASE_URL"
    )]
    NoAccount,
    /// We are root, and the account that Postgres runs as cannot get to the data.
    #[error(
        "start postgres: it refuses to run as root, and account {account} cannot enter {path}; choose a data folder under /tmp or /var/tmp", path = .path.display()
    )]
    Unreachable {
        /// Who runs Postgres.
        account: String,
        /// The folder it cannot enter.
        path: PathBuf,
    },
    /// The data folder was made by another major version of Postgres.
    #[error("start postgres {found}: {dir} was made by postgres {made}; remove that folder, or install postgres {made}", dir = .dir.display())]
    OtherMajor {
        /// The version that was found on this machine.
        found: Version,
        /// The major version that made the folder.
        made: String,
        /// The folder.
        dir: PathBuf,
    },
    /// The new cluster could not be made.
    #[error("create the postgres cluster in {dir}: {reason}; read {log}", dir = .dir.display(), log = .log.display())]
    Cluster {
        /// Where.
        dir: PathBuf,
        /// What the tool said.
        reason: String,
        /// Where the rest of it is.
        log: PathBuf,
    },
    /// The server's process could not be started at all.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The server ended while it was starting.
    #[error("start {server}: it ended with \"{said}\"; read {log}", log = .log.display())]
    Died {
        /// Which server.
        server: &'static str,
        /// Its last line.
        said: String,
        /// The rest of its lines.
        log: PathBuf,
    },
    /// The server runs and does not answer.
    #[error("start {server}: no answer on 127.0.0.1:{port} within {within_s} s (\"{said}\"); read {log}", log = .log.display())]
    Silent {
        /// Which server.
        server: &'static str,
        /// Where it was asked.
        port: u16,
        /// How long.
        within_s: u64,
        /// Its last line.
        said: String,
        /// The rest of its lines.
        log: PathBuf,
    },
    /// Each port that was tried was taken by somebody else in the meantime.
    #[error("start {server}: found no free port on 127.0.0.1 ({reason}); try again")]
    NoPort {
        /// Which server.
        server: &'static str,
        /// What the last try said.
        reason: String,
    },
    /// The server was given by its URL, so it is not ours to kill or to restart.
    #[error("restart {0}: it was given by its URL and is not ours; start it yourself")]
    NotOurs(&'static str),
}

impl ServersError {
    /// For `map_err` on file operations: names the path.
    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> ServersError {
        let path = path.to_owned();
        move |source| ServersError::Folder { path, source }
    }
}
