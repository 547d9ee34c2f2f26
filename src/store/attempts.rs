//! Attempts: issued at the start, ended once, fenced all the way.
//!
//! While an attempt runs it is in its job's row; its own is written when it has ended. The view `all_attempts` has both.
//!
//! The fence is the count of starts. A write names the job, the attempt and the worker; when the job
//! has moved on (another worker started it, or it was taken over) the write changes nothing and the
//! answer is [`Fence::Closed`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::telemetry::EventRow;
use super::text::clean;
use crate::domain::fingerprint::fingerprint;
use crate::domain::{EntryId, Failure, JobId, JobState, WorkerId};

/// The right to write for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The number of the attempt.
    pub attempt: i32,
    /// Who runs it.
    pub worker: WorkerId,
}

/// An entry that was taken from a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The job it carries.
    pub job: JobId,
    /// The entry.
    pub entry: EntryId,
    /// How often it had been delivered by then.
    pub deliveries: u32,
}

/// Whether a fenced write was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It was written.
    Open,
    /// The job has moved on; nothing was written.
    Closed,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Again, after this long, with the entry parked.
    Retry(Duration),
    /// Again, after this long, held in Postgres only.
    Schedule(Duration),
    /// Never again.
    Bury,
}

/// What a handler leaves behind: written in the transaction that ends the job.
pub trait Record: Send + Sync {
    /// Whether there is nothing to write: such ends are taken down many at a time.
    fn writes_nothing(&self) -> bool {
        false
    }

    /// Writes the result.
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// A job that leaves nothing behind but its state.
impl Record for () {
    fn writes_nothing(&self) -> bool {
        true
    }

    fn record<'a>(
        &'a self,
        _transaction: &'a mut PgConnection,
        _lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Writes attempts down that have ended, from rows of `$from` that say who ran them: jobs, or what was read of them under
/// their lock. What their spans came to is summed. One that a worker of an earlier version began has a row already.
/// The time of a statement is that of its transaction's beginning, and an attempt may have been begun while it waited.
macro_rules! write_down {
    ($from:literal, outcome: $outcome:literal, class: $class:literal, error: $error:literal, only: $only:literal) => {
        concat!(
            "insert into millstream.attempts (job_id, attempt, worker, started_at, ended_at, outcome, error_class, error,
                                 input_tokens, output_tokens, cost_usd)
select j.id, j.attempt, j.worker, j.started_at, greatest(now(), j.started_at), ",
            $outcome,
            ", ",
            $class,
            ", ",
            $error,
            ", s.*
from ",
            $from,
            " j, lateral (
    select coalesce(sum(f.input_tokens), 0)::bigint, coalesce(sum(f.output_tokens), 0)::bigint,
           coalesce(sum(f.cost_usd), 0)
    from millstream.span_facts f where f.job_id = j.id and f.attempt = j.attempt) s
where ",
            $only,
            "
on conflict (job_id, attempt) do update
set ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error,
    error_class = excluded.error_class, input_tokens = excluded.input_tokens,
    output_tokens = excluded.output_tokens, cost_usd = excluded.cost_usd
where attempts.ended_at is null"
        )
    };
}
pub(super) use write_down;

/// Ends the job itself; every other write of the same end follows only if this one found its row.
const END: &str = "
update millstream.jobs
set state = $4, finished_at = case when $4 in ('done', 'dead') then now() end, updated_at = now(),
    failures = failures + $5, error = coalesce($6, error), error_class = coalesce($7, error_class),
    fingerprint = $9, run_at = now() + make_interval(secs => $8),
    past_entry = case when $4 = 'scheduled' then coalesce(entry_id, past_entry) else past_entry end,
    entry_id = case when $4 = 'scheduled' then null else entry_id end,
    delivery = case when $4 = 'scheduled' then 0 else delivery end
where id = $1 and attempt = $2 and worker = $3 and state = 'running'";

/// Ends many attempts that leave nothing behind: first attempts that told of no spans and no events, so there are none
/// to close and no tokens to sum. Their last event is made from the attempt when somebody reads it. An attempt that this
/// version began has no row yet; if one has all the same, the statement is refused, and each is ended by itself.
const END_MANY: &str = "
with given as (
    select * from unnest($2::uuid[], $3::int[]) as g (id, attempt)
), locked as (
    select j.id, j.started_at, g.attempt
    from given g join millstream.jobs j on j.id = g.id
    where j.attempt = g.attempt and j.worker = $1 and j.state = 'running'
    order by j.id for no key update of j skip locked
), ended as (
    update millstream.jobs j set state = 'done', finished_at = now(), updated_at = now(), run_at = null
    from locked l where j.id = l.id
), attempts as (
    insert into millstream.attempts (job_id, attempt, worker, started_at, ended_at, outcome)
    select id, attempt, $1, started_at, now(), 'done' from locked
)
select id from locked";

