//! The supervisor: starts the loops in order, stops them in reverse.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::card::{Card, CardState};
use super::fetch::Fetcher;
use super::heartbeat::{Heart, Hearts};
use super::job::{Handler, Job};
use super::ledger::Ledger;
use super::listen::Listener;
use super::outcome::RetryRules;
use super::reconcile::Reconciler;
use super::runtime::{INBOX, Message, Runtime, Setup, note_left};
use super::sweep::{Duty, Sweeper};
use super::telemetry::Telemetry;
use super::{preflight, release};
use crate::domain::WorkerId;
use crate::exit::Exit;
use crate::queue::{Queue, QueueError};
use crate::settings::EngineSettings;
use crate::store::StoreError;

/// How much of the grace the loops have to end once the last entry is let go.
const TIDY_UP_WITHIN: Duration = Duration::from_secs(2);
/// How long Valkey has to take the goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// Leases are renewed at a third of the visibility timeout, and at least this often.
const RENEW_AT_LEAST: Duration = Duration::from_secs(5);

/// Ends a worker: asked once it drains, asked twice it hands everything back at once.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    ask: CancellationToken,
    insist: CancellationToken,
}

impl Stop {
    /// A stop that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks once: finish what runs. Asked again, it insists.
    pub fn ask(&self) {
        if self.ask.is_cancelled() {
            self.insist.cancel();
        }
        self.ask.cancel();
    }

    /// Waits until it is asked for.
    pub async fn asked(&self) {
        self.ask.cancelled().await;
    }

    /// Waits until it is insisted on.
    pub async fn insisted(&self) {
        self.insist.cancelled().await;
    }
}

/// Who a worker is, beyond its id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Its machine.
    pub host: String,
    /// Render's name for the instance, if it runs there.
    pub instance: Option<String>,
}

/// Why a worker could not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A server does not fit, or the queue belongs to another group; each line says what to do.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// Valkey failed.
    #[error("failed to {0}")]
    Queue(#[from] QueueError),
    /// Postgres failed.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// A task of the engine's own panicked. Nobody knows what it left undone; another worker finds out.
    #[error("failed to go on: {0}")]
    Panicked(String),
}

impl EngineError {
    /// How a process ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Refused(_) => Exit::Unreachable,
            Self::Queue(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Panicked(_) => Exit::Ours,
        }
    }
}

/// Everything that runs once a worker has started.
struct Started<J, H, L> {
    runtime: Runtime<J, H, L>,
    messages: mpsc::Receiver<Message>,
    loops: JoinSet<()>,
    /// Ends the loops that bring work in.
    fetching: CancellationToken,
    /// Ends the rest.
    living: CancellationToken,
}

/// A worker for one job type.
pub struct Worker<J, H, L> {
    queue: Queue,
    ledger: L,
    handler: Arc<H>,
    settings: EngineSettings,
    identity: Identity,
    id: WorkerId,
    hearts: Hearts,
    job: PhantomData<fn() -> J>,
}

impl<J: Job, H: Handler<J>, L: Ledger> Worker<J, H, L> {
    /// A worker that has not started.
    #[must_use]
    pub fn new(queue: Queue, ledger: L, handler: H, settings: EngineSettings, identity: Identity) -> Self {
        Self {
            queue,
            ledger,
            handler: Arc::new(handler),
            settings,
            identity,
            id: WorkerId::fresh(),
            hearts: Hearts::default(),
            job: PhantomData,
        }
    }

    /// The same, which beats with other workers of this process, in one command. Their queues must lie on one server.
    #[must_use]
    pub fn beating_with(mut self, hearts: &Hearts) -> Self {
        self.hearts = hearts.clone();
        self
    }

    /// Its identity, fresh for each worker.
    #[must_use]
    pub const fn id(&self) -> WorkerId {
        self.id
    }

