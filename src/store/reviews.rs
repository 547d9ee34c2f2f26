//! Reviews: what a finished one records, and how reviews are read back.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::attempts::{Lease, Record};
use super::connect::Store;
use super::error::StoreError;
use super::text::clean;
use crate::domain::{Finding, JobId, ReviewResult, Severity};

/// A row of the reference's `reviews`, its columns in its order, with our state beside it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ReviewRow {
    /// The review's id.
    pub id: Uuid,
    /// What is reviewed.
    pub pr_url: String,
    /// The reference's word for where it stands.
    pub status: String,
    /// The judge's decision.
    pub verdict: Option<String>,
    /// The judge's reason, or why it failed.
    pub reason: Option<String>,
    /// Which producer took it.
    pub source: Option<String>,
    /// Which workflow runs it.
    pub workflow: Option<String>,
    /// Tokens read, over all attempts.
    pub input_tokens: i32,
    /// Tokens written, over all attempts.
    pub output_tokens: i32,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When the row changed last.
    pub updated_at: DateTime<Utc>,
    /// Our word for where it stands; nothing for a review that only a reference process knows.
    pub state: Option<String>,
    /// How often it was started.
    pub attempt: Option<i32>,
}

/// A row of the reference's `findings`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct NoteRow {
    /// Its number.
    pub id: i32,
    /// Of which review.
    pub review_id: Uuid,
    /// Whose note.
    pub agent: String,
    /// The note.
    pub note: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A finding as it is stored.
#[derive(sqlx::FromRow)]
struct FindingRow {
    agent: String,
    severity: String,
    file: Option<String>,
    line: Option<i32>,
    note: String,
}

impl From<FindingRow> for Finding {
    fn from(row: FindingRow) -> Self {
        Self {
            agent: row.agent,
            // The table allows no other words.
            severity: row.severity.parse().unwrap_or(Severity::Info),
            file: row.file,
            line: row.line.and_then(|line| line.try_into().ok()),
            note: row.note,
        }
    }
}

/// A row of the reference's `spans`, with our facts beside it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SpanRecord {
    /// Its identity.
    pub span_id: Uuid,
    /// Of which review.
    pub run_id: Uuid,
    /// The span it is part of.
    pub parent_span_id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// `agent`, `llm` or `tool`.
    pub kind: String,
    /// `running`, `ok` or `error`.
    pub status: String,
    /// What went in.
    pub input: Option<Value>,
    /// What came out.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Of which attempt; nothing for a reference worker's span.
    pub attempt: Option<i32>,
    /// Tokens read and written.
    pub tokens: Option<i64>,
    /// What they cost.
    pub cost_usd: Option<f64>,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AttemptRow {
    /// Its number.
    pub attempt: i32,
    /// Who ran it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Tokens read and written.
    pub tokens: i64,
    /// What they cost.
    pub cost_usd: f64,
}

const REVIEWS: &str = "
select r.id, r.pr_url, r.status, r.verdict, r.reason, r.source, r.workflow, r.input_tokens, r.output_tokens,
       r.created_at, r.updated_at, j.state, j.attempt
from reviews r left join millstream.jobs j on j.id = r.id
where $1::uuid is null or r.id = $1
order by r.created_at desc, r.id
limit $2";

