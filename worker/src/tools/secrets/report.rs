//! The tool itself: what a model is told about it and what a call answers.

use serde_json::{Value, json};

use super::mask::first_line;
use super::scan::{Hit, scan};
use crate::diff::{Diff, FileDiff};
use crate::tools::{BadArguments, chosen, optional_text};

/// Findings that one call lists; more are counted.
const LISTED: usize = 100;

/// Words and parameters for a model.
pub(in crate::tools) fn describe() -> (&'static str, Value) {
    (
        "Scans for committed secrets: the added lines of the diff under review, of one `file` of it, or a `text` you give. \
         Findings are masked and, for the diff, have file and line.",
        json!({
            "type": "object",
            "properties": {
                "file": {"type": "string", "description": "a path of the diff under review"},
                "text": {"type": "string", "description": "a text to scan instead"},
            },
        }),
    )
}

/// Answers a call.
pub(in crate::tools) fn call(arguments: &Value, diff: &Diff) -> Result<Value, BadArguments> {
    let mut report = Report::default();
    if let Some(text) = optional_text(arguments, "text")? {
        report.text(text);
    } else {
        for file in chosen(arguments, diff)? {
            report.file(file);
        }
    }
    Ok(json!({ "scannedLength": report.scanned, "findings": report.findings, "notListed": report.more }))
}

/// A secret in the added lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// What it is, as `aws_access_key`.
    pub kind: &'static str,
    /// Its line in the new version of the file.
    pub line: u32,
    /// As much of it as may be shown.
    pub shown: String,
    /// It is the sample of a manual.
    pub sample: bool,
    /// Its form says so, and not a name beside it.
    pub has_form: bool,
    /// The characters before it in its line.
    index: usize,
}

/// The secrets in the added lines of a file, which are scanned as one text, so that a key of many lines is one.
#[must_use]
pub fn leaks(file: &FileDiff) -> Vec<Leak> {
    let (text, lines) = added(file);
    let hits = scan(&text).into_iter().take(LISTED);
    hits.map(|hit| leak(&hit, &text, &lines)).collect()
}

/// The added lines as one text, and where each begins, with its number.
fn added(file: &FileDiff) -> (String, Vec<(usize, u32)>) {
    let (mut text, mut lines) = (String::new(), Vec::new());
    for line in file.added() {
        lines.push((text.len(), line.number));
        text.push_str(line.text);
        text.push('\n');
    }
    (text, lines)
}

fn leak(hit: &Hit, text: &str, lines: &[(usize, u32)]) -> Leak {
    let line = lines
        .partition_point(|(start, _)| *start <= hit.at.start)
        .saturating_sub(1);
    let (start, number) = lines.get(line).copied().unwrap_or_default();
    Leak {
        kind: hit.kind,
        line: number,
        shown: first_line(&text[hit.at.clone()]),
        sample: hit.sample,
        has_form: hit.has_form(),
        index: text[start..hit.at.start].chars().count(),
    }
}

/// What a scan has found so far.
#[derive(Default)]
struct Report {
    scanned: usize,
    findings: Vec<Value>,
    more: usize,
}

impl Report {
    fn text(&mut self, text: &str) {
        self.scanned += text.chars().count();
        let (mut at, mut index) = (0, 0);
        for hit in scan(text) {
            if self.is_full() {
                continue;
            }
            index += text[at..hit.at.start].chars().count();
            at = hit.at.start;
            let shown = first_line(&text[hit.at.clone()]);
            self.findings
                .push(json!({"pattern": hit.kind, "match": shown, "index": index, "sample": hit.sample}));
        }
    }

    fn file(&mut self, file: &FileDiff) {
        let (text, lines) = added(file);
        self.scanned += text.chars().count();
        for hit in scan(&text) {
            if self.is_full() {
                continue;
            }
            let found = leak(&hit, &text, &lines);
            self.findings.push(json!({
                "pattern": found.kind, "match": found.shown, "index": found.index, "sample": found.sample,
                "file": file.path, "line": found.line,
            }));
        }
    }

    /// Counts a finding that is no longer listed. Its place is not even looked for: that would take
    /// the square of the time in a line of a million secrets.
    fn is_full(&mut self) -> bool {
        let full = self.findings.len() >= LISTED;
        self.more += usize::from(full);
        full
    }
}
