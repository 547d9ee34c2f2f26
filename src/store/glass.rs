//! The book is written after the event: what operators noted in Valkey while Postgres was away.
//!
//! A note is copied once, by its token, however often it is found. What a pause or a resume did to Valkey then is done
//! to its row in the same transaction, unless somebody has set the row since.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::actions::{Intent, intend};
use super::connect::Store;
use super::error::StoreError;
use super::text::{clean, clean_value};
use crate::domain::glass::{GlassHalf, GlassNote};

const PAUSE_THEN: &str = "
insert into millstream.queues as q (name, paused_at, paused_by, reason, updated_at) values ($1, $4, $2, $3, $4)
on conflict (name) do update set paused_at = excluded.paused_at, paused_by = excluded.paused_by,
    reason = excluded.reason, updated_at = excluded.updated_at
where q.paused_at is null and q.updated_at < excluded.updated_at";

const RESUME_THEN: &str = "
insert into millstream.queues as q (name, updated_at) values ($1, $2)
on conflict (name) do update set paused_at = null, paused_by = null, reason = null, updated_at = excluded.updated_at
where q.paused_at is not null and q.updated_at < excluded.updated_at";

const OUTCOME_THEN: &str = "
update millstream.actions set ended_at = $2, outcome = $3, result = $4
where glass = $1 and ended_at is null";

impl Store {
    /// Copies a note into the book, if it is not there yet; answers whether it was written now.
    ///
    /// # Errors
    /// When the server is away; then it may have been copied all the same.
    pub async fn copy_glass(&self, note: &GlassNote, at: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let written = match note.half {
            GlassHalf::Intent => copy_intent(&mut transaction, note, at).await?,
            GlassHalf::Outcome => {
                let word = note.body.get("outcome").and_then(Value::as_str);
                let done = sqlx::query(OUTCOME_THEN)
                    .bind(note.token)
                    .bind(at)
                    .bind(word.map(clean))
                    .bind(Json(clean_value(note.body.get("result").unwrap_or(&Value::Null))))
                    .execute(&mut *transaction)
                    .await?;
                done.rows_affected() == 1
            }
        };
        transaction.commit().await?;
        Ok(written)
    }
}

async fn copy_intent(
    transaction: &mut PgConnection,
    note: &GlassNote,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Ok(intent) = serde_json::from_value::<Intent>(note.body.clone()) else {
        return Ok(false);
    };
    if intend(&mut *transaction, &intent, Some((note.token, at)))
        .await?
        .is_none()
    {
        return Ok(false);
    }
    match intent.verb.as_str() {
        "pause" => {
            sqlx::query(PAUSE_THEN)
                .bind(clean(&intent.queue))
                .bind(clean(&intent.actor))
                .bind(intent.reason.as_deref().map(clean))
                .bind(at)
                .execute(transaction)
                .await?;
        }
        "resume" => {
            sqlx::query(RESUME_THEN)
                .bind(clean(&intent.queue))
                .bind(at)
                .execute(transaction)
                .await?;
        }
        _ => {}
    }
    Ok(true)
}
