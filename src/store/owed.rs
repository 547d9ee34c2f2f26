//! What Postgres says is owed to the stream: jobs whose enqueue never happened, whose time has come,
//! or whose entry is gone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::attempts::{hold, write_down};
use super::connect::Store;
use super::error::StoreError;
use crate::domain::{EntryId, JobId, Lane};

/// A job that should be on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The job.
    pub job: JobId,
    /// Its stream.
    pub lane: Lane,
    /// What its entry carries.
    pub payload: String,
    /// W3C trace context of its submission.
    pub traceparent: Option<String>,
    /// The entry that should stand for it; nothing when there never was one.
    pub entry: Option<EntryId>,
}

/// A dead job, as far as its letter tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// The job.
    pub job: JobId,
    /// The stream it was on.
    pub lane: Lane,
    /// The entry that stood for it.
    pub entry: Option<EntryId>,
    /// Who gave it up.
    pub worker: Option<String>,
    /// When.
    pub died_at: DateTime<Utc>,
    /// The number of its last attempt.
    pub attempt: i32,
    /// The class of its last failure.
    pub class: Option<String>,
    /// What that said.
    pub error: Option<String>,
}

/// Where a walk through the live goes on: behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveCursor {
    created_at: DateTime<Utc>,
    id: Uuid,
}

type DeadRow = (
    Uuid,
    String,
    Option<String>,
    Option<String>,
    DateTime<Utc>,
    i32,
    Option<String>,
    Option<String>,
);

type Row = (Uuid, String, String, Option<String>, Option<String>);

/// The same with when the job was accepted.
type LiveRow = (
    Uuid,
    String,
    String,
    Option<String>,
    Option<String>,
    DateTime<Utc>,
);

fn read((job, lane, payload, traceparent, entry): Row) -> Owed {
    Owed {
        job: JobId(job),
        lane: Lane::from_word(&lane),
        payload,
        traceparent,
        entry: entry.and_then(|entry| entry.parse().ok()),
    }
}

/// Jobs whose entry is gone wait for another one, and what runs is cut off.
const RESET: &str = concat!(
    "
with locked as (
    select j.id, j.state, j.attempt, j.worker, j.started_at from millstream.jobs j
    join unnest($1::uuid[], $2::text[]) as l (id, entry) on l.id = j.id
    where j.entry_id is not distinct from l.entry and j.state in ('waiting', 'running', 'retrying')
      -- A reference worker that acknowledged the entry had recorded its result before.
      and not exists (select 1 from reviews r where r.id = j.id and r.status = 'done')
    order by j.id for no key update of j
), lost as (
    update millstream.jobs j
    set state = 'waiting', past_entry = coalesce(entry_id, past_entry), entry_id = null, delivery = 0,
        updated_at = now(), run_at = null, worker = null
    from locked l where j.id = l.id
    returning j.id
), spans_closed as (
    update spans s set status = 'error', error = 'its entry was lost', ended_at = now()
    from lost join millstream.span_facts f on f.job_id = lost.id
    where s.span_id = f.span_id and s.status = 'running'
), closed as (
",
    write_down!(
        "locked",
        outcome: "'crashed'",
        class: "'crash'",
        error: "'its entry was lost'",
        only: "j.state = 'running'"
    ),
    "
)
select id from lost"
);

/// Jobs whose result a reference worker has recorded, locked.
const RECORDED: &str = "
select j.id from millstream.jobs j join reviews r on r.id = j.id
where j.queue = $1 and j.live and j.state <> 'scheduled' and r.status = 'done'
order by j.id for no key update of j";

/// They are done, and what runs of them is cut off.
const ADOPT: &str = concat!(
    "
with locked as (
    select j.id, j.state, j.attempt, j.worker, j.started_at, r.updated_at
    from millstream.jobs j join reviews r on r.id = j.id
    where j.id = any($1) and j.live and j.state <> 'scheduled'
    order by j.id for no key update of j
), done as (
    update millstream.jobs j set state = 'done', finished_at = l.updated_at, updated_at = now(), run_at = null
    from locked l where j.id = l.id
    returning j.id
), spans_closed as (
    update spans s
    set status = 'error', error = 'another worker recorded the result first', ended_at = now()
    from done join millstream.span_facts f on f.job_id = done.id
    where s.span_id = f.span_id and s.status = 'running'
), closed as (
",
    write_down!(
        "locked",
        outcome: "'crashed'",
        class: "'crash'",
        error: "'another worker recorded the result first'",
        only: "j.state = 'running'"
    ),
    "
)
select id from done"
);

