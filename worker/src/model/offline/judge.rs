//! The offline judge: counts what the reviewers found and names the worst of it.

use millstream::domain::{Severity, Verdict};
use serde::Deserialize;
use serde_json::json;

use super::counted;
use crate::agent::prompt;

/// So many warnings stand in the way together, where none does alone.
const WARNINGS: usize = 3;

#[derive(Debug, Deserialize)]
struct Case {
    findings: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    severity: Severity,
    location: String,
    note: String,
}

/// The decision on the findings of a message, as the judge is asked to write it.
pub(super) fn decide(opening: &str) -> String {
    let case: Option<Case> = prompt::data(opening).and_then(|data| serde_json::from_str(data).ok());
    let Some(Case { findings }) = case else {
        return "The findings cannot be read.".to_owned();
    };
    let count = |severity| findings.iter().filter(|found| found.severity == severity).count();
    let (blocks, warnings, remarks) = (
        count(Severity::Block),
        count(Severity::Warn),
        count(Severity::Info),
    );
    let verdict = if blocks > 0 || warnings >= WARNINGS {
        Verdict::RequestChanges
    } else {
        Verdict::Approve
    };
    // The first of the gravest: `max_by_key` would take the last.
    let worst = findings
        .iter()
        .rev()
        .max_by_key(|found| found.severity)
        .map(Found::told)
        .unwrap_or_default();
    let reason = match (blocks, warnings, remarks) {
        (0, 0, 0) => "The reviewers found nothing that stands in the way.".to_owned(),
        (0, 0, _) => format!(
            "Nothing stands in the way. {}: {worst}",
            counted(remarks, "remark")
        ),
        (0, _, _) if warnings < WARNINGS => {
            format!(
                "Nothing blocks. {}, the gravest: {worst}",
                counted(warnings, "warning")
            )
        }
        (0, _, _) => format!(
            "{} together ask for changes, the first: {worst}",
            counted(warnings, "warning")
        ),
        (1, _, _) => format!("Blocked by {worst}"),
        _ => format!("{}, the first: {worst}", counted(blocks, "blocking finding")),
    };
    json!({ "verdict": verdict, "reason": reason, "findings": [] }).to_string()
}

impl Found {
    fn told(&self) -> String {
        if self.location == "-" {
            self.note.clone()
        } else {
            format!("{}: {}", self.location, self.note)
        }
    }
}
