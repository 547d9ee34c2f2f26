//! How many workers a fleet on one machine shall have: operators write it, whoever starts the processes reads it.

use chrono::{DateTime, Utc};

use super::connect::Store;
use super::error::StoreError;
use super::text::clean;

/// A fleet, as it was asked for and as it is.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct FleetRow {
    /// How many workers there shall be.
    pub wanted: i32,
    /// When that was asked for.
    pub asked_at: DateTime<Utc>,
    /// How many there were when it answered last.
    pub running: Option<i32>,
    /// When it answered last.
    pub seen_at: Option<DateTime<Utc>>,
    /// Whether it has answered within the last seconds.
    pub is_there: bool,
}

impl Store {
    /// The fleet of a queue, if there ever was one that can be asked.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn fleet(&self, queue: &str) -> Result<Option<FleetRow>, StoreError> {
        let row = sqlx::query_as(
            "select wanted, asked_at, running, seen_at,
                    coalesce(seen_at > now() - interval '5 s', false) as is_there
             from millstream.fleets where queue = $1",
        )
        .bind(queue)
        .fetch_optional(&self.pool())
        .await?;
        Ok(row)
    }

    /// Asks a fleet for so many workers. Answers when that was asked for, by the server's clock.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn ask_fleet(&self, queue: &str, by: &str, wanted: u32) -> Result<DateTime<Utc>, StoreError> {
        let at = sqlx::query_scalar(
            "insert into millstream.fleets (queue, wanted, asked_by) values ($1, $2, $3)
             on conflict (queue) do update set wanted = excluded.wanted, asked_at = now(), asked_by = excluded.asked_by
             returning asked_at",
        )
        .bind(queue)
        .bind(i32::try_from(wanted).unwrap_or(i32::MAX))
        .bind(clean(by))
        .fetch_one(&self.pool())
        .await?;
        Ok(at)
    }

    /// The fleet says how many workers it has.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn answer_fleet(&self, queue: &str, running: u32) -> Result<(), StoreError> {
        sqlx::query(
            "insert into millstream.fleets (queue, wanted, asked_by, running, seen_at)
             values ($1, $2, 'fleet', $2, now())
             on conflict (queue) do update set running = excluded.running, seen_at = excluded.seen_at",
        )
        .bind(queue)
        .bind(i32::try_from(running).unwrap_or(i32::MAX))
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
