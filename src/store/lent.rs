//! A connection that is lent for transactions.
//!
//! sqlx knows of a transaction once its `BEGIN` is answered. When its caller goes away before that, Postgres has begun it
//! all the same, the connection would go back, and whatever others write by it is never committed, while the rows stay
//! locked. So a connection whose `BEGIN` has no answer does not go back: it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::{Store, StoreError};

/// A connection, and what it needs to know to be given back.
#[derive(Debug)]
pub(super) struct Lent {
    connection: PoolConnection<Postgres>,
    /// Counts those that are lent: a connection that comes back is counted by its pool, one that is closed is not.
    count: Arc<AtomicI64>,
    is_beginning: bool,
}

impl Lent {
    /// Begins a transaction. It may be given up at any time.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.is_beginning = true;
        let transaction = self.connection.begin().await?;
        self.is_beginning = false;
        Ok(transaction)
    }

    /// The connection, outside of a transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_beginning {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.connection.close_on_drop();
        }
    }
}

impl Store {
    /// A connection for a transaction.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let pool = self.present();
        Ok(Lent {
            connection: pool.connections.acquire().await?,
            count: pool.lent,
            is_beginning: false,
        })
    }
}