    /// Runs jobs until the stop; then drains.
    ///
    /// # Errors
    /// When a server is away at the start or does not fit, afterwards outages are waited out; or when a task of the
    /// engine panics.
    pub async fn run(self, stop: Stop) -> Result<(), EngineError> {
        self.check_servers().await?;
        self.check_owner().await?;
        self.queue.ensure_groups().await?;
        let Started {
            runtime,
            messages,
            mut loops,
            fetching,
            living,
        } = self.start().await;
        info!(
            worker.id = %self.id,
            "ready ({}, {} slots), waiting for jobs of {}",
            self.id.short(),
            self.settings.concurrency,
            self.queue.keys().shared
        );
        let reading_ends = async {
            stop.asked().await;
            // Read nothing more from this moment on; what is on its way is handed back.
            fetching.cancel();
            std::future::pending::<()>().await;
        };
        let left = tokio::select! {
            left = runtime.run(messages, &stop) => left,
            broken = first_panic(&mut loops) => Err(broken),
            () = reading_ends => Ok(0),
        };
        fetching.cancel();
        living.cancel();
        let left = left.inspect(|left| note_left(*left));
        self.leave(loops).await;
        left.map(|_left| ())
    }

    /// Starts the loops, in this order: those that let go of entries, the heartbeat, and last those
    /// that bring entries in.
    async fn start(&self) -> Started<J, H, L> {
        let (inbox, messages) = mpsc::channel(INBOX);
        // Bounded by the entries that are held: each is let go of once.
        let (orders, order_inbox) = mpsc::unbounded_channel();
        let (free_out, free) = watch::channel(0);
        let (card_out, card) = watch::channel(self.card());
        let (duty_out, duty) = watch::channel(None);
        let due = Arc::new(Notify::new());
        let (telemetry, writer) = Telemetry::channel();
        // Two stops: the loops that bring work end first, those that let go of it end last.
        let (fetching, living) = (CancellationToken::new(), CancellationToken::new());
        let mut loops = JoinSet::new();

        loops.spawn(writer.run(self.queue.clone(), self.ledger.clone()));
        loops.spawn(release::run(
            self.queue.clone(),
            self.id,
            order_inbox,
            inbox.clone(),
            living.clone(),
        ));
        let heart = Arc::new(Heart {
            queue: self.queue.clone(),
            worker: self.id,
            card,
            renew_every: (self.settings.visibility_timeout / 3).min(RENEW_AT_LEAST),
            due: due.clone(),
            inbox: inbox.clone(),
            duty: duty_out,
            rhythm: Mutex::default(),
            stop: living.clone(),
        });
        // Beat the card before the first fetch: a worker nobody has heard of looks dead.
        heart.first_beat().await;
        loops.spawn(heart.run(self.hearts.clone()));
        let setup = self.setup(telemetry, orders, inbox.clone(), free_out, card_out);
        let runtime = Runtime::new(setup, self.settings.concurrency);

        loops.spawn(
            Listener {
                queue: self.queue.clone(),
                due: due.clone(),
                inbox: inbox.clone(),
                stop: living.clone(),
            }
            .run(),
        );
        loops.spawn(self.sweeper(duty, &living).run());
        if let Some(store) = self.ledger.store() {
            let (queue, store, worker) = (self.queue.clone(), store.clone(), self.id);
            loops.spawn(
                Reconciler {
                    queue,
                    store,
                    worker,
                    stop: fetching.clone(),
                }
                .run(),
            );
        }
        let (queue, worker, stop) = (self.queue.clone(), self.id, fetching.clone());
        loops.spawn(
            Fetcher {
                queue,
                worker,
                free,
                due,
                inbox,
                stop,
            }
            .run(),
        );
        Started {
            runtime,
            messages,
            loops,
            fetching,
            living,
        }
    }

