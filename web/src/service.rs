//! The web producer as a service: settings, servers, listening, draining, exit.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use millstream::exit::Exit;
use millstream::logging;
use millstream::queue::{Queue, QueueError, Wire};
use millstream::settings::Faults;
use millstream::shutdown::Signals;
use millstream::store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::app;
use crate::listen;
use crate::settings::Settings;
use crate::state::State;

/// Requests are short; a managed Postgres gives a small plan few connections, and workers need them.
const CONNECTIONS: u32 = 8;
/// How long Postgres may take for one call: less than a request may take, so that who falls silent is noticed in it.
const DATABASE_WITHIN: Duration = Duration::from_secs(12);
/// How long requests may take to finish after the signal. Render kills after 30 s.
const DRAIN: Duration = Duration::from_secs(10);
/// Saying goodbye to Postgres is polite, not necessary.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why the web producer could not run, by exit code.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Settings are wrong; a line for each.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// The address of Valkey cannot be read.
    #[error("failed to {0}")]
    Queue(#[from] QueueError),
    /// Postgres is away, or its schema cannot be brought up to date.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// The address is taken, or not ours to listen on.
    #[error("failed to listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The system refuses something else.
    #[error("failed to serve: {0}")]
    System(#[from] io::Error),
}

impl WebError {
    /// How the process ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) => Exit::Usage,
            Self::Queue(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Listen { .. } | Self::System(_) => Exit::Ours,
        }
    }

    /// What to do about it, where that is not in the message.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(StoreError::Unreachable(_)) => {
                Some("check DATABASE_URL, and whether Postgres runs there")
            }
            Self::Listen { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there; set PORT to another one, or to 0 for any that is free")
            }
            Self::Listen { .. } => Some("check HOST and PORT"),
            _ => None,
        }
    }
}

/// Runs the web producer until a signal ends it; a second signal ends it at once.
///
/// Postgres must be there at the start, since the schema is brought up to date. Valkey need not be:
/// what is accepted meanwhile is owed.
///
/// # Errors
/// When it cannot start.
pub async fn serve(vars: &dyn Fn(&str) -> Option<String>) -> Result<(), WebError> {
    let settings = Settings::read(vars)?;
    logging::start(&settings.log);
    let mut signals = Signals::listen()?;
    let serving = start(&settings);
    tokio::select! {
        // Before it listens there is nothing to drain, so the first signal is enough.
        started = serving => {
            let (listener, state) = started?;
            until_signals(listener, state, &mut signals).await
        }
        () = signals.next() => Ok(()),
    }
}

/// Serves until `stop` is ready, then takes no more connections, sends away who waits, and lets requests finish, for
/// ten seconds at most.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    listener: TcpListener,
    state: State,
    stop: impl Future<Output = ()>,
) -> Result<(), WebError> {
    info!("listening on http://{}", listener.local_addr()?);
    let (hub, stopping) = (state.hub.clone(), state.stopping.clone());
    let (queue, store) = (state.queue.clone(), state.store.clone());
    let serving = listen::serve(listener, app(state), &stopping, DRAIN);
    let asking = async {
        stop.await;
        stopping.cancel();
        pending::<()>().await;
    };
    let finished = tokio::select! {
        ended = serving => ended?,
        () = asking => return Ok(()),
        () = hub.run(&queue, &store) => return Ok(()),
    };
    if !finished {
        warn!("left requests unfinished after {} s", DRAIN.as_secs());
    }
    Ok(())
}

/// Everything that can fail before the first request.
async fn start(settings: &Settings) -> Result<(TcpListener, State), WebError> {
    let (servers, web) = (&settings.servers, &settings.web);
    let queue = Queue::open(&servers.valkey_url, &settings.queue, Wire::REVIEW)?;
    let store =
        Store::open(&servers.database_url, "millstream web", CONNECTIONS)?.answering_within(DATABASE_WITHIN);
    store.check().await?;
    store.migrate().await?;
    let address = web.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|cause| WebError::Listen { address, cause })?;
    if web.public_submit && !address.ip().to_canonical().is_loopback() {
        warn!("PUBLIC_SUBMIT is on: whoever reaches {address} may submit and read");
    }
    Ok((listener, State::new(store, queue, &settings.queue, web)))
}

/// Serves; the first signal asks to finish, the second insists.
async fn until_signals(listener: TcpListener, state: State, signals: &mut Signals) -> Result<(), WebError> {
    let store = state.store.clone();
    let stop = CancellationToken::new();
    let mut serving = pin!(run(listener, state, stop.clone().cancelled_owned()));
    tokio::select! {
        ended = &mut serving => return ended,
        () = signals.next() => {
            info!("draining: no new connections, requests may finish within {} s", DRAIN.as_secs());
            stop.cancel();
        }
    }
    tokio::select! {
        ended = serving => ended?,
        () = signals.next() => {
            warn!("left at once on a second signal");
            return Ok(());
        }
    }
    let _closed = timeout(GOODBYE, store.close()).await;
    info!("stopped");
    Ok(())
}
