//! What a caller wants of the servers.

use std::path::PathBuf;

use super::machine::Machine;

/// Takes the one-line reports of what is going on: `valkey 9.1.2 from the cache`.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Whether a server is ours to start.
#[derive(Clone, PartialEq, Eq)]
pub enum Need {
    /// Start a private one.
    Start,
    /// Use the one at this URL; it is not touched.
    Given(String),
}

impl Need {
    /// A URL that the user may have set: given if it is there, else a server is started.
    pub fn from_url(url: Option<String>) -> Need {
        url.filter(|url| !url.is_empty()).map_or(Need::Start, Need::Given)
    }
}

impl std::fmt::Debug for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Need::Start => f.write_str("Start"),
            Need::Given(_) => f.write_str("Given(***)"), // a URL may hold a password
        }
    }
}

/// How to start the servers.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one folder for data and logs; made if it is not there, and kept: whoever chose it removes it.
    /// A second start in the same folder finds its data again. As root it must be under a folder that other
    /// accounts can enter ([`Machine::data_root`] is one).
    pub data_dir: PathBuf,
    /// The queue's server.
    pub valkey: Need,
    /// The record's server.
    pub postgres: Need,
    /// Whether Valkey writes an append-only file (flushed every second), so its data survives a restart.
    pub aof: bool,
    /// What the environment says.
    pub machine: Machine,
}

impl Options {
    /// Both servers, private, with Valkey's append-only file.
    pub fn new(data_dir: impl Into<PathBuf>, machine: Machine) -> Options {
        Options {
            data_dir: data_dir.into(),
            valkey: Need::Start,
            postgres: Need::Start,
            aof: true,
            machine,
        }
    }
}
