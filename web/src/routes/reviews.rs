//! `/api/reviews`: submit a review, list them, look at one, wait for it, move it.

use std::time::Duration;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Extension, Path, Query, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream::domain::{JobId, JobRef, JobState};
use millstream::ops::{Mode, Operator, Outcome, Rights, Submission, Why};
use millstream::store::Store;
use millstream::store::watch::Version;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::access::{Client, Scope};
use crate::body::{self, Unread};
use crate::caching::{etag_of, is_known, unchanged};
use crate::headers::{idempotency_key, is_json, traceparent};
use crate::limits::Left;
use crate::problem::{Body, Problem, Refused};
use crate::query::{ListQuery, Page};
use crate::shapes::{AcceptedBody, MovedBody, ReviewBody, ReviewDetail};
use crate::shares::{Full, Share};
use crate::state::State;
use crate::submission::{self, SubmissionBody};

/// Room in a body for everything but the diff.
const BESIDE_THE_DIFF: usize = 64 * 1024;
/// The longest that a request may ask to wait; proxies end what is silent for a minute or two.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Events come in bunches: an answer that waited is put together once for all of a bunch.
const BUNCH: Duration = Duration::from_millis(100);
/// Bodies come and go within seconds.
const ROOM_AGAIN: Duration = Duration::from_secs(1);
/// Streams and waiting answers last longer.
const PLACE_AGAIN: Duration = Duration::from_secs(5);

/// Submits a pull request or a patch for review; 202 once its row is committed.
///
/// A 503 may have been accepted all the same: the same `Idempotency-Key` makes the repeat safe.
#[utoipa::path(
    post,
    path = "/api/reviews",
    tag = "reviews",
    request_body = SubmissionBody,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!#-~][!-~]{0,254}$",
            description = "1 to 255 visible ASCII characters; a repeat within 24 hours is answered with the first one's review")),
    responses(
        Refused,
        (status = 202, description = "it is accepted", body = AcceptedBody,
         headers(("Location" = String, description = "where to look at it"),
                 ("RateLimit-Policy" = Option<String>, description = "how many this client may send at once, and in how many seconds; absent where SUBMIT_RATE is 0"),
                 ("RateLimit" = Option<String>, description = "how many are left, and when all are back; absent where SUBMIT_RATE is 0"))),
        (status = 408, description = "the body did not arrive in time", body = Body, content_type = "application/problem+json"),
        (status = 413, description = "the body or the patch is too large", body = Body, content_type = "application/problem+json"),
        (status = 415, description = "the body is not declared as JSON", body = Body, content_type = "application/problem+json"),
        (status = 422, description = "the idempotency key came with another submission", body = Body, content_type = "application/problem+json"),
        (status = 429, description = "the queue is full, or this client too fast, or too many of its large bodies are on their way", body = Body, content_type = "application/problem+json",
         headers(("Retry-After" = u64, description = "seconds until it makes sense to come back"),
                 ("RateLimit-Policy" = Option<String>, description = "as with 202"),
                 ("RateLimit" = Option<String>, description = "as with 202"))),
    )
)]
pub async fn submit(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Problem> {
    let left = may_submit(&state, &client)?;
    // Held until the answer, since what was read is as large as the body.
    let mut room = state.bodies.nothing(client.bucket());
    let submitting = async {
        let submission = read_submission(request, &client, state.max_patch, &mut room).await?;
        Ok(state.submitter.submit(submission).await?)
    };
    let submitted = submitting.await.map_err(|problem| with_left(left, problem))?;
    let location = format!("/api/reviews/{}", submitted.id);
    let headers: [(HeaderName, String); 1] = [(header::LOCATION, location)];
    let mut response = (
        StatusCode::ACCEPTED,
        headers,
        Json(AcceptedBody::from(&submitted)),
    )
        .into_response();
    for (name, value) in left.iter().flat_map(|left| left.headers()) {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// Whether the client may submit, now; asked before its body is read, so that nobody else's is held.
pub fn may_submit(state: &State, client: &Client) -> Result<Option<Left>, Problem> {
    client.must(Scope::Submit)?;
    let taken = state.limits.as_ref().map(|limits| limits.take(client.bucket()));
    taken.transpose()
}

/// A 429 says what is left of the client's bucket, whatever it is for.
pub fn with_left(left: Option<Left>, problem: Problem) -> Problem {
    match left {
        Some(left) if problem.status() == StatusCode::TOO_MANY_REQUESTS => left.name_on(problem),
        _ => problem,
    }
}

/// Lists reviews, the newest first.
#[utoipa::path(
    get,
    path = "/api/reviews",
    tag = "reviews",
    params(ListQuery),
    responses(
        (status = 200, description = "the newest that fit", body = Vec<ReviewBody>,
         headers(("Link" = Option<String>, description = "the next page, as rel=\"next\""),
                 ("ETag" = String, description = "changes when the answer does"))),
        (status = 304, description = "nothing has changed"),
        Refused,
    )
)]
pub async fn list(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    client.must(Scope::Look)?;
    let Query(query) = query.map_err(|refused| Problem::invalid(&refused.body_text()))?;
    let page = Page::read(&query)?;
    let rows = page.load(&state.store).await?;
    let next = page.next(&rows);
    let bodies: Vec<ReviewBody> = rows
        .into_iter()
        .take(page.limit as usize)
        .map(|row| ReviewBody::shown(row.review, client.detail()))
        .collect();
    let text = serde_json::to_string(&bodies).map_err(|_| Problem::internal())?;
    let etag = etag_of(&[text.as_bytes()]);
    if is_known(&headers, &etag) {
        return Ok(unchanged(etag));
    }
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = ([json, (header::ETAG, etag)], text).into_response();
    if let Some(next) = next {
        let link = format!("</api/reviews?{next}>; rel=\"next\"");
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// What a look at one review may ask for.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FindQuery {
    /// Up to `60s`: answers once the review has ended, or, with `If-None-Match`, once it differs from what is known;
    /// else when the time is over.
    #[serde(default)]
    #[param(example = "30s", pattern = "^([0-5]?[0-9]|60)s?$")]
    wait: Option<String>,
}

impl FindQuery {
    /// How long the answer may wait.
    ///
    /// # Errors
    /// A 400 for what is no time, or too long a one.
    pub fn wait(&self) -> Result<Duration, Problem> {
        let Some(text) = self.wait.as_deref() else {
            return Ok(Duration::ZERO);
        };
        let number = text.strip_suffix('s').unwrap_or(text);
        number
            .parse::<u8>()
            .ok()
            .filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|seconds| Duration::from_secs(seconds.into()))
            .filter(|wait| *wait <= LONGEST_WAIT)
            .ok_or_else(|| Problem::invalid("wait must be whole seconds up to 60, like 30s"))
    }
}

/// Everything about one review.
#[utoipa::path(
    get,
    path = "/api/reviews/{id}",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "the review's id"), FindQuery),
    responses(
        (status = 200, description = "the review, with its findings and spans as far as they are there", body = ReviewDetail,
         headers(("ETag" = String, description = "changes when the answer does"))),
        (status = 304, description = "nothing has changed"),
        (status = 404, description = "there is no such review", body = Body, content_type = "application/problem+json"),
        Refused,
    )
)]
pub async fn find(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<FindQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    client.must(Scope::Look)?;
    let Query(query) = query.map_err(|refused| Problem::invalid(&refused.body_text()))?;
    let (wait, id) = (query.wait()?, id_of(path)?);
    let place = if wait.is_zero() {
        None
    } else {
        Some(wait_in(&state, &client)?)
    };
    let version = until_news(&state, &client, id, &headers, wait).await?;
    drop(place);
    let etag = client.etag(&version);
    if is_known(&headers, &etag) {
        return Ok(unchanged(etag));
    }
    let detail = detail_of(&state.store, id).await?.shown(client.detail());
    Ok(([(header::ETAG, etag)], Json(detail)).into_response())
}

