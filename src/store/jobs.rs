//! Jobs: accepted, marked as enqueued, looked up and listed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::text::clean;
use crate::domain::{CallbackUrl, EntryId, JobId, JobState, Lane};

/// The kind of a job that is a review, and has a row in the reference's `reviews` too.
pub const REVIEW: &str = "review";

/// A job to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its queue: the name of the shared stream.
    pub queue: String,
    /// Its type.
    pub kind: String,
    /// The stream it goes on.
    pub lane: Lane,
    /// What its entry carries.
    pub payload: String,
    /// Not before this time.
    pub run_at: Option<DateTime<Utc>>,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
    /// The text of a submitted diff.
    pub input: Option<NewInput>,
    /// What makes a repeat of the same submission safe.
    pub idempotency: Option<IdempotencyKey>,
    /// Who is told of its end.
    pub callback: Option<CallbackUrl>,
}

/// The text of a submitted diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInput {
    /// `patch:<sha12>` or `git:<repo>@<range>`.
    pub label: String,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
    /// The text.
    pub body: String,
}

/// A client's key for one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key: keys of different clients do not meet.
    pub client: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the submission, in hexadecimal: the same key with another body is a mistake.
    pub body_sha256: String,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is a new job.
    New,
    /// The same submission came before, as this job.
    Repeated(JobId),
    /// The same key came before with another body.
    KeyReused,
}

/// A row of the jobs list.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct JobRow {
    /// Its id.
    pub id: Uuid,
    /// Its state, in our words.
    #[sqlx(rename = "state")]
    pub status: String,
    /// What it works on.
    #[sqlx(rename = "payload")]
    pub input: String,
    /// How often it was started.
    pub attempt: i32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// The judge's decision, for a finished review.
    pub verdict: Option<String>,
    /// From acceptance to the first start, or until now.
    pub wait_s: Option<f64>,
    /// From the last start to the end, or until now.
    pub run_s: Option<f64>,
    /// Why it failed last.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
}

const ACCEPT: &str = "
with key as (
    insert into millstream.idempotency as known (client, key, body_sha256, job_id)
    select $10, $11, $12, $1 where $11 is not null
    on conflict (client, key) do update
        set body_sha256 = excluded.body_sha256, job_id = excluded.job_id, created_at = now()
        where known.created_at < now() - interval '24 hours'
    returning job_id
), job as (
    insert into millstream.jobs (id, queue, kind, lane, payload, state, run_at, traceparent, callback_url)
    select $1, $2, $3, $4, $5, case when $6 > now() then 'scheduled' else 'waiting' end, $6, $7, $13
    where $11 is null or exists (select 1 from key)
    returning id, kind, payload, created_at
), review as (
    insert into reviews (id, pr_url, status, source, workflow, created_at, updated_at)
    select id, payload, 'running', 'millstream', 'code-review', created_at, created_at
    from job where kind = 'review'
), input as (
    insert into millstream.inputs (job_id, label, sha256, bytes, body)
    select id, payload, $8, octet_length($9), $9 from job where $9 is not null
)
select count(*) from job";

const ACCEPT_MANY: &str = "
with new as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
                         $8::text[], $9::text[], $10::text[])
             as n (id, queue, kind, lane, payload, run_at, traceparent, callback_url, sha256, body)
), job as (
    insert into millstream.jobs (id, queue, kind, lane, payload, state, run_at, traceparent, callback_url)
    select id, queue, kind, lane, payload, case when run_at > now() then 'scheduled' else 'waiting' end, run_at,
           traceparent, callback_url
    from new
    returning id, kind, payload, created_at
), input as (
    insert into millstream.inputs (job_id, label, sha256, bytes, body)
    select id, payload, sha256, octet_length(body), body from new where body is not null
)
insert into reviews (id, pr_url, status, source, workflow, created_at, updated_at)
select id, payload, 'running', 'millstream', 'code-review', created_at, created_at
from job where kind = 'review'";

const LIST: &str = "
select j.id, j.state, j.payload, j.attempt, j.worker, r.verdict, j.error, j.created_at,
       extract(epoch from coalesce(f.started_at, case when f.job_id is null then j.started_at end, j.finished_at, now())
                          - j.created_at)::float8 as wait_s,
       extract(epoch from coalesce(j.finished_at, a.ended_at, now()) - j.started_at)::float8 as run_s