const END_ATTEMPT: &str = write_down!(
    "millstream.jobs",
    outcome: "$3",
    class: "$5",
    error: "$4",
    only: "j.id = $1 and j.attempt = $2"
);

const CLOSE_SPANS: &str = "
update spans set status = 'error', error = $3, ended_at = now()
where status = 'running' and span_id in
      (select span_id from millstream.span_facts where job_id = $1 and attempt <= $2)";

/// Locks jobs in the order in which starts lock them: all that the next statement may lock, or two would wait for each
/// other.
const HOLD: &str = "select id from millstream.jobs where id = any($1) order by id for no key update";

const LOST: &str = concat!(
    "
with locked as (
    select j.id from millstream.jobs j join unnest($2::uuid[], $3::text[], $4::int[]) as l (id, entry, delivery) on j.id = l.id
    where j.entry_id = l.entry and j.worker = $1 and j.state = 'running'
      -- The same worker may have thawed, and started it anew, before this was heard.
      and j.delivery <= l.delivery
    order by j.id for no key update of j
), lost as (
    update millstream.jobs j set state = 'waiting', crashes = j.crashes + 1, updated_at = now()
    from locked l where j.id = l.id
    returning j.id, j.attempt, j.worker, j.started_at
), closed as (
    update spans s set status = 'error', error = 'its worker vanished', ended_at = now()
    from lost join millstream.span_facts f on f.job_id = lost.id
    where s.span_id = f.span_id and s.status = 'running'
)
",
    write_down!("lost", outcome: "'crashed'", class: "'crash'", error: "'its worker vanished'", only: "true")
);

const TELL_REVIEW: &str = "
update reviews r
set status = $2, reason = coalesce($3, r.reason), verdict = null, updated_at = now(),
    input_tokens = least(t.input, 2147483647)::int, output_tokens = least(t.output, 2147483647)::int
from (select coalesce(sum(input_tokens), 0) as input, coalesce(sum(output_tokens), 0) as output
      from millstream.attempts where job_id = $1) t
where r.id = $1 and r.status <> 'done'";

