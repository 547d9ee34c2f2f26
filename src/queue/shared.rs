//! The connection that all clones of a queue share, and that is replaced when it does not come back by itself.
//!
//! The client connects anew when a line breaks, and not in two cases: when the server falls silent, each command on
//! the old connection only runs out of time; and when the server refuses the first words on a new one (it still loads
//! its data, or knows no such password), the refusal is kept and given to whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::Patience;
use super::error::is_away;

/// A server that does not accept a connection in this time is away.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Who gives up an answer of his own accord after this long has found the server silent: a little less than any of ours
/// wait.
const SILENT_AFTER: Duration = Duration::from_millis(900);
/// How often the connection is replaced at the most: a server that refuses everybody is not flooded.
const REPLACED_EVERY: Duration = Duration::from_millis(500);

/// The connection of a queue. All clones share it.
#[derive(Clone)]
pub(super) struct Shared {
    client: Client,
    patience: Patience,
    current: Arc<Mutex<Current>>,
    /// How often it was replaced: who listens on a connection of its own connects anew as well.
    replaced: watch::Sender<u64>,
    /// Commands that had no answer: behind each the client may have connected anew, without the name.
    unanswered: Arc<AtomicU64>,
}

struct Current {
    manager: ConnectionManager,
    generation: u64,
    since: Instant,
}

impl Shared {
    /// Connects with the first command.
    pub(super) fn new(client: Client, patience: Patience) -> RedisResult<Self> {
        let current = Arc::new(Mutex::new(Current {
            manager: lazy(&client, patience)?,
            generation: 0,
            since: Instant::now(),
        }));
        Ok(Self {
            client,
            patience,
            current,
            replaced: watch::Sender::new(0),
            unanswered: Arc::default(),
        })
    }

    /// The connection as one caller uses it.
    pub(super) fn connection(&self) -> Connection {
        let current = self.current();
        Connection {
            manager: current.manager.clone(),
            generation: current.generation,
            shared: self.clone(),
        }
    }

    /// Puts a fresh connection in the place of the present one.
    pub(super) fn replace(&self) -> RedisResult<()> {
        self.put_fresh(&mut self.current())
    }

    fn put_fresh(&self, current: &mut Current) -> RedisResult<()> {
        current.manager = lazy(&self.client, self.patience)?;
        current.generation += 1;
        current.since = Instant::now();
        self.replaced.send_replace(current.generation);
        Ok(())
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands had no answer so far.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Tells each time the connection is replaced.
    pub(super) fn replacements(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// Replaces a connection of at least this age that was found dead, once for all who found it so.
    fn give_up(&self, generation: u64, age: Duration) {
        let mut current = self.current();
        if current.generation == generation
            && current.since.elapsed() >= age
            && let Err(error) = self.put_fresh(&mut current)
        {
            tracing::warn!("failed to prepare a connection to Valkey: {error}");
        }
    }
}

/// The shared connection in the hands of one caller.
#[derive(Clone)]
pub(super) struct Connection {
    manager: ConnectionManager,
    generation: u64,
    shared: Shared,
}

impl Connection {
    fn watch(&self) -> Watch {
        Watch {
            shared: self.shared.clone(),
            generation: self.generation,
            asked: Instant::now(),
            answered: false,
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let watch = self.watch();
            watch.judge(self.manager.req_packed_command(cmd).await)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let watch = self.watch();
            watch.judge(self.manager.req_packed_commands(pipeline, offset, count).await)
        })
    }

    fn get_db(&self) -> i64 {
        self.manager.get_db()
    }
}

/// Watches one command. It is dropped unanswered when its caller stops waiting.
struct Watch {
    shared: Shared,
    generation: u64,
    asked: Instant,
    answered: bool,
}

impl Watch {
    fn judge<T>(mut self, outcome: RedisResult<T>) -> RedisResult<T> {
        self.answered = true;
        if outcome.as_ref().is_err_and(is_away) {
            self.shared.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        if outcome.as_ref().is_err_and(does_not_come_back) {
            self.shared.give_up(self.generation, REPLACED_EVERY);
        }
        outcome
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered && self.asked.elapsed() >= SILENT_AFTER {
            self.shared.unanswered.fetch_add(1, Ordering::Relaxed);
            // A younger one may be about to connect: begun anew by everybody who is in a hurry, it never would.
            self.shared.give_up(self.generation, CONNECT_WITHIN);
        }
    }
}

/// Whether an error may be that of a connection which stays as it is.
fn does_not_come_back(error: &RedisError) -> bool {
    is_away(error)
        || error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "READONLY"))
}

fn lazy(client: &Client, patience: Patience) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(patience.answer))
        // Callers retry by their own rules; a long wait in here would hide the outage from them.
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(500));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}
