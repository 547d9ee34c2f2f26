//! Finds secrets in a text: the rules, keys of many lines, and which of two that overlap counts.

use std::ops::Range;

use super::plausible::{Context, is_secret};
use super::rules::{KEY_HEAD, Proof, RULES, Rule};

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

impl Hit {
    /// Whether its form alone says what it is, and not the name beside it.
    #[must_use]
    pub fn has_form(&self) -> bool {
        let rule = self.rank.checked_sub(1).and_then(|rule| RULES.get(rule));
        rule.is_none_or(|rule| matches!(rule.proof, Proof::Format | Proof::Documented))
    }
}

/// Finds the secrets of a text, in order; they do not overlap.
#[must_use]
pub fn scan(text: &str) -> Vec<Hit> {
    let mut hits = private_keys(text);
    by_rules(text, |_| true, &mut hits);
    merged(hits)
}

/// Finds the secrets of a text that is part of a diff: in it as it stands, and in each of its two sides, where a value
/// follows its name although lines of the other side stand between them.
#[must_use]
pub fn scan_diff(text: &str) -> Vec<Hit> {
    let mut hits = private_keys(text);
    by_rules(text, |_| true, &mut hits);
    let has = |marker: char| text.lines().any(|line| line.starts_with(marker));
    if has('+') && has('-') {
        for other in ['-', '+'] {
            let (side, starts) = side(text, other);
            let mut of_side = Vec::new();
            by_rules(&side, |rule| rule.over_lines, &mut of_side);
            hits.extend(of_side.into_iter().filter_map(|hit| in_diff(&hit, &starts)));
        }
    }
    merged(hits)
}

/// The lines of a diff without those of the other side, and without markers; and where each begins, here and there.
fn side(text: &str, other: char) -> (String, Vec<(usize, usize)>) {
    let (mut side, mut starts, mut at) = (String::with_capacity(text.len()), Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        if !line.starts_with(other) {
            let bare = line.strip_prefix(['+', '-', ' ']).unwrap_or(line);
            starts.push((side.len(), at + line.len() - bare.len()));
            side.push_str(bare);
        }
        at += line.len();
    }
    (side, starts)
}

/// A hit in a side, at its place in the diff. These secrets stand in one line.
fn in_diff(hit: &Hit, starts: &[(usize, usize)]) -> Option<Hit> {
    let line = starts.partition_point(|(start, _)| *start <= hit.at.start);
    let (here, there) = *starts.get(line.checked_sub(1)?)?;
    let start = there + hit.at.start - here;
    Some(Hit {
        at: start..start + hit.at.len(),
        ..hit.clone()
    })
}

fn by_rules(text: &str, counts: impl Fn(&Rule) -> bool, hits: &mut Vec<Hit>) {
    for (index, rule) in RULES.iter().enumerate().filter(|(_, rule)| counts(rule)) {
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
}

/// Puts hits in order and joins those that overlap: the more telling one names them, both are hidden.
fn merged(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by_key(|hit| (hit.at.start, hit.rank));
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
