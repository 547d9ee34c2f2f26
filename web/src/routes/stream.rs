//! `/api/reviews/{id}/stream`: a review's progress as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{self, Extension, Path};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};

use super::reviews::{id_of, unknown, wait_in};
use crate::access::{Client, Scope};
use crate::follow::Follower;
use crate::headers::single;
use crate::problem::{Body, Problem, Refused};
use crate::state::State;

/// Proxies end a connection that is silent for half a minute or more.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How soon a browser comes back after a stream broke off.
const COME_BACK: Duration = Duration::from_secs(2);
/// A browser's name for the number of the last event that it heard.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Some proxies collect an answer before they pass it on, unless told not to.
const DO_NOT_COLLECT: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// A review's progress from its first event on, or from behind the one that `Last-Event-ID` names.
///
/// Progress comes as unnamed events, each with its number as `id`; an event named `end` says how it ended.
/// Comments keep the connection alive. 204 answers who has heard everything of a review that has ended.
#[utoipa::path(
    get,
    path = "/api/reviews/{id}/stream",
    tag = "reviews",
    params(
        ("id" = uuid::Uuid, Path, description = "the review's id"),
        ("Last-Event-ID" = Option<i64>, Header, description = "the number of the last event that was heard"),
    ),
    responses(
        (status = 200, description = "events until the review has ended", body = String, content_type = "text/event-stream"),
        (status = 204, description = "it has ended, and there is nothing more to tell"),
        (status = 404, description = "there is no such review", body = Body, content_type = "application/problem+json"),
        Refused,
    )
)]
pub async fn stream(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    client.must(Scope::Look)?;
    let id = id_of(path)?;
    let place = wait_in(&state, &client)?;
    // What is no number of ours, as a client of another server may send, means from the beginning.
    let behind = single(&headers, &LAST_EVENT_ID).and_then(|text| text.parse().ok());
    if state.store.watched(&[id]).await?.is_empty() {
        return Err(unknown());
    }
    let parts = (&state.hub, &state.store, &state.stopping);
    let Some(follower) = Follower::start(parts, id, behind, client.detail()).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    // The place goes when the stream does.
    let events = stream::unfold((follower, place), |(mut follower, place)| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), (follower, place)))
    });
    let first = stream::iter([Ok(Event::default().retry(COME_BACK))]);
    let alive = KeepAlive::new()
        .interval(ALIVE_EVERY)
        .event(Event::default().comment("alive"));
    let no_cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok((
        [no_cache, DO_NOT_COLLECT],
        Sse::new(first.chain(events)).keep_alive(alive),
    )
        .into_response())
}
