//! The reader of diffs: it follows a hunk from its header to its lines.

use super::names::{file_name, git_names, spelt_out, unquoted, without_prefixes};
use super::{Diff, FileDiff, Hunk, NotADiff, Status};

/// The name of a file whose diff is bare hunks.
pub const UNNAMED: &str = "(unnamed)";

/// Reads a diff.
///
/// # Errors
/// When the text is no unified diff, is damaged, or shows no line of any file.
pub fn parse(text: &str) -> Result<Diff, NotADiff> {
    let mut reader = Reader {
        cursor: Cursor::new(text),
        files: Vec::new(),
        open: None,
    };
    while let Some(line) = reader.cursor.peek() {
        reader.step(line)?;
    }
    reader.close();
    let files = reader.files;
    if files.is_empty() {
        return Err(if text.trim().is_empty() {
            NotADiff::Empty
        } else {
            NotADiff::NoDiff
        });
    }
    if files.iter().all(|file| file.hunks.is_empty()) {
        let binary = files.iter().filter(|file| file.status == Status::Binary).count();
        return Err(NotADiff::NoLines {
            binary,
            unchanged: files.len() - binary,
        });
    }
    Ok(Diff { files })
}

impl FileDiff {
    /// Reads the change of a file whose name is known, as GitHub's API gives it.
    ///
    /// # Errors
    /// When a hunk is cut short or its header cannot be read.
    pub fn named(path: &str, status: Status, patch: &str) -> Result<Self, NotADiff> {
        let mut cursor = Cursor::new(patch);
        let mut hunks = Vec::new();
        while let Some(line) = cursor.peek() {
            if line.starts_with("@@ -") {
                hunks.push(take_hunk(&mut cursor, 0)?);
            } else {
                cursor.advance();
            }
        }
        Ok(Self {
            path: spelt_out(path),
            old_path: None,
            patch: patch.to_owned(),
            status,
            hunks,
        })
    }
}

/// Walks the text line by line and knows where it is.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// The number of the line at `at`, from 1.
    number: usize,
}

impl<'a> Cursor<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            number: 1,
        }
    }

    /// The line here without its end; none at the end of the text.
    fn peek(&self) -> Option<&'a str> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next()?;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// The line after this one.
    fn peek_second(&self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let end = rest.find('\n')?;
        Self {
            text: self.text,
            at: self.at + end + 1,
            number: self.number + 1,
        }
        .peek()
    }

    /// Goes to the next line.
    fn advance(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.number += 1;
    }
}

/// The file whose part of the diff is being read.
#[derive(Default)]
struct Open {
    start: usize,
    end: usize,
    /// Begun by `diff --git`: what follows may be an extended header.
    git: bool,
    /// `---` and `+++` were seen.
    named: bool,
    old: Option<String>,
    new: Option<String>,
    moved: Option<(String, String)>,
    status: Option<Status>,
    hunks: Vec<Hunk>,
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    files: Vec<FileDiff>,
    open: Option<Open>,
}

