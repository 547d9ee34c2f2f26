//! Figures for Prometheus, in the OpenMetrics text format: what this process does, and how the queue stands.
//!
//! Labels are routes, methods, states: never an id, a client or anything that a client chose.

use std::panic::resume_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use millstream::queue::Queue;
use millstream::queue::inspect::Depth;
use millstream::store::Store;
use millstream::store::counts::{Counts, Settled};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::warn;

/// The media type of what [`Metrics::text`] answers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Seconds: from an answer out of memory to the time limit of a request.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// How long each server has to answer a scrape. Prometheus gives up after ten seconds.
const ASK_WITHIN: Duration = Duration::from_secs(3);
/// A worker whose heartbeat is older is not counted as active.
const ALIVE_FOR: Duration = Duration::from_secs(10);

type Labels = Vec<(&'static str, String)>;
type Figure = Gauge<f64, AtomicU64>;

/// What this process counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    /// What was counted of the queue and need not be counted again.
    settled: Mutex<Settled>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register(
            "http_server_requests",
            "Requests that were answered",
            requests.clone(),
        );
        registry.register(
            "http_server_request_duration_seconds",
            "Time from a request's head to its answer's head",
            seconds.clone(),
        );
        Self {
            registry,
            requests,
            seconds,
            settled: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts an answered request. The route is the pattern, not the path.
    pub fn answered(&self, method: &str, route: &str, status: StatusCode, took: Duration) {
        let labels = vec![
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        self.requests.get_or_create(&labels).inc();
        let labels = vec![("method", method.to_owned()), ("route", route.to_owned())];
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything, as Prometheus reads it. A server that is away is told as such, and its figures are left out.
    pub async fn text(&self, store: &Store, queue: &Queue, listeners: usize) -> String {
        let name = queue.keys().shared.clone();
        let settled = *self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        // As in `routes/health.rs`: it may outlive this question, so that its bound can replace the pool.
        let (asked, of) = (store.clone(), name.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by its own bound when nobody waits for it any more, and its panic is passed on"
        )]
        let counting = tokio::spawn(async move { asked.bounded(asked.counts_since(&of, settled)).await });
        let counting = async {
            counting
                .await
                .unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
        };
        let (counts, seen) = tokio::join!(
            within(counting),
            within(async { tokio::try_join!(queue.depth(), queue.workers()) }),
        );
        if let Some(counts) = &counts {
            *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = counts.settled;
        }
        let mut registry = Registry::default();
        let streams = Figure::default();
        streams.set(listeners as f64);
        registry.register(
            "http_server_event_streams",
            "Clients that follow a review",
            streams,
        );
        let up = Family::<Labels, Figure>::default();
        for (server, there) in [("postgres", counts.is_some()), ("valkey", seen.is_some())] {
            let labels = vec![("server", server.to_owned())];
            up.get_or_create(&labels).set(f64::from(u8::from(there)));
        }
        registry.register("review_server_up", "Whether a server answers", up);
        let of_queue = registry.sub_registry_with_label(("queue".into(), name.into()));
        if let Some(counts) = &counts {
            tell_counts(of_queue, counts);
        }
        if let Some((depth, workers)) = &seen {
            let active = workers.iter().filter(|worker| worker.silence < ALIVE_FOR).count();
            tell_depth(of_queue, depth, active);
        }
        let mut text = String::new();
        let written = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)
            .and_then(|()| encode(&mut text, &registry));
        written.expect("a text takes whatever is written to it");
        text
    }
}

/// The answer of a server, unless it is away or silent.
async fn within<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(ASK_WITHIN, call).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            warn!("failed to {error}; its figures are missing from the metrics");
            None
        }
        Err(_elapsed) => {
            warn!(
                "a server did not answer within {} s; its figures are missing",
                ASK_WITHIN.as_secs()
            );
            None
        }
    }
}

fn tell_counts(registry: &mut Registry, counts: &Counts) {
    let accepted = Counter::<u64>::default();
    accepted.inc_by(counts.accepted.unsigned_abs());
    registry.register("review_jobs_accepted", "Jobs that were ever accepted", accepted);
    // The other ends are none for good: an operator puts such a job back. They are counted as they stand.
    let completed = Family::<Labels, Counter>::default();
    let labels = vec![("outcome", "done".to_owned())];
    completed
        .get_or_create(&labels)
        .inc_by(counts.done.unsigned_abs());
    registry.register("review_jobs_completed", "Jobs that were done", completed);
    for (name, help, count) in [
        (
            "review_queue_scheduled",
            "Jobs whose time has not come",
            counts.scheduled,
        ),
        (
            "review_queue_waiting",
            "Jobs that wait for a worker",
            counts.waiting,
        ),
        ("review_queue_running", "Jobs that run", counts.running),
        (
            "review_queue_retrying",
            "Jobs between two attempts",
            counts.retrying,
        ),
        (
            "review_queue_dead",
            "Jobs given up and not thrown away",
            counts.dead,
        ),
        (
            "review_queue_dropped",
            "Jobs given up and thrown away",
            counts.dropped,
        ),
        ("review_queue_cancelled", "Jobs called off", counts.cancelled),
    ] {
        figure(registry, name, help, count as f64);
    }
    for (name, help, age) in [
        (
            "review_queue_oldest_waiting_age_seconds",
            "Age of the job that has waited longest",
            counts.oldest_waiting_s,
        ),
        (
            "review_queue_oldest_pending_age_seconds",
            "Age of the attempt that has run longest",
            counts.oldest_running_s,
        ),
    ] {
        figure(registry, name, help, age.unwrap_or(0.0));
    }
}

fn tell_depth(registry: &mut Registry, depth: &Depth, workers: usize) {
    for (name, help, count) in [
        ("review_queue_entries", "Entries on the streams", depth.entries),
        (
            "review_queue_pending",
            "Entries that a consumer holds",
            depth.pending,
        ),
        (
            "review_queue_parked",
            "Entries whose next attempt has a time",
            depth.parked,
        ),
    ] {
        figure(registry, name, help, count as f64);
    }
    figure(
        registry,
        "review_workers_active",
        "Workers with a heartbeat",
        workers as f64,
    );
}

fn figure(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Figure::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}
