//! `/api/reviews`: submit a review, list them, look at one.

use axum::Json;
use axum::body::HttpBody;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Extension, Path, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use millstream::domain::JobId;
use millstream::ops::Submission;

use crate::access::Client;
use crate::body::{self, Unread};
use crate::headers::{idempotency_key, is_json, traceparent};
use crate::problem::Problem;
use crate::shapes::{AcceptedBody, ReviewBody, ReviewDetail};
use crate::state::State;
use crate::submission;

/// How many reviews the reference lists.
const LISTED: u32 = 50;
/// Room in a body for everything but the diff.
const BESIDE_THE_DIFF: usize = 64 * 1024;

/// `POST /api/reviews`: 202 once the row is committed.
pub async fn submit(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let submission = read_submission(request, &client, state.max_patch).await?;
    let submitted = state.submitter.submit(submission).await?;
    let location = format!("/api/reviews/{}", submitted.id);
    let headers: [(HeaderName, String); 1] = [(header::LOCATION, location)];
    Ok((
        StatusCode::ACCEPTED,
        headers,
        Json(AcceptedBody::from(&submitted)),
    ))
}

/// `GET /api/reviews`: the newest ones.
pub async fn list(extract::State(state): extract::State<State>) -> Result<Json<Vec<ReviewBody>>, Problem> {
    let rows = state.store.list_reviews(LISTED).await?;
    Ok(Json(rows.into_iter().map(ReviewBody::from).collect()))
}

/// `GET /api/reviews/{id}`: everything about one.
pub async fn find(
    extract::State(state): extract::State<State>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ReviewDetail>, Problem> {
    let unknown = || Problem::not_found("there is no review with this id");
    // An id that cannot be one names no review, and must not reach Postgres.
    let Path(text) = path.map_err(|_| unknown())?;
    let id: JobId = text.parse().map_err(|_| unknown())?;
    let store = &state.store;
    // The review is read first: one that says `done` has all its findings by then.
    let review = store.find_review(id).await?.ok_or_else(unknown)?;
    let findings = store.notes_of(id).await?;
    let spans = store.spans_of(id).await?;
    let results = store.findings_of(id).await?;
    Ok(Json(ReviewDetail {
        review: review.into(),
        findings: findings.into_iter().map(Into::into).collect(),
        spans: spans.into_iter().map(Into::into).collect(),
        results: results.into_iter().map(Into::into).collect(),
    }))
}

/// Reads the whole request before anything is written.
async fn read_submission(request: Request, client: &Client, max_patch: usize) -> Result<Submission, Problem> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    check_type(headers, body.is_end_stream())?;
    let idempotency = idempotency_key(headers)?.map(|key| (client.name().to_owned(), key));
    let limit = body_limit(max_patch);
    let bytes = body::collect(body, limit)
        .await
        .map_err(|unread| refuse(unread, limit, max_patch))?;
    let wanted = submission::parse(&bytes)?;
    Ok(Submission {
        source: wanted.source,
        run_at: wanted.not_before,
        priority: wanted.priority,
        callback: wanted.callback_url,
        idempotency,
        traceparent: traceparent(headers),
    })
}

/// Refuses what is not declared as JSON; a request without any body says so more clearly itself.
fn check_type(headers: &HeaderMap, is_empty: bool) -> Result<(), Problem> {
    if is_json(headers) || (is_empty && !headers.contains_key(header::CONTENT_TYPE)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "send JSON, and Content-Type: application/json",
    ))
}

/// The largest body that is read: twice the largest diff, since JSON writes a line end, a tab or a
/// quote as two characters.
const fn body_limit(max_patch: usize) -> usize {
    max_patch.saturating_mul(2).saturating_add(BESIDE_THE_DIFF)
}

fn refuse(unread: Unread, limit: usize, max_patch: usize) -> Problem {
    match unread {
        Unread::TooLarge => Problem::body_too_large(limit, max_patch),
        Unread::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::Broken => Problem::invalid("the body broke off"),
    }
}
