//! What the API answers: the reference's members in the reference's order, ours behind them.
//!
//! A client of the reference reads these as it reads its own; what we add stands at the end of an
//! object or in a member of its own (WIRE 1.5, DESIGN 6.8).

use chrono::{DateTime, SecondsFormat, Utc};
use millstream::domain::{JobId, JobState};
use millstream::ops::Submitted;
use millstream::reports::FindingReport;
use millstream::store::reviews::{NoteRow, ReviewRow, SpanRecord};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::follow::Detail;

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedBody {
    /// The review's id.
    #[schema(value_type = Uuid)]
    pub id: JobId,
    /// What the reference says to every submission: `queued`.
    pub status: &'static str,
    /// Our word for it: `waiting` or `scheduled`; of a repeated submission, where its review stands.
    #[schema(value_type = String)]
    pub state: JobState,
}

impl From<&Submitted> for AcceptedBody {
    fn from(submitted: &Submitted) -> Self {
        Self {
            id: submitted.id,
            status: "queued",
            state: submitted.state,
        }
    }
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewBody {
    /// Its id.
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
    /// Tokens read.
    pub input_tokens: i32,
    /// Tokens written.
    pub output_tokens: i32,
    /// When it was accepted.
    pub created_at: String,
    /// When it changed last.
    pub updated_at: String,
    /// Our word for where it stands; `null` for a review that only a reference process knows.
    pub state: Option<String>,
    /// How often it was started; `null` as `state`.
    pub attempt: Option<i32>,
}

impl From<ReviewRow> for ReviewBody {
    fn from(row: ReviewRow) -> Self {
        Self {
            id: row.id,
            pr_url: row.pr_url,
            status: row.status,
            verdict: row.verdict,
            reason: row.reason,
            source: row.source,
            workflow: row.workflow,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
            state: row.state,
            attempt: row.attempt,
        }
    }
}

/// A review with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReviewDetail {
    /// The review.
    pub review: ReviewBody,
    /// What the agents wrote: the reference's findings.
    pub findings: Vec<NoteBody>,
    /// What happened, step by step.
    pub spans: Vec<SpanBody>,
    /// The findings with their parts.
    #[schema(value_type = Vec<FindingBody>)]
    pub results: Vec<FindingReport>,
}

/// A finding with its parts, as [`FindingReport`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FindingBody {
    /// Whose.
    pub agent: String,
    /// `info`, `warn` or `block`.
    pub severity: String,
    /// `path:line`, `path`, or `-` when it concerns the whole change.
    pub location: String,
    /// The file.
    pub file: Option<String>,
    /// The line in its new version.
    pub line: Option<u32>,
    /// The text.
    pub note: String,
}

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MovedBody {
    /// The review's id.
    #[schema(value_type = Uuid)]
    pub id: JobId,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What an agent wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoteBody {
    /// Its number.
    pub id: i32,
    /// Of which review.
    pub review_id: Uuid,
    /// Whose.
    pub agent: String,
    /// The text.
    pub note: String,
    /// When.
    pub created_at: String,
}

impl From<NoteRow> for NoteBody {
    fn from(row: NoteRow) -> Self {
        Self {
            id: row.id,
            review_id: row.review_id,
            agent: row.agent,
            note: row.note,
            created_at: time(row.created_at),
        }
    }
}

/// A step of a review.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanBody {
    /// Its identity.
    pub span_id: Uuid,
    /// Of which review.
    pub run_id: Uuid,
    /// The step it is part of.
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
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Of which attempt; `null` for a reference worker's.
    pub attempt: Option<i32>,
    /// Tokens read and written.
    pub tokens: Option<i64>,
    /// What they cost, estimated.
    pub cost_usd: Option<f64>,
}

impl From<SpanRecord> for SpanBody {
    fn from(row: SpanRecord) -> Self {
        Self {
            span_id: row.span_id,
            run_id: row.run_id,
            parent_span_id: row.parent_span_id,
            name: row.name,
            kind: row.kind,
            status: row.status,
            input: row.input,
            output: row.output,
            error: row.error,
            started_at: time(row.started_at),
            ended_at: row.ended_at.map(time),
            attempt: row.attempt,
            tokens: row.tokens,
            cost_usd: row.cost_usd,
        }
    }
}

