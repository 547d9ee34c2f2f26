//! What came with a submission beside its payload: the diff, and whose trace it is part of.

use super::connect::Store;
use super::error::StoreError;
use crate::domain::{JobId, StoredDiff};

impl Store {
    /// The diff that came with a submission.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn load_input(&self, job: JobId) -> Result<Option<StoredDiff>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("select label, body from millstream.inputs where job_id = $1")
                .bind(job.0)
                .fetch_optional(&self.pool())
                .await?;
        Ok(row.map(|(label, text)| StoredDiff { label, text }))
    }

    /// The W3C `traceparent` of a submission.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn load_traceparent(&self, job: JobId) -> Result<Option<String>, StoreError> {
        let row: Option<Option<String>> =
            sqlx::query_scalar("select traceparent from millstream.jobs where id = $1")
                .bind(job.0)
                .fetch_optional(&self.pool())
                .await?;
        Ok(row.flatten())
    }
}
