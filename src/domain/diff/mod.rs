//! A unified diff, read into files, hunks and line numbers.
//!
//! It reads what `git diff`, `git show`, `git format-patch` and `diff -u` write, and the bare hunks
//! that GitHub's API calls a `patch`. A hunk is as long as its `@@` header says, so a content line
//! that looks like a header (`--- x`) stays content. Any text is read in linear time and without a
//! panic; what is refused is refused in one line that a person can act on. Which files are worth a
//! review is decided elsewhere.

mod names;
mod parse;

use std::ops::Range;

pub use names::spelt_out;
pub use parse::{UNNAMED, parse};

/// The files of a change, in the order in which the diff names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// The files.
    pub files: Vec<FileDiff>,
}

impl Diff {
    /// The file of that name.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileDiff> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is new, or a copy of another.
    Added,
    /// Its lines or its mode changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name; it may have changed too.
    Renamed,
    /// It changed and has no lines to show.
    Binary,
}

impl Status {
    /// The word for people and prompts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Binary => "binary",
        }
    }
}

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Its name after the change; before it, if it is gone. Control characters are spelt out.
    pub path: String,
    /// Its name before the change, where that was another.
    pub old_path: Option<String>,
    /// The text of the change: this file's part of the diff.
    pub patch: String,
    /// What happened to it.
    pub status: Status,
    /// The changed regions, in order.
    pub hunks: Vec<Hunk>,
}

/// One changed region of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its first line in the old version.
    pub old_start: u32,
    /// How many lines of the old version it covers.
    pub old_lines: u32,
    /// Its first line in the new version.
    pub new_start: u32,
    /// How many lines of the new version it covers.
    pub new_lines: u32,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    // Where its lines lie in the patch: kept as a range, since a struct per line would multiply
    // the memory of a diff of millions of empty lines.
    body: Range<usize>,
}

/// The side of the change that a line is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// On both sides.
    Context,
    /// Only in the new version.
    Added,
    /// Only in the old version.
    Removed,
}

/// A line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The side it is on.
    pub kind: LineKind,
    /// Its number in the new version; in the old one if it was removed.
    pub number: u32,
    /// Its text without the marker and the line end.
    pub text: &'a str,
}

impl FileDiff {
    /// The lines of one of its hunks.
    pub fn lines<'a>(&'a self, hunk: &Hunk) -> impl Iterator<Item = Line<'a>> + use<'a> {
        let mut old = hunk.old_start;
        let mut new = hunk.new_start;
        let body = self.patch.get(hunk.body.clone()).unwrap_or_default();
        body.split_terminator('\n').filter_map(move |raw| {
            let raw = raw.strip_suffix('\r').unwrap_or(raw);
            let (kind, text) = match raw.as_bytes().first() {
                Some(b'+') => (LineKind::Added, &raw[1..]),
                Some(b'-') => (LineKind::Removed, &raw[1..]),
                Some(b'\\') => return None,
                Some(_) => (LineKind::Context, &raw[1..]),
                None => (LineKind::Context, raw),
            };
            let number = if kind == LineKind::Removed { old } else { new };
            old = old.saturating_add(u32::from(kind != LineKind::Added));
            new = new.saturating_add(u32::from(kind != LineKind::Removed));
            Some(Line { kind, number, text })
        })
    }

    /// One of its hunks as it stands in the diff, with its header.
    #[must_use]
    pub fn hunk_text(&self, hunk: &Hunk) -> &str {
        let before = self.patch.get(..hunk.body.start).unwrap_or_default();
        let header = before.strip_suffix('\n').unwrap_or(before);
        let start = header.rfind('\n').map_or(0, |end| end + 1);
        self.patch.get(start..hunk.body.end).unwrap_or_default()
    }

    /// Every added line with its number in the new version.
    pub fn added(&self) -> impl Iterator<Item = Line<'_>> {
        self.hunks
            .iter()
            .flat_map(|hunk| self.lines(hunk))
            .filter(|line| line.kind == LineKind::Added)
    }

    /// How many lines it gains.
    #[must_use]
    pub fn additions(&self) -> u64 {
        self.hunks.iter().map(|hunk| u64::from(hunk.added)).sum()
    }

    /// How many lines it loses.
    #[must_use]
    pub fn deletions(&self) -> u64 {
        self.hunks.iter().map(|hunk| u64::from(hunk.removed)).sum()
    }

    /// Whether a line of the new version is one that the diff shows.
    #[must_use]
    pub fn shows(&self, line: u32) -> bool {
        self.hunks
            .iter()
            .any(|hunk| line >= hunk.new_start && line - hunk.new_start < hunk.new_lines)
    }
}

/// Why a text cannot be reviewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADiff {
    /// There is nothing but white space.
    #[error("the patch is empty")]
    Empty,
    /// No line of it begins a file or a hunk.
    #[error("this is not a unified diff: it has no `diff --git`, `---`/`+++` or `@@` line")]
    NoDiff,
    /// It compares with more than one parent.
    #[error("line {line}: the combined diff of a merge cannot be reviewed; send the diff of two commits")]
    Combined {
        /// Where, from 1.
        line: usize,
    },
    /// A line begins as a hunk header and goes on as none.
    #[error("line {line}: the hunk header cannot be read; expected `@@ -a,b +c,d @@`")]
    Header {
        /// Where, from 1.
        line: usize,
    },
    /// A hunk has other lines than its header counts.
    #[error("line {line}: the hunk that begins at line {hunk} is cut short, or its header counts wrong")]
    CutShort {
        /// Where it ends, from 1.
        line: usize,
        /// Where it begins, from 1.
        hunk: usize,
    },
    /// It names files and shows no line of them.
    #[error("nothing to review: {}", no_lines(*binary, *unchanged))]
    NoLines {
        /// Files that are binary.
        binary: usize,
        /// Files of which only the name or the mode changes, or that are empty.
        unchanged: usize,
    },
}

/// `2 binary files and 1 file without changed lines`.
fn no_lines(binary: usize, unchanged: usize) -> String {
    let files = |n: usize| if n == 1 { "file" } else { "files" };
    let binaries = format!("{binary} binary {}", files(binary));
    let plain = format!("{unchanged} {} without changed lines", files(unchanged));
    match (binary, unchanged) {
        (_, 0) => binaries,
        (0, _) => plain,
        _ => format!("{binaries} and {plain}"),
    }
}
