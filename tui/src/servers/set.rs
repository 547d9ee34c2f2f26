//! The servers of a demo or a test run: both, with one data folder.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::account::Account;
use super::error::ServersError;
use super::lock;
use super::options::{Need, Options, Say};
use super::postgres::{self, Postgres};
use super::program::{Kind, Program};
use super::provide::Provider;
use super::server::{Recipe, Server};
use super::valkey::Valkey;

/// A Valkey and a Postgres that are ready to be used.
///
/// Those that were started are private child processes: they end when this value is dropped and when this
/// process ends. [`Servers::stop`] sees them end, which a caller wants that removes the data folder.
#[derive(Debug)]
pub struct Servers {
    /// Where Valkey answers: `redis://127.0.0.1:PORT/`, or as given.
    pub valkey_url: String,
    /// Where Postgres answers: `postgres://app@127.0.0.1:PORT/millstream`, or as given.
    pub database_url: String,
    /// The folder with the data and the logs of those that were started.
    pub data_dir: PathBuf,
    valkey: Option<Server<Valkey>>,
    postgres: Option<Server<Postgres>>,
}

/// The pids of the servers that were started, for who watches or hurts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pids {
    /// Valkey's.
    pub valkey: Option<u32>,
    /// That of Postgres's main process.
    pub postgres: Option<u32>,
}

impl Servers {
    /// Finds or fetches the servers that are not given, starts them side by side, and waits until they
    /// answer. What is done is told through `say`, in one line each. If one cannot be had, the other is ended.
    pub async fn start(options: Options, say: Say<'_>) -> Result<Servers, ServersError> {
        let Options {
            data_dir,
            valkey,
            postgres,
            aof,
            machine,
        } = options;
        let data_dir = prepare(&data_dir)?;
        let account = match &postgres {
            Need::Start => postgres::account(&machine)?,
            Need::Given(_) => None,
        };
        let kinds: Vec<Kind> = [(Kind::Valkey, &valkey), (Kind::Postgres, &postgres)]
            .into_iter()
            .filter_map(|(kind, need)| (*need == Need::Start).then_some(kind))
            .collect();
        let provider = Provider {
            machine: &machine,
            account: account.as_ref(),
            say,
        };
        let programs = provider.provide(&kinds).await?;
        let lock = lock::take(&data_dir).await?;
        let of_kind = |kind: Kind| {
            kinds
                .iter()
                .position(|found| *found == kind)
                .map(|at| programs[at].clone())
        };

        let (valkey_server, postgres_server) = tokio::join!(
            start_valkey(of_kind(Kind::Valkey), &data_dir, aof, &lock),
            start_postgres(of_kind(Kind::Postgres), &data_dir, account.clone(), &lock),
        );
        let (valkey_server, postgres_server) = (valkey_server?, postgres_server?);
        Ok(Servers {
            valkey_url: url(&valkey, valkey_server.as_ref(), |port| {
                format!("redis://127.0.0.1:{port}/")
            }),
            database_url: url(&postgres, postgres_server.as_ref(), |port| {
                format!(
                    "postgres://{}@127.0.0.1:{port}/{}",
                    postgres::USER,
                    postgres::DATABASE
                )
            }),
            data_dir,
            valkey: valkey_server,
            postgres: postgres_server,
        })
    }

    /// The pids of the servers that were started. A restart changes them.
    pub fn pids(&self) -> Pids {
        Pids {
            valkey: self.valkey.as_ref().map(Server::pid),
            postgres: self.postgres.as_ref().map(Server::pid),
        }
    }

    /// Kills Valkey (SIGKILL) and waits until it is gone. [`Servers::restart_valkey`] brings it back.
    pub async fn kill_valkey(&self) -> Result<(), ServersError> {
        ours(self.valkey.as_ref())?.kill().await;
        Ok(())
    }

    /// Starts Valkey again, on the same port and with the same data, after ending it if it runs.
    pub async fn restart_valkey(&self) -> Result<(), ServersError> {
        ours(self.valkey.as_ref())?.restart().await
    }

    /// Kills Postgres (SIGKILL to its main process) and waits until it is gone. [`Servers::restart_postgres`]
    /// brings it back.
    pub async fn kill_postgres(&self) -> Result<(), ServersError> {
        ours(self.postgres.as_ref())?.kill().await;
        Ok(())
    }

    /// Starts Postgres again, on the same port and with the same data, after ending it if it runs.
    pub async fn restart_postgres(&self) -> Result<(), ServersError> {
        ours(self.postgres.as_ref())?.restart().await
    }

    /// Ends the servers that were started and waits until they are gone: at most five seconds, then they are
    /// killed.
    pub async fn stop(self) {
        let valkey = async {
            if let Some(server) = &self.valkey {
                server.stop().await;
            }
        };
        let postgres = async {
            if let Some(server) = &self.postgres {
                server.stop().await;
            }
        };
        tokio::join!(valkey, postgres);
    }
}

/// Makes the data folder, for us alone, and answers its absolute path: servers run in another folder.
fn prepare(data_dir: &Path) -> Result<PathBuf, ServersError> {
    let absolute = std::path::absolute(data_dir).map_err(ServersError::folder(data_dir))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&absolute)
        .map_err(ServersError::folder(&absolute))?;
    Ok(absolute)
}

async fn start_valkey(
    program: Option<Program>,
    data_dir: &Path,
    aof: bool,
    lock: &Arc<File>,
) -> Result<Option<Server<Valkey>>, ServersError> {
    let Some(program) = program else { return Ok(None) };
    Server::start(Valkey::prepare(program, data_dir, aof, Arc::clone(lock))?)
        .await
        .map(Some)
}

async fn start_postgres(
    program: Option<Program>,
    data_dir: &Path,
    account: Option<Account>,
    lock: &Arc<File>,
) -> Result<Option<Server<Postgres>>, ServersError> {
    let Some(program) = program else { return Ok(None) };
    Server::start(Postgres::prepare(program, data_dir, account, Arc::clone(lock)).await?)
        .await
        .map(Some)
}

/// The URL that was given, or that of the server which was started instead.
fn url<R: Recipe>(need: &Need, server: Option<&Server<R>>, of_port: impl Fn(u16) -> String) -> String {
    match need {
        Need::Given(url) => url.clone(),
        Need::Start => server.map(|server| of_port(server.port())).unwrap_or_default(),
    }
}

/// The server, if it is ours to kill and to restart.
fn ours<R: Recipe>(server: Option<&Server<R>>) -> Result<&Server<R>, ServersError> {
    server.ok_or(ServersError::NotOurs(R::NAME))
}
