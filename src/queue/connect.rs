//! The connection to Valkey, and the look at the server before anything is trusted to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, InfoDict, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::Wire;
use super::error::QueueError;
use super::keys::Keys;
use super::reader::{Reader, connection_name};
use super::shared::{Connection, Shared};
use crate::domain::{Lane, WorkerId};
use crate::settings::QueueSettings;

/// How long a queue waits for its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// No command of ours may take longer; the server answers in microseconds, a bad line in seconds.
    pub answer: Duration,
    /// How long one read blocks: an idle worker sends two commands for each. A connection that died without a word is
    /// noticed before, by the system's probes and by the heartbeat.
    pub block: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            block: Duration::from_secs(20),
        }
    }
}

/// A queue on a Valkey server. Cheap to clone; all clones share one connection, which comes back by
/// itself after an outage.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    patience: Patience,
    shared: Shared,
    keys: Keys,
    wire: Wire,
    /// Counts fetches outside of a worker: each asks the other stream first.
    turns: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// What the server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `valkey` or `redis`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The version of Redis whose commands it has.
    pub compatible: (u32, u32),
    /// What it does when memory is full.
    pub eviction: String,
    /// Whether it writes an append-only file.
    pub append_only: bool,
    /// Changes with every start of the server.
    pub run_id: String,
}

impl ServerFacts {
    /// Whether the server may throw keys away when its memory is full.
    #[must_use]
    pub fn may_evict(&self) -> bool {
        !matches!(self.eviction.as_str(), "noeviction" | "")
    }
}

impl Queue {
    /// Connects without waiting: the first command connects, and fails when the server is away.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn open(url: &SecretString, settings: &QueueSettings, wire: Wire) -> Result<Self, QueueError> {
        Self::open_with(url, settings, wire, Patience::default())
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn open_with(
        url: &SecretString,
        settings: &QueueSettings,
        wire: Wire,
        patience: Patience,
    ) -> Result<Self, QueueError> {
        let wrong = |error: redis::RedisError| QueueError::Address(error.to_string());
        let info = as_redis(url.expose_secret())
            .into_connection_info()
            .map_err(wrong)?;
        // Small commands must not wait for one another's acknowledgement.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true).set_keepalive(probes()));
        let client = Client::open(info).map_err(wrong)?;
        let shared = Shared::new(client.clone(), patience)?;
        let keys = Keys::new(&settings.name, &settings.group);
        Ok(Self {
            client,
            patience,
            shared,
            keys,
            wire,
            turns: Arc::default(),
        })
    }

    /// The names of its keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The names of its fields.
    #[must_use]
    pub const fn wire(&self) -> Wire {
        self.wire
    }

    pub(super) fn connection(&self) -> Connection {
        self.shared.connection()
    }

    /// Puts a fresh connection in the place of the shared one. A command that finds it dead does so by itself; this is
    /// for who knows it sooner.
    ///
    /// # Errors
    /// When no connection can be prepared.
    pub fn reconnect(&self) -> Result<(), QueueError> {
        Ok(self.shared.replace()?)
    }

    /// How many commands on the shared connection had no answer so far: it may be another one since.
    pub(crate) fn unanswered(&self) -> u64 {
        self.shared.unanswered()
    }

    /// Tells each time the shared connection is replaced.
    #[must_use]
    pub fn replacements(&self) -> watch::Receiver<u64> {
        self.shared.replacements()
    }

    /// Gives the shared connection the worker's name in `CLIENT LIST`, which tells others that it lives.
    ///
    /// # Errors
    /// When the server is away or does not allow it.
    pub async fn name_connection(&self, worker: WorkerId) -> Result<(), QueueError> {
        let () = redis::cmd("CLIENT")
            .arg("SETNAME")
            .arg(connection_name(&worker.to_string()))
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// The lane whose turn it is to be asked first, of those without priority.
    pub(super) fn next_turn(&self) -> Lane {
        Lane::EQUALS[self.turns.fetch_add(1, Ordering::Relaxed) % Lane::EQUALS.len()]
    }

    pub(super) const fn patience(&self) -> Patience {
        self.patience
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// A connection of its own for the blocking read, since it holds up all commands behind it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn reader(&self, worker: WorkerId) -> Result<Reader, QueueError> {
        Reader::connect(self, worker).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// When the server is away, or does not let us in.
    pub async fn check(&self) -> Result<(), QueueError> {
        let () = redis::cmd("PING")
            .query_async::<redis::Value>(&mut self.connection())
            .await
            .map(|_| ())?;
        Ok(())
    }

    /// The server's clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn server_ms(&self) -> Result<u64, QueueError> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection()).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Asks the server who it is.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn server_facts(&self) -> Result<ServerFacts, QueueError> {
        let info: InfoDict = redis::cmd("INFO").query_async(&mut self.connection()).await?;
        let text = |name: &str| info.get::<String>(name).unwrap_or_default();
        let valkey = text("valkey_version");
        let redis = text("redis_version");
        let mut numbers = redis.split('.').map(|part| part.parse().unwrap_or(0));
        Ok(ServerFacts {
            name: if valkey.is_empty() {
                "redis".to_owned()
            } else {
                "valkey".to_owned()
            },
            version: if valkey.is_empty() { redis.clone() } else { valkey },
            compatible: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
            eviction: text("maxmemory_policy"),
            append_only: text("aof_enabled") == "1",
            run_id: text("run_id"),
        })
    }

    /// The group whose queue this is: ours if there was none.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn owner(&self) -> Result<String, QueueError> {
        let keys = self.keys();
        let found: Option<String> = redis::cmd("SET")
            .arg(&keys.owner)
            .arg(&keys.group)
            .arg("NX")
            .arg("GET")
            .query_async(&mut self.connection())
            .await?;
        Ok(found.unwrap_or_else(|| keys.group.clone()))
    }

    /// Makes the group on all streams, from their first entry on: what was queued before the first
    /// worker existed is work too. A group that exists is left as it is.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn ensure_groups(&self) -> Result<(), QueueError> {
        let mut made_one = false;
        for lane in Lane::ALL {
            let made: Result<(), redis::RedisError> = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(self.keys.stream(lane))
                .arg(&self.keys.group)
                .arg("0")
                .arg("MKSTREAM")
                .query_async(&mut self.connection())
                .await;
            match made {
                Ok(()) => made_one = true,
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                Err(error) => return Err(error.into()),
            }
        }
        if made_one {
            // A group that had to be made may have been lost with its entries: with the epoch gone the
            // reconciler holds everything against Postgres again.
            let () = redis::cmd("DEL")
                .arg(&self.keys.epoch)
                .query_async(&mut self.connection())
                .await?;
        }
        Ok(())
    }
}

/// The system asks whether the other end is there after five seconds of silence, and gives up with the third question
/// that nobody answers.
fn probes() -> TcpKeepalive {
    let every = Duration::from_secs(5);
    TcpKeepalive::new()
        .with_time(every)
        .with_interval(every)
        .with_retries(3)
}

/// The client knows `redis://`; `valkey://` means the same.
fn as_redis(url: &str) -> String {
    match url.strip_prefix("valkey") {
        Some(rest) => format!("redis{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valkey_address_is_a_redis_address() {
        assert_eq!(as_redis("valkeys://h:1/2"), "rediss://h:1/2");
        assert_eq!(as_redis("redis://h"), "redis://h");
    }
}
