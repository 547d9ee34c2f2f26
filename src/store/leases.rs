//! Who leads: a row with an end, so that it works through a connection pooler too.

use std::time::Duration;

use super::connect::Store;
use super::error::StoreError;

impl Store {
    /// Takes or renews a lead for a while; answers whether it is held.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn lead(&self, name: &str, holder: &str, term: Duration) -> Result<bool, StoreError> {
        let held = sqlx::query(
            "insert into millstream.leases as lease (name, holder, until)
             values ($1, $2, now() + make_interval(secs => $3))
             on conflict (name) do update set holder = excluded.holder, until = excluded.until
             where lease.holder = excluded.holder or lease.until < now()",
        )
        .bind(name)
        .bind(holder)
        .bind(term.as_secs_f64())
        .execute(&self.pool())
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Gives a lead up early.
    ///
    /// # Errors
    /// When the server is away; then it runs out by itself.
    pub async fn yield_lead(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        sqlx::query("delete from millstream.leases where name = $1 and holder = $2")
            .bind(name)
            .bind(holder)
            .execute(&self.pool())
            .await?;
        Ok(())
    }
}
