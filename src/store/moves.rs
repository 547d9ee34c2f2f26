//! An operator's moves of jobs: each locks the rows, judges them by their state, and writes everything that
//! belongs to the move in the same transaction.
//!
//! Rows are locked in the order of their ids, as starts lock them, so the two never wait for each other in a
//! circle. A move closes the fence behind whoever runs the job: the state is no longer `running`.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::actions::ActionId;
use super::attempts::write_down;
use super::connect::Store;
use super::error::StoreError;
use super::moved::How;
use super::owed::Owed;
use super::text::clean;
use crate::domain::{EntryId, FailureClass, JobId, JobState, Lane};

/// Where a job stands, as an operator's move needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The job.
    pub job: JobId,
    /// Its state before the move.
    pub state: JobState,
    /// Its stream.
    pub lane: Lane,
    /// What its entry carries.
    pub payload: String,
    /// W3C trace context of its submission.
    pub traceparent: Option<String>,
    /// The entry that stands for it.
    pub entry: Option<EntryId>,
    /// How often it was started.
    pub attempt: i32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// Whether a reference worker has recorded its result already.
    pub foreign_done: bool,
}

impl Standing {
    /// The job as something that should be on a stream, without an entry yet.
    #[must_use]
    pub fn owed(&self) -> Owed {
        Owed {
            job: self.job,
            lane: self.lane,
            payload: self.payload.clone(),
            traceparent: self.traceparent.clone(),
            entry: None,
        }
    }
}

/// How an operator ends a job.
#[derive(Debug, Clone, Copy)]
pub struct HandEnd<'a> {
    /// `cancelled` or `dead`.
    pub state: JobState,
    /// Why, for the row, the review and the attempt that it cuts short.
    pub reason: &'a str,
    /// The class, of a dead one.
    pub class: Option<FailureClass>,
    /// The action whose effect it is, which notes what it found; none leaves no note.
    pub action: Option<ActionId>,
}

/// A job that an operator's move has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Where it stood.
    pub was: Standing,
    /// Its last event, for whoever listens.
    pub event: Option<Value>,
}

/// What a batch of moves came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged<T> {
    /// The jobs that were moved.
    pub moved: Vec<T>,
    /// The jobs whose state does not allow it, as they stand; those that are in neither list are unknown.
    pub left: Vec<Standing>,
}

const STANDING: &str = "
select j.id, j.state, j.lane, j.payload, j.traceparent, j.entry_id, j.attempt, j.worker,
       coalesce((select r.status = 'done' from reviews r where r.id = j.id), false) as foreign_done
from millstream.jobs j
where j.queue = $1 and j.id = any($2)
order by j.id";

/// An event of an operator stands behind those of the attempt it cuts short: a worker numbers its own from
/// the beginning of the attempt's million, and never comes near its last tenth.
const EVENT: &str = "
insert into millstream.events (job_id, seq, attempt, at, body)
select j.id, s.seq, j.attempt, now(), jsonb_build_object(
           'type', 'error', 'message', $2::text, 'seq', s.seq, 'attempt', j.attempt,
           'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))
from millstream.jobs j cross join lateral (
    select greatest(coalesce(max(e.seq), 0) + 1, j.attempt::bigint * 1000000 + 900000) as seq
    from millstream.events e where e.job_id = j.id) s
where j.id = any($1)
returning job_id, body";

/// What a move found, for the way back.
const NOTE: &str = "
insert into millstream.moved (action_id, job_id, how, attempt, before)
select $2, j.id, $3, j.attempt,
       jsonb_build_object('state', j.state, 'run_at', j.run_at, 'error', j.error, 'error_class', j.error_class,
                          'status', r.status, 'reason', r.reason)
from millstream.jobs j left join reviews r on r.id = j.id
where j.id = any($1)";

const END_JOBS: &str = "
update millstream.jobs
set state = $2, finished_at = greatest(now(), started_at), updated_at = now(), run_at = null, error = $3, error_class = $4
where id = any($1)";

/// Asked while the rows still say who runs what.
const END_ATTEMPTS: &str = write_down!(
    "millstream.jobs",
    outcome: "$2",
    class: "$4",
    error: "$3",
    only: "j.id = any($1) and j.state = 'running'"
);

/// The job that a worker runs with an entry, locked.
const RUNS_WITH: &str = "
select j.id from millstream.jobs j
where j.queue = $1 and j.lane = $2 and j.entry_id = $3 and j.worker = $4 and j.state = 'running'
  and j.id in (select unnest(w.jobs) from millstream.at_work w where w.worker = $4
               -- A worker of an earlier version gives no list, and begins a row.
               union all
               select a.job_id from millstream.attempts a where a.worker = $4 and a.ended_at is null)
for no key update of j";

const CLOSE_SPANS: &str = "
update spans set status = 'error', error = $2, ended_at = now()
where status = 'running' and span_id in (select span_id from millstream.span_facts where job_id = any($1))";

const TELL_REVIEWS: &str = "
update reviews r
set status = 'error', reason = $2, verdict = null, updated_at = now(),
    input_tokens = least(t.input, 2147483647)::int, output_tokens = least(t.output, 2147483647)::int
from (select j.id, coalesce(sum(a.input_tokens), 0) as input, coalesce(sum(a.output_tokens), 0) as output
      from unnest($1::uuid[]) as j (id) left join millstream.attempts a on a.job_id = j.id group by j.id) t
where r.id = t.id and r.status <> 'done'";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    state: String,
    lane: String,
    payload: String,
    traceparent: Option<String>,
    entry_id: Option<String>,
    attempt: i32,
    worker: Option<String>,
    foreign_done: bool,
}

