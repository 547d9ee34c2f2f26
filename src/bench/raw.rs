//! The raw limit: what one connection carries when nothing is promised.

use tokio::time::Instant;

use super::load::{self, Load};
use super::{BenchError, Plan};
use crate::domain::JobId;
use crate::queue::QueueError;

/// Entries in one read.
const COUNT: usize = 100;

/// The answer of a read: streams of (id, whatever it carries).
type Read = Option<Vec<(String, Vec<(String, redis::Value)>)>>;

/// Reads, acknowledges and deletes everything on a stream, one trip at a time; answers jobs a second.
pub async fn measure(plan: &Plan) -> Result<f64, BenchError> {
    let load = Load::new(plan).await?;
    load.queue.ensure_groups().await?;
    let jobs: Vec<JobId> = (0..plan.jobs).map(|_| JobId::fresh()).collect();
    load.fill(&jobs).await?;
    let mut connection = load::connect(plan).await?;
    let started = Instant::now();
    let done = drain(&mut connection, &load).await?;
    let elapsed = started.elapsed();
    load.clear().await?;
    Ok(done as f64 / elapsed.as_secs_f64())
}

async fn drain(connection: &mut redis::aio::MultiplexedConnection, load: &Load) -> Result<usize, QueueError> {
    let (stream, group) = (&load.queue.keys().own, &load.settings.group);
    let mut done = 0;
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", group, "raw", "COUNT"]).arg(COUNT);
        let answer: Read = read
            .arg(&["STREAMS", stream, ">"])
            .query_async(connection)
            .await?;
        let ids: Vec<String> = answer
            .into_iter()
            .flatten()
            .flat_map(|(_, rows)| rows)
            .map(|(id, _)| id)
            .collect();
        if ids.is_empty() {
            return Ok(done);
        }
        done += ids.len();
        let mut end = redis::pipe();
        end.cmd("XACK").arg(stream).arg(group).arg(&ids).ignore();
        end.cmd("XDEL").arg(stream).arg(&ids).ignore();
        let () = end.query_async(connection).await?;
    }
}