impl Store {
    /// Scheduled jobs whose time has come wait from now on; answers them, at most `limit`.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn promote_due(&self, queue: &str, limit: u32) -> Result<Vec<Owed>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "update millstream.jobs set state = 'waiting', run_at = null, delivery = 0,
                 past_entry = coalesce(entry_id, past_entry), entry_id = null, updated_at = now()
             where id in (select id from millstream.jobs
                          where queue = $1 and state = 'scheduled' and run_at <= now()
                          order by run_at limit $2 for no key update skip locked)
             returning id, lane, payload, traceparent, entry_id",
        )
        .bind(queue)
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// Waiting jobs without an entry, oldest first: those that were accepted longer ago than `age`, and those that were
    /// put back longer ago than `again`. Until then they are the business of whoever did that.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn never_enqueued(
        &self,
        queue: &str,
        age: Duration,
        again: Duration,
        limit: u32,
    ) -> Result<Vec<Owed>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select id, lane, payload, traceparent, entry_id from millstream.jobs
             where queue = $1 and live and state = 'waiting' and entry_id is null
               and updated_at < now() - make_interval(secs => case when past_entry is null then $2 else $3 end)
             order by created_at limit $4",
        )
        .bind(queue)
        .bind(age.as_secs_f64())
        .bind(again.as_secs_f64())
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// A page of all jobs that should have an entry, oldest first; `after` is where the page before ended.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn live_jobs(
        &self,
        queue: &str,
        after: Option<LiveCursor>,
        limit: u32,
    ) -> Result<(Vec<Owed>, Option<LiveCursor>), StoreError> {
        let rows: Vec<LiveRow> = sqlx::query_as(
            "select id, lane, payload, traceparent, entry_id, created_at from millstream.jobs
             where queue = $1 and live and state <> 'scheduled'
               and (created_at, id) > (coalesce($2, '-infinity'::timestamptz), coalesce($3, $5))
             order by created_at, id limit $4",
        )
        .bind(queue)
        .bind(after.map(|after| after.created_at))
        .bind(after.map(|after| after.id))
        .bind(i64::from(limit))
        .bind(Uuid::nil())
        .fetch_all(&self.pool())
        .await?;
        let last = rows.last().map(|row| LiveCursor {
            created_at: row.5,
            id: row.0,
        });
        let owed =
            |(job, lane, payload, traceparent, entry, _)| read((job, lane, payload, traceparent, entry));
        Ok((rows.into_iter().map(owed).collect(), last))
    }

    /// A page of the jobs that were dead at a time, oldest first; `after` is where the page before ended.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn dead_jobs(
        &self,
        queue: &str,
        before: DateTime<Utc>,
        after: Option<(DateTime<Utc>, JobId)>,
        limit: u32,
    ) -> Result<Vec<DeadJob>, StoreError> {
        let rows: Vec<DeadRow> = sqlx::query_as(
            "select id, lane, entry_id, worker, finished_at, attempt, error_class, error from millstream.jobs
             where queue = $1 and given_up = 'dead' and finished_at <= $2
               and (finished_at, id) > (coalesce($3, '-infinity'::timestamptz), coalesce($4, $6))
             order by finished_at, id limit $5",
        )
        .bind(queue)
        .bind(before)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, job)| job.0))
        .bind(i64::from(limit))
        .bind(Uuid::nil())
        .fetch_all(&self.pool())
        .await?;
        let read = |(job, lane, entry, worker, died_at, attempt, class, error): DeadRow| DeadJob {
            job: JobId(job),
            lane: Lane::from_word(&lane),
            entry: entry.and_then(|entry| entry.parse().ok()),
            worker,
            died_at,
            attempt,
            class,
            error,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Makes jobs whose entry is gone wait for a new one, and closes the fence behind whoever still
    /// runs them. A job that has moved on meanwhile is left alone, and so is one whose result a reference worker has
    /// recorded since it was looked at; answers those that were reset.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn reset_lost_entries(
        &self,
        lost: &[(JobId, Option<EntryId>)],
    ) -> Result<Vec<JobId>, StoreError> {
        let jobs: Vec<Uuid> = lost.iter().map(|(job, _)| job.0).collect();
        let entries: Vec<Option<String>> = lost.iter().map(|(_, e)| e.map(|e| e.to_string())).collect();
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        hold(&mut transaction, &jobs).await?;
        let rows: Vec<Uuid> = sqlx::query_scalar(RESET)
            .bind(&jobs)
            .bind(&entries)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(rows.into_iter().map(JobId).collect())
    }

    /// Jobs that are open with us while a reference worker has recorded their result are done: the first
    /// result stands. Answers how many. Our own end sets both rows in one transaction, so it is never
    /// mistaken for a foreign one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn adopt_foreign_results(&self, queue: &str) -> Result<u64, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let jobs: Vec<Uuid> = sqlx::query_scalar(RECORDED)
            .bind(queue)
            .fetch_all(&mut *transaction)
            .await?;
        if !jobs.is_empty() {
            sqlx::query(ADOPT).bind(&jobs).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(jobs.len() as u64)
    }
}

impl Store {
    /// The job that an entry stood for waits for a new one: the entry's payload is gone.
    ///
    /// # Errors
    /// When the server is away; then the reconciler's next full pass finds it.
    pub async fn reset_entry(&self, queue: &str, lane: Lane, entry: EntryId) -> Result<(), StoreError> {
        let job: Option<Uuid> = sqlx::query_scalar(
            "select id from millstream.jobs
             where queue = $1 and live and lane = $2 and entry_id = $3 and state <> 'scheduled'",
        )
        .bind(queue)
        .bind(lane.word())
        .bind(entry.to_string())
        .fetch_optional(&self.pool())
        .await?;
        if let Some(job) = job {
            self.reset_lost_entries(&[(JobId(job), Some(entry))]).await?;
        }
        Ok(())
    }
}
