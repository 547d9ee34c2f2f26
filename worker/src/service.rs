//! The worker as a service: settings, servers, signals, exit.

use std::sync::Arc;

use millstream::domain::CallbackReach;
use millstream::engine::{EngineError, Identity, Job as _, Stop, Worker};
use millstream::exit::Exit;
use millstream::logging;
use millstream::queue::{Queue, Wire};
use millstream::settings::{Faults, QueueSettings, ServerSettings};
use millstream::shutdown::Signals;
use millstream::store::Store;
use tracing::{info, warn};

use crate::agent::Limits;
use crate::github::{Github, GithubError};
use crate::job::{ReviewHandler, ReviewJob};
use crate::model::offline::Offline;
use crate::review::Reviewer;
use crate::settings::WorkerSettings;
use crate::webhook::resolve::SystemLookup;
use crate::webhook::settings::WebhookSettings;
use crate::webhook::{WebhookHandler, WebhookJob};

/// Connections to Postgres: starts, ends, telemetry and checkpoints of a few dozen jobs share them.
const CONNECTIONS: u32 = 8;
/// What webhooks need beside them: their starts and ends go in batches, and a delivery asks once.
const WEBHOOK_CONNECTIONS: u32 = 3;

/// Why a worker could not run, by exit code.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Settings are wrong.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// A server is away or does not fit.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The client for GitHub cannot be made.
    #[error("failed to {0}")]
    Github(#[from] GithubError),
    /// The client for webhooks cannot be made.
    #[error("failed to set up the client for webhooks: {0}")]
    Webhooks(String),
    /// The system refuses something.
    #[error("failed to listen for signals: {0}")]
    System(#[from] std::io::Error),
}

impl WorkerError {
    /// How the process ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Github(GithubError::Address(_) | GithubError::Token) => Exit::Usage,
            Self::Engine(error) => error.exit(),
            Self::Github(GithubError::Client(_)) | Self::Webhooks(_) | Self::System(_) => Exit::Ours,
        }
    }
}

/// Runs a worker until a signal ends it; `vars` looks settings up.
///
/// # Errors
/// When it cannot start.
pub async fn serve(vars: &dyn Fn(&str) -> Option<String>) -> Result<(), WorkerError> {
    let settings = WorkerSettings::read(vars)?;
    logging::start(&settings.log);
    let mut signals = Signals::listen()?;
    let stop = Stop::new();
    let asking = async {
        loop {
            signals.next().await;
            stop.ask();
        }
    };
    tokio::select! {
        ended = run(settings, stop.clone()) => ended,
        () = asking => Ok(()),
    }
}

/// Runs a worker until the stop is asked for.
///
/// # Errors
/// When it cannot start.
pub async fn run(settings: WorkerSettings, stop: Stop) -> Result<(), WorkerError> {
    let review = &settings.review;
    let queue = Queue::open(&settings.servers.valkey_url, &settings.queue, Wire::REVIEW)
        .map_err(EngineError::from)?;
    let connections = CONNECTIONS + settings.webhooks.as_ref().map_or(0, |_| WEBHOOK_CONNECTIONS);
    let store = Store::open_for_worker(&settings.servers.database_url, "millstream worker", connections)
        .map_err(EngineError::from)?;
    store.check().await.map_err(EngineError::from)?;
    store.migrate().await.map_err(EngineError::from)?;

    let model = Offline::new(review.offline_latency, review.offline_failure_rate);
    info!("no model key is read by this version: the offline reviewer answers");
    let reviewer = Reviewer::new(Arc::new(model), Github::new(review.github())?, Limits::default());
    let identity = Identity {
        host: host_name(),
        instance: settings.instance.clone(),
    };
    let handler = ReviewHandler::new(reviewer);
    let webhooks = match &settings.webhooks {
        Some(webhooks) => Some(webhook_worker(
            &settings.servers,
            &settings.queue,
            &store,
            webhooks,
            &identity,
        )?),
        None => {
            info!("WEBHOOK_SECRET is not set: this worker delivers no webhooks");
            None
        }
    };
    let worker: Worker<ReviewJob, _, _> =
        Worker::new(queue, store.clone(), handler, settings.engine.clone(), identity);
    let delivering = async {
        match webhooks {
            Some(webhooks) => both_or_none(webhooks.run(stop.clone()).await, &stop),
            None => Ok(()),
        }
    };
    let reviewing = async { both_or_none(worker.run(stop.clone()).await, &stop) };
    let (reviewed, delivered) = tokio::join!(reviewing, delivering);
    store.close().await;
    Ok(reviewed.and(delivered)?)
}

/// The worker for webhooks, beside the one for reviews.
fn webhook_worker(
    servers: &ServerSettings,
    reviews: &QueueSettings,
    store: &Store,
    settings: &WebhookSettings,
    identity: &Identity,
) -> Result<Worker<WebhookJob, WebhookHandler, Store>, WorkerError> {
    let queue =
        Queue::open(&servers.valkey_url, &reviews.webhooks(), WebhookJob::WIRE).map_err(EngineError::from)?;
    if settings.reach == CallbackReach::Anywhere {
        warn!("WEBHOOK_ALLOW_PRIVATE is on: whoever may submit can have addresses in this network called");
    }
    let handler =
        WebhookHandler::new(store.clone(), settings, SystemLookup).map_err(WorkerError::Webhooks)?;
    Ok(Worker::new(
        queue,
        store.clone(),
        handler,
        settings.engine.clone(),
        identity.clone(),
    ))
}

/// A worker that fails ends the process, so the other one drains.
fn both_or_none(ended: Result<(), EngineError>, stop: &Stop) -> Result<(), EngineError> {
    ended.inspect_err(|_| stop.ask())
}

/// The machine's name, or nothing: it is only shown.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
