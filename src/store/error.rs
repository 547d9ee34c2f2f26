//! What can go wrong between us and Postgres, by what the caller does about it.

/// Why a query did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server cannot be reached, or went away before it answered.
    #[error("reach Postgres: {0}")]
    Unreachable(String),
    /// The schema is missing or older than this version needs.
    #[error("use the database: {0}")]
    Schema(String),
    /// The server refused the statement, or the data is not what this version understands.
    #[error("run a statement on Postgres: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether waiting may help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = crate::untrusted::one_line(&error.to_string(), 300);
        match &error {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().unwrap_or_default();
                match code.as_ref() {
                    // Shutting down, starting up, too many connections, lost connection, read-only
                    // after a fail-over, and the conflicts that a repeat resolves.
                    "57P01" | "57P02" | "57P03" | "53300" | "25006" | "40001" | "40P01" => {
                        Self::Unreachable(text)
                    }
                    c if c.starts_with("08") => Self::Unreachable(text),
                    "42P01" | "42703" | "3F000" => Self::Schema(text),
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
