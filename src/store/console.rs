//! What a screen asks Postgres for: a few bounded statements a refresh, each by an index.
//!
//! Each reads the last minutes, one page, or one job; how many jobs there are is counted in [`super::counts`].
//! Times are the server's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::jobs::part_with;
use crate::domain::{JobId, JobState, SpanId};

/// What ended or failed last: as many as the tallest screen shows.
const RECENT: i64 = 40;
/// Attempts of the last minute, for the lanes of all workers together.
const STRETCHES: i64 = 5_000;
/// Spans of one job that a waterfall takes.
const SPANS: i64 = 10_000;
/// Matches are counted no further than this.
pub const COUNTED: i64 = 10_000;

/// What all attempts came to.
#[derive(Debug, Clone, Copy, PartialEq, Default, sqlx::FromRow)]
pub struct Spent {
    /// Tokens read and written.
    pub tokens: i64,
    /// What they cost, estimated.
    pub cost_usd: f64,
}

/// Arrivals and ends of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct FlowRow {
    /// The second, in Unix time.
    pub second: i64,
    /// Jobs accepted.
    pub accepted: i64,
    /// Jobs ended.
    pub ended: i64,
}

/// A job for a list, with the figures of all its attempts.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ConsoleJob {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: String,
    /// What it works on.
    pub payload: String,
    /// How often it was started.
    pub attempt: i32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// The judge's decision.
    pub verdict: Option<String>,
    /// The class of its last failure.
    pub error_class: Option<String>,
    /// Its last failure.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its row changed last.
    pub updated_at: DateTime<Utc>,
    /// When it is due.
    pub run_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When its first attempt began.
    pub first_started_at: Option<DateTime<Utc>>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last attempt ended.
    pub attempt_ended_at: Option<DateTime<Utc>>,
    /// Tokens of all attempts.
    pub tokens: i64,
    /// What they cost, estimated.
    pub cost_usd: f64,
    /// The agent that runs now, of a running one.
    pub phase: Option<String>,
}

/// Which jobs are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobsAsked {
    /// In one of these states; empty means in any.
    pub states: Vec<JobState>,
    /// Whose last failure's class begins so.
    pub class: Option<String>,
    /// Whose last worker's id begins so.
    pub worker: Option<String>,
    /// Whose verdict begins so.
    pub verdict: Option<String>,
    /// Whose id begins so.
    pub id: Option<String>,
    /// Whose input, id or error holds each of these.
    pub words: Vec<String>,
}

/// An attempt that runs, or ran in the last minute.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StretchRow {
    /// Who ran it.
    pub worker: String,
    /// The job.
    pub id: Uuid,
    /// What it works on.
    pub payload: String,
    /// Which attempt.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How.
    pub outcome: Option<String>,
    /// The agent that began last in it, while it runs.
    pub phase: Option<String>,
    /// What it cost, or has cost so far, estimated.
    pub cost_usd: f64,
}

/// How a worker has fared over its last attempts.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FaredRow {
    /// Who.
    pub worker: String,
    /// Attempts that ended well.
    pub done: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Attempts ended in the last minute.
    pub last_minute: i64,
    /// Median run time.
    pub p50_s: Option<f64>,
    /// 95th percentile of the run time.
    pub p95_s: Option<f64>,
    /// How many of its run times fell into each logarithmic bucket from 1 to 60 s.
    pub run_times: Vec<i64>,
}

/// An attempt in full.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AttemptFacts {
    /// Its number.
    pub attempt: i32,
    /// Who ran it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How.
    pub outcome: Option<String>,
    /// The class of its failure.
    pub error_class: Option<String>,
    /// Its failure.
    pub error: Option<String>,
    /// Tokens read and written.
    pub tokens: i64,
    /// What they cost.
    pub cost_usd: f64,
}

/// A span without its texts.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SpanFacts {
    /// Its identity.
    pub span_id: Uuid,
    /// The span it is part of.
    pub parent_span_id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// `agent`, `llm` or `tool`.
    pub kind: String,
    /// `running`, `ok` or `error`.
    pub status: String,
    /// Its failure.
    pub error: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Of which attempt.
    pub attempt: Option<i32>,
    /// Tokens read.
    pub input_tokens: Option<i64>,
    /// Tokens written.
    pub output_tokens: Option<i64>,
    /// What they cost.
    pub cost_usd: Option<f64>,
    /// The model that answered.
    pub model: Option<String>,
}

const FLOW: &str = "
select second, sum(accepted)::bigint as accepted, sum(ended)::bigint as ended from (
    select floor(extract(epoch from created_at))::bigint as second, count(*) as accepted, 0 as ended
    from millstream.jobs where queue = $1 and created_at > $2 group by 1
    union all
    select floor(extract(epoch from finished_at))::bigint, 0, count(*)
    from millstream.jobs where queue = $1 and finished_at > $2 group by 1
) as halves group by second order by second";

