//! The worker as a service: settings, servers, signals, exit.

use std::sync::Arc;
use std::time::Duration;

use millstream::domain::CallbackReach;
use millstream::engine::{EngineError, Hearts, Identity, Job as _, Stop, Worker};
use millstream::exit::Exit;
use millstream::logging;
use millstream::queue::{Queue, Wire};
use millstream::settings::Faults;
use millstream::shutdown::Signals;
use millstream::store::Store;
use tracing::{info, warn};

use crate::github::{Github, GithubError};
use crate::job::{ReviewHandler, ReviewJob};
use crate::model::choice::Wish;
use crate::model::hosted::HostedError;
use crate::model::{Model, Offline};
use crate::otlp::Shipper;
use crate::posting::Poster;
use crate::reach::McpServers;
use crate::review::Reviewer;
use crate::settings::{ReviewSettings, WorkerSettings};
use crate::webhook::resolve::SystemLookup;
use crate::webhook::{WebhookHandler, WebhookJob};

/// Connections to Postgres: starts, ends, telemetry and checkpoints of a few dozen jobs share them.
const CONNECTIONS: u32 = 8;
/// What webhooks need beside them: their starts and ends go in batches, and a delivery asks once.
const WEBHOOK_CONNECTIONS: u32 = 3;

/// How long the last spans may take to leave, after everything else has ended: a part of the second that
/// `SHUTDOWN_GRACE` has to spare.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// The worker for webhooks.
type WebhookWorker = Worker<WebhookJob, WebhookHandler, Store>;

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
    /// The client for the collector cannot be made.
    #[error("failed to set up the way to the collector: {0}")]
    Otlp(String),
    /// The client for a model cannot be made.
    #[error("failed to use a model: {0}")]
    Model(#[from] HostedError),
    /// The system refuses something.
    #[error("failed to listen for signals: {0}")]
    System(#[from] std::io::Error),
}

impl WorkerError {
    /// How the process ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Settings(_)
            | Self::Github(GithubError::Address(_) | GithubError::Token)
            | Self::Model(HostedError::Key(_)) => Exit::Usage,
            Self::Engine(error) => error.exit(),
            Self::Github(GithubError::Client(_))
            | Self::Model(HostedError::Client(..))
            | Self::Otlp(_)
            | Self::Webhooks(_)
            | Self::System(_) => Exit::Ours,
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

    let github = Github::new(review.github())?;
    let reviewer = Reviewer::new(model(review)?, github.clone(), review.limits)
        .with_servers(McpServers::new(review.mcp.clone()));
    let identity = Identity {
        host: host_name(),
        instance: settings.instance.clone(),
    };
    // Both queues lie on one server, and one command is both heartbeats.
    let hearts = Hearts::default();
    let webhooks = webhook_worker(&settings, &store, &identity)?.map(|worker| worker.beating_with(&hearts));
    let mut handler = ReviewHandler::new(reviewer);
    if let Some(votes) = review.post {
        handler = handler.posting(Poster::new(github, store.clone(), queue.clone(), votes));
    }
    let shipper = match settings.otlp.clone() {
        Some(otlp) => {
            let (exporter, shipper) = Shipper::start(otlp).map_err(WorkerError::Otlp)?;
            handler = handler.exporting(exporter);
            Some(shipper)
        }
        None => None,
    };
    let worker: Worker<ReviewJob, _, _> =
        Worker::new(queue, store.clone(), handler, settings.engine.clone(), identity).beating_with(&hearts);
    let ended = both(worker, webhooks, &stop).await;
    if let Some(shipper) = shipper {
        shipper.finish(LAST_SPANS).await;
    }
    store.close().await;
    Ok(ended?)
}

/// The worker for webhooks, beside the one for reviews, if they can be signed.
fn webhook_worker(
    settings: &WorkerSettings,
    store: &Store,
    identity: &Identity,
) -> Result<Option<WebhookWorker>, WorkerError> {
    let Some(webhooks) = &settings.webhooks else {
        info!("WEBHOOK_SECRET is not set: this worker delivers no webhooks");
        return Ok(None);
    };
    if webhooks.reach == CallbackReach::Anywhere {
        warn!("WEBHOOK_ALLOW_PRIVATE is on: whoever may submit can have addresses in this network called");
    }
    let (valkey, queue) = (&settings.servers.valkey_url, settings.queue.webhooks());
    let queue = Queue::open(valkey, &queue, WebhookJob::WIRE).map_err(EngineError::from)?;
    let handler =
        WebhookHandler::new(store.clone(), webhooks, SystemLookup).map_err(WorkerError::Webhooks)?;
    let (engine, identity) = (webhooks.engine.clone(), identity.clone());
    Ok(Some(Worker::new(queue, store.clone(), handler, engine, identity)))
}

/// Runs both workers until the stop. One that fails ends the process, so the other one drains.
async fn both(
    reviews: Worker<ReviewJob, ReviewHandler, Store>,
    webhooks: Option<WebhookWorker>,
    stop: &Stop,
) -> Result<(), EngineError> {
    let reviewing = async { reviews.run(stop.clone()).await.inspect_err(|_| stop.ask()) };
    let delivering = async {
        match webhooks {
            Some(webhooks) => webhooks.run(stop.clone()).await.inspect_err(|_| stop.ask()),
            None => Ok(()),
        }
    };
    let (reviewed, delivered) = tokio::join!(reviewing, delivering);
    reviewed.and(delivered)
}

/// Who answers, said once.
///
/// # Errors
/// When a client for a provider cannot be made.
pub fn model(review: &ReviewSettings) -> Result<Arc<dyn Model>, HostedError> {
    let Some((hosted, said)) = review.model.open()? else {
        let why = match review.model.wish {
            Wish::Offline => "AGENT_MODEL says so",
            _ => "there is no ANTHROPIC_API_KEY and no OPENAI_API_KEY",
        };
        info!("{why}: the offline reviewer answers");
        return Ok(Arc::new(Offline::new(
            review.offline_latency,
            review.offline_failure_rate,
        )));
    };
    for line in said {
        warn!("{line}");
    }
    info!("{} answers", hosted.name());
    Ok(Arc::new(hosted))
}

/// The machine's name, or nothing: it is only shown.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
