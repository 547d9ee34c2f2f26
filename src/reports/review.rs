//! A review with its result: what `submit --wait` prints.

use serde::Serialize;

use super::ReportError;
use crate::domain::{Finding, JobId};
use crate::store::Store;

/// The review.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewReport {
    /// Its id.
    pub id: String,
    /// Its state, in our words.
    pub status: String,
    /// The judge's decision.
    pub verdict: Option<String>,
    /// The judge's reason, or why it failed.
    pub reason: Option<String>,
    /// What was found, gravest first.
    pub findings: Vec<FindingReport>,
    /// How often it was started.
    pub attempt: i32,
    /// Tokens read and written, over all attempts.
    pub tokens: i64,
    /// What they cost, estimated.
    pub cost_usd: f64,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// The reviewer.
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

impl From<Finding> for FindingReport {
    fn from(finding: Finding) -> Self {
        Self {
            location: finding.location(),
            agent: finding.agent,
            severity: finding.severity.word().to_owned(),
            file: finding.file,
            line: finding.line,
            note: finding.note,
        }
    }
}

/// Makes the report; nothing for an unknown id.
///
/// # Errors
/// When Postgres is away.
pub async fn review(store: &Store, id: JobId) -> Result<Option<ReviewReport>, ReportError> {
    let Some(row) = store.find_review(id).await? else {
        return Ok(None);
    };
    let findings = store
        .findings_of(id)
        .await?
        .into_iter()
        .map(FindingReport::from)
        .collect();
    let attempts = store.attempts_of(id).await?;
    Ok(Some(ReviewReport {
        id: id.to_string(),
        // A review that only a reference process knows has just its word.
        status: row.state.unwrap_or(row.status),
        verdict: row.verdict,
        reason: row.reason,
        findings,
        attempt: row.attempt.unwrap_or(0),
        tokens: i64::from(row.input_tokens) + i64::from(row.output_tokens),
        // The sum of no floats would be minus zero.
        cost_usd: attempts.iter().fold(0.0, |sum, attempt| sum + attempt.cost_usd),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Severity;

    #[test]
    fn a_finding_says_where_in_parts_and_in_one_text() {
        let finding = Finding {
            agent: "security".to_owned(),
            severity: Severity::Block,
            file: Some("a.rs".to_owned()),
            line: Some(3),
            note: "n".to_owned(),
        };
        let text = serde_json::to_string(&FindingReport::from(finding)).expect("plain data");
        assert_eq!(
            text,
            r#"{"agent":"security","severity":"block","location":"a.rs:3","file":"a.rs","line":3,"note":"n"}"#
        );
    }
}
