//! A dead job makes room for another with a better input: one transaction, so that of two who mend it one does.

use uuid::Uuid;

use super::actions::ActionId;
use super::connect::Store;
use super::error::StoreError;
use super::jobs::{NewJob, accept};
use super::moves::lock;
use crate::domain::{JobId, JobState, Lane};

/// A dead job, as far as whoever mends its input needs it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Mendable {
    /// Its state now.
    pub state: String,
    /// Its type.
    pub kind: String,
    /// The stream it travelled on.
    pub lane: String,
    /// What it worked on.
    pub payload: String,
    /// W3C trace context of its submission.
    pub traceparent: Option<String>,
}

impl Mendable {
    /// The stream it travelled on.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::from_word(&self.lane)
    }
}

/// What two jobs are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Links {
    /// The dead job whose place this one took.
    pub replaces: Option<JobId>,
    /// The job that took the place of this one.
    pub replaced_by: Option<JobId>,
}

const SET_ASIDE: &str = "
with gone as (
    select id, attempt, failures, crashes, error, error_class, fingerprint, finished_at, entry_id, delivery
    from millstream.jobs where id = $1 and state = 'dead' for no key update
), noted as (
    insert into millstream.moved (action_id, job_id, how, attempt, before)
    select $2, g.id, 'edit', g.attempt,
           jsonb_build_object('failures', g.failures, 'crashes', g.crashes, 'error', g.error,
                              'error_class', g.error_class, 'fingerprint', g.fingerprint,
                              'finished_at', g.finished_at, 'entry_id', g.entry_id, 'delivery', g.delivery,
                              'reason', (select r.reason from reviews r where r.id = g.id))
    from gone g
)
update millstream.jobs j set state = 'dropped', updated_at = now() from gone g where j.id = g.id";

/// Whoever was to be told of the dead one's end is told of this one's.
const KEEP_CALLBACK: &str = "
update millstream.jobs set callback_url = o.callback_url
from (select callback_url from millstream.jobs where id = $2) o
where id = $1 and millstream.jobs.callback_url is null and o.callback_url is not null";

const LINK: &str = "
with noted as (
    insert into millstream.moved (action_id, job_id, how, attempt) values ($3, $1, 'submit', 0)
)
insert into millstream.replacements (job_id, replaces, action_id) values ($1, $2, $3)";

impl Store {
    /// A job whose input somebody wants to mend.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn mendable(&self, queue: &str, job: JobId) -> Result<Option<Mendable>, StoreError> {
        let row = sqlx::query_as(
            "select state, kind, lane, payload, traceparent from millstream.jobs where queue = $1 and id = $2",
        )
        .bind(queue)
        .bind(job.0)
        .fetch_optional(&self.pool())
        .await?;
        Ok(row)
    }

    /// Accepts a job in the place of a dead one, which is set aside as `dropped`. Answers in which state that one was,
    /// if it was not dead any more, and then nothing was written.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn replace_dead(
        &self,
        queue: &str,
        old: JobId,
        new: &NewJob,
        action: ActionId,
    ) -> Result<Result<(), Option<JobState>>, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let standing = lock(&mut transaction, queue, &[old]).await?;
        match standing.first().map(|one| one.state) {
            Some(JobState::Dead) => {}
            other => return Ok(Err(other)),
        }
        if accept(&mut transaction, new).await? == 0 {
            // A key that was used before names another job; the old one stays as it is.
            return Ok(Err(Some(JobState::Dead)));
        }
        sqlx::query(SET_ASIDE)
            .bind(old.0)
            .bind(action.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(KEEP_CALLBACK)
            .bind(new.id.0)
            .bind(old.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(LINK)
            .bind(new.id.0)
            .bind(old.0)
            .bind(action.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// What took whose place.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn links_of(&self, job: JobId) -> Result<Links, StoreError> {
        let (replaces, replaced_by): (Option<Uuid>, Option<Uuid>) = sqlx::query_as(
            "select (select replaces from millstream.replacements where job_id = $1),
                    (select r.job_id from millstream.replacements r
                     join millstream.jobs j on j.id = r.replaces and j.state = 'dropped'
                     where r.replaces = $1 order by r.at desc limit 1)",
        )
        .bind(job.0)
        .fetch_one(&self.pool())
        .await?;
        Ok(Links {
            replaces: replaces.map(JobId),
            replaced_by: replaced_by.map(JobId),
        })
    }
}
