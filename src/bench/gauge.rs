//! What the server says about its own work.

use redis::InfoDict;
use redis::aio::MultiplexedConnection;

use crate::queue::QueueError;

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// Processor time that the server has used, in seconds.
    cpu_s: f64,
    /// Requests that it has read from its clients' sockets: one for each trip.
    reads: u64,
}

impl Gauge {
    /// Reads it.
    pub async fn read(connection: &mut MultiplexedConnection) -> Result<Self, QueueError> {
        let info: InfoDict = redis::cmd("INFO").query_async(connection).await?;
        let cpu = |name: &str| info.get::<f64>(name).unwrap_or(0.0);
        Ok(Self {
            cpu_s: cpu("used_cpu_user") + cpu("used_cpu_sys"),
            reads: info.get("total_reads_processed").unwrap_or(0),
        })
    }

    /// Processor time for each of so many jobs since an earlier reading, in microseconds.
    pub fn cpu_us_each(&self, before: &Self, jobs: usize) -> f64 {
        (self.cpu_s - before.cpu_s) * 1e6 / jobs.max(1) as f64
    }

    /// Trips for each of so many jobs since an earlier reading.
    pub fn trips_each(&self, before: &Self, jobs: usize) -> f64 {
        self.reads.saturating_sub(before.reads) as f64 / jobs.max(1) as f64
    }
}
