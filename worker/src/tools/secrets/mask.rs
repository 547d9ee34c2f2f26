//! Hides secrets: in a text, in JSON, in a diff.

use serde_json::Value;

use super::scan::{Hit, scan, scan_diff};

/// Hides every secret that the scanner knows; the line count stays, so a masked diff is still one.
#[must_use]
pub fn mask(text: &str) -> String {
    hidden(text, scan(text))
}

/// The same for a part of a diff, where a secret may be told by a line of which others stand between.
#[must_use]
pub fn mask_diff(text: &str) -> String {
    hidden(text, scan_diff(text))
}

fn hidden(text: &str, hits: Vec<Hit>) -> String {
    if hits.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for hit in hits {
        out.push_str(&text[at..hit.at.start]);
        push_masked(&mut out, &text[hit.at.clone()]);
        at = hit.at.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Masks every text in a JSON value, names of members too, and a member whose name alone tells that
/// it holds a secret.
#[must_use]
pub fn mask_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(mask(text)),
        Value::Array(items) => items.iter().map(mask_json).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (mask(name), mask_member(name, member)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn mask_member(name: &str, member: &Value) -> Value {
    if let Value::String(text) = member
        && name.len() < 100
        && !text.contains(['"', '\n'])
        && scan(&format!("\"{name}\": \"{text}\""))
            .iter()
            .any(|hit| hit.at.start > name.len() + 3)
    {
        return Value::String(masked(text));
    }
    mask_json(member)
}

/// What is shown of a secret: its first characters, at most four and at most a quarter of it.
fn masked(secret: &str) -> String {
    let shown = (secret.chars().count() / 4).min(4);
    secret.chars().take(shown).chain("…(masked)".chars()).collect()
}

/// Writes a mask for each line of the secret, behind the line's marker if it is part of a diff.
fn push_masked(out: &mut String, secret: &str) {
    for (number, line) in secret.split('\n').enumerate() {
        if number == 0 {
            out.push_str(&if line.starts_with("-----BEGIN") {
                "----…(masked)".to_owned()
            } else {
                masked(line)
            });
            continue;
        }
        out.push('\n');
        out.extend(line.chars().next().filter(|marker| "+- ".contains(*marker)));
        out.push_str("(masked)");
    }
}

/// The mask of a secret's first line.
pub(super) fn first_line(secret: &str) -> String {
    let mut out = String::new();
    push_masked(&mut out, secret.split('\n').next().unwrap_or_default());
    out
}
