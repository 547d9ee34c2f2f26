//! The offline security reviewer: what the scanner proved, and code that is unsafe as it stands.

use std::sync::LazyLock;

use millstream::domain::Severity;
use regex::Regex;
use serde::Deserialize;

use super::{Remark, is_code, is_comment, is_documentation, is_test};
use crate::diff::FileDiff;
use crate::model::ToolResult;

/// What the scanner answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scan {
    findings: Vec<Secret>,
    not_listed: usize,
}

#[derive(Debug, Deserialize)]
struct Secret {
    pattern: String,
    #[serde(rename = "match")]
    shown: String,
    sample: bool,
    file: String,
    line: u32,
}

/// Every finding of the review.
pub(super) fn review(files: &[FileDiff], results: &[&ToolResult]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match results
        .first()
        .and_then(|result| serde_json::from_str::<Scan>(&result.content).ok())
    {
        Some(scan) => {
            remarks.extend(scan.findings.iter().map(|secret| secret.remark(files)));
            if scan.not_listed > 0 {
                let note = format!(
                    "The scanner found {} more secrets than it lists.",
                    scan.not_listed
                );
                remarks.push(Remark::overall(Severity::Block, note));
            }
        }
        None => remarks.push(Remark::overall(
            Severity::Info,
            "The secret scanner gave no result.",
        )),
    }
    for file in files
        .iter()
        .filter(|file| is_code(&file.path) && !is_test(&file.path))
    {
        remarks.extend(unsafe_code(file));
    }
    remarks
}

impl Secret {
    fn remark(&self, files: &[FileDiff]) -> Remark {
        let what = words(&self.pattern);
        let (severity, note) = match self.severity(files) {
            Severity::Block => (
                Severity::Block,
                format!(
                    "{what} ({}) is committed here. Revoke it, since the history keeps it, and read it from the environment.",
                    self.shown
                ),
            ),
            Severity::Warn => (
                Severity::Warn,
                format!(
                    "{what} ({}) stands here; make sure that it opens nothing real.",
                    self.shown
                ),
            ),
            Severity::Info => (
                Severity::Info,
                format!("{what} ({}) is the sample of a manual.", self.shown),
            ),
        };
        Remark::at(severity, &self.file, self.line, note)
    }

    /// A key in its vendor's form blocks wherever it stands. What only its name makes a secret may
    /// be made up in a test, a manual or a comment.
    fn severity(&self, files: &[FileDiff]) -> Severity {
        let apart = is_test(&self.file) || is_documentation(&self.file);
        let guessed = ["generic_secret", "connection_url", "authorization_header", "jwt"]
            .contains(&self.pattern.as_str());
        if self.sample && apart {
            return Severity::Info;
        }
        if guessed && (apart || is_code(&self.file) && self.is_in_comment(files)) {
            return Severity::Warn;
        }
        Severity::Block
    }

    fn is_in_comment(&self, files: &[FileDiff]) -> bool {
        let file = files.iter().find(|file| file.path == self.file);
        let line = file.and_then(|file| file.added().find(|line| line.number == self.line));
        line.is_some_and(|line| is_comment(line.text))
    }
}

/// The kind of a secret in words.
fn words(pattern: &str) -> String {
    match pattern {
        "aws_access_key" => "An AWS access key".to_owned(),
        "aws_secret_key" => "An AWS secret key".to_owned(),
        "private_key" => "A private key".to_owned(),
        "generic_secret" => "A password or token".to_owned(),
        "connection_url" => "The password of a connection URL".to_owned(),
        "authorization_header" => "An authorization header".to_owned(),
        "jwt" => "A signed token (JWT)".to_owned(),
        other => format!("A secret of the kind {}", other.replace('_', " ")),
    }
}

const SQL_FROM_TEXT: &str = "This SQL is put together from text; bind the values as parameters.";

/// Forms of code that are unsafe whatever stands around them.
static UNSAFE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    const SQL: &str = r"(?:SELECT\b.+\bFROM|INSERT\s+INTO|UPDATE\b.+\bSET|DELETE\s+FROM)\b";
    let sql = SQL_FROM_TEXT;
    let tls = "The certificate of the server is not checked here; anyone in between can read and change what is sent.";
    let shell = "A shell runs a command that is put together from text; pass the arguments as a list.";
    let html =
        "Text is written as HTML here; if any of it comes from users, it can run scripts in their pages.";
    let load = "This loader can run code from its input; use a safe one unless the input is your own.";
    let table = [
        (format!(r#"(?i)\bfr?(?:"+[^"]*{SQL}[^"]*\{{|'+[^']*{SQL}[^']*\{{)"#), sql),
        (format!(r"(?i)(?:^|[^\w.$])`[^`]*{SQL}[^`]*\$\{{"), sql),
        (format!(r#"(?i)format!\(\s*r?#*"[^"]*{SQL}[^"]*\{{"#), sql),
        (
            format!(r#"(?i)(?:"[^"]*{SQL}[^"]*"|'[^']*{SQL}[^']*')\s*(?:\+\s*[a-z_$(]|\.\s*\$)"#),
            sql,
        ),
        (
            format!(r#"(?i)(?:"[^"]*{SQL}[^"]*%s[^"]*"|'[^']*{SQL}[^']*%s[^']*')\s*%\s*[\w(]"#),
            sql,
        ),
        (format!(r#"(?i)Sprintf\(\s*["`][^"`]*{SQL}[^"`]*%[svd]"#), sql),
        (
            r#"\bverify\s*=\s*False\b|danger_accept_invalid_(?:certs|hostnames)\(true\)|rejectUnauthorized:\s*false|InsecureSkipVerify:\s*true|NODE_TLS_REJECT_UNAUTHORIZED["'\]]*\s*=\s*["']?0"#.to_owned(),
            tls,
        ),
        (r#"\bshell\s*=\s*True\b|\bos\.system\(\s*(?:f["']|.*(?:\+|%|\.format\())|\bexec(?:Sync)?\(\s*`[^`]*\$\{"#.to_owned(), shell),
        (r"\.innerHTML\s*\+?=\s*(?:[A-Za-z_$(]|.*(?:\$\{|\+))|dangerouslySetInnerHTML|\bv-html\s*=|document\.write\(".to_owned(), html),
        (r"\bpickle\.loads?\(|\byaml\.load\((?:[^)]*)$|\byaml\.load\([^)S]*\)|\bnew Function\(".to_owned(), load),
    ];
    table
        .into_iter()
        .map(|(form, note)| {
            (
                Regex::new(&form).expect("the forms compile: a test runs them"),
                note,
            )
        })
        .collect()
});

/// A value that is put between the quotes of a statement: whoever says the value says the rest of the statement too.
/// What stands outside of quotes may be the name of a table, which nobody else has a say in.
static QUOTED_VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"'(?:\$?\{|%[sv]|["`]\s*[+.])"#).expect("the form compiles: a test runs it")
});

fn unsafe_code(file: &FileDiff) -> Vec<Remark> {
    file.added()
        .filter(|line| line.text.len() < 2_000 && !is_comment(line.text))
        .filter_map(|line| {
            let (_, note) = UNSAFE.iter().find(|(form, _)| form.is_match(line.text))?;
            let severity = if *note == SQL_FROM_TEXT && QUOTED_VALUE.is_match(line.text) {
                Severity::Block
            } else {
                Severity::Warn
            };
            Some(Remark::at(severity, &file.path, line.number, *note))
        })
        .collect()
}