fn read(row: Row) -> Result<Standing, StoreError> {
    let state = row
        .state
        .parse()
        .map_err(|error| StoreError::Refused(format!("{error}")))?;
    Ok(Standing {
        job: JobId(row.id),
        state,
        lane: Lane::from_word(&row.lane),
        payload: row.payload,
        traceparent: row.traceparent,
        entry: row.entry_id.and_then(|entry| entry.parse().ok()),
        attempt: row.attempt,
        worker: row.worker,
        foreign_done: row.foreign_done,
    })
}

fn uuids(jobs: &[JobId]) -> Vec<Uuid> {
    jobs.iter().map(|job| job.0).collect()
}

impl Store {
    /// Where these jobs stand; those that nobody knows are missing.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn standing(&self, queue: &str, jobs: &[JobId]) -> Result<Vec<Standing>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(STANDING)
            .bind(queue)
            .bind(uuids(jobs))
            .fetch_all(&self.pool())
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// The jobs whose ids lie between two, at most two of them: enough to know whether there is just one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn jobs_between(&self, queue: &str, from: Uuid, to: Uuid) -> Result<Vec<JobId>, StoreError> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "select id from millstream.jobs where queue = $1 and id between $2 and $3 order by id limit 2",
        )
        .bind(queue)
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool())
        .await?;
        Ok(ids.into_iter().map(JobId).collect())
    }

    /// Ends jobs that have not ended, by an operator's hand: the state, the attempt that runs, its spans, the
    /// review's row and a last event, all or nothing.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn end_by_hand(
        &self,
        queue: &str,
        jobs: &[JobId],
        end: &HandEnd<'_>,
    ) -> Result<Judged<Ended>, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let found = lock(&mut transaction, queue, jobs).await?;
        let (moved, left): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|one| !one.state.is_final() && !one.foreign_done);
        let ids: Vec<Uuid> = moved.iter().map(|one| one.job.0).collect();
        let how = if end.state == JobState::Dead {
            How::Bury
        } else {
            How::Cancel
        };
        note(&mut transaction, &ids, end.action, how).await?;
        let events = end_jobs(&mut transaction, &ids, end).await?;
        transaction.commit().await?;
        let mut events: HashMap<Uuid, Value> = events.into_iter().collect();
        let ended = |was: Standing| Ended {
            event: events.remove(&was.job.0),
            was,
        };
        Ok(Judged {
            moved: moved.into_iter().map(ended).collect(),
            left,
        })
    }

    /// Makes retrying jobs due now, and lets scheduled ones wait. A scheduled one has no entry, and is owed one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn run_now(
        &self,
        queue: &str,
        jobs: &[JobId],
        action: Option<ActionId>,
    ) -> Result<Judged<Standing>, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let found = lock(&mut transaction, queue, jobs).await?;
        let (moved, left): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| {
            matches!(one.state, JobState::Retrying | JobState::Scheduled) && !one.foreign_done
        });
        let ids: Vec<Uuid> = moved.iter().map(|one| one.job.0).collect();
        note(&mut transaction, &ids, action, How::Retry).await?;
        sqlx::query(
            "update millstream.jobs
             set run_at = case when state = 'retrying' then now() end,
                 past_entry = case when state = 'retrying' then past_entry else coalesce(entry_id, past_entry) end,
                 entry_id = case when state = 'retrying' then entry_id end,
                 delivery = case when state = 'retrying' then delivery else 0 end,
                 state = case when state = 'retrying' then state else 'waiting' end, updated_at = now()
             where id = any($1)",
        )
        .bind(&ids)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Judged { moved, left })
    }

    /// Takes the job that a worker runs with this entry from it; it waits for the next one. Answers which job it
    /// was; nothing if no row says that this worker runs it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn take_from(
        &self,
        (queue, lane, entry): (&str, Lane, EntryId),
        worker: &str,
        reason: &str,
    ) -> Result<Option<JobId>, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let found: Option<Uuid> = sqlx::query_scalar(RUNS_WITH)
            .bind(queue)
            .bind(lane.word())
            .bind(entry.to_string())
            .bind(worker)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(job) = found {
            end_attempts(&mut transaction, &[job], "handed_back", &clean(reason), None).await?;
            sqlx::query(
                "update millstream.jobs set state = 'waiting', run_at = null, updated_at = now() where id = $1",
            )
            .bind(job)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(found.map(JobId))
    }

    /// How often each of these jobs was started.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn attempts_by_job(
        &self,
        queue: &str,
        jobs: &[JobId],
    ) -> Result<HashMap<JobId, i32>, StoreError> {
        let rows: Vec<(Uuid, i32)> =
            sqlx::query_as("select id, attempt from millstream.jobs where queue = $1 and id = any($2)")
                .bind(queue)
                .bind(uuids(jobs))
                .fetch_all(&self.pool())
                .await?;
        Ok(rows
            .into_iter()
            .map(|(id, attempt)| (JobId(id), attempt))
            .collect())
    }
}