impl Reader<'_> {
    /// Reads the line at the cursor, and those that belong to it.
    fn step(&mut self, line: &str) -> Result<(), NotADiff> {
        if let Some(names) = line.strip_prefix("diff --git ") {
            let (old, new) = git_names(names);
            self.begin(Open {
                git: true,
                old,
                new,
                ..Open::default()
            });
            self.pass();
        } else if line.starts_with("diff --cc ") || line.starts_with("diff --combined ") {
            return Err(NotADiff::Combined {
                line: self.cursor.number,
            });
        } else if line.starts_with("--- ")
            && let Some(second) = self
                .cursor
                .peek_second()
                .and_then(|next| next.strip_prefix("+++ "))
        {
            self.names(&line[4..], second);
        } else if line.starts_with("@@ -") {
            self.hunk(line)?;
        } else if self.in_header() {
            self.extended(line);
            self.pass();
        } else if let Some(names) = line
            .strip_prefix("Binary files ")
            .and_then(|l| l.strip_suffix(" differ"))
        {
            let (old, new) = names.split_once(" and ").map_or((names, names), |pair| pair);
            let (old, new) = without_prefixes(file_name(old), file_name(new));
            self.begin(Open {
                old,
                new,
                status: Some(Status::Binary),
                ..Open::default()
            });
            self.pass();
        } else {
            // Prose between the files: a commit message, a mail's signature.
            self.cursor.advance();
        }
        Ok(())
    }

    /// Whether the open file is still before its first hunk, where extended headers stand.
    fn in_header(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.git && open.hunks.is_empty() && open.status != Some(Status::Binary))
    }

    fn begin(&mut self, mut open: Open) {
        self.close();
        open.start = self.cursor.at;
        self.open = Some(open);
    }

    /// Goes on by one line, which is part of the open file.
    fn pass(&mut self) {
        self.cursor.advance();
        if let Some(open) = &mut self.open {
            open.end = self.cursor.at;
        }
    }

    /// A pair of `---` and `+++`: the names of a file that `diff --git` began, or a file of its own.
    fn names(&mut self, old: &str, new: &str) {
        if !self.in_header() || self.open.as_ref().is_some_and(|open| open.named) {
            self.begin(Open::default());
        }
        let (old_name, new_name) = without_prefixes(file_name(old), file_name(new));
        if let Some(open) = &mut self.open {
            open.named = true;
            if open.status.is_none() {
                open.status = match (&old_name, &new_name) {
                    (None, Some(_)) => Some(Status::Added),
                    (Some(_), None) => Some(Status::Deleted),
                    _ => None,
                };
            }
            (open.old, open.new) = (old_name, new_name);
        }
        self.pass();
        self.pass();
    }

    fn hunk(&mut self, line: &str) -> Result<(), NotADiff> {
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.status == Some(Status::Binary))
        {
            if header(line).is_none() {
                self.cursor.advance();
                return Ok(());
            }
            self.begin(Open {
                new: Some(UNNAMED.to_owned()),
                ..Open::default()
            });
        }
        let base = self.open.as_ref().map_or(0, |open| open.start);
        let hunk = take_hunk(&mut self.cursor, base)?;
        if let Some(open) = &mut self.open {
            open.hunks.push(hunk);
            open.end = self.cursor.at;
        }
        Ok(())
    }

    /// A line between `diff --git` and the first hunk.
    fn extended(&mut self, line: &str) {
        let Some(open) = &mut self.open else { return };
        if line.starts_with("new file mode ") {
            open.status = Some(Status::Added);
        } else if line.starts_with("deleted file mode ") {
            open.status = Some(Status::Deleted);
        } else if line.starts_with("Binary files ") || line == "GIT binary patch" {
            open.status = Some(Status::Binary);
        } else if let Some(from) = line.strip_prefix("rename from ") {
            open.status = Some(Status::Renamed);
            open.moved = Some((unquoted(from), String::new()));
        } else if let Some(from) = line.strip_prefix("copy from ") {
            open.status = Some(Status::Added);
            open.moved = Some((unquoted(from), String::new()));
        } else if let Some(to) = line
            .strip_prefix("rename to ")
            .or_else(|| line.strip_prefix("copy to "))
            && let Some((_, target)) = &mut open.moved
        {
            *target = unquoted(to);
        }
    }

    /// Ends the open file and keeps it if it is one.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let status = open.status.unwrap_or(Status::Modified);
        // Two lines of prose can look like `---` and `+++`; without a hunk they name no file.
        if !open.git && open.hunks.is_empty() && status != Status::Binary {
            return;
        }
        let (old, new) = match open.moved {
            Some((from, to)) if !to.is_empty() => (Some(from), Some(to)),
            _ => (open.old, open.new),
        };
        let old = old.map(|name| spelt_out(&name));
        let path = new
            .map(|name| spelt_out(&name))
            .or_else(|| old.clone())
            .unwrap_or_else(|| UNNAMED.to_owned());
        let old_path = old.filter(|name| *name != path);
        let patch = self
            .cursor
            .text
            .get(open.start..open.end)
            .unwrap_or_default()
            .to_owned();
        self.files.push(FileDiff {
            path,
            old_path,
            patch,
            status,
            hunks: open.hunks,
        });
    }
}

