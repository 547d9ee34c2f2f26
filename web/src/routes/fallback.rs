//! What is not there.

use axum::http::StatusCode;

use crate::problem::Problem;

/// Any path that is no route.
pub async fn not_found() -> Problem {
    Problem::not_found("there is nothing at this address")
}

/// A route that does not know the method; the router adds which ones it knows as `Allow`.
pub async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not know the method; the Allow header lists those it knows",
    )
}
