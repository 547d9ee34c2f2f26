//! Who sent a request, and what they may do and are told.

use axum::http::{HeaderValue, StatusCode, header};
use millstream::domain::{Scope, Scopes};
use millstream::store::watch::Version;

use super::PUBLIC;
use crate::caching::etag_of;
use crate::follow::Detail;
use crate::problem::Problem;

/// Who sent a request, as far as we know, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub(super) name: String,
    pub(super) bucket: String,
    pub(super) scopes: Scopes,
}

impl Client {
    /// The name in the book; it does not give a token away.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose idempotency keys its are: the token's, else the address's. Keys of two clients do not meet.
    #[must_use]
    pub fn keys(&self) -> &str {
        if self.is_anybody() {
            &self.bucket
        } else {
            &self.name
        }
    }

    /// Whose bucket its submissions are taken from: the token's, else the address's.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether it showed no token.
    #[must_use]
    pub fn is_anybody(&self) -> bool {
        self.name == PUBLIC
    }

    /// Whether it may.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Refuses what it may not.
    ///
    /// # Errors
    /// A 401 for whoever showed no token, a 403 for a token without the scope.
    pub fn must(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        if self.is_anybody() {
            let detail = format!(
                "without a token this cannot be done: it needs the scope `{}`",
                scope.word()
            );
            return Err(Problem::new(StatusCode::UNAUTHORIZED, &detail).with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"millstream\""),
            ));
        }
        let detail = format!("the token does not have the scope `{}`", scope.word());
        Err(Problem::new(StatusCode::FORBIDDEN, &detail))
    }

    /// How much it is told.
    #[must_use]
    pub const fn detail(&self) -> Detail {
        if self.may(Scope::Read) {
            Detail::Full
        } else {
            Detail::Outline
        }
    }

    /// The tag of a review in this state, as this client sees it.
    #[must_use]
    pub fn etag(&self, version: &Version) -> HeaderValue {
        let seen = match self.detail() {
            Detail::Full => b"full".as_slice(),
            Detail::Outline => b"outline",
        };
        etag_of(&[version.version.as_bytes(), seen])
    }
}

#[cfg(test)]
impl Client {
    /// Somebody on this machine.
    pub(crate) fn everything() -> Self {
        Self::anybody(Scopes::ALL)
    }

    /// Somebody who may only look.
    pub(crate) fn looks_only() -> Self {
        Self::anybody(Scopes::of(&[]))
    }

    fn anybody(scopes: Scopes) -> Self {
        Self {
            name: PUBLIC.to_owned(),
            bucket: String::new(),
            scopes,
        }
    }
}
