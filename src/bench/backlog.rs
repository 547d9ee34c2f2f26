//! A pending list of a million: what the server's slowest command takes, and how fast a dead worker's entries are
//! taken over.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::cell::Text;
use super::load::{self, Load};
use super::{BenchError, Plan};
use crate::domain::{Failure, JobId, Lane, WorkerId};
use crate::engine::{Handler, Identity, JobContext, NoLedger, Stop, Worker};
use crate::queue::QueueError;
use crate::settings::EngineSettings;

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
    hold(&mut load, *dead, DEAD).await?;
    let each = plan.pending.saturating_sub(DEAD) / living.len();
    for holder in living {
        hold(&mut load, *holder, each).await?;
    }
    watch_for_slow(&mut load).await?;
    let stop = Stop::new();
    let worker: Worker<Text, _, _> = Worker::new(
        load.queue.clone(),
        NoLedger,
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
    let slow = slow(&mut load).await?;
    load.clear().await?;
    Ok(Backlog {
        pending: DEAD + each * living.len(),
        consumers: HOLDERS,
        dead_entries: DEAD,
        taken_over_s: measured?.as_secs_f64(),
        slow,
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

async fn watch_for_slow(load: &mut Load) -> Result<(), BenchError> {
    let mut pipe = redis::pipe();
    pipe.cmd("CONFIG")
        .arg(&["SET", "slowlog-log-slower-than"])
        .arg(SLOW_US)
        .ignore();
    pipe.cmd("CONFIG")
        .arg(&["SET", "slowlog-max-len", "1000"])
        .ignore();
    pipe.cmd("SLOWLOG").arg("RESET").ignore();
    let () = pipe
        .query_async(&mut load.aside)
        .await
        .map_err(QueueError::from)?;
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
