//! Letting somebody in over HTTP: a token is made, and shown once; a token is revoked.
//!
//! A token is 256 random bits, so its plain hash gives nothing away, and nothing slower is needed to keep it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::action::Told;
use super::error::OpsError;
use super::operator::Operator;
use crate::domain::Scopes;
use crate::store::tokens::NewToken;

/// What every token begins with, so that one that leaked is found by who searches for it.
pub const PREFIX: &str = "mst_";
/// The longest name.
pub const LONGEST_NAME: usize = 60;

/// A token that was made. Its text is nowhere else.
#[derive(Clone)]
pub struct MadeToken {
    /// Its id.
    pub id: Uuid,
    /// What its holder sends.
    pub text: String,
}

impl std::fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is wanted of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedToken {
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a token is looked up by.
#[must_use]
pub fn token_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Operator {
    /// Makes a token; nothing when one of this name counts already.
    ///
    /// # Errors
    /// When Postgres is away, or the operator may only look.
    pub async fn create_token(&self, wanted: WantedToken) -> Result<Option<MadeToken>, OpsError> {
        let text = fresh();
        let token = NewToken {
            id: Uuid::new_v4(),
            hash: token_hash(&text),
            name: wanted.name,
            scopes: wanted.scopes,
            created_by: self.who.actor.clone(),
            expires_at: wanted.expires_at,
        };
        let detail =
            json!({ "name": token.name, "scopes": token.scopes.words(), "expires_at": token.expires_at });
        let intent = self.intent("token create", Vec::new(), detail);
        let made = self.recorded(intent, |_action| async {
            Ok(Made(
                self.store.bounded(self.store.add_token(&token)).await?,
                token.id,
            ))
        });
        Ok(made.await?.0.then_some(MadeToken { id: token.id, text }))
    }

    /// Ends a token; answers whether one of this name counted. Producers notice within seconds.
    ///
    /// # Errors
    /// When Postgres is away, or the operator may only look.
    pub async fn revoke_token(&self, name: &str) -> Result<bool, OpsError> {
        let intent = self.intent("token revoke", Vec::new(), json!({ "name": name }));
        let revoked = self.recorded(intent, |_action| async {
            Ok(Revoked(self.store.bounded(self.store.revoke_token(name)).await?))
        });
        Ok(revoked.await?.0)
    }
}

struct Made(bool, Uuid);

impl Told for Made {
    fn told(&self) -> (&'static str, Value) {
        if self.0 {
            ("ok", json!({ "id": self.1 }))
        } else {
            (
                "refused",
                json!({ "error": "a token of this name counts already" }),
            )
        }
    }
}

struct Revoked(bool);

impl Told for Revoked {
    fn told(&self) -> (&'static str, Value) {
        if self.0 {
            ("ok", json!({}))
        } else {
            ("refused", json!({ "error": "no token of this name counts" }))
        }
    }
}

/// 256 random bits in hexadecimal, behind the prefix.
fn fresh() -> String {
    use std::fmt::Write as _;
    let bits: [u8; 32] = rand::random();
    bits.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_its_own_and_does_not_print() {
        let (one, two) = (fresh(), fresh());
        assert!(one.starts_with(PREFIX) && one.len() == PREFIX.len() + 64 && one != two);
        assert_ne!(token_hash(&one), token_hash(&two));
        let made = MadeToken {
            id: Uuid::nil(),
            text: one.clone(),
        };
        assert!(!format!("{made:?}").contains(&one));
    }
}
