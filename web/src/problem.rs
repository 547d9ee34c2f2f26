//! What a refusal looks like: an RFC 9457 problem body that also carries the reference's `error`.
//!
//! A problem never holds what a client must not know: the text of a server's error goes to the log.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream::ops::OpsError;
use millstream::store::StoreError;
use millstream::untrusted::one_line;
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

/// What the reference answers to a submission that names nothing to review.
pub const PR_URL_IS_REQUIRED: &str = "prUrl is required";
/// What the reference answers for an unknown review.
pub const NOT_FOUND: &str = "not found";
/// A restart of Postgres takes seconds; coming back sooner only adds to the rush.
const POSTGRES_RETRY_AFTER: Duration = Duration::from_secs(5);
/// A detail may quote the client; this much of it is enough to find the mistake.
const MOST_DETAIL: usize = 500;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    error: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a refusal (RFC 9457). Its type is always `about:blank`: the status says which problem it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Body {
    /// Always `about:blank`.
    pub r#type: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The status.
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// The reference's word for it, where it has one; else the detail.
    pub error: String,
}

/// What any request may be refused with.
#[derive(Debug, utoipa::IntoResponses)]
pub enum Refused {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Body),
    /// The right token is missing.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Body),
    /// The token does not allow it, or a page of another site asks.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Body),
    /// Without a token only requests to this machine are answered.
    #[response(status = 421, content_type = "application/problem+json")]
    Misdirected(Body),
    /// This client is too fast, or has too much open; `Retry-After` says when to come back.
    #[response(
        status = 429,
        content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "seconds until it makes sense to come back"))
    )]
    TooMany(Body),
    /// Something went wrong here.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Body),
    /// A server is away; `Retry-After` says when to come back.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "seconds until it makes sense to come back"))
    )]
    Unavailable(Body),
}

impl Problem {
    /// A refusal with a detail for people, cut to one line of moderate length.
    pub fn new(status: StatusCode, detail: &str) -> Self {
        Self {
            status,
            detail: one_line(detail, MOST_DETAIL),
            error: None,
            headers: Vec::new(),
        }
    }

