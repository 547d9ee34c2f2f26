//! What happened inside a review: attempts and their spans.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::ReportError;
use crate::domain::JobId;
use crate::store::Store;
use crate::store::reviews::SpanRecord;

/// The trace of a review.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceReport {
    /// The review.
    pub id: String,
    /// Its attempts, first one first.
    pub attempts: Vec<AttemptReport>,
}

/// One attempt. Number 0 gathers the spans of reference workers, which know no attempts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptReport {
    /// Its number.
    pub attempt: i32,
    /// Who ran it.
    pub worker: Option<String>,
    /// `done`, `failed`, `crashed`, `handed_back`; nothing while it runs.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Its spans, in the order of their beginning.
    pub spans: Vec<SpanReport>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanReport {
    /// Its identity.
    pub span_id: String,
    /// The span it is part of.
    pub parent: Option<String>,
    /// `agent`, `llm` or `tool`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `running`, `ok` or `error`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Tokens read and written.
    pub tokens: i64,
    /// What they cost, estimated.
    pub cost_usd: f64,
}

/// Makes the report; nothing for an unknown id.
///
/// # Errors
/// When Postgres is away.
pub async fn trace(store: &Store, id: JobId) -> Result<Option<TraceReport>, ReportError> {
    if store.find_review(id).await?.is_none() {
        return Ok(None);
    }
    let mut spans = store.spans_of(id).await?;
    let mut attempts = Vec::new();
    for row in store.attempts_of(id).await? {
        let (of_attempt, rest) = spans
            .into_iter()
            .partition(|span| span.attempt == Some(row.attempt));
        spans = rest;
        attempts.push(AttemptReport {
            attempt: row.attempt,
            worker: Some(row.worker),
            outcome: row.outcome,
            error: row.error,
            started_at: Some(time(row.started_at)),
            ended_at: row.ended_at.map(time),
            spans: reports(of_attempt),
        });
    }
    if !spans.is_empty() {
        let foreign = AttemptReport {
            attempt: 0,
            worker: None,
            outcome: None,
            error: None,
            started_at: spans.first().map(|span| time(span.started_at)),
            ended_at: None,
            spans: reports(spans),
        };
        attempts.insert(0, foreign);
    }
    Ok(Some(TraceReport {
        id: id.to_string(),
        attempts,
    }))
}

fn reports(spans: Vec<SpanRecord>) -> Vec<SpanReport> {
    spans
        .into_iter()
        .map(|span| SpanReport {
            span_id: span.span_id.to_string(),
            parent: span.parent_span_id.map(|id| id.to_string()),
            kind: span.kind,
            name: span.name,
            status: span.status,
            error: span.error,
            started_at: time(span.started_at),
            ended_at: span.ended_at.map(time),
            tokens: span.tokens.unwrap_or(0),
            cost_usd: span.cost_usd.unwrap_or(0.0),
        })
        .collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
