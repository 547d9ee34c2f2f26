//! One measurement of the engine: a worker, so many slots, jobs that do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::gauge::Gauge;
use super::load::Load;
use super::{BenchError, Plan};
use crate::domain::{Failure, JobId};
use crate::engine::job::{from_json_payload, json_payload};
use crate::engine::{Handler, Identity, Job, JobContext, Ledger, NoLedger, Stop, Worker};
use crate::queue::QueueError;
use crate::settings::EngineSettings;
use crate::store::Store;

/// No cell takes longer, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections to Postgres: as many as a worker has by default.
const CONNECTIONS: u32 = 8;

/// Without or with the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The queue alone.
    Queue,
    /// With Postgres.
    Ledger,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Queue, Self::Ledger];

    /// Its word in `--json`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Ledger => "ledger",
        }
    }
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Jobs a second, from the first start to the last entry's end.
    pub jobs_per_s: f64,
    /// Valkey's processor time for each job.
    pub cpu_us: f64,
    /// Trips to Valkey for each job.
    pub trips: f64,
}

/// A job that carries a text.
pub(super) struct Text(pub String);

impl Job for Text {
    const KIND: &'static str = "bench";

    fn to_payload(&self) -> String {
        json_payload(&self.0)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        from_json_payload(payload).map(Self)
    }
}

/// Counts, and tells when it has seen them all.
#[derive(Clone)]
struct Counts {
    first: Arc<Notify>,
    seen: Arc<AtomicUsize>,
    all: usize,
    through: Arc<Notify>,
}

impl Handler<Text> for Counts {
    type Output = ();

    async fn run(&self, job: Text, _context: JobContext) -> Result<(), Failure> {
        std::hint::black_box(&job.0);
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen == 1 {
            self.first.notify_one();
        }
        if seen == self.all {
            self.through.notify_one();
        }
        Ok(())
    }
}

/// Measures one cell.
pub async fn measure(plan: &Plan, mode: Mode, concurrency: usize) -> Result<Measured, BenchError> {
    let load = Load::new(plan).await?;
    match mode {
        Mode::Queue => {
            let jobs: Vec<JobId> = (0..plan.jobs).map(|_| JobId::fresh()).collect();
            load.fill(&jobs).await?;
            time(load, NoLedger, jobs.len(), concurrency).await
        }
        Mode::Ledger => {
            let store = Store::open_for_worker(&plan.database(), "bench", CONNECTIONS)?;
            let jobs = load.submit(&store, plan.jobs / 4).await?;
            let queue = load.settings.name.clone();
            let measured = time(load, store.clone(), jobs.len(), concurrency).await;
            store.forget_queue(&queue).await?;
            store.close().await;
            measured
        }
    }
}

async fn time<L: Ledger>(
    mut load: Load,
    ledger: L,
    jobs: usize,
    concurrency: usize,
) -> Result<Measured, BenchError> {
    let counts = Counts {
        first: Arc::default(),
        seen: Arc::default(),
        all: jobs,
        through: Arc::default(),
    };
    let settings = EngineSettings {
        concurrency,
        ..EngineSettings::default()
    };
    let worker: Worker<Text, _, _> = Worker::new(
        load.queue.clone(),
        ledger,
        counts.clone(),
        settings,
        Identity::default(),
    );
    let stop = Stop::new();
    let before = Gauge::read(&mut load.aside).await?;
    let mut running = JoinSet::new();
    let asked = stop.clone();
    running.spawn(async move { worker.run(asked).await });
    let through = async {
        counts.first.notified().await;
        let started = Instant::now();
        counts.through.notified().await;
        until_empty(&mut load).await?;
        Ok::<_, BenchError>(started.elapsed())
    };
    let stuck = || BenchError::Stuck {
        jobs,
        seconds: PATIENCE.as_secs(),
    };
    let elapsed = tokio::select! {
        elapsed = timeout(PATIENCE, through) => elapsed.map_err(|_elapsed| stuck())??,
        Some(ended) = running.join_next() => return Err(BenchError::Worker(format!("{ended:?}"))),
    };
    let after = Gauge::read(&mut load.aside).await?;
    stop.ask();
    let _ended = running.join_next().await;
    load.clear().await?;
    Ok(Measured {
        jobs_per_s: jobs as f64 / elapsed.as_secs_f64(),
        cpu_us: after.cpu_us_each(&before, jobs),
        trips: after.trips_each(&before, jobs),
    })
}

/// Waits until the last entry is settled.
pub(super) async fn until_empty(load: &mut Load) -> Result<(), BenchError> {
    let mut ticks = interval(Duration::from_millis(1));
    loop {
        ticks.tick().await;
        let left: u64 = redis::cmd("XLEN")
            .arg(&load.queue.keys().own)
            .query_async(&mut load.aside)
            .await
            .map_err(QueueError::from)?;
        if left == 0 {
            return Ok(());
        }
    }
}
