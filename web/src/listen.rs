//! Takes connections and serves them: so many at a time, with a limit on how long a request's head may take.
//!
//! `axum::serve` has neither bound: a client that sends a byte a minute would hold its connection for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// How long a request's head may take, and how long a connection without a request is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// What is read of a connection before anybody has asked for it, which also bounds a request's head. Two hundred clients
/// that send large bodies would take 80 MiB by the usual bound.
const READ_AHEAD: usize = 64 * 1024;
/// Connections at a time: each costs some kilobytes, and a descriptor. More wait in the system's own line.
pub const MOST_CONNECTIONS: usize = 4_096;
/// Descriptors beside the connections: servers, files.
const OTHER_DESCRIPTORS: u64 = 256;
/// A breath when the system has no descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves until the stop, then lets requests finish for so long; answers whether all did.
///
/// # Errors
/// Never by a single connection; when the listener cannot be used any more.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    stop: &CancellationToken,
    drain: Duration,
) -> io::Result<bool> {
    allow_connections();
    let (graceful, places) = (
        GracefulShutdown::new(),
        Arc::new(Semaphore::new(MOST_CONNECTIONS)),
    );
    let server = server();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer, place) = accept(&listener, &places) => {
                let app = app.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(Peer(peer));
                    app.clone().oneshot(request)
                });
                let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        debug!("a connection ended: {error}");
                    }
                    drop(place);
                });
            }
            Some(_ended) = connections.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    // From here on nobody connects; whoever waits in line is told so.
    drop(listener);
    Ok(timeout(drain, graceful.shutdown()).await.is_ok())
}

fn server() -> Builder<TokioExecutor> {
    // One version: to tell two apart the first bytes are waited for, without a limit. Proxies speak this one.
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(READ_AHEAD);
    server
}

/// A connection, with its place. What goes wrong with one is nobody else's trouble.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await;
    let place = place.expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small: waiting to fill a packet only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!("failed to set TCP_NODELAY: {error}");
                }
                return (stream, peer, place);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                warn!("failed to take a connection: {error}");
                sleep(BREATH).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Many systems allow a process a thousand descriptors unless it asks for more.
fn allow_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = MOST_CONNECTIONS as u64 + OTHER_DESCRIPTORS;
    let allowed = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            debug!("failed to raise the limit on descriptors: {error}");
        }
    }
}
