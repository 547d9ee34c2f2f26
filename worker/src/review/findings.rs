//! Reads what a reviewer answered: a list of findings, checked against the diff.
//!
//! A model may name a file or a line that is not there. Such a place is taken out and the note says
//! so; the words stay.

use std::str::FromStr as _;

use millstream::domain::{Finding, Severity};
use serde_json::Value;

use super::embedded;
use crate::agent::trace;
use crate::diff::Diff;

/// Findings of one reviewer that are kept, the gravest first; a longer list helps nobody.
const KEPT: usize = 50;

/// The longest note of a finding.
const LONGEST_NOTE: usize = 1_000;

/// The longest answer that is kept as it is when it cannot be read.
const LONGEST_ANSWER: usize = 2_000;

/// What a reviewer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its findings, gravest first.
    pub findings: Vec<Finding>,
    /// The same as a text for people: the reference's `findings` table and `agent_done` event.
    pub note: String,
}

/// Whether an answer holds a list of findings.
#[must_use]
pub fn is_readable(text: &str) -> bool {
    list(text).is_some()
}

/// Reads a reviewer's answer.
#[must_use]
pub fn read(agent: &str, text: &str, diff: &Diff) -> Report {
    let Some(items) = list(text) else {
        return unreadable(agent, text);
    };
    let mut findings: Vec<Finding> = items
        .iter()
        .filter_map(|item| finding(agent, item, diff))
        .collect();
    findings.sort_by(gravest_first);
    cap(agent, &mut findings);
    let note = note(&findings);
    Report { findings, note }
}

/// The reports on the parts of a change as one, with the parts that were not read; that on a change in one part stays as
/// it is.
#[must_use]
pub fn together(agent: &str, mut reports: Vec<Report>, unread: &[String]) -> Report {
    if reports.len() == 1 && unread.is_empty() {
        return reports.remove(0);
    }
    let mut findings: Vec<Finding> = reports.into_iter().flat_map(|report| report.findings).collect();
    findings.sort_by(gravest_first);
    findings.dedup();
    cap(agent, &mut findings);
    findings.extend(unread.iter().map(|part| not_reviewed(agent, part)));
    let note = note(&findings);
    Report { findings, note }
}

/// Keeps the gravest and says how many are not listed.
fn cap(agent: &str, findings: &mut Vec<Finding>) {
    let more = findings.len().saturating_sub(KEPT);
    findings.truncate(KEPT);
    if more > 0 {
        findings.push(remark(agent, format!("{more} more findings are not listed.")));
    }
}

/// The order in which findings are shown: gravest first, then by place; those without one come last.
#[must_use]
pub fn gravest_first(one: &Finding, other: &Finding) -> std::cmp::Ordering {
    let place = |finding: &Finding| (finding.file.is_none(), finding.file.clone(), finding.line);
    other
        .severity
        .cmp(&one.severity)
        .then_with(|| place(one).cmp(&place(other)))
}

/// A finding about the whole change that asks for nothing.
#[must_use]
pub fn remark(agent: &str, note: String) -> Finding {
    Finding {
        agent: agent.to_owned(),
        severity: Severity::Info,
        file: None,
        line: None,
        note,
    }
}

/// How a finding about what was not looked at begins.
const NOT_REVIEWED: &str = "Not reviewed: ";

/// A finding about what nobody, or this reviewer, has looked at.
#[must_use]
pub fn not_reviewed(author: &str, what: &str) -> Finding {
    remark(author, format!("{NOT_REVIEWED}{what}."))
}

/// Whether a finding says that a reviewer has left a part of the change unread.
#[must_use]
pub fn is_unread_part(finding: &Finding) -> bool {
    finding.agent != super::FILTER && finding.note.starts_with(NOT_REVIEWED)
}

/// The list in an answer: the first array of objects, or of nothing; or what an object calls `findings`.
fn list(text: &str) -> Option<Vec<Value>> {
    embedded::values(text).into_iter().find_map(|value| match value {
        Value::Array(items) if items.iter().all(Value::is_object) => Some(items),
        Value::Object(mut members) => match members.remove("findings") {
            Some(Value::Array(items)) => Some(items),
            _ if members.contains_key("severity") => Some(vec![Value::Object(members)]),
            _ => None,
        },
        Value::Array(_) => None,
        _ => None,
    })
}

fn finding(agent: &str, item: &Value, diff: &Diff) -> Option<Finding> {
    let note = item["note"]
        .as_str()
        .map(str::trim)
        .filter(|note| !note.is_empty())?;
    let severity = item["severity"]
        .as_str()
        .and_then(|word| Severity::from_str(&word.to_lowercase()).ok());
    let named = item["file"].as_str().unwrap_or_default();
    let file = diff.file(named);
    let line = item["line"].as_u64().and_then(|line| u32::try_from(line).ok());
    let shown = line.filter(|line| file.is_some_and(|file| file.shows(*line)));
    let mut note = trace::excerpt(note, LONGEST_NOTE);
    if let Some(mark) = mark(named, file.is_some(), &item["line"], shown) {
        note.push_str(&mark);
    }
    Some(Finding {
        agent: agent.to_owned(),
        // A grade that cannot be read must neither block a change nor be overlooked.
        severity: severity.unwrap_or(Severity::Warn),
        file: file.map(|file| trace::presentable(&file.path)),
        line: shown,
        note,
    })
}

