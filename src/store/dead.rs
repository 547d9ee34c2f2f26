//! Dead jobs: walked newest first in pages, put back, thrown away.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::actions::ActionId;
use super::assess::Death;
use super::connect::Store;
use super::error::StoreError;
use super::owed::Owed;
use crate::domain::fingerprint::fingerprint;
use crate::domain::{DeadFacts, DeadFilter, JobId, Lane};

/// A dead job.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct DeadRow {
    /// Its id.
    pub id: Uuid,
    /// Its type.
    pub kind: String,
    /// The stream it travelled on.
    pub lane: String,
    /// What it worked on.
    pub payload: String,
    /// How often it was started.
    pub attempt: i32,
    /// Attempts that failed.
    pub failures: i32,
    /// Workers that vanished with it.
    pub crashes: i32,
    /// Who ran it last.
    pub worker: Option<String>,
    /// Its last error.
    pub error: Option<String>,
    /// The class of that.
    pub error_class: Option<String>,
    /// W3C trace context of its submission.
    pub traceparent: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it died.
    pub died_at: DateTime<Utc>,
}

impl DeadRow {
    /// The fingerprint of its failure.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.error_class.as_deref(), self.error.as_deref())
    }

    /// Which death it tells of.
    #[must_use]
    pub const fn death(&self) -> Death {
        Death {
            job: JobId(self.id),
            died_at: self.died_at,
        }
    }

    /// Whether a filter means it.
    #[must_use]
    pub fn is_meant(&self, filter: &DeadFilter, now: DateTime<Utc>) -> bool {
        let (id, fingerprint) = (self.id.to_string(), self.fingerprint());
        let facts = DeadFacts {
            id: Some(&id),
            input: &self.payload,
            error: self.error.as_deref().unwrap_or_default(),
            class: self.error_class.as_deref().unwrap_or_default(),
            worker: self.worker.as_deref().unwrap_or_default(),
            fingerprint: &fingerprint,
            died_at: self.died_at,
        };
        filter.matches(&facts, now)
    }
}

/// Whether what is thrown away has to be exported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exported {
    /// A death that nobody has exported stays.
    Wanted,
    /// It goes all the same.
    Waived,
}

/// Where a walk through the dead goes on: behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadCursor {
    died_at: DateTime<Utc>,
    id: Uuid,
}

/// A page of a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadPage {
    /// Those that are meant, newest first.
    pub rows: Vec<DeadRow>,
    /// Where to go on; nothing at the end.
    pub next: Option<DeadCursor>,
}

/// The statement is a sieve: what it lets through is held against the whole filter afterwards, which alone
/// knows the fingerprint. It never drops one that is meant: both fold the case of ASCII letters only.
const PAGE: &str = "
select j.id, j.kind, j.lane, j.payload, j.attempt, j.failures, j.crashes, j.worker, j.error, j.error_class,
       j.traceparent, j.created_at, j.started_at, j.finished_at as died_at
