//! Spans and events of running attempts, written in batches.
//!
//! Both are fenced: a row of an attempt that has ended, or that another worker has taken over, is
//! left out, so a worker that wakes up too late adds nothing.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::attempts::Lease;
use super::connect::Store;
use super::error::StoreError;
use super::text::{clean, clean_value};
use crate::domain::{JobId, SpanEnd, SpanStart, SpanStatus};

/// How far apart the sequence numbers of two attempts lie: more events than one attempt can have.
const EVENTS_OF_AN_ATTEMPT: i64 = 1_000_000;

/// The number of the nth event of an attempt: it rises over all attempts without anybody asked.
#[must_use]
pub const fn event_seq(attempt: i32, nth: u32) -> i64 {
    attempt as i64 * EVENTS_OF_AN_ATTEMPT + nth as i64
}

/// Whether an event with this number is the first of its attempt: then a gap before it says nothing.
#[must_use]
pub const fn opens_attempt(seq: i64) -> bool {
    seq % EVENTS_OF_AN_ATTEMPT == 0
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Whose.
    pub lease: Lease,
    /// Its place among the job's events.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What was published.
    pub body: Value,
}

/// Something that happened to a span.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanRow {
    /// It began.
    Start(Lease, SpanStart),
    /// It ended.
    End(Lease, SpanEnd),
}

/// An event as it is read back.
#[derive(Debug, Clone, PartialEq, serde::Serialize, sqlx::FromRow)]
pub struct StoredEvent {
    /// Its place.
    pub seq: i64,
    /// Of which attempt.
    pub attempt: i32,
    /// When.
    pub at: DateTime<Utc>,
    /// What was published.
    pub body: Value,
}

const INSERT_EVENTS: &str = "
insert into millstream.events (job_id, seq, attempt, at, body)
select e.job_id, e.seq, e.attempt, e.at, e.body
from unnest($1::uuid[], $2::bigint[], $3::int[], $4::timestamptz[], $5::jsonb[], $6::text[])
     as e (job_id, seq, attempt, at, body, worker)
join millstream.jobs j on j.id = e.job_id and j.attempt = e.attempt and j.worker = e.worker
     and j.state = 'running'
on conflict do nothing";

/// The jobs are locked: nothing is added to an attempt that has ended, and an end which waited for this one sums and
/// closes what it wrote.
const START_SPANS: &str = "
with held as (
    select id, attempt, worker from millstream.jobs where id = any($2) and state = 'running' order by id for share
), fresh as (
    select s.* from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[],
                           $7::timestamptz[], $8::int[], $9::text[])
        as s (span_id, job_id, parent, name, kind, input, at, attempt, worker)
    join held j on j.id = s.job_id and j.attempt = s.attempt and j.worker = s.worker
), facts as (
    insert into millstream.span_facts (span_id, job_id, attempt, worker)
    select span_id, job_id, attempt, worker from fresh on conflict do nothing
)
insert into spans (span_id, run_id, parent_span_id, name, kind, status, input, started_at)
select span_id, job_id, parent, name, kind, 'running', input, at from fresh
on conflict do nothing";

/// Locked for the same reason.
const END_SPANS: &str = "
with held as (
    select id, attempt, worker from millstream.jobs where id = any($2) and state = 'running' order by id for share
), ended as (
    select e.* from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::text[], $6::timestamptz[],
                           $7::bigint[], $8::bigint[], $9::float8[], $10::text[], $11::int[], $12::text[])
        as e (span_id, job_id, status, output, error, at, input_tokens, output_tokens, cost, model, attempt, worker)
    join held j on j.id = e.job_id and j.attempt = e.attempt and j.worker = e.worker
), facts as (
    update millstream.span_facts f
    set input_tokens = e.input_tokens, output_tokens = e.output_tokens, cost_usd = e.cost, model = e.model
    from ended e where f.span_id = e.span_id
)
update spans s set status = e.status, output = e.output, error = e.error, ended_at = e.at
from ended e where s.span_id = e.span_id";

