//! How Postgres is started, and how it shows that it is ready.
//!
//! A new cluster is made beside its place and renamed into it once it holds the database, so a start that was
//! cut short leaves nothing that looks whole. As root everything of Postgres runs as another account.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::account::Account;
use super::error::ServersError;
use super::machine::Machine;
use super::program::Program;
use super::server::{Recipe, loopback};
use super::tool::{self, ToolError};
use crate::process::{Launch, log};

/// The database and its owner; the loopback is trusted, so there is no password.
pub(super) const DATABASE: &str = "millstream";
/// The owner of the database.
pub(super) const USER: &str = "app";

/// `initdb` takes under a second, several on a machine that is busy compiling.
const INITDB_LIMIT: Duration = Duration::from_secs(120);

/// A connect on the loopback.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Variables of a developer's shell that would change what the server reads.
const FOREIGN: [&str; 5] = ["PGDATA", "PGPORT", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ"];

/// What a demo's or a test's server needs. It is never the place of anything that must outlive a power cut.
const SETTINGS: [&str; 11] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    // What is acknowledged survives the death of any process, not of the machine.
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=on",
    "max_connections=200",
    // The library it needs is large and not always there, and no query of ours is large enough to gain.
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
    "log_destination=stderr",
];

/// A Postgres cluster in a data folder.
#[derive(Debug)]
pub(super) struct Postgres {
    program: Program,
    data: PathBuf,
    log: PathBuf,
    account: Option<Account>,
    lock: Arc<File>,
}

impl Postgres {
    /// Opens the cluster in a data folder, or makes it.
    pub async fn prepare(
        program: Program,
        data_dir: &Path,
        account: Option<Account>,
        lock: Arc<File>,
    ) -> Result<Postgres, ServersError> {
        if let Some(account) = &account {
            let_in(account, data_dir)?;
        }
        let (data, log) = (data_dir.join("postgres"), data_dir.join("postgres.log"));
        let mut postgres = Postgres {
            program,
            data,
            log,
            account,
            lock,
        };
        if postgres.data.join("PG_VERSION").is_file() {
            postgres.adopt()?;
        } else {
            postgres.create().await?;
        }
        Ok(postgres)
    }

    /// Takes over a cluster that an earlier start left: only the major version that made it can open it, and
    /// only its owner may.
    fn adopt(&mut self) -> Result<(), ServersError> {
        let file = self.data.join("PG_VERSION");
        let made = fs::read_to_string(&file)
            .map_err(ServersError::folder(&file))?
            .trim()
            .to_owned();
        if made != self.program.version.major.to_string() {
            return Err(ServersError::OtherMajor {
                found: self.program.version,
                made,
                dir: self.data.clone(),
            });
        }
        if self.account.is_some() {
            self.account = Account::owner_of(&self.data).or(self.account.take());
        }
        Ok(())
    }

    /// Makes the cluster and its database. A start that is cut short leaves a folder that nobody looks at.
    async fn create(&self) -> Result<(), ServersError> {
        let folder = self.data.parent().unwrap_or(Path::new("/"));
        let fresh = tempfile::Builder::new()
            .prefix("postgres.new-")
            .tempdir_in(folder);
        let fresh = fresh.map_err(ServersError::folder(folder))?;
        self.initdb(fresh.path()).await?;
        fs::rename(fresh.keep(), &self.data).map_err(ServersError::folder(&self.data))
    }

