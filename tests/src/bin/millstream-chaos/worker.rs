//! A worker of the chaos run.

use std::time::Duration;

use millstream::engine::{Identity, Job, Stop, Worker};
use millstream::queue::Queue;
use millstream::settings::{EngineSettings, Reader, process_environment};
use millstream::shutdown::Signals;
use millstream::store::Store;
use tokio::time::interval;

use crate::Told;
use crate::job::{ChaosJob, Hand};
use crate::notes::Notes;

/// Two dozen slots share 100 connections with those of workers that were killed a moment ago.
const CONNECTIONS: u32 = 4;
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
        ended = until_stopped(&told, &stop) => ended,
        () = asking => Ok(()),
    }
}

/// Tries until a worker could start; a worker that has started waits outages out.
async fn until_stopped(told: &Told, stop: &Stop) -> Result<(), String> {
    let mut reader = Reader::new(&process_environment);
    let settings = EngineSettings::read(&mut reader);
    let settings = reader.finish(settings).map_err(|faults| faults.to_string())?;
    let mut tries = interval(TRY_EVERY);
    loop {
        tries.tick().await;
        let queue = Queue::open(&told.servers.valkey_url, &told.queue, ChaosJob::WIRE);
        let queue = queue.map_err(|error| error.to_string())?;
        let store = Store::open_for_worker(&told.servers.database_url, "chaos worker", CONNECTIONS);
        let store = store.map_err(|error| error.to_string())?;
        let hand = Hand {
            notes: Notes::open()?,
        };
        let worker: Worker<ChaosJob, _, _> =
            Worker::new(queue, store.clone(), hand, settings.clone(), Identity::default());
        match worker.run(stop.clone()).await {
            Ok(()) => {
                store.close().await;
                return Ok(());
            }
            Err(error) => eprintln!("millstream-chaos: {error}; trying again"),
        }
    }
}