impl Store {
    /// The newest reviews.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn list_reviews(&self, limit: u32) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query_as(REVIEWS)
            .bind(None::<Uuid>)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// One review.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn find_review(&self, id: JobId) -> Result<Option<ReviewRow>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(REVIEWS)
                .bind(id.0)
                .bind(1_i64)
                .fetch_optional(&self.pool())
                .await?)
        };
        self.bounded(asked).await
    }

    /// What the agents of a review wrote, oldest first.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn notes_of(&self, id: JobId) -> Result<Vec<NoteRow>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(
                "select id, review_id, agent, note, created_at from findings where review_id = $1 order by id
             limit 1000",
            )
            .bind(id.0)
            .fetch_all(&self.pool())
            .await?)
        };
        self.bounded(asked).await
    }

    /// The findings of a review, gravest first.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn findings_of(&self, id: JobId) -> Result<Vec<Finding>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(
            "select agent, severity, file, line, note from millstream.findings where job_id = $1 order by ord
             limit 10000",
        )
        .bind(id.0)
        .fetch_all(&self.pool())
        .await?)
        };
        let rows: Vec<FindingRow> = self.bounded(asked).await?;
        Ok(rows.into_iter().map(Finding::from).collect())
    }

    /// The spans of a review, in the order of their beginning.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn spans_of(&self, id: JobId) -> Result<Vec<SpanRecord>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(
            "select s.span_id, s.run_id, s.parent_span_id, s.name, s.kind, s.status, s.input, s.output, s.error,
                    s.started_at, s.ended_at, f.attempt, f.input_tokens + f.output_tokens as tokens, f.cost_usd
             from spans s left join millstream.span_facts f on f.span_id = s.span_id
             where s.run_id = $1 order by s.started_at, s.span_id limit 20000",
        )
        .bind(id.0)
        .fetch_all(&self.pool())
        .await?)
        };
        self.bounded(asked).await
    }

    /// The same for people who look again and again: what is too large to be read is named instead of loaded.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn spans_in_short(&self, id: JobId) -> Result<Vec<SpanRecord>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(
            "select s.span_id, s.run_id, s.parent_span_id, s.name, s.kind, s.status, s.error,
                    case when pg_column_size(s.input) > 65536 then $2 else s.input end as input,
                    case when pg_column_size(s.output) > 65536 then $2 else s.output end as output,
                    s.started_at, s.ended_at, f.attempt, f.input_tokens + f.output_tokens as tokens, f.cost_usd
             from spans s left join millstream.span_facts f on f.span_id = s.span_id
             where s.run_id = $1 order by s.started_at, s.span_id limit 2000",
        )
        .bind(id.0)
        .bind(Value::from("too large to be shown here; the API has all of it"))
        .fetch_all(&self.pool())
        .await?)
        };
        self.bounded(asked).await
    }

    /// The attempts of a job, first one first.
    ///
    /// # Errors
    /// When the server is away, or does not answer in time.
    pub async fn attempts_of(&self, id: JobId) -> Result<Vec<AttemptRow>, StoreError> {
        let asked = async {
            Ok(sqlx::query_as(
                "select attempt, worker, started_at, ended_at, outcome, error,
                    input_tokens + output_tokens as tokens, cost_usd
             from millstream.all_attempts where job_id = $1 order by attempt limit 10000",
            )
            .bind(id.0)
            .fetch_all(&self.pool())
            .await?)
        };
        self.bounded(asked).await
    }
}

impl Record for ReviewResult {
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(record_review(self, transaction, lease))
    }
}

async fn record_review(
    result: &ReviewResult,
    transaction: &mut PgConnection,
    lease: &Lease,
) -> Result<(), StoreError> {
    let id = lease.job.0;
    let status: Option<String> = sqlx::query_scalar("select status from reviews where id = $1 for update")
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
    // Beside a reference worker the first result stands; ours is then only the end of our attempt.
    if status.is_none_or(|status| status == "done") {
        return Ok(());
    }
    sqlx::query("delete from findings where review_id = $1")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    let agents: Vec<&str> = result.notes.iter().map(|note| note.agent.as_str()).collect();
    let notes: Vec<String> = result
        .notes
        .iter()
        .map(|note| clean(&note.note).into_owned())
        .collect();
    sqlx::query(
        "insert into findings (review_id, agent, note)
         select $1, n.agent, n.note from unnest($2::text[], $3::text[]) with ordinality as n (agent, note, ord)
         order by n.ord",
    )
    .bind(id)
    .bind(&agents)
    .bind(&notes)
    .execute(&mut *transaction)
    .await?;
    record_findings(result, transaction, id).await?;
    sqlx::query(
        "update reviews r
         set status = 'done', verdict = $2, reason = $3, updated_at = now(),
             input_tokens = least(t.input, 2147483647)::int, output_tokens = least(t.output, 2147483647)::int
         from (select coalesce(sum(input_tokens), 0) as input, coalesce(sum(output_tokens), 0) as output
               from millstream.attempts where job_id = $1) t
         where r.id = $1",
    )
    .bind(id)
    .bind(result.verdict.word())
    .bind(clean(&result.reason))
    .execute(&mut *transaction)
    .await?;
    Ok(())
}

async fn record_findings(
    result: &ReviewResult,
    transaction: &mut PgConnection,
    id: Uuid,
) -> Result<(), StoreError> {
    let found = &result.findings;
    let agents: Vec<&str> = found.iter().map(|f| f.agent.as_str()).collect();
    let severities: Vec<&str> = found.iter().map(|f| f.severity.word()).collect();
    let files: Vec<Option<String>> = found
        .iter()
        .map(|f| f.file.as_ref().map(|file| clean(file).into_owned()))
        .collect();
    let lines: Vec<Option<i32>> = found
        .iter()
        .map(|f| f.line.and_then(|line| line.try_into().ok()))
        .collect();
    let notes: Vec<String> = found.iter().map(|f| clean(&f.note).into_owned()).collect();
    sqlx::query("delete from millstream.findings where job_id = $1")
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "insert into millstream.findings (job_id, ord, agent, severity, file, line, note)
         select $1, f.ord, f.agent, f.severity, f.file, f.line, f.note
         from unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::text[])
              with ordinality as f (agent, severity, file, line, note, ord)",
    )
    .bind(id)
    .bind(&agents)
    .bind(&severities)
    .bind(&files)
    .bind(&lines)
    .bind(&notes)
    .execute(&mut *transaction)
    .await?;
    Ok(())
}