    async fn initdb(&self, fresh: &Path) -> Result<(), ServersError> {
        if let Some(Account { uid, gid, .. }) = self.account {
            std::os::unix::fs::chown(fresh, Some(uid), Some(gid)).map_err(ServersError::folder(fresh))?;
        }
        let mut initdb = self.command("initdb");
        initdb
            .arg("-D")
            .arg(fresh)
            .args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]);
        initdb.args(["--no-sync", "--no-instructions"]);
        self.run(&mut initdb, "").await?;

        // The server itself, alone and without a port, makes the database: no client program is needed.
        let mut single = self.command("postgres");
        single
            .args(["--single", "-F", "-c", "exit_on_error=on", "-D"])
            .arg(fresh)
            .arg("postgres");
        self.run(&mut single, &format!("CREATE DATABASE {DATABASE}\n"))
            .await
    }

    /// A program of this Postgres, run as its account.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program.neighbour(name));
        command.env("LC_ALL", "C").current_dir("/");
        if let Some(libraries) = &self.program.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        FOREIGN.iter().for_each(|name| {
            command.env_remove(name);
        });
        if let Some(Account { uid, gid, .. }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs such a program; what it says goes to the log.
    async fn run(&self, command: &mut Command, input: &str) -> Result<(), ServersError> {
        let reason = match tool::run_with_input(command, input, INITDB_LIMIT).await {
            Ok(_) => return Ok(()),
            Err(ToolError::Absent) => format!("{} is not there", self.program.neighbour("initdb").display()),
            Err(ToolError::Failed(reason)) => reason,
        };
        // The excuse is in the error already; a log that cannot be written adds nothing to it.
        let _logged = log::open(&self.log).and_then(|mut log: File| writeln!(log, "{reason}"));
        Err(ServersError::Cluster {
            dir: self.data.clone(),
            reason,
            log: self.log.clone(),
        })
    }
}

impl Recipe for Postgres {
    const NAME: &'static str = "postgres";

    fn launch(&self, port: u16) -> Launch {
        let mut launch = Launch::new(&self.program.server, &self.log)
            .arg("-D")
            .arg(&self.data)
            .args(["-c", &format!("port={port}")])
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .env("LC_ALL", "C")
            .current_dir("/")
            .holding(Arc::clone(&self.lock))
            // "Fast": TERM would wait until the last client has gone.
            .stop_signal(Signal::INT);
        for name in FOREIGN {
            launch = launch.without_env(name);
        }
        if let Some(libraries) = &self.program.libraries {
            launch = launch.env("LD_LIBRARY_PATH", libraries);
        }
        match self.account {
            Some(Account { uid, gid, .. }) => launch.run_as(uid, gid),
            None => launch,
        }
    }

    async fn is_ready(&self, pid: u32, port: u16) -> bool {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        is_lock_ready(&lock, pid)
            && matches!(
                tokio::time::timeout(ANSWER_LIMIT, TcpStream::connect(loopback(port))).await,
                Ok(Ok(_))
            )
    }
}

/// Whether Postgres has written into its lock file that it takes connections; this is what `pg_ctl -w` reads.
/// Its first line is the process, its eighth the state.
fn is_lock_ready(lock: &str, pid: u32) -> bool {
    let mut lines = lock.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// The account that has to run Postgres: none, unless we are root.
pub(super) fn account(machine: &Machine) -> Result<Option<Account>, ServersError> {
    if !machine.is_root() {
        return Ok(None);
    }
    Account::for_postgres().map(Some).ok_or(ServersError::NoAccount)
}

/// Lets the account through our data folder. Only the folder itself is opened, and only for passing through;
/// the folders above it are not ours to change.
fn let_in(account: &Account, data_dir: &Path) -> Result<(), ServersError> {
    let metadata = fs::metadata(data_dir).map_err(ServersError::folder(data_dir))?;
    if metadata.uid() == 0 && metadata.mode() & 0o011 != 0o011 {
        let opened = fs::Permissions::from_mode(metadata.mode() & 0o7777 | 0o011);
        fs::set_permissions(data_dir, opened).map_err(ServersError::folder(data_dir))?;
    }
    match account.barred_from(data_dir) {
        Some(path) => Err(ServersError::Unreachable {
            account: account.name.clone(),
            path,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_tells_when_the_server_takes_connections() {
        let lock = |state: &str| format!("4711\n/data\n1763791234\n20123\n\n127.0.0.1\n  123 456\n{state}\n");
        assert!(is_lock_ready(&lock("ready   "), 4711));
        assert!(!is_lock_ready(&lock("starting"), 4711));
        assert!(!is_lock_ready(&lock("ready   "), 4712), "an earlier run left it");
        assert!(!is_lock_ready("4711\n/data\n", 4711));
    }
}
