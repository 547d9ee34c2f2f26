//! The pool of connections to Postgres.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};

use super::error::StoreError;

/// How long a caller waits for a connection before Postgres counts as away.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(5);

/// What one statement may take, by Postgres' own clock. All of ours take milliseconds.
const LIMITS: &str = "set statement_timeout = '30s'; set lock_timeout = '10s'; \
                      set idle_in_transaction_session_timeout = '15s'";
/// How long the last connections have to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long the first look at the server may take.
const CHECK_WITHIN: Duration = Duration::from_secs(3);

/// A store on a Postgres server. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects without waiting: the first query connects, and fails when the server is away.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn open(url: &SecretString, application: &str, connections: u32) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|error| StoreError::Address(error.to_string()))?
            .application_name(application);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_WITHIN)
            .idle_timeout(Some(Duration::from_secs(60)))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // A lock that is never given back, or a line that falls silent in a transaction, must
                    // not hold a job's row for ever.
                    sqlx::raw_sql(LIMITS).execute(connection).await.map(|_| ())
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Connects once, outside the pool: the pool only says that it waited too long, this says why.
    ///
    /// # Errors
    /// When the server is away, or does not let us in.
    pub async fn check(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        let connecting = PgConnection::connect_with(&options);
        match tokio::time::timeout(CHECK_WITHIN, connecting).await {
            Ok(connection) => Ok(connection?.close().await?),
            Err(_elapsed) => {
                let text = format!("no answer within {} s", CHECK_WITHIN.as_secs());
                Err(StoreError::Unreachable(text))
            }
        }
    }

    /// Asks the server for its version, as `150018` for 15.18.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn server_version(&self) -> Result<i32, StoreError> {
        let version = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&self.pool)
            .await?;
        Ok(version)
    }

    /// Closes all connections, politely if they let us: one whose server fell silent never would.
    pub async fn close(&self) {
        let _left_open = tokio::time::timeout(CLOSE_WITHIN, self.pool.close()).await;
    }
}
