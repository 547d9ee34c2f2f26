//! Files of the repository, and Rust code without its comments and texts.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders that hold Rust code of ours.
const FOLDERS: [&str; 6] = ["src", "worker", "web", "tui", "tests", "examples"];

/// A file of ours.
pub struct Source {
    /// Its path from the root of the repository.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

impl Source {
    /// Its code: what is left when comments and the insides of texts are gone.
    pub fn code(&self) -> String {
        code(&self.text)
    }

    /// Whether it lies in a folder.
    pub fn is_in(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the package lies in the repository")
        .to_owned()
}

/// What stands in a file.
pub fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of ours, by its path.
pub fn rust() -> Vec<Source> {
    let files = FOLDERS.iter().flat_map(|folder| under(folder));
    files.filter(|source| source.path.ends_with(".rs")).collect()
}

/// Every file in a folder that is text, by its path.
pub fn under(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let root = root();
    let of_ours = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        let path = path.strip_prefix(&root).ok()?.to_str()?.to_owned();
        Some(Source { path, text })
    };
    found.iter().filter_map(of_ours).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Rust code without comments and without what stands between quotes.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_text(rest, out.chars().last()) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 2;
            rest[body..]
                .find(&end)
                .map_or(rest.len(), |at| body + at + end.len())
        } else if first == '"' {
            quoted(rest)
        } else {
            character(rest).unwrap_or(0)
        };
        if skipped > 0 {
            rest = &rest[skipped..];
            out.push(' ');
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// How many hashes a raw text that begins here has.
fn raw_text(rest: &str, before: Option<char>) -> Option<usize> {
    let is_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let after = rest
        .strip_prefix('r')
        .filter(|_| !is_word || before == Some('b'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a text in quotes.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character in quotes; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let end = match inner.strip_prefix('\\') {
        Some(escaped) => 2 + escaped.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0,
        None => {
            let first = inner.chars().next()?;
            inner[first.len_utf8()..]
                .starts_with('\'')
                .then(|| 1 + first.len_utf8())?
        }
    };
    Some(end + 1)
}

#[test]
fn comments_and_texts_are_taken_out_of_code() {
    let text = r####"use a::b; // c::d
let x = "e::f\"g"; let y = r#"h"::i"#; let z = '"'; fn j<'k>(l: &'k str) { '\'' } /* m */ n"####;
    let left = code(text);
    for kept in ["use a::b;", "fn j<'k>(l: &'k str)", " n"] {
        assert!(left.contains(kept), "{kept} in {left}");
    }
    for gone in ["c::d", "e::f", "g", "h", "i\"", " m "] {
        assert!(!left.contains(gone), "{gone} in {left}");
    }
}
