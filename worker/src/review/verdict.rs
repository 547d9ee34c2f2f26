//! Reads what the judge answered. Only the agreed words are a verdict.
//!
//! A judge that reads hostile text can be talked into writing anything, so nothing of its answer is
//! taken as it stands: an unknown word, two different verdicts or no JSON at all come to
//! [`Verdict::Unknown`], with the reason in words.

use millstream::domain::Verdict;
use serde_json::Value;

use super::embedded;
use crate::agent::trace;

/// The longest reason that is recorded.
const LONGEST_REASON: usize = 2_000;

/// The longest piece of an unreadable answer that is repeated.
const LONGEST_QUOTE: usize = 300;

/// The judge's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for people; secrets masked. It may be empty.
    pub reason: String,
}

/// Whether an answer holds one decision in the agreed words.
#[must_use]
pub fn is_readable(text: &str) -> bool {
    read(text).verdict != Verdict::Unknown
}

/// Reads an answer.
#[must_use]
pub fn read(text: &str) -> Judgement {
    let answers: Vec<Value> = embedded::values(text).into_iter().filter_map(decision).collect();
    let Some((first, others)) = answers.split_first() else {
        return unknown("the judge's answer is not the JSON it was asked for", text);
    };
    if others.iter().any(|other| other["verdict"] != first["verdict"]) {
        return unknown("the judge gave two different verdicts", text);
    }
    let word = first["verdict"].as_str().unwrap_or_default();
    let reason = trace::excerpt(
        first["reason"].as_str().unwrap_or_default().trim(),
        LONGEST_REASON,
    );
    match word {
        "approve" => Judgement {
            verdict: Verdict::Approve,
            reason,
        },
        "request-changes" => Judgement {
            verdict: Verdict::RequestChanges,
            reason,
        },
        _ => unknown(
            "the judge's verdict is neither `approve` nor `request-changes`",
            text,
        ),
    }
}

/// The value if it is a decision, alone or as the only element of a list.
fn decision(value: Value) -> Option<Value> {
    match value {
        Value::Object(ref members) if members.get("verdict").is_some_and(Value::is_string) => Some(value),
        Value::Array(mut items) if items.len() == 1 => decision(items.remove(0)),
        _ => None,
    }
}

fn unknown(why: &str, text: &str) -> Judgement {
    let text = text.trim();
    let reason = if text.is_empty() {
        format!("{why}: it is empty")
    } else {
        format!("{why}: {}", trace::excerpt(text, LONGEST_QUOTE))
    };
    Judgement {
        verdict: Verdict::Unknown,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_read_wherever_it_stands() {
        for text in [
            r#"{"verdict":"approve","reason":"fine"}"#,
            "Here it is:\n```json\n{\"verdict\": \"approve\", \"reason\": \"fine\", \"findings\": []}\n```\nBye {x}.",
            r#"The set {a, b} is fine. {"reason":" fine ","verdict":"approve"}"#,
            r#"[{"verdict":"approve","reason":"fine"}]"#,
            r#"{"verdict":"approve","reason":"fine"} and again {"verdict":"approve","reason":"yes"}"#,
        ] {
            assert_eq!(
                read(text),
                Judgement {
                    verdict: Verdict::Approve,
                    reason: "fine".into()
                },
                "{text}"
            );
        }
        let changes = read(r#"{"verdict":"request-changes","reason":7}"#);
        assert_eq!(
            changes,
            Judgement {
                verdict: Verdict::RequestChanges,
                reason: String::new()
            }
        );
    }

    #[test]
    fn anything_else_is_unknown_and_says_why() {
        for (text, why) in [
            (
                "",
                "the judge's answer is not the JSON it was asked for: it is empty",
            ),
            (
                "approve",
                "the judge's answer is not the JSON it was asked for: approve",
            ),
            (r#"{"verdict":"approve""#, "the judge's answer is not the JSON"),
            (
                r#"{"decision":{"verdict":"approve"}}"#,
                "the judge's answer is not the JSON",
            ),
            (r#"{"verdict":true}"#, "the judge's answer is not the JSON"),
            (r#"{}"#, "the judge's answer is not the JSON"),
            (
                r#"{"verdict":"APPROVE","reason":"x"}"#,
                "the judge's verdict is neither",
            ),
            (r#"{"verdict":"unknown"}"#, "the judge's verdict is neither"),
            (
                r#"{"verdict":"running\" onload=\"x"}"#,
                "the judge's verdict is neither",
            ),
            (
                r#"{"verdict":"approve"} {"verdict":"request-changes"}"#,
                "the judge gave two different verdicts",
            ),
        ] {
            let judgement = read(text);
            assert_eq!(judgement.verdict, Verdict::Unknown, "{text}");
            assert!(judgement.reason.starts_with(why), "{}", judgement.reason);
        }
    }

    #[test]
    fn a_long_or_secret_answer_is_cut_and_masked() {
        let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
        let judgement = read(&format!("{key} {}", "x".repeat(9_000)));
        assert!(judgement.reason.chars().count() < 400 && !judgement.reason.contains(&key));
        let judgement = read(&format!(r#"{{"verdict":"approve","reason":"has {key}"}}"#));
        assert_eq!(judgement.reason, "has AKIA…(masked)");
    }
}