impl Store {
    /// Writes events in one statement.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn add_events(&self, events: &[EventRow]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let jobs: Vec<Uuid> = events.iter().map(|e| e.lease.job.0).collect();
        let seqs: Vec<i64> = events.iter().map(|e| e.seq).collect();
        let attempts: Vec<i32> = events.iter().map(|e| e.lease.attempt).collect();
        let times: Vec<DateTime<Utc>> = events.iter().map(|e| e.at).collect();
        let bodies: Vec<_> = events.iter().map(|e| Json(clean_value(&e.body))).collect();
        let workers: Vec<String> = events.iter().map(|e| e.lease.worker.to_string()).collect();
        sqlx::query(INSERT_EVENTS)
            .bind(&jobs)
            .bind(&seqs)
            .bind(&attempts)
            .bind(&times)
            .bind(&bodies)
            .bind(&workers)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// Writes what happened to spans: all starts in one statement, then all ends in another.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn add_spans(&self, rows: &[SpanRow]) -> Result<(), StoreError> {
        let starts: Vec<(&Lease, &SpanStart)> = rows
            .iter()
            .filter_map(|row| match row {
                SpanRow::Start(lease, start) => Some((lease, start)),
                SpanRow::End(..) => None,
            })
            .collect();
        let ends: Vec<(&Lease, &SpanEnd)> = rows
            .iter()
            .filter_map(|row| match row {
                SpanRow::End(lease, end) => Some((lease, end)),
                SpanRow::Start(..) => None,
            })
            .collect();
        if !starts.is_empty() {
            self.start_spans(&starts).await?;
        }
        if !ends.is_empty() {
            self.end_spans(&ends).await?;
        }
        Ok(())
    }

    async fn start_spans(&self, starts: &[(&Lease, &SpanStart)]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = starts.iter().map(|(_, s)| s.id.0).collect();
        let jobs: Vec<Uuid> = starts.iter().map(|(lease, _)| lease.job.0).collect();
        let parents: Vec<Option<Uuid>> = starts.iter().map(|(_, s)| s.parent.map(|p| p.0)).collect();
        let names: Vec<String> = starts.iter().map(|(_, s)| clean(&s.name).into_owned()).collect();
        let kinds: Vec<&str> = starts.iter().map(|(_, s)| s.kind.word()).collect();
        let inputs: Vec<_> = starts.iter().map(|(_, s)| Json(clean_value(&s.input))).collect();
        let times: Vec<DateTime<Utc>> = starts.iter().map(|(_, s)| s.at).collect();
        let attempts: Vec<i32> = starts.iter().map(|(lease, _)| lease.attempt).collect();
        let workers: Vec<String> = starts.iter().map(|(lease, _)| lease.worker.to_string()).collect();
        sqlx::query(START_SPANS)
            .bind(&ids)
            .bind(&jobs)
            .bind(&parents)
            .bind(&names)
            .bind(&kinds)
            .bind(&inputs)
            .bind(&times)
            .bind(&attempts)
            .bind(&workers)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    async fn end_spans(&self, ends: &[(&Lease, &SpanEnd)]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = ends.iter().map(|(_, e)| e.id.0).collect();
        let jobs: Vec<Uuid> = ends.iter().map(|(lease, _)| lease.job.0).collect();
        let statuses: Vec<&str> = ends.iter().map(|(_, e)| e.status.word()).collect();
        let outputs: Vec<Option<_>> = ends
            .iter()
            .map(|(_, e)| (e.status == SpanStatus::Ok).then(|| Json(clean_value(&e.output))))
            .collect();
        let errors: Vec<Option<String>> = ends
            .iter()
            .map(|(_, e)| e.error.as_ref().map(|text| clean(text).into_owned()))
            .collect();
        let times: Vec<DateTime<Utc>> = ends.iter().map(|(_, e)| e.at).collect();
        let tokens = |pick: fn(&SpanEnd) -> u64| -> Vec<i64> {
            ends.iter()
                .map(|(_, e)| i64::try_from(pick(e)).unwrap_or(i64::MAX))
                .collect()
        };
        let costs: Vec<f64> = ends.iter().map(|(_, e)| e.cost_usd).collect();
        let models: Vec<Option<String>> = ends.iter().map(|(_, e)| e.model.clone()).collect();
        let attempts: Vec<i32> = ends.iter().map(|(lease, _)| lease.attempt).collect();
        let workers: Vec<String> = ends.iter().map(|(lease, _)| lease.worker.to_string()).collect();
        sqlx::query(END_SPANS)
            .bind(&ids)
            .bind(&jobs)
            .bind(&statuses)
            .bind(&outputs)
            .bind(&errors)
            .bind(&times)
            .bind(tokens(|e| e.usage.input_tokens))
            .bind(tokens(|e| e.usage.output_tokens))
            .bind(&costs)
            .bind(&models)
            .bind(&attempts)
            .bind(&workers)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// The events of a job behind a place, in order, at most a thousand.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn events_after(&self, job: JobId, seq: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(EVENTS)
                .bind(job.0)
                .bind(seq)
                .bind(event_seq(1, 0))
                .fetch_all(&self.pool())
                .await?)
        };
        self.bounded(asked).await
    }
}

/// What was told, and what a first attempt that told of nothing came to: its end is not written down for itself.
const EVENTS: &str = "
select seq, attempt, at, body from (
    select e.seq, e.attempt, e.at, e.body from millstream.events e where e.job_id = $1 and e.seq > $2
    union all
    select $3, a.attempt, a.ended_at, jsonb_build_object(
               'type', 'phase', 'phase', 'done', 'seq', $3, 'attempt', a.attempt,
               'at', to_char(a.ended_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))
    from millstream.attempts a
    where a.job_id = $1 and a.attempt = 1 and a.outcome = 'done' and $3 > $2
      and not exists (select 1 from millstream.events e where e.job_id = $1 and e.attempt = a.attempt)
) told order by seq limit 1000";

/// Writes the last event of an attempt inside the transaction that ends it.
pub(super) async fn insert_event(
    transaction: &mut PgConnection,
    event: Option<&EventRow>,
) -> Result<(), StoreError> {
    let Some(event) = event else { return Ok(()) };
    sqlx::query(
        "insert into millstream.events (job_id, seq, attempt, at, body) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(event.lease.job.0)
    .bind(event.seq)
    .bind(event.lease.attempt)
    .bind(event.at)
    .bind(Json(clean_value(&event.body)))
    .execute(transaction)
    .await?;
    Ok(())
}
