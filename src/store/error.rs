//! What can go wrong between us and Postgres, by what the caller does about it.

use crate::exit::Exit;

/// Why a query did not do its work. One query can be many callers', each of whom is told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The server cannot be reached, or went away before it answered.
    #[error("reach Postgres: {0}")]
    Unreachable(String),
    /// The server does not let us in: no such database, wrong password, no rights.
    #[error("log in to Postgres: {0}")]
    Denied(String),
    /// The address cannot be read.
    #[error("read the address of Postgres: {0}")]
    Address(String),
    /// The schema is missing or older than this version needs.
    #[error("use the database: {0}")]
    Schema(String),
    /// The server refused the statement, or the data is not what this version understands.
    #[error("run a statement on Postgres: {0}")]
    Refused(String),
}

impl StoreError {
    /// How a process ends that cannot do without the query.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unreachable(_) | Self::Denied(_) | Self::Schema(_) => Exit::Unreachable,
            Self::Address(_) => Exit::Usage,
            Self::Refused(_) => Exit::Ours,
        }
    }

    /// Whether waiting may help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = match &error {
            sqlx::Error::Database(refusal) => said(refusal.message()),
            other => said(&other.to_string()),
        };
        match &error {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().unwrap_or_default();
                match code.as_ref() {
                    // Out of time for a statement or between two, shutting down, starting up, read-only after a
                    // fail-over, and the conflicts that a repeat resolves; by class: lost connections, no resources,
                    // trouble with its disk.
                    "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "55P03" | "25006" | "25P03"
                    | "40001" | "40P01" => Self::Unreachable(text),
                    c if ["08", "53", "58"].iter().any(|class| c.starts_with(class)) => {
                        Self::Unreachable(text)
                    }
                    "42P01" | "42703" | "3F000" => Self::Schema(text),
                    "3D000" | "28000" | "28P01" => Self::Denied(said(refusal.message())),
                    _ => Self::Refused(text),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unreachable(text),
            _ => Self::Refused(text),
        }
    }
}

/// What the server said, on one line.
fn said(text: &str) -> String {
    crate::untrusted::one_line(text, 300)
}