/// A place for a stream, or for an answer that waits: one client cannot take all connections.
pub fn wait_in(state: &State, client: &Client) -> Result<Share, Problem> {
    state.waiting.one(client.bucket()).map_err(|full| {
        let (status, detail) = match full {
            Full::Yours => {
                let each = state.waiting.each();
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("{each} streams and waiting answers are open, which is what one client may have (STREAMS_EACH)"),
                )
            }
            Full::Everybodys => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many streams and waiting answers are open; ask without waiting".to_owned(),
            ),
        };
        Problem::new(status, &detail).retry_after(PLACE_AGAIN)
    })
}

/// Waits until the review has ended, or differs from what the client knows, or the time is over.
async fn until_news(
    state: &State,
    client: &Client,
    id: JobId,
    headers: &HeaderMap,
    wait: Duration,
) -> Result<Version, Problem> {
    let deadline = Instant::now() + wait;
    // Before the first look, so that nothing falls in between.
    let mut listening = (!wait.is_zero()).then(|| state.hub.listen(id));
    loop {
        let version = state.store.version_of(id).await?.ok_or_else(unknown)?;
        let is_news = if headers.contains_key(header::IF_NONE_MATCH) {
            !is_known(headers, &client.etag(&version)) || version.is_final
        } else {
            version.is_final
        };
        let Some(listening) = listening
            .as_mut()
            .filter(|_| !is_news && Instant::now() < deadline)
        else {
            return Ok(version);
        };
        tokio::select! {
            _heard = listening.next() => sleep_until(deadline.min(Instant::now() + BUNCH)).await,
            () = sleep_until(deadline) => {}
            () = state.stopping.cancelled() => return Ok(version),
        }
    }
}

/// Everything about a review.
pub async fn detail_of(store: &Store, id: JobId) -> Result<ReviewDetail, Problem> {
    // The review is read first: one that says `done` has all its findings by then.
    let review = store.find_review(id).await?.ok_or_else(unknown)?;
    let findings = store.notes_of(id).await?;
    let spans = store.spans_of(id).await?;
    let results = store.findings_of(id).await?;
    Ok(ReviewDetail {
        review: review.into(),
        findings: findings.into_iter().map(Into::into).collect(),
        spans: spans.into_iter().map(Into::into).collect(),
        results: results.into_iter().map(Into::into).collect(),
    })
}