    /// 400: what was sent makes no sense.
    pub fn invalid(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400: nothing to review was named; its `error` is the reference's.
    pub fn nothing_to_review(detail: &str) -> Self {
        Self::invalid(detail).with_error(PR_URL_IS_REQUIRED)
    }

    /// 404: no such page, or no such review.
    pub fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail).with_error(NOT_FOUND)
    }

    /// 413: the body is larger than any submission can be.
    pub fn body_too_large(limit: usize, max_patch: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!(
                "the body has more than {limit} bytes, which no diff within MAX_PATCH ({max_patch} bytes) needs"
            ),
        )
    }

    /// 500: our fault. What happened is in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here; the log of the web producer says what",
        )
    }

    /// 503 for a submission whose fate is unknown.
    pub fn submission_in_doubt(cause: &str) -> Self {
        let detail = format!(
            "{cause}; the submission may have been accepted all the same: repeat it with the same Idempotency-Key, which makes a repeat safe"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, &detail).retry_after(POSTGRES_RETRY_AFTER)
    }

    /// 503 for a request that changes nothing.
    pub fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(POSTGRES_RETRY_AFTER)
    }

    /// The reference's word for it, where it has one.
    #[must_use]
    pub const fn with_error(mut self, error: &'static str) -> Self {
        self.error = Some(error);
        self
    }

    /// With a header that belongs to the refusal.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// When to come back, in whole seconds and at least one.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let seconds = pause.as_millis().div_ceil(1000).clamp(1, u128::from(u64::MAX));
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Puts the headers that belong to it on an answer that tells it otherwise.
    pub fn name_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What it tells people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Its `error` member: the reference's word, else the detail.
    #[must_use]
    pub fn error(&self) -> &str {
        self.error.unwrap_or(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            error: self.error().to_owned(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Why reading failed.
impl From<StoreError> for Problem {
    fn from(failure: StoreError) -> Self {
        if failure.is_passing() {
            warn!("failed to {failure}");
            return Self::unavailable("Postgres is away");
        }
        error!("failed to {failure}");
        Self::internal()
    }
}

/// Why a submission was not accepted.
impl From<OpsError> for Problem {
    fn from(refusal: OpsError) -> Self {
        match &refusal {
            OpsError::NotADiff(_) => Self::invalid(&format!("patch: {refusal}")),
            OpsError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, &refusal.to_string()),
            OpsError::NoReviews => Self::invalid(&refusal.to_string()),
            OpsError::Callback(_) | OpsError::NoCallbacks => {
                Self::invalid(&format!("callbackUrl: {refusal}"))
            }
            OpsError::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string()),
            OpsError::QueueFull { retry_after, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, &refusal.to_string()).retry_after(*retry_after)
            }
            OpsError::Refused(_) | OpsError::Fleet(_) => {
                Self::new(StatusCode::FORBIDDEN, &refusal.to_string())
            }
            OpsError::Store(failure) if failure.is_passing() => {
                warn!("{refusal}");
                Self::submission_in_doubt("Postgres is away")
            }
            OpsError::Queue(failure) if failure.is_passing() => {
                warn!("{refusal}");
                Self::submission_in_doubt("Valkey is away")
            }
            OpsError::Store(_) | OpsError::Queue(_) => {
                error!("{refusal}");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream::queue::QueueError;

    fn away() -> StoreError {
        StoreError::Unreachable("postgres://u:hunter2@h refused".to_owned())
    }

    fn broken() -> StoreError {
        StoreError::Refused("syntax error at hunter2".to_owned())
    }

    #[test]
    fn each_refusal_has_its_status_and_says_when_to_come_back() {
        let pause = Duration::from_millis(1_500);
        let full = OpsError::QueueFull {
            limit: 7,
            retry_after: pause,
        };
        let cases: [(Problem, u16, Option<&str>); 9] = [
            (
                OpsError::NotADiff(millstream::domain::diff::NotADiff::Empty).into(),
                400,
                None,
            ),
            (OpsError::TooLarge { bytes: 9, limit: 8 }.into(), 413, None),
            (OpsError::KeyReused.into(), 422, None),
            (full.into(), 429, Some("2")),
            (OpsError::Store(away()).into(), 503, Some("5")),
            (OpsError::Store(broken()).into(), 500, None),
            (
                OpsError::Queue(QueueError::Unreachable("x".to_owned())).into(),
                503,
                Some("5"),
            ),
            (away().into(), 503, Some("5")),
            (broken().into(), 500, None),
        ];
        for (problem, status, retry_after) in cases {
            assert!(!problem.detail().contains("hunter2"), "{problem:?}");
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status);
            let found = response.headers().get(header::RETRY_AFTER);
            assert_eq!(found.and_then(|value| value.to_str().ok()), retry_after);
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "application/problem+json"
            );
        }
    }

    #[test]
    fn a_submission_in_doubt_says_how_to_repeat_it() {
        let problem = Problem::from(OpsError::Store(away()));
        assert!(problem.detail().contains("may have been accepted"));
        assert!(problem.detail().contains("Idempotency-Key"));
        let limit = Problem::from(OpsError::TooLarge { bytes: 9, limit: 8 });
        assert!(limit.detail().contains("MAX_PATCH") && limit.detail().contains('8'));
    }

    #[test]
    fn a_detail_is_one_line_that_a_terminal_can_show() {
        let problem = Problem::invalid(&format!("a\n\u{1b}[31m{}", "x".repeat(9_000)));
        assert!(!problem.detail().contains(['\n', '\u{1b}']));
        assert!(problem.detail().chars().count() <= MOST_DETAIL + 1);
    }
}
