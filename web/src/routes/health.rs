//! Whether the process lives, whether it can work, and what it counts.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{self, Extension};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use millstream::queue::Queue;
use millstream::store::Store;
use serde::Serialize;
use tracing::warn;

use crate::access::{Client, Scope};
use crate::metrics::CONTENT_TYPE;
use crate::problem::Problem;
use crate::state::State;

/// How long each server has to answer.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Anybody may ask whether we are ready; the servers are asked no more often than this.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// What was found when the servers were asked last.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<(Instant, Found)>>);

/// Whether each part is as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Found {
    /// Postgres answers, and its schema is the one that this version needs.
    pub postgres: bool,
    /// Valkey answers.
    pub valkey: bool,
}

impl Readiness {
    async fn ask(&self, store: &Store, queue: &Queue) -> Found {
        if let Some((at, found)) = *self.lock()
            && at.elapsed() < HOLDS_FOR
        {
            return found;
        }
        // Nobody waits longer than that for the answer, and yet it is waited for: a call that is dropped half way keeps
        // its connection from all others when the server has fallen silent, and only its bound replaces the pool.
        let asked = store.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by its own bound when nobody waits for it any more, and its panic is passed on"
        )]
        let schema = tokio::spawn(async move { asked.bounded(asked.check_schema()).await });
        let schema = async {
            schema
                .await
                .unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
        };
        let (postgres, valkey) = tokio::join!(answers(schema), answers(queue.check()));
        let found = Found { postgres, valkey };
        *self.lock() = Some((Instant::now(), found));
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Found)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answers<E: std::fmt::Display>(call: impl Future<Output = Result<(), E>>) -> bool {
    match tokio::time::timeout(ASK_WITHIN, call).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            warn!("not ready: failed to {error}");
            false
        }
        Err(_elapsed) => {
            warn!(
                "not ready: a server did not answer within {} s",
                ASK_WITHIN.as_secs()
            );
            false
        }
    }
}

/// Whether the process lives. It asks no server: restarting this process heals neither of them, and it still
/// accepts work while Valkey is away.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    security(()),
    responses((status = 200, description = "it lives", body = String, content_type = "text/plain; charset=utf-8"))
)]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Whether both servers answer, Postgres has the schema of this version, and the process is not about to end.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "it can work", body = Found),
        (status = 503, description = "it cannot, and the detail says what is missing", body = crate::problem::Body,
         content_type = "application/problem+json"),
    )
)]
pub async fn readyz(extract::State(state): extract::State<State>) -> Result<Json<Found>, Problem> {
    if state.stopping.is_cancelled() {
        return Err(not_ready("the process is about to end"));
    }
    let found = state.readiness.ask(&state.store, &state.queue).await;
    match found {
        Found {
            postgres: false,
            valkey: false,
        } => Err(not_ready("Postgres and Valkey are away")),
        Found { postgres: false, .. } => {
            Err(not_ready("Postgres is away, or its schema is not the one needed"))
        }
        Found { valkey: false, .. } => Err(not_ready(
            "Valkey is away: what is accepted now is owed to the queue",
        )),
        ready => Ok(Json(ready)),
    }
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(HOLDS_FOR)
}

/// Figures for Prometheus: this process's requests, and how the queue stands.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, description = "figures in the OpenMetrics text format", body = String,
         content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        crate::problem::Refused,
    )
)]
pub async fn metrics(
    extract::State(state): extract::State<State>,
    Extension(client): Extension<Client>,
) -> Result<impl IntoResponse, Problem> {
    client.must(Scope::Read)?;
    let text = state
        .metrics
        .text(&state.store, &state.queue, state.hub.listeners())
        .await;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
