//! Figures: counts by state in one snapshot, rates, and run times by worker.

use chrono::{DateTime, Utc};

use super::connect::Store;
use super::error::StoreError;

/// How many jobs stand where, read in one statement, so that they add up.
#[derive(Debug, Clone, PartialEq, Default, sqlx::FromRow)]
pub struct Counts {
    /// All that were ever accepted.
    pub accepted: i64,
    /// Held until their time comes.
    pub scheduled: i64,
    /// Owed to or in the stream.
    pub waiting: i64,
    /// Running.
    pub running: i64,
    /// Between two attempts.
    pub retrying: i64,
    /// Given up.
    pub dead: i64,
    /// Dead and thrown away.
    pub dropped: i64,
    /// Called off.
    pub cancelled: i64,
    /// Finished.
    pub done: i64,
    /// Age of the oldest waiting job.
    pub oldest_waiting_s: Option<f64>,
    /// Jobs accepted a second, over the last minute.
    pub in_per_s: f64,
    /// Jobs ended a second, over the last minute.
    pub out_per_s: f64,
}

impl Counts {
    /// Whether every accepted job stands in exactly one state.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        self.accepted
            == self.scheduled
                + self.waiting
                + self.running
                + self.retrying
                + self.dead
                + self.dropped
                + self.cancelled
                + self.done
    }
}

/// What a worker has done.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct WorkerFigures {
    /// Its id.
    pub worker: String,
    /// Attempts that run now.
    pub running: i64,
    /// Attempts that ended well.
    pub done: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Median run time.
    pub p50_s: Option<f64>,
    /// 95th percentile of the run time.
    pub p95_s: Option<f64>,
    /// When its latest attempt began.
    pub last_started_at: Option<DateTime<Utc>>,
}

/// Sums over everything that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Totals {
    /// Structured findings.
    pub findings: i64,
    /// Spans.
    pub spans: i64,
}

const COUNTS: &str = "
select count(*) as accepted,
       count(*) filter (where state = 'scheduled') as scheduled,
       count(*) filter (where state = 'waiting') as waiting,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'retrying') as retrying,
       count(*) filter (where state = 'dead') as dead,
       count(*) filter (where state = 'dropped') as dropped,
       count(*) filter (where state = 'cancelled') as cancelled,
       count(*) filter (where state = 'done') as done,
       extract(epoch from now() - min(created_at) filter (where state = 'waiting'))::float8 as oldest_waiting_s,
       count(*) filter (where created_at > now() - interval '60 s') / 60.0::float8 as in_per_s,
       count(*) filter (where finished_at > now() - interval '60 s') / 60.0::float8 as out_per_s
from millstream.jobs where queue = $1";

const FIGURES: &str = "
select t.worker,
       count(*) filter (where t.ended_at is null) as running,
       count(*) filter (where t.outcome = 'done') as done,
       count(*) filter (where t.outcome = 'failed') as failed,
       percentile_cont(0.5) within group (order by extract(epoch from t.ended_at - t.started_at)::float8)
           filter (where t.outcome = 'done') as p50_s,
       percentile_cont(0.95) within group (order by extract(epoch from t.ended_at - t.started_at)::float8)
           filter (where t.outcome = 'done') as p95_s,
       max(t.started_at) as last_started_at
from millstream.attempts t
where t.worker = any($1)
group by t.worker";

impl Store {
    /// Counts the jobs of a queue, in one snapshot.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn counts(&self, queue: &str) -> Result<Counts, StoreError> {
        let counts = sqlx::query_as(COUNTS).bind(queue).fetch_one(&self.pool()).await?;
        Ok(counts)
    }

    /// What these workers have done.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn worker_figures(&self, workers: &[String]) -> Result<Vec<WorkerFigures>, StoreError> {
        let rows = sqlx::query_as(FIGURES)
            .bind(workers)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// Findings and spans of all jobs of a queue.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn totals(&self, queue: &str) -> Result<Totals, StoreError> {
        let totals = sqlx::query_as(
            "select (select count(*) from millstream.findings f join millstream.jobs j on j.id = f.job_id
                     where j.queue = $1) as findings,
                    (select count(*) from millstream.span_facts s join millstream.jobs j on j.id = s.job_id
                     where j.queue = $1) as spans",
        )
        .bind(queue)
        .fetch_one(&self.pool())
        .await?;
        Ok(totals)
    }

    /// When the first result since a time was recorded.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn first_result_since(
        &self,
        queue: &str,
        since: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = sqlx::query_scalar(
            "select min(finished_at) from millstream.jobs
             where queue = $1 and state = 'done' and finished_at >= $2",
        )
        .bind(queue)
        .bind(since)
        .fetch_one(&self.pool())
        .await?;
        Ok(first)
    }
}
