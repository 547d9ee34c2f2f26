//! Reads what a reviewer answered: a list of findings, checked against the diff.
//!
//! A model may name a file or a line that is not there. Such a place is taken out and the note says
//! so; the words stay.

use std::collections::HashSet;
use std::ops::Range;
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

/// Whether an answer holds a list of findings, all of which can be read.
#[must_use]
pub fn is_readable(text: &str) -> bool {
    list(text).is_some_and(|listed| !listed.broken)
}

/// Reads a reviewer's answer.
#[must_use]
pub fn read(agent: &str, text: &str, diff: &Diff) -> Report {
    let Some(Listed { items, broken }) = list(text) else {
        return unreadable(agent, text);
    };
    let mut findings: Vec<Finding> = items
        .iter()
        .filter_map(|item| finding(agent, item, diff))
        .collect();
    findings.sort_by(gravest_first);
    cap(agent, &mut findings);
    if broken {
        let note = trace::excerpt(text.trim(), LONGEST_ANSWER);
        findings.push(remark(agent, format!("{PARTLY_READABLE}{note}")));
    }
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

/// How a finding about what should have been looked at begins.
const NOT_REVIEWED: &str = "Not reviewed: ";

/// How a finding about an answer that nobody can read begins.
const UNREADABLE: &str = "The reviewer's answer is not the list it was asked for: ";

/// How a finding about an answer begins of which a part cannot be read.
const PARTLY_READABLE: &str = "A part of the reviewer's answer cannot be read: ";

/// A finding about what nobody, or this reviewer, has looked at.
#[must_use]
pub fn not_reviewed(author: &str, what: &str) -> Finding {
    remark(author, format!("{NOT_REVIEWED}{what}."))
}

/// A finding about what a review leaves out of every change.
#[must_use]
pub fn left_out(author: &str, what: &str) -> Finding {
    remark(author, format!("Left out: {what}."))
}

/// Whether a finding says that something which a review reads was not read, or not understood: then nobody can say that
/// the change is fine.
#[must_use]
pub fn is_gap(finding: &Finding) -> bool {
    [NOT_REVIEWED, UNREADABLE, PARTLY_READABLE]
        .iter()
        .any(|beginning| finding.note.starts_with(beginning))
}

/// What an answer holds.
struct Listed {
    items: Vec<Value>,
    /// Something looks like a finding and cannot be read as one.
    broken: bool,
}

/// The findings in an answer, wherever they stand in it: in arrays, in what an object calls `findings`, one by one. None
/// if there is no list. Code that is quoted may hold an empty list too, so one counts only where an answer stands.
fn list(text: &str) -> Option<Listed> {
    let (mut items, mut seen) = (Vec::new(), HashSet::new());
    let (mut is_list, mut graded) = (false, 0);
    let mut take = |item: Value| {
        graded += usize::from(item.get("severity").is_some());
        // A draft that is repeated in the answer is one list.
        if seen.insert(item.to_string()) {
            items.push(item);
        }
    };
    for (place, value) in embedded::placed(text) {
        match value {
            Value::Array(found) if found.is_empty() => is_list |= is_whole_answer(text, place),
            Value::Array(found) => found.into_iter().filter(is_finding).for_each(&mut take),
            Value::Object(mut members) => match members.remove("findings") {
                Some(Value::Array(found)) => {
                    is_list |= found.is_empty();
                    found.into_iter().filter(is_finding).for_each(&mut take);
                }
                _ => Some(Value::Object(members))
                    .filter(is_finding)
                    .into_iter()
                    .for_each(&mut take),
            },
            _ => {}
        }
    }
    (is_list || !items.is_empty()).then(|| Listed {
        broken: text.matches(r#""severity""#).count() > graded,
        items,
    })
}

/// Whether a value is more than any JSON: it says something.
fn is_finding(value: &Value) -> bool {
    value["note"].as_str().is_some_and(|note| !note.trim().is_empty())
}

/// Whether what stands there is the answer, with words only before or only behind it, and no part of an expression.
fn is_whole_answer(text: &str, place: Range<usize>) -> bool {
    let (before, after) = (&text[..place.start], &text[place.end..]);
    let frame = |c: char| c.is_whitespace() || c == '`' || c == '.';
    let opens = before.trim_matches(frame);
    let is_first = opens.is_empty() || opens.eq_ignore_ascii_case("json");
    let is_last = after.trim_matches(frame).is_empty();
    let is_code = before.ends_with(|c: char| c.is_alphanumeric() || "_)]>".contains(c));
    (is_first || is_last) && !is_code
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
    let remark = remark(agent, format!("{UNREADABLE}{note}"));
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
    fn findings_are_read_wherever_they_stand_in_an_answer() {
        let one = r#"{"severity":"warn","file":"x.rs","line":1,"note":"one"}"#;
        let two = r#"{"severity":"warn","file":"x.rs","line":2,"note":"two"}"#;
        for answer in [
            format!("The loop over `items[]` is fine, but: [{one},{two}]"),
            format!("`let x = [];` is fine.\n[{one}]\nAnd in the other file:\n[{two}]"),
            format!("{one}\n{two}\n"),
            format!("{{\"findings\":[{one}]}}\n{{\"findings\":[{two}]}}"),
            format!("At first: [{one}]. No, wait: [{one}, {two}]"),
            format!("[{one}, \"and so on\", {two}]"),
            format!("[{one}] and {{\"note\":\"\"}} [{{}}] [] {two}"),
        ] {
            let report = read("security", &answer, &change());
            let notes: Vec<&str> = report.findings.iter().map(|f| f.note.as_str()).collect();
            assert_eq!(
                (notes, is_readable(&answer)),
                (vec!["one", "two"], true),
                "{answer}"
            );
        }
    }

    #[test]
    fn an_empty_list_in_quoted_code_says_nothing() {
        for answer in [
            "The loop over `items[]` is fine, but line 2 leaks the key.",
            "The default `[]` is shared by all callers.",
            "I looked at items[]",
            "[{}]",
            "{}",
        ] {
            assert!(!is_readable(answer), "{answer}");
            assert!(
                is_gap(&read("security", answer, &change()).findings[0]),
                "{answer}"
            );
        }
        for answer in [
            "[]",
            "```json\n[]\n```",
            "JSON\n[]\n\nNothing to add.",
            "I found nothing: `[]`.",
        ] {
            assert!(is_readable(answer), "{answer}");
            assert_eq!(read("security", answer, &change()).findings, [], "{answer}");
        }
    }

    #[test]
    fn a_finding_that_cannot_be_read_is_asked_for_again_and_said() {
        let good = r#"{"severity":"warn","note":"good"}"#;
        for broken in [
            r#"[{"severity":"block","note":"the "key" leaks"}, GOOD]"#,
            r#"[GOOD, {"severity":"block","message":"no note"}]"#,
            r#"{"findings":[GOOD]} {"result":{"findings":[{"severity":"block","note":"deeper"}]}}"#,
        ] {
            let answer = broken.replace("GOOD", good);
            assert!(!is_readable(&answer), "{answer}");
            let report = read("security", &answer, &change());
            assert_eq!(
                (report.findings.len(), report.findings[0].note.as_str()),
                (2, "good")
            );
            assert!(is_gap(&report.findings[1]), "{:?}", report.findings);
        }
        let quoted = r#"[{"severity":"warn","note":"the member \"severity\" is unchecked"}]"#;
        assert!(is_readable(quoted));
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