from millstream.jobs j
left join reviews r on r.id = j.id
left join millstream.attempts f on f.job_id = j.id and f.attempt = 1
left join millstream.attempts a on a.job_id = j.id and a.attempt = j.attempt
where j.queue = $1 and PART and ($2::text is null or j.state = $2) and ($3::uuid is null or j.id = $3)
order by j.created_at desc, j.id
limit $4";

/// The part of the table that jobs in these states stand in, as the indexes name it: none of them names a state.
pub(super) fn part_with(states: &[JobState]) -> &'static str {
    if states.is_empty() || states.contains(&JobState::Done) {
        "true"
    } else if states.iter().all(|state| state.is_final()) {
        "j.given_up is not null"
    } else if states.iter().any(|state| state.is_final()) {
        "(j.live or j.given_up is not null)"
    } else {
        "j.live"
    }
}

impl Store {
    /// Accepts a job: one statement writes all its rows, or none.
    ///
    /// # Errors
    /// When the server is away; then it may have been accepted all the same.
    pub async fn accept(&self, job: &NewJob) -> Result<Accepted, StoreError> {
        let mut connection = self.pool().acquire().await?;
        let made = accept(&mut connection, job).await?;
        drop(connection);
        let key = job.idempotency.as_ref();
        match key {
            Some(key) if made == 0 => Ok(self.accepted_with(key).await?.unwrap_or(Accepted::KeyReused)),
            _ => Ok(Accepted::New),
        }
    }

    /// Accepts jobs that come without a key, in one statement: all of them, or none.
    ///
    /// # Errors
    /// When the server is away (then they may have been accepted all the same), or one of them has a key: whether it is
    /// known already is answered for each by itself.
    pub async fn accept_many(&self, jobs: &[NewJob]) -> Result<(), StoreError> {
        if jobs.iter().any(|job| job.idempotency.is_some()) {
            let text = "a job with a key is accepted by itself".to_owned();
            return Err(StoreError::Refused(text));
        }
        let column = |pick: fn(&NewJob) -> &str| jobs.iter().map(pick).collect::<Vec<&str>>();
        let inputs = || jobs.iter().map(|job| job.input.as_ref());
        sqlx::query(ACCEPT_MANY)
            .bind(jobs.iter().map(|job| job.id.0).collect::<Vec<Uuid>>())
            .bind(column(|job| &job.queue))
            .bind(column(|job| &job.kind))
            .bind(column(|job| job.lane.word()))
            .bind(jobs.iter().map(|job| clean(&job.payload)).collect::<Vec<_>>())
            .bind(jobs.iter().map(|job| job.run_at).collect::<Vec<_>>())
            .bind(
                jobs.iter()
                    .map(|job| job.traceparent.as_deref())
                    .collect::<Vec<_>>(),
            )
            .bind(
                jobs.iter()
                    .map(|job| Some(job.callback.as_ref()?.url().as_str()))
                    .collect::<Vec<_>>(),
            )
            .bind(
                inputs()
                    .map(|input| Some(input?.sha256.as_str()))
                    .collect::<Vec<_>>(),
            )
            .bind(
                inputs()
                    .map(|input| Some(clean(&input?.body)))
                    .collect::<Vec<_>>(),
            )
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// Deletes everything of a queue: what a measurement leaves behind.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn forget_queue(&self, queue: &str) -> Result<(), StoreError> {
        sqlx::query("delete from millstream.jobs where queue = $1")
            .bind(queue)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// What an earlier submission with this key became; nothing when there was none, or its day is over.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn accepted_with(&self, key: &IdempotencyKey) -> Result<Option<Accepted>, StoreError> {
        let found: Option<(Uuid, String)> = sqlx::query_as(
            "select job_id, body_sha256 from millstream.idempotency
             where client = $1 and key = $2 and created_at >= now() - interval '24 hours'",
        )
        .bind(&key.client)
        .bind(&key.key)
        .fetch_optional(&self.pool())
        .await?;
        Ok(found.map(|(job, body)| {
            if body == key.body_sha256 {
                Accepted::Repeated(JobId(job))
            } else {
                Accepted::KeyReused
            }
        }))
    }

