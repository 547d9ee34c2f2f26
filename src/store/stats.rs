//! Figures: run times by worker, and sums over everything that was recorded.

use chrono::{DateTime, Utc};

use super::connect::Store;
use super::error::StoreError;

/// What a worker has done.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct WorkerFigures {
    /// Its id.
    pub worker: String,
    /// Attempts that ended well.
    pub done: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Median run time.
    pub p50_s: Option<f64>,
    /// 95th percentile of the run time.
    pub p95_s: Option<f64>,
}

/// Sums over everything that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Totals {
    /// Structured findings.
    pub findings: i64,
    /// Spans.
    pub spans: i64,
}

const FIGURES: &str = "
select t.worker,
       count(*) filter (where t.outcome = 'done') as done,
       count(*) filter (where t.outcome = 'failed') as failed,
       percentile_cont(0.5) within group (order by extract(epoch from t.ended_at - t.started_at)::float8)
           filter (where t.outcome = 'done') as p50_s,
       percentile_cont(0.95) within group (order by extract(epoch from t.ended_at - t.started_at)::float8)
           filter (where t.outcome = 'done') as p95_s
from millstream.attempts t
where t.worker = any($1)
group by t.worker";

impl Store {
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
