//! A running server: started on a free port, killed and started again on the same port with the same data.
//!
//! What differs between servers is a [`Recipe`]. Ready means that the very process we started answers: a
//! stranger that took the port in the meantime is not mistaken for it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ServersError;
use super::port::free_port;
use crate::process::log::last_line;
use crate::process::{Guarded, Launch};

/// A server is ready in a tenth of a second; one that has to read a large append-only file needs more.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// How often a starting server is asked: it costs a connect on the loopback.
const READY_POLL: Duration = Duration::from_millis(10);

/// How many ports are tried before we give up: each loss needs somebody who takes the port in the same
/// millisecond.
const PORT_TRIES: u32 = 5;

/// How long a killed server's port may stay taken (a client may hold it as its own for a moment).
const SAME_PORT_LIMIT: Duration = Duration::from_secs(5);

/// How long a server may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What differs between servers.
pub(super) trait Recipe: Send + Sync {
    /// What to call it in messages.
    const NAME: &'static str;

    /// How to start it on a port.
    fn launch(&self, port: u16) -> Launch;

    /// Whether the process `pid` answers on the port.
    fn is_ready(&self, pid: u32, port: u16) -> impl Future<Output = bool> + Send;
}

/// A server of ours.
#[derive(Debug)]
pub(super) struct Server<R> {
    recipe: R,
    port: u16,
    child: Mutex<Arc<Guarded>>,
}

impl<R: Recipe> Server<R> {
    /// Starts it on a free port and waits until it answers.
    pub async fn start(recipe: R) -> Result<Server<R>, ServersError> {
        let mut reason = String::new();
        for _ in 0..PORT_TRIES {
            let no_port = |error: std::io::Error| ServersError::NoPort {
                server: R::NAME,
                reason: error.to_string(),
            };
            let port = free_port().map_err(no_port)?;
            match raise(&recipe, port).await {
                Ok(child) => {
                    return Ok(Server {
                        recipe,
                        port,
                        child: Mutex::new(Arc::new(child)),
                    });
                }
                Err(error) if is_port_taken(&error) => reason = error.to_string(),
                Err(error) => return Err(error),
            }
        }
        Err(ServersError::NoPort {
            server: R::NAME,
            reason,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child().pid()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        let child = self.child();
        // Root may signal any child, and a child that is not root's is our own.
        let _killed = child.kill();
        child.wait().await;
    }

    /// Ends it, if it runs, and starts it again.
    pub async fn restart(&self) -> Result<(), ServersError> {
        self.stop().await;
        let deadline = Instant::now() + SAME_PORT_LIMIT;
        let child = loop {
            match raise(&self.recipe, self.port).await {
                Err(error) if is_port_taken(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(READY_POLL).await;
                }
                raised => break raised?,
            }
        };
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(child);
        Ok(())
    }

    /// Asks it to end, waits, and kills it if that takes too long.
    pub async fn stop(&self) {
        self.child().stop(STOP_LIMIT).await;
    }

    fn child(&self) -> Arc<Guarded> {
        Arc::clone(&self.child.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Starts a server on one port and waits until it answers, or says why it does not.
async fn raise<R: Recipe>(recipe: &R, port: u16) -> Result<Guarded, ServersError> {
    let child = Guarded::spawn(&recipe.launch(port))?;
    let deadline = Instant::now() + READY_LIMIT;
    while Instant::now() < deadline {
        if child.ended().is_some() {
            return Err(died::<R>(&child));
        }
        if recipe.is_ready(child.pid(), port).await {
            return Ok(child);
        }
        tokio::time::sleep(READY_POLL).await;
    }
    let said = last_line(&child.output()).unwrap_or_default();
    let log = child.log().to_owned();
    child.stop(Duration::ZERO).await;
    Err(ServersError::Silent {
        server: R::NAME,
        port,
        within_s: READY_LIMIT.as_secs(),
        said,
        log,
    })
}

/// The error of a server that ended while it was starting. Its last line may be a mere hint, so a line about
/// the port wins, and then one that says it is fatal.
fn died<R: Recipe>(child: &Guarded) -> ServersError {
    let output = child.output();
    let line_with = |word: &str| output.lines().rev().find(|line| line.contains(word));
    let telling = line_with(PORT_TAKEN).or_else(|| line_with("FATAL:"));
    let said = telling
        .and_then(last_line)
        .or_else(|| last_line(&output))
        .unwrap_or_else(|| "no word".to_owned());
    ServersError::Died {
        server: R::NAME,
        said,
        log: child.log().to_owned(),
    }
}

/// What both servers say about a port that somebody else has.
const PORT_TAKEN: &str = "Address already in use";

fn is_port_taken(error: &ServersError) -> bool {
    matches!(error, ServersError::Died { said, .. } if said.contains(PORT_TAKEN))
}

/// The loopback address of a port.
pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
