//! Tokens for the web producer: made, looked up by their hash, listed, revoked.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use crate::domain::scope::{Scope, Scopes};

/// A token to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it allows.
    pub scopes: Scopes,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownToken {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TokenRow {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was shown last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

const LOOK_UP: &str = "
with found as (
    select id, name, scopes, last_used_at from millstream.tokens
    where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())
), used as (
    update millstream.tokens t set last_used_at = now() from found
    where t.id = found.id and (found.last_used_at is null or found.last_used_at < now() - interval '1 min')
)
select id, name, scopes from found";

impl Store {
    /// Keeps a token; answers whether the name was free.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn add_token(&self, token: &NewToken) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "insert into millstream.tokens (id, name, hash, scopes, created_by, expires_at)
             values ($1, $2, $3, $4, $5, $6) on conflict (name) where revoked_at is null do nothing",
        )
        .bind(token.id)
        .bind(&token.name)
        .bind(token.hash.as_slice())
        .bind(token.scopes.words())
        .bind(&token.created_by)
        .bind(token.expires_at)
        .execute(&self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The token with this hash, if it counts.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn token_of(&self, hash: &[u8; 32]) -> Result<Option<KnownToken>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(LOOK_UP)
                .bind(hash.as_slice())
                .fetch_optional(&self.pool())
                .await?)
        };
        let found: Option<(Uuid, String, Vec<String>)> = self.bounded(asked).await?;
        Ok(found.map(|(id, name, words)| {
            // A word of a newer version allows nothing here.
            let scopes: Vec<Scope> = words.iter().filter_map(|word| word.parse().ok()).collect();
            KnownToken {
                id,
                name,
                scopes: Scopes::of(&scopes),
            }
        }))
    }

    /// All tokens that were ever made, the newest first, at most a thousand.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query_as(
            "select id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at
             from millstream.tokens order by created_at desc, id limit 1000",
        )
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// Ends a token by its name; answers whether there was one that counted.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update millstream.tokens set revoked_at = now() where name = $1 and revoked_at is null",
        )
        .bind(name)
        .execute(&self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
