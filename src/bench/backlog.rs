//! A pending list of a million: what the server's slowest command takes, and how fast a dead worker's entries are
//! taken over.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::cell::Text;
use super::load::{self, Load};
use super::{BenchError, Plan};
use crate::domain::{EntryId, Failure, JobId, Lane, WorkerId};
use crate::engine::{Handler, Identity, JobContext, Stop, Worker};
use crate::queue::QueueError;
use crate::settings::EngineSettings;
use crate::store::{Asked, Store};

/// Connections to Postgres.
const CONNECTIONS: u32 = 8;
/// Workers that hold them.
const HOLDERS: usize = 50;
/// Entries that the dead one holds.
const DEAD: usize = 10_000;
/// A command that takes longer than this is told.
const SLOW_US: u64 = 5_000;
/// Entries of one read.
const COUNT: usize = 1_000;
/// How long the take-over may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the holders are watched beside the worker before one of them dies.
const SETTLED: Duration = Duration::from_secs(5);

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Backlog {
    /// Entries in the pending list.
    pub pending: usize,
    /// Consumers that hold them.
    pub consumers: usize,
    /// Entries of the dead one.
    pub dead_entries: usize,
    /// From its last heartbeat until it held nothing any more, in seconds.
    pub taken_over_s: f64,
    /// Commands that took the server more than 5 ms, with what they took, in microseconds.
    pub slow: Vec<(String, u64)>,
}

struct Busy;

impl Handler<Text> for Busy {
    type Output = ();

    async fn run(&self, job: Text, context: JobContext) -> Result<(), Failure> {
        std::hint::black_box(&job.0);
        context.cancelled().await;
        Ok(())
    }
}

/// Measures with a pending list of the plan's length.
pub async fn measure(plan: &Plan) -> Result<Backlog, BenchError> {
    let mut load = Load::new(plan).await?;
    load.queue.ensure_groups().await?;
    let holders: Vec<WorkerId> = (0..HOLDERS).map(|_| WorkerId::fresh()).collect();
    let (dead, living) = (&holders[0], &holders[1..]);
    let store = Store::open_for_worker(&plan.database(), "bench", CONNECTIONS)?;
    run(&mut load, &store, *dead).await?;
    let each = plan.pending.saturating_sub(DEAD) / living.len();
    for holder in living {
        hold(&mut load, *holder, each).await?;
    }
    let told = Told::set(&mut load).await?;
    let stop = Stop::new();
    let worker: Worker<Text, _, _> = Worker::new(
        load.queue.clone(),
        store.clone(),
        Busy,
        EngineSettings::default(),
        Identity::default(),
    );
    let mut running = JoinSet::new();
    let asked = stop.clone();
    running.spawn(async move { worker.run(asked).await });
    let measured = die(&mut load, *dead, living).await;
    // Twice: its handlers wait for nothing else.
    stop.ask();
    stop.ask();
    let _ended = running.join_next().await;
    let slow = slow(&mut load).await;
    // The server may be somebody's.
    told.restore(&mut load).await?;
    store.forget_queue(&load.settings.name).await?;
    store.close().await;
    load.clear().await?;
    Ok(Backlog {
        pending: DEAD + each * living.len(),
        consumers: HOLDERS,
        dead_entries: DEAD,
        taken_over_s: measured?.as_secs_f64(),
        slow: slow?,
    })
}

/// Lets all beat for some time, then all but one; answers how long that one's entries were its own from then on.
async fn die(load: &mut Load, dead: WorkerId, living: &[WorkerId]) -> Result<Duration, BenchError> {
    let mut beats = interval(Duration::from_secs(1));
    let began = Instant::now();
    while began.elapsed() < SETTLED {
        beats.tick().await;
        beat(load, living).await?;
        beat(load, &[dead]).await?;
    }
    let died = Instant::now();
    let over = async {
        loop {
            beats.tick().await;
            beat(load, living).await?;
            if held_by(load, dead).await? == 0 {
                return Ok(died.elapsed());
            }
        }
    };
    timeout(PATIENCE, over).await.unwrap_or(Err(BenchError::Stuck {
        jobs: DEAD,
        seconds: PATIENCE.as_secs(),
    }))
}

/// Notes that these workers were heard; they do not stand for election, as a whole heartbeat would.
async fn beat(load: &mut Load, workers: &[WorkerId]) -> Result<(), BenchError> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME")
        .query_async(&mut load.aside)
        .await
        .map_err(QueueError::from)?;
    let mut add = redis::cmd("ZADD");
    add.arg(&load.queue.keys().workers);
    for worker in workers {
        add.arg(seconds * 1_000 + micros / 1_000).arg(worker.to_string());
    }
    let () = add.query_async(&mut load.aside).await.map_err(QueueError::from)?;
    Ok(())
}

