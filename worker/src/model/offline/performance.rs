//! The offline performance reviewer: large hunks, and what the added lines do once for each pass of
//! a loop.

use std::sync::LazyLock;

use millstream::domain::Severity;
use regex::Regex;
use serde::Deserialize;

use super::{Remark, is_code, is_comment, is_test};
use crate::diff::{FileDiff, Hunk, LineKind};
use crate::model::ToolResult;

/// Added lines in one piece from which on nobody reads a hunk with care.
const LARGE_HUNK: u32 = 300;

/// Changed lines from which on a change is worth cutting up.
const LARGE_CHANGE: u64 = 1_500;

/// A longer line is data or minified; a look for code in it would find chance.
const LONGEST_LINE: usize = 2_000;

/// What `diff_stats` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    changed_lines: u64,
    files: Vec<FileStats>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileStats {
    file: String,
    largest_hunk: Option<LargestHunk>,
}

#[derive(Debug, Deserialize)]
struct LargestHunk {
    line: u32,
    additions: u32,
}

/// Every finding of the review.
pub(super) fn review(files: &[FileDiff], results: &[&ToolResult]) -> Vec<Remark> {
    let stats = results
        .first()
        .and_then(|result| serde_json::from_str::<Stats>(&result.content).ok());
    let mut remarks = stats.map(|stats| size(&stats)).unwrap_or_default();
    for file in files
        .iter()
        .filter(|file| is_code(&file.path) && !is_test(&file.path))
    {
        for hunk in &file.hunks {
            remarks.extend(in_loops(file, hunk));
        }
        remarks.extend(in_lines(file));
        remarks.extend(caches(file));
    }
    remarks
}

fn size(stats: &Stats) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = stats
        .files
        .iter()
        .filter(|file| is_code(&file.file))
        .filter_map(|file| Some((file, file.largest_hunk.as_ref()?)))
        .filter(|(_, hunk)| hunk.additions >= LARGE_HUNK)
        .enumerate()
        .map(|(place, (file, hunk))| {
            // The largest comes first and warns; three large files are one fault, not three.
            let severity = if place == 0 { Severity::Warn } else { Severity::Info };
            let note = format!(
                "{} lines are added here in one piece; nobody reviews that much at once. Cut the change into steps.",
                hunk.additions
            );
            Remark::at(severity, &file.file, hunk.line, note)
        })
        .collect();
    if stats.changed_lines >= LARGE_CHANGE {
        let note = format!(
            "The change has {} lines; smaller ones are reviewed better.",
            stats.changed_lines
        );
        remarks.push(Remark::overall(Severity::Info, note));
    }
    remarks
}

fn form(text: &str) -> Regex {
    Regex::new(text).expect("the forms compile: a test runs them")
}

/// A line that begins a loop over something.
static EACH: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"^(?:\}\s*)?(?:'\w+:\s*)?(?:async\s+)?for(?:each)?\b|\.(?:forEach|flatMap|map|for_each|each|each_with_index)\s*(?:\(\s*(?:async\b|function\b|\||\(|\w+\s*=>)|\{\s*\||do\s*\|)",
    )
});

/// A line that begins a loop without an end of its own.
static WHILE: LazyLock<Regex> =
    LazyLock::new(|| form(r"^(?:\}\s*)?(?:'\w+:\s*)?(?:while\b|loop\s*\{|until\b|do\s*\{)"));

/// Asking a server or a database.
static QUERY: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r#"(?:\.(?:query|query_row|query_one|query_as|query_scalar|queryRow|QueryRow|Query|QueryContext|fetch_one|fetch_all|fetch_optional|find_one|findOne|findUnique|findFirst|findMany|findById|findByPk|find_by|executeQuery)\s*(?:::<[^>]*>)?\(|\b(?:cursor|conn|connection|db|database|session|stmt|statement|pool|tx|trx|transaction|engine|client)\.(?:execute|exec|get|all|select|run)\(|\bobjects\.(?:get|filter|create)\(|\bsqlx::query|["'`]\s*(?i:SELECT\s.+\sFROM|INSERT\s+INTO|DELETE\s+FROM)\s|\brequests\.(?:get|post|put|delete)\(|(?:^|[^.\w])fetch\(|\baxios\b[.(]|\breqwest::get\(|\bhttp\.(?:get|post|Get|Post)\()"#,
    )
});

/// A comprehension that asks for each of its elements.
static COMPREHENSION: LazyLock<Regex> = LazyLock::new(|| form(r"[\[({].*\bfor\s+\w+(?:\s*,\s*\w+)*\s+in\s"));

static AWAIT: LazyLock<Regex> = LazyLock::new(|| form(r"\bawait\b"));
static SLEEP: LazyLock<Regex> = LazyLock::new(|| form(r"\b(?:sleep|usleep|Sleep|setTimeout|sleep_ms)\s*\("));

/// An open loop and what has been said about it: each thing once.
struct Loop {
    indent: usize,
    line: u32,
    endless: bool,
    asked: bool,
    waited: bool,
}

/// Follows the loops of a hunk by their indent and looks at what is added inside them.
fn in_loops(file: &FileDiff, hunk: &Hunk) -> Vec<Remark> {
    let (mut open, mut remarks): (Vec<Loop>, Vec<Remark>) = (Vec::new(), Vec::new());
    let lines = file
        .lines(hunk)
        .filter(|line| line.kind != LineKind::Removed && line.text.len() < LONGEST_LINE);
    for line in lines {
        let text = line.text.trim_start();
        if text.is_empty() || is_comment(text) {
            continue;
        }
        let indent = indent(line.text);
        while open.last().is_some_and(|each| indent <= each.indent) {
            open.pop();
        }
        let added = line.kind == LineKind::Added;
        if added && let Some(each) = open.last_mut() {
            remarks.extend(inside(each, &file.path, line.number, text));
        }
        let each = EACH.is_match(text);
        if added && (each && asks_in_one_line(text) || COMPREHENSION.is_match(text) && asks_first(text)) {
            remarks.push(Remark::at(
                Severity::Warn,
                &file.path,
                line.number,
                query_note("on this line"),
            ));
        } else if each || WHILE.is_match(text) {
            open.push(Loop {
                indent,
                line: line.number,
                endless: !each,
                asked: false,
                waited: false,
            });
        }
    }
    remarks
}

