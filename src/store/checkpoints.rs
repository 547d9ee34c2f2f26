//! Checkpoints: what a later attempt need not do again.

use serde_json::Value;
use sqlx::types::Json;

use super::attempts::{Fence, Lease};
use super::connect::Store;
use super::error::StoreError;
use super::text::clean_value;
use crate::domain::JobId;

impl Store {
    /// Keeps the outcome of a step, if the attempt still holds the job.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn save_checkpoint(
        &self,
        lease: &Lease,
        step: &str,
        body: &Value,
    ) -> Result<Fence, StoreError> {
        let saved = sqlx::query(
            "insert into millstream.checkpoints (job_id, step, attempt, body)
             select id, $4, attempt, $5 from millstream.jobs
             where id = $1 and attempt = $2 and worker = $3 and state = 'running'
             on conflict (job_id, step) do update
                 set attempt = excluded.attempt, body = excluded.body, at = now()
                 where checkpoints.attempt <= excluded.attempt",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(step)
        .bind(Json(clean_value(body)))
        .execute(&self.pool())
        .await?;
        Ok(if saved.rows_affected() == 0 {
            Fence::Closed
        } else {
            Fence::Open
        })
    }

    /// The outcome of a step that an earlier attempt finished.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn load_checkpoint(&self, job: JobId, step: &str) -> Result<Option<Value>, StoreError> {
        let body =
            sqlx::query_scalar("select body from millstream.checkpoints where job_id = $1 and step = $2")
                .bind(job.0)
                .bind(step)
                .fetch_optional(&self.pool())
                .await?;
        Ok(body)
    }
}
