//! How long an entry waits for an idle worker: from the moment it is sent to the moment its handler begins, beside a
//! bare blocking read of the same server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::cell::{Mode, Text};
use super::load::{self, Load, job};
use super::{BenchError, Plan};
use crate::domain::{Failure, JobId, Lane};
use crate::engine::{Handler, Identity, JobContext, Ledger, NoLedger, Stop, Worker};
use crate::queue::{NewEntry, Patience, QueueError};
use crate::settings::EngineSettings;
use crate::store::Store;

/// Entries come so often: a hundred a second.
const EVERY: Duration = Duration::from_millis(10);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections to Postgres.
const CONNECTIONS: u32 = 8;

/// Waits, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Waits {
    /// The median.
    pub p50_ms: f64,
    /// 99 of a hundred are shorter.
    pub p99_ms: f64,
}

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pickup {
    /// Entries of each measurement, a hundred a second.
    pub entries: usize,
    /// How long everybody was idle before, in seconds.
    pub idle_s: u64,
    /// By a bare blocking read.
    pub raw: Waits,
    /// By the engine without a ledger.
    pub queue: Waits,
    /// By the engine with Postgres: an attempt is issued in between.
    pub ledger: Waits,
    /// The queue's p99, of the bare read's.
    pub queue_p99_ratio: f64,
}

/// When an entry was sent and when it was begun.
type Time = (Instant, Option<Instant>);

/// Those of all entries, by their numbers.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Time>>>);

impl Times {
    fn sent(&self) -> usize {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((Instant::now(), None));
        times.len() - 1
    }

    fn begun(&self, number: usize) {
        let now = Instant::now();
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, begun)) = times.get_mut(number) {
            begun.get_or_insert(now);
        }
    }

    fn are_all_begun(&self) -> bool {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().all(|(_, begun)| begun.is_some())
    }

    fn waits(&self) -> Waits {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |(sent, begun): &Time| begun.map(|begun| begun - *sent);
        let mut waits: Vec<Duration> = times.iter().filter_map(wait).collect();
        waits.sort();
        let at = |share: f64| {
            let position = (waits.len() as f64 * share) as usize;
            let wait = waits.get(position.min(waits.len().saturating_sub(1)));
            wait.map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
        };
        Waits {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        }
    }
}

/// Notes when it begins.
#[derive(Clone)]
struct Noting(Times);

impl Handler<Text> for Noting {
    type Output = ();

    async fn run(&self, job: Text, _context: JobContext) -> Result<(), Failure> {
        if let Ok(number) = job.0.parse() {
            self.0.begun(number);
        }
        Ok(())
    }
}

/// Measures all three, one after the other.
pub async fn measure(plan: &Plan) -> Result<Pickup, BenchError> {
    let (entries, idle) = (plan.pickups, plan.idle);
    let raw = raw(plan, entries, idle).await?;
    let queue = engine(plan, Mode::Queue, entries, idle).await?;
    let ledger = engine(plan, Mode::Ledger, entries, idle).await?;
    Ok(Pickup {
        entries,
        idle_s: idle.as_secs(),
        raw,
        queue,
        ledger,
        queue_p99_ratio: queue.p99_ms / raw.p99_ms,
    })
}

async fn raw(plan: &Plan, entries: usize, idle: Duration) -> Result<Waits, BenchError> {
    let load = Load::new(plan).await?;
    load.queue.ensure_groups().await?;
    let times = Times::default();
    let mut reading = JoinSet::new();
    let connection = load::connect(plan).await?;
    let (stream, group) = (load.queue.keys().own.clone(), load.settings.group.clone());
    reading.spawn(read(connection, stream, group, times.clone()));
    send(&load, None, &times, entries, idle).await?;
    reading.shutdown().await;
    load.clear().await?;
    Ok(times.waits())
}

/// The answer of a read: streams of (id, fields).
type Answer = Option<Vec<(String, Vec<(String, std::collections::HashMap<String, String>)>)>>;

/// Reads one entry at a time, notes it, acknowledges and deletes it.
async fn read(
    mut connection: redis::aio::MultiplexedConnection,
    stream: String,
    group: String,
    times: Times,
) -> Result<(), QueueError> {
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", &group, "raw", "COUNT", "1", "BLOCK"])
            .arg(Patience::default().block.as_millis() as u64);
        let answer: Answer = read
            .arg(&["STREAMS", &stream, ">"])
            .query_async(&mut connection)
            .await?;
        for (id, fields) in answer.into_iter().flatten().flat_map(|(_, rows)| rows) {
            let text = fields.get("payload").map(|payload| payload.trim_matches('"'));
            if let Some(number) = text.and_then(|text| text.parse().ok()) {
                times.begun(number);
            }
            let mut end = redis::pipe();
            end.cmd("XACK").arg(&[&stream, &group, &id]).ignore();
            end.cmd("XDEL").arg(&[&stream, &id]).ignore();
            let () = end.query_async(&mut connection).await?;
        }
    }
}

async fn engine(plan: &Plan, mode: Mode, entries: usize, idle: Duration) -> Result<Waits, BenchError> {
    let load = Load::new(plan).await?;
    match mode {
        Mode::Queue => watch(load, NoLedger, None, entries, idle).await,
        Mode::Ledger => {
            let store = Store::open_for_worker(&plan.database(), "bench", CONNECTIONS)?;
            let queue = load.settings.name.clone();
            let waits = watch(load, store.clone(), Some(store.clone()), entries, idle).await;
            store.forget_queue(&queue).await?;
            store.close().await;
            waits
        }
    }
}

async fn watch<L: Ledger>(
    load: Load,
    ledger: L,
    store: Option<Store>,
    entries: usize,
    idle: Duration,
) -> Result<Waits, BenchError> {
    let times = Times::default();
    let worker: Worker<Text, _, _> = Worker::new(
        load.queue.clone(),
        ledger,
        Noting(times.clone()),
        EngineSettings::default(),
        Identity::default(),
    );
    let stop = Stop::new();
    let mut running = JoinSet::new();
    let asked = stop.clone();
    running.spawn(async move { worker.run(asked).await });
    let sent = tokio::select! {
        sent = send(&load, store, &times, entries, idle) => sent,
        Some(ended) = running.join_next() => Err(BenchError::Worker(format!("{ended:?}"))),
    };
    stop.ask();
    let _ended = running.join_next().await;
    load.clear().await?;
    sent.map(|()| times.waits())
}

/// Waits, sends the entries at their pace, and waits until all of them have begun.
async fn send(
    load: &Load,
    store: Option<Store>,
    times: &Times,
    entries: usize,
    idle: Duration,
) -> Result<(), BenchError> {
    tokio::time::sleep(idle).await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..entries {
        ticks.tick().await;
        let mut new = job(load);
        new.payload = format!("\"{number}\"");
        if let Some(store) = &store {
            store.accept_many(std::slice::from_ref(&new)).await?;
        }
        let entry = NewEntry {
            lane: Lane::Own,
            job: JobId(new.id.0),
            payload: new.payload,
            traceparent: None,
        };
        times.sent();
        load.queue.enqueue(&[entry]).await?;
    }
    let all_begun = async {
        while !times.are_all_begun() {
            ticks.tick().await;
        }
    };
    let stuck = |_elapsed| BenchError::Stuck {
        jobs: entries,
        seconds: PATIENCE.as_secs(),
    };
    timeout(PATIENCE, all_begun).await.map_err(stuck)
}
