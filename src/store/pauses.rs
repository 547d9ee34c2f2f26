//! Whether a queue is paused: the truth behind the key in Valkey.

use chrono::{DateTime, Utc};

use super::connect::Store;
use super::error::StoreError;
use super::text::clean;

/// A pause that holds.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PausedRow {
    /// Who paused the queue.
    #[sqlx(rename = "paused_by")]
    pub by: String,
    /// When.
    #[sqlx(rename = "paused_at")]
    pub at: DateTime<Utc>,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl PausedRow {
    /// The text of the key in Valkey: one line of JSON for whoever looks.
    #[must_use]
    pub fn key_text(&self) -> String {
        let at = self.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        serde_json::json!({ "by": self.by, "at": at, "reason": self.reason }).to_string()
    }
}

impl Store {
    /// The pause of a queue, while it holds.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn paused(&self, queue: &str) -> Result<Option<PausedRow>, StoreError> {
        let row = sqlx::query_as(
            "select coalesce(paused_by, '') as paused_by, paused_at, reason from millstream.queues
             where name = $1 and paused_at is not null",
        )
        .bind(queue)
        .fetch_optional(&self.pool())
        .await?;
        if row.is_none() {
            self.stands(queue, true).await?;
        }
        Ok(row)
    }

    /// Somebody wants it so now: what was noted before, and is copied later, changes nothing any more.
    async fn stands(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.queues set updated_at = now() where name = $1 and (paused_at is not null) = $2",
        )
        .bind(queue)
        .bind(paused)
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// Pauses a queue. Answers the pause, or nothing if it was paused before; then nothing was written.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn pause(
        &self,
        queue: &str,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Option<PausedRow>, StoreError> {
        let row = sqlx::query_as(
            "insert into millstream.queues as q (name, paused_at, paused_by, reason) values ($1, now(), $2, $3)
             on conflict (name) do update set paused_at = excluded.paused_at, paused_by = excluded.paused_by,
                 reason = excluded.reason, updated_at = now()
             where q.paused_at is null
             returning paused_by, paused_at, reason",
        )
        .bind(queue)
        .bind(clean(by))
        .bind(reason.map(clean))
        .fetch_optional(&self.pool())
        .await?;
        Ok(row)
    }

    /// Whether the queue was paused once and runs again.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn was_resumed(&self, queue: &str) -> Result<bool, StoreError> {
        let runs = sqlx::query_scalar(
            "select exists (select 1 from millstream.queues where name = $1 and paused_at is null)",
        )
        .bind(queue)
        .fetch_one(&self.pool())
        .await?;
        Ok(runs)
    }

    /// Lets a queue run again. Answers whether it was paused.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn resume(&self, queue: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update millstream.queues
             set paused_at = null, paused_by = null, reason = null, updated_at = now()
             where name = $1 and paused_at is not null",
        )
        .bind(queue)
        .execute(&self.pool())
        .await?;
        let was_paused = done.rows_affected() == 1;
        if !was_paused {
            self.stands(queue, false).await?;
        }
        Ok(was_paused)
    }
}
