//! The job of the chaos run: it works for so long, and ends as it was told.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, FailureClass, JobId};
use millstream::engine::job::{from_json_payload, json_payload};
use millstream::engine::{Handler, Job, JobContext};
use millstream::store::{Lease, Record, StoreError};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::notes::Notes;

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Done.
    Well,
    /// Done, after an attempt that failed.
    SecondTime,
    /// Dead: no attempt can help.
    Badly,
}

/// The job.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChaosJob {
    /// How long it works.
    pub work_ms: u64,
    /// How it ends.
    pub ending: Ending,
}

impl Job for ChaosJob {
    const KIND: &'static str = "chaos";

    fn to_payload(&self) -> String {
        json_payload(self)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        from_json_payload(payload)
    }
}

/// What a job leaves behind: a row for each time it was recorded. Nothing in the table keeps a second one out, so it
/// is counted and not prevented.
pub struct Effect;

impl Record for Effect {
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            sqlx::query("insert into chaos_effects (job_id, attempt, worker) values ($1, $2, $3)")
                .bind(lease.job.0)
                .bind(lease.attempt)
                .bind(lease.worker.to_string())
                .execute(transaction)
                .await?;
            Ok(())
        })
    }
}

/// What runs the jobs.
pub struct Hand {
    /// Where each start is noted, apart from all servers.
    pub notes: Notes,
}

impl Handler<ChaosJob> for Hand {
    type Output = Effect;

    async fn run(&self, job: ChaosJob, context: JobContext) -> Result<Effect, Failure> {
        let lease = *context.lease();
        let line = format!("{} {} {}", lease.job, lease.attempt, lease.worker);
        self.notes
            .add(&line)
            .map_err(|why| Failure::passing(FailureClass::Other, why))?;
        let work = Duration::from_millis(job.work_ms);
        // The work is time; it ends early only when the attempt is over.
        let _worked = tokio::time::timeout(work, context.cancelled()).await;
        match job.ending {
            Ending::SecondTime if lease.attempt == 1 => {
                let why = "the first attempt fails, as it was told";
                Err(Failure::passing(FailureClass::Other, why))
            }
            Ending::Well | Ending::SecondTime => Ok(Effect),
            Ending::Badly => Err(Failure::lasting(FailureClass::Input, "as it was told")),
        }
    }
}
