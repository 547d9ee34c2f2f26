//! Which commit a review has read, and the end of the reviews that wait with an older one.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::attempts::Lease;
use super::connect::Store;
use super::error::StoreError;
use super::moves::{Ended, HandEnd, Standing, end_jobs, lock};
use crate::domain::{JobId, JobState};

/// Reviews of one pull request that are ended at once; more than that never wait.
const MOST: i64 = 100;

/// The commit is taken down by the attempt that holds the job.
const READ: &str = "
insert into millstream.heads (job_id, pull, head)
select id, $4, $5 from millstream.jobs
where id = $1 and attempt = $2 and worker = $3 and state = 'running'
on conflict (job_id) do update set pull = excluded.pull, head = excluded.head";

/// Only what was accepted before: a review that is slow to take its commit down must not end one that has read a
/// newer commit in the meantime.
const OLDER: &str = "
select o.id, o.queue
from millstream.jobs j
     join millstream.heads h on h.pull = $4 and h.head <> $5 and h.job_id <> j.id
     join millstream.jobs o on o.id = h.job_id and o.queue = j.queue and o.created_at < j.created_at
where j.id = $1 and j.attempt = $2 and j.worker = $3 and j.state = 'running'
  and o.state in ('waiting', 'retrying', 'scheduled')
order by o.id limit $6";

const HELD: &str = "
select exists (select from millstream.jobs where id = $1 and attempt = $2 and worker = $3 and state = 'running')";

impl Store {
    /// Takes down which commit of a pull request an attempt has read, and ends earlier reviews of the same pull
    /// request that wait and have read another. An attempt that no longer holds its job changes nothing.
    ///
    /// # Errors
    /// When the server is away; a repeat does what is left.
    pub async fn supersede(
        &self,
        lease: &Lease,
        pull: &str,
        head: &str,
        reason: &str,
    ) -> Result<Vec<Ended>, StoreError> {
        let worker = lease.worker.to_string();
        sqlx::query(READ)
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(&worker)
            .bind(pull)
            .bind(head)
            .execute(&self.pool())
            .await?;
        let older: Vec<(Uuid, String)> = sqlx::query_as(OLDER)
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(&worker)
            .bind(pull)
            .bind(head)
            .bind(MOST)
            .fetch_all(&self.pool())
            .await?;
        let Some((_, queue)) = older.first().cloned() else {
            return Ok(Vec::new());
        };
        let older: Vec<JobId> = older.into_iter().map(|(id, _)| JobId(id)).collect();
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        // One may have been started since; what runs is left to find out by itself before it posts.
        let mut waiting = lock(&mut transaction, &queue, &older).await?;
        waiting.retain(|one| {
            matches!(
                one.state,
                JobState::Waiting | JobState::Retrying | JobState::Scheduled
            ) && !one.foreign_done
        });
        let held: bool = sqlx::query_scalar(HELD)
            .bind(lease.job.0)
            .bind(lease.attempt)
            .bind(&worker)
            .fetch_one(&mut *transaction)
            .await?;
        if !held || waiting.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = waiting.iter().map(|one| one.job.0).collect();
        let end = HandEnd {
            state: JobState::Cancelled,
            reason,
            class: None,
            action: None,
        };
        let events = end_jobs(&mut transaction, &ids, &end).await?;
        transaction.commit().await?;
        let mut events: HashMap<Uuid, Value> = events.into_iter().collect();
        let ended = |was: Standing| Ended {
            event: events.remove(&was.job.0),
            was,
        };
        Ok(waiting.into_iter().map(ended).collect())
    }
}