/// Gives a worker entries that are put on the stream for it.
async fn hold(load: &mut Load, worker: WorkerId, count: usize) -> Result<(), BenchError> {
    let jobs: Vec<JobId> = (0..count).map(|_| JobId::fresh()).collect();
    load.fill(&jobs).await?;
    deliver(load, worker, count).await
}

/// Gives a worker jobs that it runs: the ledger closes the fence behind it when they are taken.
async fn run(load: &mut Load, store: &Store, worker: WorkerId) -> Result<(), BenchError> {
    let jobs = load.submit(store, DEAD).await?;
    deliver(load, worker, DEAD).await?;
    let asked = |(job, entry): &(JobId, EntryId)| Asked {
        job: *job,
        entry: *entry,
        lane: Lane::Own,
        payload: String::new(),
        delivery: 1,
    };
    let asked: Vec<Asked> = jobs.iter().map(asked).collect();
    for batch in asked.chunks(COUNT) {
        store.start(&load.settings.name, worker, batch).await?;
    }
    Ok(())
}

/// Has entries of the stream delivered to a worker.
async fn deliver(load: &mut Load, worker: WorkerId, count: usize) -> Result<(), BenchError> {
    let (stream, group) = (load.queue.keys().own.clone(), load.settings.group.clone());
    let mut left = count;
    while left > 0 {
        let part = left.min(COUNT);
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", &group, &worker.to_string(), "COUNT"])
            .arg(part)
            .arg(&["STREAMS", &stream, ">"]);
        let _rows: redis::Value = read
            .query_async(&mut load.aside)
            .await
            .map_err(QueueError::from)?;
        left -= part;
    }
    beat(load, &[worker]).await
}

async fn held_by(load: &mut Load, worker: WorkerId) -> Result<usize, BenchError> {
    let rows: Vec<redis::Value> = redis::cmd("XPENDING")
        .arg(load.queue.keys().stream(Lane::Own))
        .arg(&[&load.settings.group, "-", "+", "1", &worker.to_string()])
        .query_async(&mut load.aside)
        .await
        .map_err(QueueError::from)?;
    Ok(rows.len())
}

/// How the server told what is slow before.
struct Told(Vec<(String, String)>);

impl Told {
    /// Has it tell what takes longer than 5 ms, from now on.
    async fn set(load: &mut Load) -> Result<Self, BenchError> {
        let mut before = Vec::new();
        for name in ["slowlog-log-slower-than", "slowlog-max-len"] {
            let found: Vec<(String, String)> = redis::cmd("CONFIG")
                .arg(&["GET", name])
                .query_async(&mut load.aside)
                .await
                .map_err(QueueError::from)?;
            before.extend(found);
        }
        let wanted = [("slowlog-log-slower-than", SLOW_US), ("slowlog-max-len", 1_000)];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_string()));
        configure(load, &wanted).await?;
        let () = redis::cmd("SLOWLOG")
            .arg("RESET")
            .query_async(&mut load.aside)
            .await
            .map_err(QueueError::from)?;
        Ok(Self(before))
    }

    async fn restore(self, load: &mut Load) -> Result<(), BenchError> {
        configure(load, &self.0).await
    }
}

async fn configure(load: &mut Load, values: &[(String, String)]) -> Result<(), BenchError> {
    for (name, value) in values {
        let () = redis::cmd("CONFIG")
            .arg(&["SET", name, value])
            .query_async(&mut load.aside)
            .await
            .map_err(QueueError::from)?;
    }
    Ok(())
}

/// One of the server's slow commands: its number, when, how long, the command, and who sent it.
type SlowRow = (i64, i64, u64, Vec<String>, String, String);

async fn slow(load: &mut Load) -> Result<Vec<(String, u64)>, BenchError> {
    let rows: Vec<SlowRow> = redis::cmd("SLOWLOG")
        .arg(&["GET", "1000"])
        .query_async(&mut load.aside)
        .await
        .map_err(QueueError::from)?;
    let told = |(_, _, us, words, ..): SlowRow| {
        let name: Vec<String> = words.iter().take(2).map(|word| load::short(word)).collect();
        (name.join(" "), us)
    };
    Ok(rows.into_iter().map(told).collect())
}