/// Calls a review off that has not ended.
#[utoipa::path(
    post,
    path = "/api/reviews/{id}/cancel",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "the review's id")),
    responses(
        (status = 200, description = "it is called off", body = MovedBody),
        (status = 404, description = "there is no such review", body = Body, content_type = "application/problem+json"),
        (status = 409, description = "it has ended already", body = Body, content_type = "application/problem+json"),
        Refused,
    )
)]
pub async fn cancel(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<MovedBody>, Problem> {
    client.must(Scope::Operate)?;
    let id = id_of(path)?;
    moved(id, cancel_it(&state, &client, id).await?)
}

/// Runs a review again that is dead, or at once one that waits for its next attempt or its time.
#[utoipa::path(
    post,
    path = "/api/reviews/{id}/retry",
    tag = "reviews",
    params(("id" = uuid::Uuid, Path, description = "the review's id")),
    responses(
        (status = 200, description = "it runs as soon as a worker is free", body = MovedBody),
        (status = 404, description = "there is no such review", body = Body, content_type = "application/problem+json"),
        (status = 409, description = "where it stands there is nothing to retry", body = Body, content_type = "application/problem+json"),
        Refused,
    )
)]
pub async fn retry(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<MovedBody>, Problem> {
    client.must(Scope::Operate)?;
    let id = id_of(path)?;
    moved(id, retry_it(&state, &client, id).await?)
}

/// Calls it off, as an operator does.
pub async fn cancel_it(state: &State, client: &Client, id: JobId) -> Result<Outcome, Problem> {
    let operator = operator(state, client);
    Ok(operator.cancel(&[JobRef::Id(id)], Mode::Real).await?)
}

/// Runs it again, by the move that fits where it stands.
pub async fn retry_it(state: &State, client: &Client, id: JobId) -> Result<Outcome, Problem> {
    let stands = state.store.watched(&[id]).await?.pop().ok_or_else(unknown)?;
    let (operator, names) = (operator(state, client), [JobRef::Id(id)]);
    let outcome = if stands.state == Some(JobState::Dead) {
        operator.requeue_dead(&names, Mode::Real).await
    } else {
        operator.retry(&names, Mode::Real).await
    };
    Ok(outcome?)
}

fn operator(state: &State, client: &Client) -> Operator {
    Operator::new(
        state.store.clone(),
        state.queue.clone(),
        format!("web:{}", client.name()),
        // One review at a time is moved here; the scope is the right.
        Rights::Explicit,
    )
}

fn moved(id: JobId, outcome: Outcome) -> Result<Json<MovedBody>, Problem> {
    match outcome.refused.into_iter().next().map(|refusal| refusal.why) {
        None => Ok(Json(MovedBody {
            id,
            notes: outcome.notes,
        })),
        Some(Why::Unknown) => Err(unknown()),
        Some(why @ (Why::ValkeyAway(_) | Why::PostgresAway(_))) => Err(Problem::unavailable(&away(&why))),
        Some(why) => Err(Problem::new(StatusCode::CONFLICT, &why.to_string())),
    }
}

/// What is told about a server that is away: never what it said, which may name where it is.
pub fn away(why: &Why) -> String {
    tracing::warn!("a move was not made: {why}");
    match why {
        Why::PostgresAway(_) => "Postgres is away".to_owned(),
        _ => "Valkey is away".to_owned(),
    }
}

/// There is no such review.
pub fn unknown() -> Problem {
    Problem::not_found("there is no review with this id")
}

/// The id in a path. What cannot be one names no review, and must not reach Postgres.
pub fn id_of(path: Result<Path<String>, PathRejection>) -> Result<JobId, Problem> {
    let Path(text) = path.map_err(|_| unknown())?;
    text.parse().map_err(|_| unknown())
}

/// Reads the whole request before anything is written.
async fn read_submission(
    request: Request,
    client: &Client,
    max_patch: usize,
    room: &mut Share,
) -> Result<Submission, Problem> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    check_type(headers, body.is_end_stream())?;
    let idempotency = idempotency_key(headers)?.map(|key| (client.keys().to_owned(), key));
    let limit = body_limit(max_patch);
    let bytes = body::collect(body, limit, room)
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
pub const fn body_limit(max_patch: usize) -> usize {
    max_patch.saturating_mul(2).saturating_add(BESIDE_THE_DIFF)
}

/// Why a body was not read.
pub fn refuse(unread: Unread, limit: usize, max_patch: usize) -> Problem {
    match unread {
        Unread::TooLarge => Problem::body_too_large(limit, max_patch),
        Unread::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::Broken => Problem::invalid("the body broke off"),
        Unread::NoRoom(Full::Yours) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many large bodies of this client are on their way; send them one after another",
        )
        .retry_after(ROOM_AGAIN),
        Unread::NoRoom(Full::Everybodys) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many large bodies are on their way, so this one was thrown away",
        )
        .retry_after(ROOM_AGAIN),
    }
}