from millstream.jobs j
where j.queue = $1 and j.given_up = 'dead' and j.finished_at is not null
  and ($2::timestamptz is null or (j.finished_at, j.id) < ($2, $3::uuid))
  and ($4::text is null or j.error_class = $4)
  and ($5::text is null or starts_with(j.worker, $5))
  and ($6::float8 is null or j.finished_at <= $8::timestamptz - make_interval(secs => $6))
  and ($7::float8 is null or j.finished_at >= $8::timestamptz - make_interval(secs => $7))
  and not exists (select 1 from unnest($9::text[]) as e (word)
                  where strpos(lower(coalesce(j.error, '') collate \"C\"), e.word) = 0)
  and ($11::text is null or j.fingerprint is null or starts_with(j.fingerprint, $11))
order by j.finished_at desc, j.id desc
limit $10";

/// The action notes what it found; without one there is no note.
pub(super) const REQUEUE: &str = "
with locked as (
    select id, attempt, failures, crashes, error, error_class, fingerprint, finished_at, entry_id, delivery
    from millstream.jobs where queue = $1 and id = any($2) and state = 'dead' order by id for no key update
), noted as (
    insert into millstream.moved (action_id, job_id, how, attempt, before)
    select $3, l.id, 'requeue', l.attempt,
           jsonb_build_object('failures', l.failures, 'crashes', l.crashes, 'error', l.error,
                              'error_class', l.error_class, 'fingerprint', l.fingerprint,
                              'finished_at', l.finished_at, 'entry_id', l.entry_id, 'delivery', l.delivery,
                              'reason', (select r.reason from reviews r where r.id = l.id))
    from locked l where $3::bigint is not null
), back as (
    update millstream.jobs j
    set state = 'waiting', failures = 0, crashes = 0, error = null, error_class = null, fingerprint = null,
        past_entry = coalesce(j.entry_id, j.past_entry), entry_id = null, delivery = 0, enqueued_at = null,
        run_at = null, finished_at = null, updated_at = now()
    from locked l where j.id = l.id and j.state = 'dead'
    returning j.id, j.lane, j.payload, j.traceparent
), shown as (
    update reviews r set status = 'queued', reason = null, verdict = null, updated_at = now()
    from back b where r.id = b.id and r.status <> 'done'
)
select id, lane, payload, traceparent from back";

const DROP: &str = "
with locked as (
    select j.id, j.attempt from millstream.jobs j
    where j.queue = $1 and j.id = any($2) and j.state = 'dead'
      and (not $4 or exists (select 1 from millstream.exports e
                             where e.job_id = j.id and e.died_at = j.finished_at))
    order by j.id for no key update
), noted as (
    insert into millstream.moved (action_id, job_id, how, attempt)
    select $3, l.id, 'drop', l.attempt from locked l where $3::bigint is not null
)
update millstream.jobs j set state = 'dropped', updated_at = now()
from locked l where j.id = l.id and j.state = 'dead'
returning j.id";

impl Store {
    /// A page of the dead that a filter means. It may be empty and still have a next one: at most `limit` rows
    /// are looked at.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn dead_page(
        &self,
        queue: &str,
        filter: &DeadFilter,
        now: DateTime<Utc>,
        after: Option<DeadCursor>,
        limit: u32,
    ) -> Result<DeadPage, StoreError> {
        let mut rows: Vec<DeadRow> = sqlx::query_as(PAGE)
            .bind(queue)
            .bind(after.map(|after| after.died_at))
            .bind(after.map(|after| after.id))
            .bind(&filter.class)
            .bind(&filter.worker)
            .bind(filter.older.map(|time: Duration| time.as_secs_f64()))
            .bind(filter.newer.map(|time: Duration| time.as_secs_f64()))
            .bind(now)
            .bind(&filter.errors)
            .bind(i64::from(limit))
            .bind(&filter.fingerprint)
            .fetch_all(&self.pool())
            .await?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let next = rows.last().filter(|_| full).map(|last| DeadCursor {
            died_at: last.died_at,
            id: last.id,
        });
        rows.retain(|row| row.is_meant(filter, now));
        Ok(DeadPage { rows, next })
    }

    /// Those of these jobs that are dead, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn dead_rows(&self, queue: &str, jobs: &[JobId]) -> Result<Vec<DeadRow>, StoreError> {
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        let rows = sqlx::query_as(
            "select j.id, j.kind, j.lane, j.payload, j.attempt, j.failures, j.crashes, j.worker, j.error,
                    j.error_class, j.traceparent, j.created_at, j.started_at, j.finished_at as died_at
             from millstream.jobs j
             where j.queue = $1 and j.id = any($2) and j.state = 'dead' and j.finished_at is not null
             order by j.finished_at desc, j.id desc",
        )
        .bind(queue)
        .bind(&ids)
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// Those of these jobs that are known and not dead.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn not_dead_of(&self, queue: &str, jobs: &[JobId]) -> Result<HashSet<JobId>, StoreError> {
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        let rows: Vec<Uuid> = sqlx::query_scalar(
            "select id from millstream.jobs where queue = $1 and id = any($2) and state <> 'dead'",
        )
        .bind(queue)
        .bind(&ids)
        .fetch_all(&self.pool())
        .await?;
        Ok(rows.into_iter().map(JobId).collect())
    }

    /// Dead jobs wait again, as if they had never failed; answers those that were dead until now. Of two
    /// operators who ask at once, each job answers one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn requeue_dead(
        &self,
        queue: &str,
        jobs: &[JobId],
        action: Option<ActionId>,
    ) -> Result<Vec<Owed>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        requeue(&mut connection, queue, jobs, action).await
    }

    /// Notes that somebody has a copy of these dead jobs, as they died; answers how many.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn note_exported(
        &self,
        queue: &str,
        deaths: &[Death],
        action: ActionId,
    ) -> Result<u64, StoreError> {
        let noted = sqlx::query(
            "insert into millstream.exports (job_id, died_at, action_id)
             select distinct j.id, j.finished_at, $4::bigint
             from unnest($2::uuid[], $3::timestamptz[]) as d (id, died_at) join millstream.jobs j on j.id = d.id
             where j.queue = $1 and j.state = 'dead' and j.finished_at = d.died_at
             on conflict (job_id, died_at) do update set at = now(), action_id = excluded.action_id",
        )
        .bind(queue)
        .bind(deaths.iter().map(|death| death.job.0).collect::<Vec<Uuid>>())
        .bind(deaths.iter().map(|death| death.died_at).collect::<Vec<_>>())
        .bind(action.0)
        .execute(&self.pool())
        .await?;
        Ok(noted.rows_affected())
    }

    /// Dead jobs are thrown away; their rows stay. Answers those that were dead until now.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn drop_dead(
        &self,
        queue: &str,
        jobs: &[JobId],
        exported: Exported,
        action: Option<ActionId>,
    ) -> Result<Vec<JobId>, StoreError> {
        let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
        let rows: Vec<Uuid> = sqlx::query_scalar(DROP)
            .bind(queue)
            .bind(&ids)
            .bind(action.map(|action| action.0))
            .bind(exported == Exported::Wanted)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows.into_iter().map(JobId).collect())
    }
}

/// Puts dead jobs back; answers those that were dead until now, in the order in which they were asked for: it is
/// the one in which they are enqueued, and the statement's own order changes with its plan.
pub(super) async fn requeue(
    connection: &mut PgConnection,
    queue: &str,
    jobs: &[JobId],
    action: Option<ActionId>,
) -> Result<Vec<Owed>, StoreError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.0).collect();
    let rows: Vec<(Uuid, String, String, Option<String>)> = sqlx::query_as(REQUEUE)
        .bind(queue)
        .bind(&ids)
        .bind(action.map(|action| action.0))
        .fetch_all(connection)
        .await?;
    let owed = |(job, lane, payload, traceparent): (Uuid, String, String, Option<String>)| Owed {
        job: JobId(job),
        lane: Lane::from_word(&lane),
        payload,
        traceparent,
        entry: None,
    };
    let mut owed: Vec<Owed> = rows.into_iter().map(owed).collect();
    let place: HashMap<JobId, usize> = jobs
        .iter()
        .enumerate()
        .map(|(place, job)| (*job, place))
        .collect();
    owed.sort_by_key(|owed| place.get(&owed.job).copied());
    Ok(owed)
}
