//! The operators' book: what was wanted before it was done, what came of it after.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::connect::Store;
use super::error::StoreError;
use super::text::clean_value;

/// The number of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionId(i64);

/// An action as it stands in the book.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ActionRow {
    /// Its number.
    pub id: i64,
    /// When it was wanted.
    pub at: DateTime<Utc>,
    /// By whom, as `cli:ada`.
    pub actor: String,
    /// What was wanted.
    pub verb: String,
    /// Of what.
    pub detail: Value,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// How, in a word.
    pub outcome: Option<String>,
    /// What came of it.
    pub result: Option<Value>,
}

impl Store {
    /// The newest actions, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn actions(&self, limit: u32) -> Result<Vec<ActionRow>, StoreError> {
        let rows = sqlx::query_as(
            "select id, at, actor, verb, detail, ended_at, outcome, result
             from millstream.actions order by id desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// Writes down what an operator wants, before anything happens.
    ///
    /// # Errors
    /// When the server is away; then the operator's action must not happen.
    pub async fn intend(&self, actor: &str, verb: &str, detail: Value) -> Result<ActionId, StoreError> {
        let id = sqlx::query_scalar(
            "insert into millstream.actions (actor, verb, detail) values ($1, $2, $3) returning id",
        )
        .bind(actor)
        .bind(verb)
        .bind(clean_value(detail))
        .fetch_one(&self.pool())
        .await?;
        Ok(ActionId(id))
    }

    /// Writes down what came of it.
    ///
    /// # Errors
    /// When the server is away; the intent stays without an outcome.
    pub async fn conclude(&self, action: ActionId, outcome: &str, result: Value) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.actions set ended_at = now(), outcome = $2, result = $3 where id = $1",
        )
        .bind(action.0)
        .bind(outcome)
        .bind(clean_value(result))
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
