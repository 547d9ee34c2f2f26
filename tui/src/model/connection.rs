//! The two servers as seen from here: a lamp for each, and the load that the console itself makes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// The queue.
    Valkey,
    /// The store.
    Postgres,
}

impl Server {
    /// Its name in running text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valkey => "Valkey",
            Self::Postgres => "Postgres",
        }
    }

    /// Its name beside the lamp.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valkey => "valkey",
            Self::Postgres => "postgres",
        }
    }
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LampState {
    /// It has not answered yet.
    Connecting,
    /// It answered the last question.
    Up {
        /// How long that took.
        latency: Duration,
    },
    /// It does not answer.
    Lost {
        /// Since its first failure.
        since: DateTime<Utc>,
        /// What it said, or what the network said.
        why: Untrusted,
        /// How often it was asked since.
        tries: u32,
        /// When it is asked again.
        next_try: DateTime<Utc>,
    },
}

/// A lamp in the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lamp {
    /// How the server is.
    pub state: LampState,
    /// When it answered last.
    pub last_good: Option<DateTime<Utc>>,
    /// `host:port`, never with a password.
    pub place: Untrusted,
}

impl Lamp {
    /// A lamp of a server that has not answered yet.
    pub const fn new(place: Untrusted) -> Self {
        Self {
            state: LampState::Connecting,
            last_good: None,
            place,
        }
    }

    /// Whether the server is gone.
    pub const fn is_lost(&self) -> bool {
        matches!(self.state, LampState::Lost { .. })
    }

    /// How long the last answer took.
    pub const fn latency(&self) -> Option<Duration> {
        match self.state {
            LampState::Up { latency } => Some(latency),
            LampState::Connecting | LampState::Lost { .. } => None,
        }
    }

    /// Notes an answer.
    pub fn answered(&mut self, latency: Duration, now: DateTime<Utc>) {
        self.state = LampState::Up { latency };
        self.last_good = Some(now);
    }

    /// Notes a failure; the first one of a row starts its clock.
    pub fn failed(&mut self, reason: Untrusted, retry_at: DateTime<Utc>, now: DateTime<Utc>) {
        let (since, tries) = match &self.state {
            LampState::Lost { since, tries, .. } => (*since, *tries),
            LampState::Connecting | LampState::Up { .. } => (now, 0),
        };
        self.state = LampState::Lost {
            since,
            why: reason,
            tries: tries.saturating_add(1),
            next_try: retry_at,
        };
    }
}

/// What the console itself costs the servers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Commands to Valkey a second.
    pub commands_per_s: f64,
    /// Statements to Postgres a second.
    pub queries_per_s: f64,
}

/// Both lamps and the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The queue.
    pub valkey: Lamp,
    /// The store.
    pub postgres: Lamp,
    /// The console's own load.
    pub load: Load,
    /// How far Postgres's clock is ahead of ours, in milliseconds.
    pub clock_ahead_ms: i64,
}

impl Connection {
    /// The lamp of a server.
    pub const fn lamp(&self, server: Server) -> &Lamp {
        match server {
            Server::Valkey => &self.valkey,
            Server::Postgres => &self.postgres,
        }
    }

    /// The same, to be changed.
    pub const fn lamp_mut(&mut self, server: Server) -> &mut Lamp {
        match server {
            Server::Valkey => &mut self.valkey,
            Server::Postgres => &mut self.postgres,
        }
    }
}

/// A command that the console sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// When.
    pub at: DateTime<Utc>,
    /// To whom.
    pub server: Server,
    /// In short.
    pub text: Untrusted,
    /// How many commands or statements it was.
    pub count: u32,
    /// How long the answer took; nothing when it failed.
    pub took: Option<Duration>,
}
