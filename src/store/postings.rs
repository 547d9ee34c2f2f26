//! Verdicts on their way to GitHub: who may post one, and which are there.

use super::attempts::Lease;
use super::connect::Store;
use super::error::StoreError;
use crate::domain::JobId;

/// Whether an attempt may post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The attempt no longer holds its job.
    Closed,
    /// Nobody has tried before.
    Fresh,
    /// Somebody has tried, and nobody knows what came of it: look first.
    Again,
    /// Another review has posted for this commit, or is about to.
    Taken,
}

impl Store {
    /// Takes down the intent to post for a commit of a pull request, if the attempt still holds its job.
    ///
    /// A repeat by the same job is answered with [`Claim::Again`], whether or not the first answer was heard.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn claim_posting(&self, lease: &Lease, pull: &str, head: &str) -> Result<Claim, StoreError> {
        let (held, fresh): (bool, Option<bool>) = sqlx::query_as(
            "with held as (
                 select id from millstream.jobs
                 where id = $1 and attempt = $2 and worker = $3 and state = 'running'
             ), claimed as (
                 insert into millstream.postings as p (pull, head, job_id) select $4, $5, id from held
                 on conflict (pull, head) do update set job_id = excluded.job_id, at = now()
                 where p.state = 'intended' and (p.job_id = excluded.job_id or not exists (
                     select from millstream.jobs j where j.id = p.job_id and j.state = 'running'))
                 returning xmax = 0 as fresh
             )
             select exists (select from held), (select fresh from claimed)",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(pull)
        .bind(head)
        .fetch_one(&self.pool())
        .await?;
        Ok(match (held, fresh) {
            (false, _) => Claim::Closed,
            (true, Some(true)) => Claim::Fresh,
            (true, Some(false)) => Claim::Again,
            (true, None) => Claim::Taken,
        })
    }

    /// Takes down that the verdict is there. It is a fact, whoever holds the job by now.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn posted(
        &self,
        job: JobId,
        pull: &str,
        head: &str,
        github_id: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.postings set state = 'posted', github_id = $4, at = now()
             where job_id = $1 and pull = $2 and head = $3",
        )
        .bind(job.0)
        .bind(pull)
        .bind(head)
        .bind(github_id)
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
