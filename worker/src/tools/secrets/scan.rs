//! Finds secrets in a text: the rules, keys of many lines, and which of two that overlap counts.

use std::ops::Range;

use super::plausible::{Context, is_secret};
use super::rules::{KEY_HEAD, Proof, RULES};

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it is, as `aws_access_key`.
    pub kind: &'static str,
    /// Where it stands, in bytes.
    pub at: Range<usize>,
    /// It is the sample of a manual: worth a word, not an alarm, outside of code.
    pub sample: bool,
    rank: usize,
}

/// Finds the secrets of a text, in order; they do not overlap.
#[must_use]
pub fn scan(text: &str) -> Vec<Hit> {
    let mut hits = private_keys(text);
    for (index, rule) in RULES.iter().enumerate() {
        for groups in rule.form.captures_iter(text) {
            let Some(whole) = groups.get(0) else { continue };
            let secret = (1..groups.len())
                .find_map(|group| groups.get(group))
                .unwrap_or(whole);
            let context = Context {
                before: &text[..whole.start()],
                whole: whole.as_str(),
                value: secret.as_str(),
            };
            if is_secret(rule.proof, &context) {
                let sample =
                    rule.proof == Proof::Documented && context.value.to_ascii_uppercase().contains("EXAMPLE");
                hits.push(Hit {
                    kind: rule.kind,
                    at: secret.range(),
                    sample,
                    rank: index + 1,
                });
            }
        }
    }
    hits.sort_by_key(|hit| (hit.at.start, hit.rank));
    merged(hits)
}

/// Joins hits that overlap: the more telling one names them, both are hidden.
fn merged(hits: Vec<Hit>) -> Vec<Hit> {
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match kept.last_mut() {
            Some(last) if hit.at.start < last.at.end => {
                last.at.end = last.at.end.max(hit.at.end);
                if hit.rank < last.rank {
                    (last.kind, last.rank, last.sample) = (hit.kind, hit.rank, hit.sample);
                }
            }
            _ => kept.push(hit),
        }
    }
    kept
}

/// The keys in PEM form, each with as many of the following lines as can belong to it.
fn private_keys(text: &str) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for head in KEY_HEAD.find_iter(text) {
        if hits.last().is_some_and(|last| head.start() < last.at.end) {
            continue;
        }
        let end = head.end() + key_body(&text[head.end()..]);
        if !holds_key(text, head.range(), end) {
            continue;
        }
        hits.push(Hit {
            kind: "private_key",
            at: head.start()..end,
            sample: false,
            rank: 0,
        });
    }
    hits
}

/// Whether a key follows its head, or the head stands as it does in a key's file. A head that code
/// compares with, or that a comment tells of, is no secret.
fn holds_key(text: &str, head: Range<usize>, end: usize) -> bool {
    let body = &text[head.end..end];
    let body = body.split("-----END ").next().unwrap_or_default();
    let letters = body.bytes().filter(u8::is_ascii_alphanumeric).count();
    let before = text[..head.start].rsplit('\n').next().unwrap_or_default();
    let after = text[head.end..].split('\n').next().unwrap_or_default();
    letters >= 8 || matches!(before.trim_end(), "" | "+" | "-") && after.trim().is_empty()
}

/// How far the body of a key goes: to its foot, or to the first line that is no part of one.
fn key_body(rest: &str) -> usize {
    let mut end = 0;
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        if let Some(foot) = line.find("-----END ") {
            let tail = &line[foot + 9..];
            return end
                + foot
                + 9
                + tail
                    .find("-----")
                    .map_or(tail.trim_end().len(), |dashes| dashes + 5);
        }
        let marker_free = line
            .strip_prefix(['+', '-', ' '])
            .filter(|_| number > 0)
            .unwrap_or(line);
        if number > 0 && !is_key_line(marker_free) {
            break;
        }
        end += line.trim_end_matches(['\r', '\n']).len();
        if !line.ends_with('\n') {
            break;
        }
        end += line.len() - line.trim_end_matches(['\r', '\n']).len();
    }
    rest[..end].trim_end().len()
}

/// Base64, as it stands in a file or in a string literal, or one of the headers of old keys.
fn is_key_line(line: &str) -> bool {
    let bare = line.trim_matches(|c: char| c.is_whitespace() || "\"'`,;+".contains(c));
    let bare = bare.trim_start_matches(['/', '#', '*', ' ']);
    let header = ["Proc-Type:", "DEK-Info:", "Comment:", "Version:"]
        .iter()
        .any(|name| bare.starts_with(name));
    header
        || bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+/=\\".contains(&b))
}