/// What an added line does in each pass of a loop.
fn inside(each: &mut Loop, file: &str, line: u32, text: &str) -> Option<Remark> {
    if !each.asked && QUERY.is_match(text) {
        (each.asked, each.waited) = (true, true);
        let note = query_note(&format!("that begins in line {}", each.line));
        return Some(Remark::at(Severity::Warn, file, line, note));
    }
    if each.endless && !each.waited && SLEEP.is_match(text) {
        each.waited = true;
        let note = "This loop asks again and again; wait for a signal if there is one, and bound the number of tries.";
        return Some(Remark::at(Severity::Info, file, line, note));
    }
    if !each.endless && !each.waited && AWAIT.is_match(text) {
        each.waited = true;
        let note = "Each pass of this loop waits for the one before; independent work can run side by side.";
        return Some(Remark::at(Severity::Info, file, line, note));
    }
    None
}

fn query_note(which: &str) -> String {
    format!("A query or request runs once for each pass of the loop {which} (N+1); ask once for all of them.")
}

/// A callback on the line of its loop: `ids.map(async id => db.query(..))`.
fn asks_in_one_line(text: &str) -> bool {
    let body = text.split_once("=>").or_else(|| text.rsplit_once('|'));
    body.is_some_and(|(_, body)| QUERY.is_match(body))
}

/// A comprehension whose element asks: `[db.get(i) for i in ids]`, not `[r for r in db.query(..)]`.
fn asks_first(text: &str) -> bool {
    text.split(" for ")
        .next()
        .is_some_and(|element| QUERY.is_match(element))
}

/// The width of a line's indent; a tab counts as four.
fn indent(line: &str) -> usize {
    line.chars()
        .take_while(|c| c.is_whitespace())
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum()
}

static SELECT_ALL: LazyLock<Regex> = LazyLock::new(|| form(r"(?i)\bselect\s+(?:\w+\.)?\*\s+from\b"));
static BOUNDED: LazyLock<Regex> = LazyLock::new(|| form(r"(?i)\b(?:where|limit|top|fetch first)\b"));
static READS_ALL: LazyLock<Regex> = LazyLock::new(|| {
    form(r"\bread_to_end\(|\bio(?:util)?\.ReadAll\(|\breadFileSync\(|\breadAllBytes\(|\.readlines\(\)")
});

/// What single lines show.
/// Something goes into a cache.
static STORES: LazyLock<Regex> =
    LazyLock::new(|| form(r"(?i)\b\w*(?:cache|memo)\w*(?:\[[^\]]+\]\s*=[^=]|\.(?:set|insert|put)\()"));

/// The cache is a plain map, which keeps what goes in.
static PLAIN_MAP: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"(?i)\b\w*(?:cache|memo)\w*\b.*(?:=\s*\{\s*\}|=\s*dict\(\)|new Map\(|\bHashMap\b|\bBTreeMap\b|map\[\w)",
    )
});

/// Something takes it out again, or bounds it.
static LETS_GO: LazyLock<Regex> = LazyLock::new(|| {
    form(
        r"(?i)\b(?:max_?(?:size|entries|len|items)|capacity|evict\w*|prune|expire\w*|ttl|lru|remove|delete|del|pop|popitem|shift_remove|clear|drain|retain)\b",
    )
});

/// A cache that is made here, filled here and never emptied: told once for each file, at the first filling.
fn caches(file: &FileDiff) -> Option<Remark> {
    let lines = || {
        let shown = file.hunks.iter().flat_map(|hunk| file.lines(hunk));
        shown.filter(|line| {
            line.kind != LineKind::Removed && line.text.len() < LONGEST_LINE && !is_comment(line.text)
        })
    };
    let made = lines().any(|line| PLAIN_MAP.is_match(line.text));
    if !made || lines().any(|line| LETS_GO.is_match(line.text)) {
        return None;
    }
    let filled = lines().find(|line| line.kind == LineKind::Added && STORES.is_match(line.text))?;
    Some(Remark::at(
        Severity::Warn,
        &file.path,
        filled.number,
        "This cache only grows: nothing bounds it or lets an entry go.",
    ))
}

fn in_lines(file: &FileDiff) -> Vec<Remark> {
    let remark = |line: &crate::diff::Line<'_>| {
        let at = |severity, note: &str| Some(Remark::at(severity, &file.path, line.number, note));
        if SELECT_ALL.is_match(line.text) {
            if BOUNDED.is_match(line.text) {
                return at(
                    Severity::Info,
                    "`SELECT *` reads every column; name those that are used.",
                );
            }
            return at(
                Severity::Warn,
                "`SELECT *` without a limit or condition reads the whole table, and more each day.",
            );
        }
        if READS_ALL.is_match(line.text) {
            return at(
                Severity::Info,
                "The whole input is read into memory here; bound it if its size is not yours to set.",
            );
        }
        None
    };
    file.added()
        .filter(|line| line.text.len() < LONGEST_LINE && !is_comment(line.text))
        .filter_map(|line| remark(&line))
        .collect()
}