/// What every list of jobs reads; a condition on `j` follows.
const JOB: &str = "
select j.id, j.state, j.payload, j.attempt, j.worker, r.verdict, j.error_class, j.error, j.created_at, j.updated_at,
       j.run_at, j.finished_at, t.first_started_at, t.started_at, t.ended_at as attempt_ended_at,
       coalesce(t.tokens, 0) as tokens, coalesce(t.cost_usd, 0) as cost_usd,
       case when j.state = 'running' then
           (select s.name from spans s where s.run_id = j.id and s.kind = 'agent' and s.status = 'running'
            order by s.started_at desc limit 1) end as phase
from (select * from millstream.jobs j where CONDITION) j
left join reviews r on r.id = j.id
left join lateral (
    select coalesce(min(a.started_at), j.started_at) as first_started_at, j.started_at,
           max(a.ended_at) filter (where a.attempt = j.attempt) as ended_at,
           sum(a.input_tokens + a.output_tokens)::bigint as tokens, sum(a.cost_usd) as cost_usd
    from millstream.attempts a where a.job_id = j.id
) t on true";

/// What a filter asks for; `$2` to `$7` are its parts.
const MATCHES: &str = "j.queue = $1 and PART
  and (cardinality($2::text[]) = 0 or j.state = any($2))
  and ($3::text is null or starts_with(j.error_class, $3))
  and ($4::text is null or starts_with(j.worker, $4))
  and ($5::text is null or exists (select 1 from reviews v where v.id = j.id and starts_with(v.verdict, $5)))
  and ($6::text is null or starts_with(j.id::text, $6))
  and not exists (select 1 from unnest($7::text[]) as w (word)
                  where strpos(lower(j.id::text || ' ' || j.payload || ' ' || coalesce(j.error, '')), w.word) = 0)";

const FARED: &str = "
select a.worker,
       count(*) filter (where a.outcome = 'done') as done,
       count(*) filter (where a.outcome = 'failed') as failed,
       count(*) filter (where a.ended_at > now() - interval '60 s') as last_minute,
       percentile_cont(0.5) within group (order by extract(epoch from a.ended_at - a.started_at)::float8)
           filter (where a.outcome = 'done') as p50_s,
       percentile_cont(0.95) within group (order by extract(epoch from a.ended_at - a.started_at)::float8)
           filter (where a.outcome = 'done') as p95_s,
       array(select count(b.worker) from generate_series(1, 18) as n (bucket)
             left join millstream.attempts b
                  on b.worker = a.worker and b.ended_at > now() - interval '10 min' and b.outcome = 'done'
                 and width_bucket(ln(greatest(extract(epoch from b.ended_at - b.started_at)::float8, 1)),
                                  0, ln(60.001), 18) = n.bucket
             group by n.bucket order by n.bucket) as run_times
from millstream.attempts a
where a.worker = any($1) and a.ended_at is not null
group by a.worker";