    fn setup(
        &self,
        telemetry: Telemetry,
        orders: mpsc::UnboundedSender<release::Order>,
        inbox: mpsc::Sender<Message>,
        free: watch::Sender<usize>,
        card: watch::Sender<Card>,
    ) -> Setup<J, H, L> {
        let (max_attempts, backoff) = (self.settings.max_attempts, self.settings.backoff);
        Setup {
            queue: self.queue.clone(),
            ledger: self.ledger.clone(),
            handler: self.handler.clone(),
            worker: self.id,
            rules: RetryRules {
                max_attempts,
                backoff,
            },
            max_crashes: self.settings.max_crashes,
            deadline: self.settings.deadline,
            grace: self.settings.grace - tidy_up_time(self.settings.grace),
            visibility_timeout: self.settings.visibility_timeout,
            telemetry,
            orders,
            inbox,
            free,
            card,
            job: PhantomData,
        }
    }

    fn sweeper(&self, duty: watch::Receiver<Option<Duty>>, stop: &CancellationToken) -> Sweeper<L> {
        Sweeper {
            queue: self.queue.clone(),
            ledger: self.ledger.clone(),
            visibility_timeout: self.settings.visibility_timeout,
            duty,
            stop: stop.clone(),
            gone: VecDeque::new(),
        }
    }

    /// Looks at both servers before they are trusted with jobs.
    async fn check_servers(&self) -> Result<(), EngineError> {
        let mut report = preflight::judge(&self.queue.server_facts().await?, self.settings.allow_eviction);
        report
            .warnings
            .extend(preflight::clock_offset(self.queue.server_ms().await?));
        if let Some(store) = self.ledger.store() {
            // Bounded like every call: who starts on a line that fell silent ends, and is started again.
            store.bounded(store.check_schema()).await?;
            report.refusals.extend(preflight::judge_postgres(
                store.bounded(store.server_version()).await?,
            ));
        }
        for warning in &report.warnings {
            warn!("{warning}");
        }
        if report.refusals.is_empty() {
            Ok(())
        } else {
            Err(EngineError::Refused(report.refusals))
        }
    }

    /// Two groups on one queue would share its due times, its sweeper and its cards.
    async fn check_owner(&self) -> Result<(), EngineError> {
        let keys = self.queue.keys();
        let owner = self.queue.owner().await?;
        if owner == keys.group {
            return Ok(());
        }
        Err(EngineError::Refused(vec![format!(
            "the queue {} belongs to the group {owner}, not to {}: give this job type a queue of its own, or, \
             to rename the group, stop all workers and type `DEL {}` in valkey-cli",
            keys.shared, keys.group, keys.owner
        )]))
    }

    fn card(&self) -> Card {
        Card {
            pid: std::process::id(),
            host: self.identity.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.identity.instance.clone(),
            started_at: crate::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            slots: self.settings.concurrency,
            state: CardState::Ready,
            busy: 0,
            jobs: Vec::new(),
        }
    }

    /// Waits for the loops, then takes the card off the wall: until then the worker is there.
    async fn leave(&self, mut loops: JoinSet<()>) {
        let ended = tokio::time::timeout((self.settings.grace / 10).min(TIDY_UP_WITHIN), async {
            while loops.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            warn!("some loops did not end in time; leaving without them");
            loops.shutdown().await;
        }
        // A server that does not answer takes the card down by itself, in time.
        match tokio::time::timeout(GOODBYE_WITHIN, self.queue.leave(&self.id.to_string())).await {
            Ok(Ok(0)) => {}
            Ok(Ok(_)) => warn!("entries are still pending here; the sweeper gives them to another worker"),
            Ok(Err(error)) => warn!("failed to {error}; the sweeper takes the card down"),
            Err(_elapsed) => warn!("Valkey does not answer; the sweeper takes the card down"),
        }
        info!(worker.id = %self.id, "left");
    }
}

/// Waits until a loop panics; those that end because they are told to are of no account.
async fn first_panic(loops: &mut JoinSet<()>) -> EngineError {
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            return EngineError::Panicked(error.to_string());
        }
    }
    std::future::pending().await
}

/// The end of the grace that belongs to the loops, the goodbye and the closing of connections.
fn tidy_up_time(grace: Duration) -> Duration {
    (grace / 5).min(TIDY_UP_WITHIN + GOODBYE_WITHIN)
}
