//! Accepting jobs in batches, without and with their rows, beside a raw pipeline.

use tokio::time::Instant;

use super::load::{self, Load, PAYLOAD, job};
use super::{BenchError, Plan};
use crate::domain::JobId;
use crate::ops::bulk::accept_many;
use crate::queue::QueueError;
use crate::store::Store;
use crate::store::jobs::NewJob;

/// Jobs in a batch.
const BATCH: usize = 100;

/// Jobs a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// By a bare pipeline of `XADD`.
    pub raw: f64,
    /// By the queue alone.
    pub queue: f64,
    /// With the row of each job.
    pub ledger: f64,
}

/// Measures all three, one after the other.
pub async fn measure(plan: &Plan) -> Result<Measured, BenchError> {
    let raw = raw(plan).await?;
    let queue = queue(plan).await?;
    let ledger = ledger(plan).await?;
    Ok(Measured { raw, queue, ledger })
}

async fn raw(plan: &Plan) -> Result<f64, BenchError> {
    let load = Load::new(plan).await?;
    let mut connection = load::connect(plan).await?;
    let ids: Vec<String> = (0..plan.jobs).map(|_| JobId::fresh().to_string()).collect();
    let started = Instant::now();
    for batch in ids.chunks(BATCH) {
        let mut pipe = redis::pipe();
        for id in batch {
            let add = pipe.cmd("XADD").arg(&load.queue.keys().own);
            add.arg(&["*", "jobId", id, "payload", PAYLOAD, "v", "1"]);
        }
        let _ids: Vec<String> = pipe
            .query_async(&mut connection)
            .await
            .map_err(QueueError::from)?;
    }
    let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
    load.clear().await?;
    Ok(rate)
}

async fn queue(plan: &Plan) -> Result<f64, BenchError> {
    let load = Load::new(plan).await?;
    let ids: Vec<JobId> = (0..plan.jobs).map(|_| JobId::fresh()).collect();
    // The first command connects.
    load.queue.check().await?;
    let started = Instant::now();
    for batch in ids.chunks(BATCH) {
        load.queue.enqueue(&load::entries(batch)).await?;
    }
    let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
    load.clear().await?;
    Ok(rate)
}

async fn ledger(plan: &Plan) -> Result<f64, BenchError> {
    let load = Load::new(plan).await?;
    let store = Store::open(&plan.database(), "bench", 4)?;
    store.server_version().await?;
    let new: Vec<NewJob> = (0..plan.jobs / 4).map(|_| job(&load)).collect();
    let started = Instant::now();
    accept_many(&store, &load.queue, &new).await?;
    let rate = new.len() as f64 / started.elapsed().as_secs_f64();
    store.forget_queue(&load.settings.name).await?;
    store.close().await;
    load.clear().await?;
    Ok(rate)
}