impl Store {
    /// What came and went by the second since a time.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn flow(&self, queue: &str, since: DateTime<Utc>) -> Result<Vec<FlowRow>, StoreError> {
        let rows = sqlx::query_as(FLOW)
            .bind(queue)
            .bind(since)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// What all attempts of a queue's jobs came to.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn spent(&self, queue: &str) -> Result<Spent, StoreError> {
        let spent = sqlx::query_as(
            "select coalesce(sum(a.input_tokens + a.output_tokens), 0)::bigint as tokens,
                    coalesce(sum(a.cost_usd), 0)::float8 as cost_usd
             from millstream.attempts a join millstream.jobs j on j.id = a.job_id where j.queue = $1",
        )
        .bind(queue)
        .fetch_one(&self.pool())
        .await?;
        Ok(spent)
    }

    /// What ended or failed last, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn recent(&self, queue: &str) -> Result<Vec<ConsoleJob>, StoreError> {
        let condition = "j.id in (
            (select id from millstream.jobs where queue = $1 and finished_at is not null
             order by finished_at desc limit $2)
            union
            (select id from millstream.jobs where queue = $1 and state = 'retrying' and run_at is not null
             order by run_at desc limit $2))";
        let statement = format!(
            "{} order by j.updated_at desc limit $2",
            JOB.replace("CONDITION", condition)
        );
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(queue)
            .bind(RECENT)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// The newest jobs that match.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn matching_jobs(
        &self,
        queue: &str,
        asked: &JobsAsked,
        limit: u32,
    ) -> Result<Vec<ConsoleJob>, StoreError> {
        let condition = format!("{MATCHES} order by j.created_at desc, j.id limit $8");
        let statement = format!(
            "{} order by j.created_at desc, j.id",
            JOB.replace("CONDITION", &condition)
                .replace("PART", part_with(&asked.states))
        );
        let states: Vec<&str> = asked.states.iter().map(|state| state.word()).collect();
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(queue)
            .bind(&states)
            .bind(&asked.class)
            .bind(&asked.worker)
            .bind(&asked.verdict)
            .bind(&asked.id)
            .bind(&asked.words)
            .bind(i64::from(limit.min(2_000)))
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// How many jobs match, counted up to [`COUNTED`].
    ///
    /// # Errors
    /// When the server is away.
    pub async fn count_matching(&self, queue: &str, asked: &JobsAsked) -> Result<i64, StoreError> {
        let statement =
            format!("select count(*) from (select 1 from millstream.jobs j where {MATCHES} limit $8) as m")
                .replace("PART", part_with(&asked.states));
        let states: Vec<&str> = asked.states.iter().map(|state| state.word()).collect();
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(queue)
            .bind(&states)
            .bind(&asked.class)
            .bind(&asked.worker)
            .bind(&asked.verdict)
            .bind(&asked.id)
            .bind(&asked.words)
            .bind(COUNTED)
            .fetch_one(&self.pool())
            .await?;
        Ok(count)
    }

    /// The newest of the dead that died of a cause.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn dead_of(&self, queue: &str, cause: &str, limit: u32) -> Result<Vec<ConsoleJob>, StoreError> {
        let condition = "j.queue = $1 and j.given_up = 'dead' and j.fingerprint = $2
            order by j.finished_at desc, j.id limit $3";
        let statement = format!(
            "{} order by j.finished_at desc, j.id",
            JOB.replace("CONDITION", condition)
        );
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(queue)
            .bind(cause)
            .bind(i64::from(limit.min(2_000)))
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// One job as a list shows it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn console_job(&self, id: JobId) -> Result<Option<ConsoleJob>, StoreError> {
        let statement = JOB.replace("CONDITION", "j.id = $1");
        let row = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(id.0)
            .fetch_optional(&self.pool())
            .await?;
        Ok(row)
    }

    /// The attempts of these workers that run, or ran in the last `back`, in the order of their beginning.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn stretches(&self, workers: &[String], back: Duration) -> Result<Vec<StretchRow>, StoreError> {
        let mut rows: Vec<StretchRow> = sqlx::query_as(
            "with ran as (
                 select a.job_id, a.attempt, a.worker, a.started_at, a.ended_at, a.outcome, a.cost_usd
                 from millstream.attempts a
                 where a.worker = any($1) and a.ended_at > now() - make_interval(secs => $2)
                 union all
                 select r.id, r.attempt, r.worker, r.started_at, null, null, 0
                 from (select unnest(w.jobs) from millstream.at_work w where w.worker = any($1)
                       -- Workers of an earlier version give no list, and begin a row.
                       union
                       select a.job_id from millstream.attempts a where a.worker = any($1) and a.ended_at is null
                 ) as held (id)
                 join millstream.jobs r on r.id = held.id and r.worker = any($1) and r.state = 'running'
             )
             select a.worker, j.id, j.payload, a.attempt, a.started_at, a.ended_at, a.outcome,
                    case when a.ended_at is null then
                        (select s.name from spans s
                         where s.run_id = j.id and s.kind = 'agent' and s.status = 'running'
                         order by s.started_at desc limit 1) end as phase,
                    case when a.ended_at is null then
                        (select coalesce(sum(f.cost_usd), 0) from millstream.span_facts f
                         where f.job_id = j.id and f.attempt = a.attempt) else a.cost_usd end as cost_usd
             from ran a join millstream.jobs j on j.id = a.job_id
             -- What runs, and then the latest: on a busy queue there is more than anybody looks at.
             order by (a.ended_at is null) desc, a.started_at desc limit $3",
        )
        .bind(workers)
        .bind(back.as_secs_f64())
        .bind(STRETCHES)
        .fetch_all(&self.pool())
        .await?;
        rows.sort_by_key(|row| row.started_at);
        Ok(rows)
    }

    /// How these workers have fared.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn fared(&self, workers: &[String]) -> Result<Vec<FaredRow>, StoreError> {
        let rows = sqlx::query_as(FARED)
            .bind(workers)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// The attempts of a job in full, first one first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn attempt_facts(&self, id: JobId) -> Result<Vec<AttemptFacts>, StoreError> {
        let rows = sqlx::query_as(
            "select attempt, worker, started_at, ended_at, outcome, error_class, error,
                    input_tokens + output_tokens as tokens, cost_usd
             from millstream.all_attempts where job_id = $1 order by attempt limit 1000",
        )
        .bind(id.0)
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// The spans of a job without their texts, in the order of their beginning.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn span_facts(&self, id: JobId) -> Result<Vec<SpanFacts>, StoreError> {
        let rows = sqlx::query_as(
            "select s.span_id, s.parent_span_id, s.name, s.kind, s.status, s.error, s.started_at, s.ended_at,
                    f.attempt, f.input_tokens, f.output_tokens, f.cost_usd, f.model
             from spans s left join millstream.span_facts f on f.span_id = s.span_id
             where s.run_id = $1 order by s.started_at, s.span_id limit $2",
        )
        .bind(id.0)
        .bind(SPANS)
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// What went into a span and what came out.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn span_texts(&self, id: SpanId) -> Result<(Option<Value>, Option<Value>), StoreError> {
        let row = sqlx::query_as("select input, output from spans where span_id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool())
            .await?;
        Ok(row.unwrap_or_default())
    }
}
