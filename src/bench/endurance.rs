//! What a worker's process keeps in memory, job after job.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cell::{Text, until_empty};
use super::load::Load;
use super::{BenchError, Plan};
use crate::domain::{Failure, JobId};
use crate::engine::{Handler, Identity, JobContext, NoLedger, Stop, Worker};
use crate::settings::EngineSettings;

/// Jobs that are put on the stream at once.
const PORTION: usize = 20_000;
/// Slots of the worker.
const SLOTS: usize = 64;
/// No portion takes longer, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Readings that are told.
const READINGS: usize = 10;

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Jobs that were run.
    pub jobs: usize,
    /// Resident memory of the process at equal distances, in MiB: the first after a tenth of the jobs.
    pub resident_mib: Vec<f64>,
}

struct Idle;

impl Handler<Text> for Idle {
    type Output = ();

    async fn run(&self, job: Text, _context: JobContext) -> Result<(), Failure> {
        std::hint::black_box(&job.0);
        Ok(())
    }
}

/// Runs the plan's jobs through one worker of this process.
pub async fn measure(plan: &Plan) -> Result<Memory, BenchError> {
    let mut load = Load::new(plan).await?;
    let settings = EngineSettings {
        concurrency: SLOTS,
        ..EngineSettings::default()
    };
    let worker: Worker<Text, _, _> =
        Worker::new(load.queue.clone(), NoLedger, Idle, settings, Identity::default());
    let stop = Stop::new();
    let mut running = JoinSet::new();
    let asked = stop.clone();
    running.spawn(async move { worker.run(asked).await });
    let portions = plan.memory_jobs.div_ceil(PORTION).max(READINGS);
    let mut memory = Memory::default();
    for portion in 1..=portions {
        let ids: Vec<JobId> = (0..PORTION).map(|_| JobId::fresh()).collect();
        load.fill(&ids).await?;
        let through = timeout(PATIENCE, until_empty(&mut load)).await;
        through.map_err(|_elapsed| BenchError::Stuck {
            jobs: PORTION,
            seconds: PATIENCE.as_secs(),
        })??;
        memory.jobs += PORTION;
        if portion * READINGS / portions > (portion - 1) * READINGS / portions {
            memory.resident_mib.push(resident_mib()?);
        }
    }
    stop.ask();
    let _ended = running.join_next().await;
    load.clear().await?;
    Ok(memory)
}

/// Resident memory of this process.
fn resident_mib() -> Result<f64, BenchError> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or(BenchError::NoMemory)
}
