//! A worker of the chaos run. Beside its jobs it delivers the webhooks that tell of their ends, as the product's worker
//! does.

use std::time::Duration;

use millstream::engine::{EngineError, Handler, Hearts, Identity, Job, Stop, Worker};
use millstream::queue::Queue;
use millstream::settings::{EngineSettings, QueueSettings, Reader, process_environment};
use millstream::shutdown::Signals;
use millstream::store::Store;
use millstream_worker::webhook::resolve::SystemLookup;
use millstream_worker::webhook::settings::WebhookSettings;
use millstream_worker::webhook::{WebhookHandler, WebhookJob};
use tokio::time::interval;

use crate::Told;
use crate::job::{ChaosJob, Hand};
use crate::notes::Notes;

/// Two dozen slots share 100 connections with those of workers that were killed a moment ago.
const CONNECTIONS: u32 = 4;
/// What webhooks need beside them.
const WEBHOOK_CONNECTIONS: u32 = 2;
/// How often a worker that finds a server away tries again: what a supervisor would do, without another process.
const TRY_EVERY: Duration = Duration::from_millis(300);

/// Runs jobs until a signal ends it.
pub async fn serve(told: Told) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|error| format!("listen for signals: {error}"))?;
    let stop = Stop::new();
    let asking = async {
        loop {
            signals.next().await;
            stop.ask();
        }
    };
    tokio::select! {
        ended = both(&told, &stop) => ended,
        () = asking => Ok(()),
    }
}

/// Runs both workers until the stop.
async fn both(told: &Told, stop: &Stop) -> Result<(), String> {
    let mut reader = Reader::new(&process_environment);
    let engine = EngineSettings::read(&mut reader);
    let webhooks = WebhookSettings::read(&mut reader, &engine);
    let (engine, webhooks) = reader
        .finish((engine, webhooks))
        .map_err(|faults| faults.to_string())?;
    let webhooks = webhooks.ok_or("WEBHOOK_SECRET is not set")?;
    let hearts = Hearts::default();
    let working = until_stopped(stop, || {
        let (queue, store) = open::<ChaosJob>(told, &told.queue, CONNECTIONS)?;
        let hand = Hand {
            notes: Notes::open()?,
        };
        Ok((
            worker::<ChaosJob, _>(queue, &store, hand, &engine, &hearts),
            store,
        ))
    });
    let delivering = until_stopped(stop, || {
        let (queue, store) = open::<WebhookJob>(told, &told.queue.webhooks(), WEBHOOK_CONNECTIONS)?;
        let handler = WebhookHandler::new(store.clone(), &webhooks, SystemLookup)?;
        Ok((
            worker::<WebhookJob, _>(queue, &store, handler, &webhooks.engine, &hearts),
            store,
        ))
    });
    let (worked, delivered) = tokio::join!(working, delivering);
    worked.and(delivered)
}

fn open<J: Job>(told: &Told, queue: &QueueSettings, connections: u32) -> Result<(Queue, Store), String> {
    let queue = Queue::open(&told.servers.valkey_url, queue, J::WIRE).map_err(|error| error.to_string())?;
    let store = Store::open_for_worker(&told.servers.database_url, "chaos worker", connections);
    Ok((queue, store.map_err(|error| error.to_string())?))
}

fn worker<J: Job, H: Handler<J>>(
    queue: Queue,
    store: &Store,
    handler: H,
    settings: &EngineSettings,
    hearts: &Hearts,
) -> Worker<J, H, Store> {
    let (settings, identity) = (settings.clone(), Identity::default());
    Worker::new(queue, store.clone(), handler, settings, identity).beating_with(hearts)
}

/// Tries until a worker could start; a worker that has started waits outages out.
async fn until_stopped<J: Job, H: Handler<J>>(
    stop: &Stop,
    make: impl Fn() -> Result<(Worker<J, H, Store>, Store), String>,
) -> Result<(), String> {
    let mut tries = interval(TRY_EVERY);
    loop {
        tries.tick().await;
        let (worker, store) = make()?;
        match worker.run(stop.clone()).await {
            Ok(()) => {
                store.close().await;
                return Ok(());
            }
            // The others come at the start only. This one is a worker that gave up by itself: the judge is to see it.
            Err(EngineError::Panicked(what)) => return Err(what),
            Err(error) => eprintln!("millstream-chaos: {error}; trying again"),
        }
    }
}