/// What is said about a place that the diff does not have.
fn mark(file: &str, is_there: bool, line: &Value, shown: Option<u32>) -> Option<String> {
    if !file.is_empty() && !is_there {
        let file = trace::excerpt(file, 100);
        return Some(format!(" [cites {file}, which is not in the change]"));
    }
    if line.is_null() || shown.is_some() {
        return None;
    }
    let line = trace::excerpt(&line.to_string(), 20);
    Some(format!(" [cites line {line}, which the diff does not show]"))
}

fn unreadable(agent: &str, text: &str) -> Report {
    let note = match trace::excerpt(text.trim(), LONGEST_ANSWER) {
        text if text.is_empty() => "The reviewer answered nothing.".to_owned(),
        text => text,
    };
    let remark = remark(
        agent,
        format!("The reviewer's answer is not the list it was asked for: {note}"),
    );
    Report {
        findings: vec![remark],
        note,
    }
}

/// The findings as the reference's reviewers write them.
fn note(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "No findings.".to_owned();
    }
    let written: Vec<String> = findings
        .iter()
        .map(|finding| {
            let (severity, location) = (finding.severity, finding.location());
            format!(
                "- **severity**: {severity}\n- **location**: {location}\n- **note**: {}",
                finding.note
            )
        })
        .collect();
    written.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;
    use serde_json::json;

    fn change() -> Diff {
        diff::parse("--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,2 @@\n a\n+b\n").expect("a diff")
    }

    #[test]
    fn a_list_is_read_and_written_as_the_reference_writes_it() {
        let text = r#"Found:
            [{"severity":"info","file":"x.rs","line":2,"note":"small"},{"severity":"BLOCK","file":"x.rs","line":1,"note":"big"}]"#;
        let report = read("security", text, &change());
        assert_eq!(
            report.note,
            "- **severity**: block\n- **location**: x.rs:1\n- **note**: big\n\n- **severity**: info\n- **location**: x.rs:2\n- **note**: small"
        );
        assert_eq!(report.findings.len(), 2);
        for nothing in ["[]", "Nothing to say: []", r#"{"findings":[]}"#] {
            assert_eq!(read("ux", nothing, &change()).note, "No findings.");
        }
    }

    #[test]
    fn places_that_are_not_in_the_diff_are_taken_out_and_marked() {
        for (item, location, note) in [
            (
                r#"{"severity":"warn","file":"x.rs","line":9,"note":"n"}"#,
                "x.rs",
                "n [cites line 9, which the diff does not show]",
            ),
            (
                r#"{"severity":"warn","file":"x.rs","line":"2","note":"n"}"#,
                "x.rs",
                "n [cites line \"2\", which the diff does not show]",
            ),
            (
                r#"{"severity":"warn","file":"/etc/passwd","line":1,"note":"n"}"#,
                "-",
                "n [cites /etc/passwd, which is not in the change]",
            ),
            (r#"{"severity":"warn","note":"n"}"#, "-", "n"),
            (
                r#"{"severity":"fatal","file":"x.rs","line":1,"note":"n"}"#,
                "x.rs:1",
                "n",
            ),
        ] {
            let report = read("security", &format!("[{item}]"), &change());
            assert_eq!(
                (
                    report.findings[0].location().as_str(),
                    report.findings[0].severity,
                    report.findings[0].note.as_str(),
                ),
                (location, Severity::Warn, note)
            );
        }
    }

    #[test]
    fn no_secret_is_kept_wherever_an_answer_has_it() {
        let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
        let named = format!("--- a/{key}.rs\n+++ b/{key}.rs\n@@ -1 +1,2 @@\n a\n+b\n");
        let named = diff::parse(&named).expect("a diff");
        for answer in [
            json!([{"note": key}]),
            json!([{"note": "n", "file": key}]),
            json!([{"note": "n", "file": format!("{key}.rs"), "line": 2}]),
            json!([{"note": "n", "file": "x.rs", "line": key}]),
            json!(format!("it is {key}")),
        ] {
            for change in [&change(), &named] {
                let report = read("security", &answer.to_string(), change);
                assert!(!format!("{report:?}").contains("Q7FAKE"), "{report:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_no_list_is_kept_as_a_remark() {
        let report = read("security", "Looks good to me [1].", &change());
        assert_eq!(
            (report.note.as_str(), report.findings[0].severity),
            ("Looks good to me [1].", Severity::Info)
        );
        assert_eq!(
            read("security", " ", &change()).note,
            "The reviewer answered nothing."
        );
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let items: Vec<String> = (0..60)
            .map(|n| format!(r#"{{"severity":"info","note":"n{n}"}}"#))
            .collect();
        let report = read("security", &format!("[{}]", items.join(",")), &change());
        assert_eq!(
            (report.findings.len(), report.findings[50].note.as_str()),
            (51, "10 more findings are not listed.")
        );
    }
}