/// What a hunk header says.
struct Header {
    old: (u32, u32),
    new: (u32, u32),
}

/// Reads `@@ -a,b +c,d @@`; a count that is left out is 1.
fn header(line: &str) -> Option<Header> {
    let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    Some(Header {
        old: range(old)?,
        new: range(new)?,
    })
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    let number = |digits: &str| {
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    Some((number(start)?, number(count)?))
}

/// Reads the hunk at the cursor; its body is counted from `base`.
fn take_hunk(cursor: &mut Cursor<'_>, base: usize) -> Result<Hunk, NotADiff> {
    let first = cursor.number;
    let Header { old, new } = cursor
        .peek()
        .and_then(header)
        .ok_or(NotADiff::Header { line: first })?;
    cursor.advance();
    let start = cursor.at;
    let (mut old_left, mut new_left) = (old.1, new.1);
    let (mut added, mut removed) = (0, 0);
    while old_left > 0 || new_left > 0 {
        let cut = NotADiff::CutShort {
            line: cursor.number,
            hunk: first,
        };
        let Some(line) = cursor.peek() else {
            return Err(cut);
        };
        match line.as_bytes().first() {
            Some(b'\\') => {}
            Some(b'+') if new_left > 0 => (new_left, added) = (new_left - 1, added + 1),
            Some(b'-') if old_left > 0 => (old_left, removed) = (old_left - 1, removed + 1),
            // Editors and mail programs strip the one space of an empty context line.
            Some(b' ') | None if old_left > 0 && new_left > 0 => {
                (old_left, new_left) = (old_left - 1, new_left - 1);
            }
            _ => return Err(cut),
        }
        cursor.advance();
    }
    if cursor.peek().is_some_and(|line| line.starts_with("\\ ")) {
        cursor.advance();
    }
    Ok(Hunk {
        old_start: old.0,
        old_lines: old.1,
        new_start: new.0,
        new_lines: new.1,
        added,
        removed,
        body: start - base..cursor.at - base,
    })
}

#[cfg(test)]
mod tests {
    use super::super::LineKind;
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> FileDiff {
        let mut diff = parse(text).expect(text);
        assert_eq!(diff.files.len(), 1, "{text}");
        diff.files.remove(0)
    }

    fn added(file: &FileDiff) -> Vec<(u32, &str)> {
        file.added().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn headers_tell_name_and_status() {
        let cases = [
            (
                "diff --git a/x.rs b/x.rs\n--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n-a\n+b\n",
                "x.rs",
                None,
                Status::Modified,
            ),
            (
                "--- x.c\t2026-01-01 00:00:00\n+++ x.c\t2026-01-02\n@@ -1 +1 @@\n-a\n+b\n",
                "x.c",
                None,
                Status::Modified,
            ),
            (
                "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n",
                "x.c",
                None,
                Status::Modified,
            ),
            (
                "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+b\n",
                "n",
                None,
                Status::Added,
            ),
            (
                "diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n",
                "n",
                None,
                Status::Deleted,
            ),
            (
                "diff --git a/o d.txt b/n d.txt\nsimilarity index 90%\nrename from o d.txt\nrename to n d.txt\n--- a/o d.txt\t\n+++ b/n d.txt\t\n@@ -1 +1 @@\n-a\n+b\n",
                "n d.txt",
                Some("o d.txt"),
                Status::Renamed,
            ),
            (
                "diff --git a/x b/y\ncopy from x\ncopy to y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
                "y",
                Some("x"),
                Status::Added,
            ),
            (
                "diff --git \"a/\\303\\244.txt\" \"b/\\303\\244.txt\"\n--- \"a/\\303\\244.txt\"\n+++ \"b/\\303\\244.txt\"\n@@ -1 +1 @@\n-a\n+b\n",
                "ä.txt",
                None,
                Status::Modified,
            ),
            (
                "diff --git \"a/q\\\"\\n\" \"b/q\\\"\\n\"\n--- \"a/q\\\"\\n\"\n+++ \"b/q\\\"\\n\"\n@@ -1 +1 @@\n-a\n+b\n",
                "q\"\\n",
                None,
                Status::Modified,
            ),
            (
                "diff --git i/x w/x\n--- i/x\n+++ w/x\n@@ -1 +1 @@\n-a\n+b\n",
                "x",
                None,
                Status::Modified,
            ),
            (
                "diff --git b/x b/x\n--- b/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
                "b/x",
                None,
                Status::Modified,
            ),
            ("@@ -1 +1 @@\n-a\n+b\n", UNNAMED, None, Status::Modified),
        ];
        for (text, path, old, status) in cases {
            let file = one(text);
            assert_eq!(
                (file.path.as_str(), file.old_path.as_deref(), file.status),
                (path, old, status),
                "{text}"
            );
            assert_eq!(file.patch, text);
        }
    }

    #[test]
    fn content_that_looks_like_a_header_is_content() {
        let file = one(
            "--- a/x.sql\n+++ b/x.sql\n@@ -1,4 +1,5 @@\n--- old remark\n+-- new remark\n+++ b/evil\n a\n @@ -9 +9 @@\n b\n",
        );
        assert_eq!(added(&file), [(1, "-- new remark"), (2, "++ b/evil")]);
        assert_eq!((file.additions(), file.deletions(), file.hunks.len()), (2, 1, 1));
    }

    #[test]
    fn line_numbers_follow_the_new_version() {
        let file =
            one("--- a/x\n+++ b/x\n@@ -3,3 +3,4 @@ fn x()\n a\n-b\n+B\n+C\n\n@@ -20 +21,2 @@\n+d\n e\n");
        assert_eq!(added(&file), [(4, "B"), (5, "C"), (21, "d")]);
        let removed: Vec<u32> = file
            .lines(&file.hunks[0])
            .filter(|l| l.kind == LineKind::Removed)
            .map(|l| l.number)
            .collect();
        assert_eq!(removed, [4]);
        assert!(file.shows(6) && file.shows(22) && !file.shows(7) && !file.shows(2));
    }

    #[test]
    fn windows_line_ends_and_missing_final_newlines_are_read() {
        let file = one(
            "--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-a\r\n\\ No newline at end of file\r\n+b\r\n\\ No newline at end of file",
        );
        assert_eq!((file.path.as_str(), added(&file)), ("x", vec![(1, "b")]));
    }

    #[test]
    fn several_files_and_prose_between_them_are_told_apart() {
        let diff = parse(
            "From 1234 Mon Sep 17\nSubject: [PATCH] x\n\n---\n x | 2 +-\n\ndiff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n-- \n2.39.5\n\ndiff --git a/p.png b/p.png\nindex 1..2 100644\nBinary files a/p.png and b/p.png differ\ndiff --git a/q.bin b/q.bin\nGIT binary patch\nliteral 3\nKcmZQzWMT#Y01f~L\n\nliteral 0\nHcmV?d00001\n\ndiff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\ndiff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\nBinary files one.o and two.o differ\n",
        )
        .expect("a mailbox");
        let seen: Vec<_> = diff
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.status, f.hunks.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("x", Status::Modified, 1),
                ("p.png", Status::Binary, 0),
                ("q.bin", Status::Binary, 0),
                ("run.sh", Status::Modified, 0),
                ("y", Status::Modified, 1),
                ("two.o", Status::Binary, 0),
            ]
        );
        assert!(
            !diff.files[0].patch.contains("2.39.5"),
            "the mail's signature is no part of the patch"
        );
    }

    #[test]
    fn what_cannot_be_reviewed_says_so_in_one_line() {
        let cases = [
            ("", "the patch is empty"),
            (" \n\t\n", "the patch is empty"),
            (
                "hello\nworld\n",
                "this is not a unified diff: it has no `diff --git`, `---`/`+++` or `@@` line",
            ),
            (
                "--- one\n+++ two\nprose\n",
                "this is not a unified diff: it has no `diff --git`, `---`/`+++` or `@@` line",
            ),
            (
                "diff --cc x\n@@@ -1 -1 +1 @@@\n",
                "line 1: the combined diff of a merge cannot be reviewed; send the diff of two commits",
            ),
            (
                "--- a/x\n+++ b/x\n@@ -1,x +1 @@\n",
                "line 3: the hunk header cannot be read; expected `@@ -a,b +c,d @@`",
            ),
            (
                "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n",
                "line 5: the hunk that begins at line 3 is cut short, or its header counts wrong",
            ),
            (
                "--- a/x\n+++ b/x\n@@ -1,4000000000 +1,4000000000 @@\n a\ndiff --git a/y b/y\n",
                "line 5: the hunk that begins at line 3 is cut short, or its header counts wrong",
            ),
            (
                "diff --git a/p b/p\nBinary files a/p and b/p differ\ndiff --git a/q b/q\nGIT binary patch\n",
                "nothing to review: 2 binary files",
            ),
            (
                "diff --git a/p b/p\nBinary files a/p and b/p differ\ndiff --git a/q b/r\nrename from q\nrename to r\n",
                "nothing to review: 1 binary file and 1 file without changed lines",
            ),
        ];
        for (text, message) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert_eq!(error, message, "{text:?}");
        }
    }

    #[test]
    fn a_patch_of_githubs_api_is_read_under_its_name() {
        let file = FileDiff::named(
            "src/a.rs",
            Status::Modified,
            "@@ -1 +1,2 @@\n a\n+b\n\\ No newline at end of file",
        )
        .expect("a hunk");
        assert_eq!((added(&file), file.path.as_str()), (vec![(2, "b")], "src/a.rs"));
        assert!(FileDiff::named("x", Status::Modified, "@@ -1,9 +1 @@\n a").is_err());
    }

    /// A hunk of any lines, and the added ones it must yield.
    fn a_hunk() -> impl Strategy<Value = (String, Vec<(u32, String)>)> {
        let line = (0..3u8, "[-+@ \\\\a-z]{0,12}");
        (1..9_000u32, proptest::collection::vec(line, 1..20)).prop_map(|(start, lines)| {
            let (mut body, mut expected, mut old, mut new) = (String::new(), Vec::new(), 0, 0);
            for (kind, text) in lines {
                if kind == 1 {
                    expected.push((start + new, text.clone()));
                }
                body.push_str(&format!("{}{text}\n", [' ', '+', '-'][usize::from(kind)]));
                old += u32::from(kind != 1);
                new += u32::from(kind != 2);
            }
            (format!("@@ -{start},{old} +{start},{new} @@\n{body}"), expected)
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_lines_of_diff_like_pieces_are_read_without_a_panic(pieces in proptest::collection::vec(
            prop_oneof![
                Just("diff --git a/x b/x"), Just("diff --git \"a/\\30"), Just("--- a/x"), Just("+++ b/x"),
                Just("@@ -1,2 +1,2 @@"), Just("@@ -1 +1 @@"), Just("@@ -"), Just("+a"), Just("-a"), Just(" a"), Just(""),
                Just("\\ No newline"), Just("Binary files a and b differ"), Just("rename from \"\\"), Just("é\r"),
                Just("diff --git é é"), Just("--- \"a/\\777"), Just("+++ /dev/null"), Just("GIT binary patch"),
            ], 0..30)) {
            if let Ok(diff) = parse(&pieces.join("\n")) {
                for file in &diff.files {
                    let counted: u64 = file.added().count() as u64;
                    prop_assert_eq!(counted, file.additions());
                }
            }
        }

        #[test]
        fn every_added_line_comes_back_with_its_number((hunk, expected) in a_hunk(), git: bool) {
            let head = if git { "diff --git a/f b/f\n" } else { "" };
            let text = format!("{head}--- a/f\n+++ b/f\n{hunk}");
            let file = one(&text);
            let found: Vec<(u32, String)> = file.added().map(|l| (l.number, l.text.to_owned())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
