//! The routes, and what is around every one of them.
//!
//! From the outside in: a log line, headers that tell a browser to trust nothing, a net for panics, a
//! time limit; around the API also the door. A header that a route sets itself stays as it is.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millstream::untrusted::{one_line, visible};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{debug, error};

use crate::access;
use crate::problem::Problem;
use crate::routes::{fallback, health, reviews};
use crate::state::State;

/// Longer than all that a request may wait for: its body, a connection to Postgres, and Valkey.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The web producer as a service.
pub fn app(state: State) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .merge(api(state))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn(in_time))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            after_panic(&*panic)
        }))
        .layer(preset(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(preset(header::CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .layer(preset(header::REFERRER_POLICY, "no-referrer"))
        .layer(preset(header::CACHE_CONTROL, "no-store"))
        .layer(from_fn(log))
}

/// What lies behind the door.
fn api(state: State) -> Router {
    Router::new()
        .route("/api/reviews", get(reviews::list).post(reviews::submit))
        .route("/api/reviews/{id}", get(reviews::find))
        .route_layer(from_fn_with_state(state.clone(), access::guard))
        .with_state(state)
}

fn preset(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Answers for a request that takes too long. What it had begun stays valid: a submission whose row
/// is committed is accepted, whether its client was told or not.
async fn in_time(request: Request, next: Next) -> Response {
    let writes = request.method() == Method::POST;
    let answer = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
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

/// One line for each request. Never a query, a header or a body: they may hold a secret.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = visible(request.uri().path());
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let ms = started.elapsed().as_millis();
    debug!(http.status = status, "{method} {path} {status} in {ms} ms");
    response
}

#[cfg(test)]
mod tests;