/// Notes what a move finds, unless nobody asked for it.
async fn note(
    transaction: &mut PgConnection,
    jobs: &[Uuid],
    action: Option<ActionId>,
    how: How,
) -> Result<(), StoreError> {
    if let Some(action) = action.filter(|_| !jobs.is_empty()) {
        sqlx::query(NOTE)
            .bind(jobs)
            .bind(action.0)
            .bind(how.word())
            .execute(transaction)
            .await?;
    }
    Ok(())
}

/// Everything that belongs to an end by hand, of jobs that are locked; answers the last events.
pub(super) async fn end_jobs(
    transaction: &mut PgConnection,
    ids: &[Uuid],
    end: &HandEnd<'_>,
) -> Result<Vec<(Uuid, Value)>, StoreError> {
    let (reason, class) = (clean(end.reason), end.class.map(FailureClass::word));
    end_attempts(transaction, ids, "cancelled", &reason, class).await?;
    sqlx::query(END_JOBS)
        .bind(ids)
        .bind(end.state.word())
        .bind(&reason)
        .bind(class)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(TELL_REVIEWS)
        .bind(ids)
        .bind(&reason)
        .execute(&mut *transaction)
        .await?;
    let events = sqlx::query_as(EVENT)
        .bind(ids)
        .bind(&reason)
        .fetch_all(transaction)
        .await?;
    Ok(events)
}

/// Calls jobs off that are locked and that nobody has started.
pub(super) async fn call_off(
    transaction: &mut PgConnection,
    ids: &[Uuid],
    reason: &str,
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let end = HandEnd {
        state: JobState::Cancelled,
        reason,
        class: None,
        action: None,
    };
    end_jobs(transaction, ids, &end).await.map(drop)
}

/// Locks jobs, in the order in which starts lock them, and tells where they stand.
pub(super) async fn lock(
    transaction: &mut PgConnection,
    queue: &str,
    jobs: &[JobId],
) -> Result<Vec<Standing>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{STANDING} for no key update of j")))
        .bind(queue)
        .bind(uuids(jobs))
        .fetch_all(transaction)
        .await?;
    rows.into_iter().map(read).collect()
}

async fn end_attempts(
    transaction: &mut PgConnection,
    jobs: &[Uuid],
    outcome: &str,
    reason: &str,
    class: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(END_ATTEMPTS)
        .bind(jobs)
        .bind(outcome)
        .bind(reason)
        .bind(class)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(CLOSE_SPANS)
        .bind(jobs)
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
    Ok(())
}