impl Store {
    /// Ends an attempt with its result: the result, the job's state and its last event together or
    /// not at all.
    ///
    /// # Errors
    /// When the server is away, or refuses what the record writes.
    pub async fn finish(
        &self,
        lease: &Lease,
        record: &dyn Record,
        event: Option<&EventRow>,
    ) -> Result<Fence, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let ending = Ending {
            state: "done",
            outcome: "done",
            failed: 0,
            failure: None,
            run_at: None,
        };
        if end(&mut transaction, lease, &ending).await? == Fence::Closed {
            // A repeat after a lost reply finds its own work done.
            transaction.rollback().await?;
            // Given back before another is asked for: a pool may have no second one.
            drop(lent);
            let repeated = self.has_ended(lease, "done").await?;
            return Ok(if repeated { Fence::Open } else { Fence::Closed });
        }
        record.record(&mut transaction, lease).await?;
        super::telemetry::insert_event(&mut transaction, event).await?;
        transaction.commit().await?;
        Ok(Fence::Open)
    }

    /// Ends first attempts of one worker that leave nothing behind and told of nothing, in one statement. Answers for
    /// each whether it was: one whose fence is closed, or whose row somebody else has locked, was not, and is to be
    /// ended by itself.
    ///
    /// # Errors
    /// When the server is away; then they may have been ended all the same.
    pub async fn finish_plain(&self, ends: &[Lease]) -> Result<Vec<bool>, StoreError> {
        let Some(first) = ends.first() else {
            return Ok(Vec::new());
        };
        let mut connection = self.pool().acquire().await?;
        let begun = Instant::now();
        let ended: Vec<Uuid> = sqlx::query_scalar(END_MANY)
            .bind(first.worker.to_string())
            .bind(ends.iter().map(|lease| lease.job.0).collect::<Vec<Uuid>>())
            .bind(ends.iter().map(|lease| lease.attempt).collect::<Vec<i32>>())
            .fetch_all(&mut *connection)
            .await?;
        self.mind_the_plan(&mut connection, begun.elapsed(), ends.len())
            .await;
        let ended: HashSet<Uuid> = ended.into_iter().collect();
        Ok(ends.iter().map(|lease| ended.contains(&lease.job.0)).collect())
    }

    /// Ends an attempt that failed.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn fail(
        &self,
        lease: &Lease,
        failure: &Failure,
        next: Next,
        event: Option<&EventRow>,
    ) -> Result<Fence, StoreError> {
        let (state, run_at) = match next {
            Next::Retry(delay) => ("retrying", Some(delay)),
            Next::Schedule(delay) => ("scheduled", Some(delay)),
            Next::Bury => ("dead", None),
        };
        // A crash is counted apart from failures, when the start after it is asked for.
        let failed = i32::from(failure.counts());
        let ending = Ending {
            state,
            outcome: "failed",
            failed,
            failure: Some(failure),
            run_at,
        };
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        if end(&mut transaction, lease, &ending).await? == Fence::Closed {
            // A repeat after a lost reply finds its own work done.
            transaction.rollback().await?;
            // Given back before another is asked for: a pool may have no second one.
            drop(lent);
            let repeated = self.has_ended(lease, "failed").await?;
            return Ok(if repeated { Fence::Open } else { Fence::Closed });
        }
        let state = if next == Next::Bury {
            JobState::Dead
        } else {
            JobState::Retrying
        };
        sqlx::query(TELL_REVIEW)
            .bind(lease.job.0)
            .bind(state.reference_status())
            .bind(clean(&failure.message))
            .execute(&mut *transaction)
            .await?;
        super::telemetry::insert_event(&mut transaction, event).await?;
        transaction.commit().await?;
        Ok(Fence::Open)
    }

    /// Ends an attempt that this worker gives up unfinished, without counting a failure.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn hand_back(&self, lease: &Lease) -> Result<Fence, StoreError> {
        let ending = Ending {
            state: "waiting",
            outcome: "handed_back",
            failed: 0,
            failure: None,
            run_at: None,
        };
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let fence = end(&mut transaction, lease, &ending).await?;
        transaction.commit().await?;
        Ok(fence)
    }

    /// Closes the fence behind a consumer that lost these jobs' entries: they wait again, a crash is
    /// counted. Answers how many there were.
    ///
    /// # Errors
    /// When the server is away; the next start of the jobs does the same.
    pub async fn lost(&self, worker: &str, taken: &[Taken]) -> Result<u64, StoreError> {
        let ids: Vec<Uuid> = taken.iter().map(|taken| taken.job.0).collect();
        let entries: Vec<String> = taken.iter().map(|taken| taken.entry.to_string()).collect();
        let delivery = |taken: &Taken| i32::try_from(taken.deliveries).unwrap_or(i32::MAX);
        let deliveries: Vec<i32> = taken.iter().map(delivery).collect();
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        hold(&mut transaction, &ids).await?;
        let done = sqlx::query(LOST)
            .bind(worker)
            .bind(&ids)
            .bind(&entries)
            .bind(&deliveries)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    /// Whether this attempt has been taken down with this outcome: a repeat of that, after its reply was lost.
    async fn has_ended(&self, lease: &Lease, outcome: &str) -> Result<bool, StoreError> {
        let ended = sqlx::query_scalar(
            "select exists (select 1 from millstream.attempts
             where job_id = $1 and attempt = $2 and worker = $3 and outcome = $4)",
        )
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(outcome)
        .fetch_one(&self.pool())
        .await?;
        Ok(ended)
    }
}

/// Locks jobs before a statement that ends their attempts. A statement looks before it waits for a lock: spans that were
/// told of while it waited would be in no sum, and stay open.
pub(super) async fn hold(transaction: &mut PgConnection, jobs: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query(HOLD).bind(jobs).execute(transaction).await?;
    Ok(())
}

/// How an attempt ends.
struct Ending<'a> {
    state: &'static str,
    outcome: &'static str,
    failed: i32,
    failure: Option<&'a Failure>,
    run_at: Option<Duration>,
}

async fn end(
    transaction: &mut PgConnection,
    lease: &Lease,
    ending: &Ending<'_>,
) -> Result<Fence, StoreError> {
    let error = ending.failure.map(|failure| clean(&failure.message).into_owned());
    let class = ending.failure.map(|failure| failure.class.word());
    let ended = sqlx::query(END)
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(lease.worker.to_string())
        .bind(ending.state)
        .bind(ending.failed)
        .bind(&error)
        .bind(class)
        .bind(ending.run_at.map(|delay| delay.as_secs_f64()))
        .bind((ending.state == "dead").then(|| fingerprint(class, error.as_deref())))
        .execute(&mut *transaction)
        .await?;
    if ended.rows_affected() == 0 {
        return Ok(Fence::Closed);
    }
    sqlx::query(END_ATTEMPT)
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(ending.outcome)
        .bind(&error)
        .bind(class)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(CLOSE_SPANS)
        .bind(lease.job.0)
        .bind(lease.attempt)
        .bind(error.as_deref().unwrap_or("the attempt ended first"))
        .execute(&mut *transaction)
        .await?;
    Ok(Fence::Open)
}
