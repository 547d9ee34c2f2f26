//! The routes, and what is around every one of them.
//!
//! From the outside in: a log line with the request's id, headers that tell a browser to trust nothing, a net for
//! panics, a time limit, no page of another site; around the API also the door. A header that a route sets itself stays
//! as it is.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{self, MatchedPath, Query, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use millstream::untrusted::{one_line, visible};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, debug, error, info_span};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::contract::{self, document};
use crate::problem::Problem;
use crate::routes::reviews::FindQuery;
use crate::routes::{assets, fallback, health, pages, reviews, stream};
use crate::state::State;
use crate::{access, origin};

/// Longer than all that a request may wait for by itself: its body, a connection to Postgres, and Valkey.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The name under which a request is found in the logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest of a caller's own that is taken over.
const LONGEST_REQUEST_ID: usize = 64;

/// What tells a browser to trust nothing and to keep nothing.
const PRESET: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// The web producer as a service.
pub fn app(state: State) -> Router {
    let (routes, _) = parts(&state);
    routes
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn(origin::guard))
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            after_panic(&*panic)
        }))
        .layer(map_response(preset))
        .layer(from_fn_with_state(state, log))
}

/// The document of what the producer understands, as it is served.
#[must_use]
pub fn openapi(state: &State) -> utoipa::openapi::OpenApi {
    parts(state).1
}

fn parts(state: &State) -> (Router, utoipa::openapi::OpenApi) {
    let (routes, document) = OpenApiRouter::with_openapi(document())
        .merge(open())
        .merge(guarded(state))
        .with_state(state.clone())
        .split_for_parts();
    let served = contract::serve(&document);
    (routes.merge(served).merge(page(state)), document)
}

/// What anybody may ask: it tells nothing about anybody's work.
fn open() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// What lies behind the door.
fn guarded(state: &State) -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(reviews::list, reviews::submit))
        .routes(routes!(reviews::find))
        .routes(routes!(stream::stream))
        .routes(routes!(reviews::cancel))
        .routes(routes!(reviews::retry))
        .routes(routes!(health::metrics))
        .route_layer(from_fn_with_state(state.clone(), access::guard))
}

/// The page: for people, so it is no part of the document.
fn page(state: &State) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/reviews", get(pages::to_list).post(pages::submit))
        .route("/reviews/{id}", get(pages::run))
        .route("/reviews/{id}/cancel", get(pages::to_run).post(pages::cancel))
        .route("/reviews/{id}/retry", get(pages::to_run).post(pages::retry))
        .route_layer(from_fn_with_state(state.clone(), pages::guard))
        .route("/login", get(pages::login).post(pages::enter))
        .route("/logout", post(pages::leave))
        .route("/assets/{name}", get(assets::asset))
        .with_state(state.clone())
}

/// Sets the headers that the route has not set itself.
async fn preset(mut response: Response) -> Response {
    for (name, value) in PRESET {
        let entry = response.headers_mut().entry(name);
        entry.or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Answers for a request that takes too long. What it had begun stays valid: a submission whose row
/// is committed is accepted, whether its client was told or not.
async fn in_time(request: Request, next: Next) -> Response {
    let writes = request.method() == Method::POST;
    // Who asks to wait is given the time, and no other answer than the route's for a wait that makes no sense.
    let asks = |_query: &str| Query::<FindQuery>::try_from_uri(request.uri()).ok()?.wait().ok();
    let asked = request.uri().query().and_then(asks).unwrap_or_default();
    let answer = tokio::time::timeout(ANSWER_WITHIN + asked, next.run(request)).await;
    answer.unwrap_or_else(|_elapsed| {
        let cause = format!("no answer was found in {} s", ANSWER_WITHIN.as_secs());
        let problem = if writes {
            Problem::submission_in_doubt(&cause)
        } else {
            Problem::unavailable(&cause)
        };
        problem.into_response()
    })
}

fn after_panic(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    error!("a request panicked: {}", one_line(text, 300));
    Problem::internal().into_response()
}

/// One line for each request, and its id on every line in between. Never a query, a header or a body: they may hold a
/// secret.
async fn log(extract::State(state): extract::State<State>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = visible(request.uri().path());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let id = request_id(&request);
    let span = info_span!("request", request.id = %id);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    state.metrics.answered(
        method_label(&method),
        route.as_deref().unwrap_or("none"),
        status,
        took,
    );
    let (code, ms) = (status.as_u16(), took.as_millis());
    span.in_scope(|| debug!(http.status = code, "{method} {path} {code} in {ms} ms"));
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A method that is not known is none of a client's to make figures of.
fn method_label(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) {
        method.as_str()
    } else {
        "other"
    }
}

/// The caller's own, if it is a plain word; else a fresh one.
fn request_id(request: &Request) -> String {
    let plain = |text: &&str| {
        (1..=LONGEST_REQUEST_ID).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    crate::headers::single(request.headers(), &REQUEST_ID)
        .filter(plain)
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