impl ReviewBody {
    /// A review as far as its reader may know it: a reason may quote what is reviewed.
    #[must_use]
    pub fn shown(row: ReviewRow, detail: Detail) -> Self {
        let mut body = Self::from(row);
        if detail == Detail::Outline {
            body.reason = None;
        }
        body
    }
}

impl ReviewDetail {
    /// The same as far as its reader may know it. What was found, and what agents read and wrote, quotes what is
    /// reviewed; that there was a step, and how long it took, does not.
    #[must_use]
    pub fn shown(mut self, detail: Detail) -> Self {
        if detail == Detail::Outline {
            self.review.reason = None;
            self.findings.clear();
            self.results.clear();
            for span in &mut self.spans {
                (span.input, span.output, span.error) = (None, None, None);
            }
        }
        self
    }
}

/// A time as the reference writes it: UTC, with milliseconds.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_review_has_the_columns_of_the_reference_in_its_order_and_ours_behind() {
        let row = ReviewRow {
            id: ID,
            pr_url: "u".to_owned(),
            status: "running".to_owned(),
            verdict: None,
            reason: None,
            source: Some("millstream".to_owned()),
            workflow: Some("code-review".to_owned()),
            input_tokens: 1,
            output_tokens: 2,
            created_at: at("2026-11-22T03:52:45.421987Z"),
            updated_at: at("2026-11-22T03:52:45Z"),
            state: Some("waiting".to_owned()),
            attempt: Some(0),
        };
        let text = serde_json::to_string(&ReviewBody::from(row)).expect("JSON");
        assert_eq!(
            text,
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000007","pr_url":"u","status":"running","verdict":null,"#,
                r#""reason":null,"source":"millstream","workflow":"code-review","input_tokens":1,"output_tokens":2,"#,
                r#""created_at":"2026-11-22T03:52:45.421Z","updated_at":"2026-11-22T03:52:45.000Z","#,
                r#""state":"waiting","attempt":0}"#
            )
        );
    }

    #[test]
    fn the_parts_of_a_review_have_the_members_of_the_reference() {
        let note = NoteRow {
            id: 1,
            review_id: ID,
            agent: "judge".to_owned(),
            note: "fine".to_owned(),
            created_at: at("2026-11-22T03:52:45Z"),
        };
        let span = SpanRecord {
            span_id: ID,
            run_id: ID,
            parent_span_id: None,
            name: "llm".to_owned(),
            kind: "llm".to_owned(),
            status: "ok".to_owned(),
            input: Some(serde_json::json!({"iteration": 0})),
            output: None,
            error: None,
            started_at: at("2026-11-22T03:52:45Z"),
            ended_at: None,
            attempt: None,
            tokens: None,
            cost_usd: None,
        };
        let note = serde_json::to_string(&NoteBody::from(note)).expect("JSON");
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            note,
            format!(
                r#"{{"id":1,"review_id":"{id}","agent":"judge","note":"fine","created_at":"2026-11-22T03:52:45.000Z"}}"#
            )
        );
        let span = serde_json::to_string(&SpanBody::from(span)).expect("JSON");
        assert_eq!(
            span,
            format!(
                r#"{{"span_id":"{id}","run_id":"{id}","parent_span_id":null,"name":"llm","kind":"llm","status":"ok","input":{{"iteration":0}},"output":null,"error":null,"started_at":"2026-11-22T03:52:45.000Z","ended_at":null,"attempt":null,"tokens":null,"cost_usd":null}}"#
            )
        );
    }

    #[test]
    fn a_submission_is_answered_in_both_vocabularies() {
        let submitted = Submitted {
            id: JobId(ID),
            state: JobState::Scheduled,
            repeated: false,
        };
        let text = serde_json::to_string(&AcceptedBody::from(&submitted)).expect("JSON");
        assert_eq!(
            text,
            r#"{"id":"00000000-0000-0000-0000-000000000007","status":"queued","state":"scheduled"}"#
        );
    }
}