    /// Deletes keys whose day is over, the oldest first and at most so many; answers how many there were.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn forget_keys(&self, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(
            // The time is asked twice: a key that is used anew in this moment stays.
            "delete from millstream.idempotency
             where created_at < now() - interval '24 hours' and (client, key) in
                   (select client, key from millstream.idempotency
                    where created_at < now() - interval '24 hours'
                    order by created_at limit $1 for update skip locked)",
        )
        .bind(i64::from(limit))
        .execute(&self.pool())
        .await?;
        Ok(done.rows_affected())
    }

    /// Notes which entries stand for these jobs. A job that a worker has started meanwhile knows
    /// already.
    ///
    /// # Errors
    /// When the server is away; then the jobs count as owed and are enqueued once more, which the
    /// fence makes harmless.
    pub async fn enqueued(&self, entries: &[(JobId, EntryId)]) -> Result<(), StoreError> {
        let jobs: Vec<Uuid> = entries.iter().map(|(job, _)| job.0).collect();
        let ids: Vec<String> = entries.iter().map(|(_, entry)| entry.to_string()).collect();
        sqlx::query(
            // Rows are locked in the order in which starts lock them.
            "with locked as (
                 select j.id, e.entry from millstream.jobs j
                 join unnest($1::uuid[], $2::text[]) as e (id, entry) on e.id = j.id
                 where j.entry_id is null and j.state = 'waiting'
                   -- Who notes this late does not bring back an entry that was taken off the stream meanwhile.
                   and (j.past_entry is null or
                        (split_part(e.entry, '-', 1)::numeric, split_part(e.entry, '-', 2)::numeric) >
                        (split_part(j.past_entry, '-', 1)::numeric, split_part(j.past_entry, '-', 2)::numeric))
                 order by j.id for no key update of j
             )
             update millstream.jobs j
             set entry_id = l.entry, delivery = 0, enqueued_at = now(), updated_at = now()
             from locked l where j.id = l.id",
        )
        .bind(&jobs)
        .bind(&ids)
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// The newest jobs of a queue, or those in one state.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn list_jobs(
        &self,
        queue: &str,
        state: Option<JobState>,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        let statement = LIST.replace("PART", part_with(state.as_slice()));
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(queue)
            .bind(state.map(JobState::word))
            .bind(None::<Uuid>)
            .bind(i64::from(limit.min(10_000)))
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// One job.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn find_job(&self, queue: &str, id: JobId) -> Result<Option<JobRow>, StoreError> {
        let row = sqlx::query_as(sqlx::AssertSqlSafe(LIST.replace("PART", "true")))
            .bind(queue)
            .bind(None::<String>)
            .bind(id.0)
            .bind(1_i64)
            .fetch_optional(&self.pool())
            .await?;
        Ok(row)
    }

    /// How many jobs wait for a worker or for their time; never counts further than the limit.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn waiting_up_to(&self, queue: &str, limit: u64) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let count: i64 = sqlx::query_scalar(
            "select count(*) from
             (select 1 from millstream.jobs
              where queue = $1 and live and state in ('scheduled', 'waiting') limit $2) as waiting",
        )
        .bind(queue)
        .bind(limit)
        .fetch_one(&self.pool())
        .await?;
        Ok(count.unsigned_abs())
    }

    /// How many jobs ended in the last minute, counted up to a hundred thousand.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn ended_per_minute(&self, queue: &str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from
             (select 1 from millstream.jobs where queue = $1 and finished_at > now() - interval '60 s'
              limit 100000) as ended",
        )
        .bind(queue)
        .fetch_one(&self.pool())
        .await?;
        Ok(count.unsigned_abs())
    }
}

/// Writes all rows of a job; answers how many jobs that made: none for a key that is known.
pub(super) async fn accept(connection: &mut PgConnection, job: &NewJob) -> Result<i64, StoreError> {
    let input = job.input.as_ref();
    let key = job.idempotency.as_ref();
    let made = sqlx::query_scalar(ACCEPT)
        .bind(job.id.0)
        .bind(&job.queue)
        .bind(&job.kind)
        .bind(job.lane.word())
        .bind(clean(&job.payload))
        .bind(job.run_at)
        .bind(&job.traceparent)
        .bind(input.map(|input| input.sha256.as_str()))
        .bind(input.map(|input| clean(&input.body)))
        .bind(key.map(|key| key.client.as_str()))
        .bind(key.map(|key| key.key.as_str()))
        .bind(key.map(|key| key.body_sha256.as_str()))
        .bind(job.callback.as_ref().map(|callback| callback.url().as_str()))
        .fetch_one(connection)
        .await?;
    Ok(made)
}
