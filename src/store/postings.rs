//! Verdicts on their way to GitHub: who may post one, and which are there.

use uuid::Uuid;

use super::attempts::Lease;
use super::connect::Store;
use super::error::StoreError;
use crate::domain::JobId;

/// Reviews of one commit whose letters are looked for.
const MOST: i64 = 100;

/// Whether an attempt may post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The attempt no longer holds its job.
    Closed,
    /// Nobody has tried before.
    Fresh,
    /// Somebody has tried, and nobody knows what came of it.
    Again {
        /// Whose letters to look for: the job's own, those of the one whose place it took, and of all that have read
        /// this commit, since whoever took a place and died before it looked has hidden the one before.
        tried: Vec<JobId>,
        /// GitHub's number for the draft that the row names. It may be sent in at any moment, until it is taken back.
        named: Option<i64>,
    },
    /// An earlier attempt of this job has posted, or another has found its letter.
    Posted,
    /// Another review has posted for this commit, or is about to.
    Taken,
}

/// Whether the attempt holds its job, whether its row is a new one, the draft that the row names, whether the job has
/// posted, and whose letters to look for.
type Claimed = (bool, Option<bool>, Option<i64>, bool, Vec<Uuid>);

impl Store {
    /// Takes down the intent to post for a commit of a pull request, if the attempt still holds its job.
    ///
    /// A repeat by the same job is answered with [`Claim::Again`], whether or not the first answer was heard, and with
    /// [`Claim::Posted`] once its letter is known to be there.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn claim_posting(&self, lease: &Lease, pull: &str, head: &str) -> Result<Claim, StoreError> {
        let (held, fresh, named, posted, tried): Claimed = sqlx::query_as(
            "with held as (
                 select id from millstream.jobs
                 where id = $1 and attempt = $2 and worker = $3 and state = 'running'
             ), claimed as (
                 insert into millstream.postings as p (pull, head, job_id) select $4, $5, id from held
                 on conflict (pull, head) do update set job_id = excluded.job_id, at = now()
                 where p.state = 'intended' and (p.job_id = excluded.job_id or not exists (
                     select from millstream.jobs j where j.id = p.job_id and j.state = 'running'))
                 returning xmax = 0 as fresh, github_id
             )
             select exists (select from held), (select fresh from claimed), (select github_id from claimed),
                 exists (select from millstream.postings
                         where pull = $4 and head = $5 and job_id = $1 and state = 'posted'),
                 array (select $1
                        union select job_id from millstream.postings where pull = $4 and head = $5
                        union (select job_id from millstream.heads where pull = $4 and head = $5
                               order by job_id desc limit $6))",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(pull)
        .bind(head)
        .bind(MOST)
        .fetch_one(&self.pool())
        .await?;
        Ok(match (held, fresh) {
            (false, _) => Claim::Closed,
            (true, Some(true)) => Claim::Fresh,
            (true, Some(false)) => Claim::Again {
                tried: tried.into_iter().map(JobId).collect(),
                named,
            },
            (true, None) if posted => Claim::Posted,
            (true, None) => Claim::Taken,
        })
    }

    /// Names the draft that is sent in next, if the attempt still holds its job and the row is its own; false if not.
    ///
    /// Only a draft that the row names may be sent in, and who takes the row over takes that draft back first. So the
    /// job is locked against whoever starts it anew at this moment: it then reads what is named here.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn name_draft(
        &self,
        lease: &Lease,
        pull: &str,
        head: &str,
        draft: i64,
    ) -> Result<bool, StoreError> {
        let named = sqlx::query(
            "with held as (
                 select id from millstream.jobs
                 where id = $1 and attempt = $2 and worker = $3 and state = 'running'
                 for share
             )
             update millstream.postings p set github_id = $6, at = now() from held
             where p.pull = $4 and p.head = $5 and p.job_id = held.id and p.state = 'intended'",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(pull)
        .bind(head)
        .bind(draft)
        .execute(&self.pool())
        .await?;
        Ok(named.rows_affected() == 1)
    }

    /// Takes down that the verdict is there, in a letter of this author: of the job itself, or of one whose place it
    /// took. It is a fact, whoever holds the job by now.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn posted(
        &self,
        job: JobId,
        author: JobId,
        pull: &str,
        head: &str,
        github_id: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.postings set state = 'posted', job_id = $5, github_id = $4, at = now()
             where job_id = $1 and pull = $2 and head = $3",
        )
        .bind(job.0)
        .bind(pull)
        .bind(head)
        .bind(github_id)
        .bind(author.0)
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
