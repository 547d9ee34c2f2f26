//! The tool `diff_stats`: how large a change is and where its largest hunks are.

use serde_json::{Value, json};

use super::{BadArguments, chosen, optional_text};
use crate::diff::{Diff, FileDiff, Hunk, Status};

/// Files that an answer lists: enough to find the large ones, small enough for a prompt.
const LISTED: usize = 50;

/// Words and parameters for a model.
pub(super) fn describe() -> (&'static str, Value) {
    (
        "Line and hunk counts of the diff under review, with the largest files and the largest hunk of each. \
         Give `file` for one file of it, or `diff` for another unified diff.",
        json!({
            "type": "object",
            "properties": {
                "file": {"type": "string", "description": "a path of the diff under review"},
                "diff": {"type": "string", "description": "a unified diff to count instead"},
            },
        }),
    )
}

/// Answers a call.
pub(super) fn call(arguments: &Value, diff: &Diff) -> Result<Value, BadArguments> {
    let Some(text) = optional_text(arguments, "diff")? else {
        return Ok(count(&chosen(arguments, diff)?));
    };
    let file =
        FileDiff::named("diff", Status::Modified, text).map_err(|error| BadArguments(error.to_string()))?;
    Ok(count(&[&file]))
}

fn count(files: &[&FileDiff]) -> Value {
    let additions: u64 = files.iter().map(|file| file.additions()).sum();
    let deletions: u64 = files.iter().map(|file| file.deletions()).sum();
    let hunks: usize = files.iter().map(|file| file.hunks.len()).sum();
    let mut largest = files.to_vec();
    largest.sort_by_key(|file| std::cmp::Reverse(largest_hunk(file).map_or(0, |hunk| hunk.added)));
    let listed: Vec<Value> = largest
        .iter()
        .take(LISTED)
        .map(|file| describe_file(file))
        .collect();
    json!({
        "additions": additions,
        "deletions": deletions,
        "changedLines": additions + deletions,
        "hunkCount": hunks,
        "files": listed,
        "filesNotListed": files.len().saturating_sub(LISTED),
    })
}

fn describe_file(file: &FileDiff) -> Value {
    json!({
        "file": file.path,
        "additions": file.additions(),
        "deletions": file.deletions(),
        "hunks": file.hunks.len(),
        "largestHunk": largest_hunk(file).map(|hunk| json!({"line": hunk.new_start, "additions": hunk.added})),
    })
}

fn largest_hunk(file: &FileDiff) -> Option<&Hunk> {
    // The first of equals: `max_by_key` alone would take the last.
    file.hunks.iter().rev().max_by_key(|hunk| hunk.added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;

    #[test]
    fn lines_and_hunks_are_counted_also_where_content_looks_like_a_header() {
        let text = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n---d\n+++c\n e\n@@ -9 +9,2 @@\n f\n+g\n";
        let expected = json!({"additions": 2, "deletions": 1, "changedLines": 3, "hunkCount": 2});
        let diff = diff::parse(text).expect("a diff");
        for arguments in [json!({}), json!({"file": "x"}), json!({"diff": text})] {
            let answer = call(&arguments, &diff).expect("fits");
            for (key, value) in expected.as_object().expect("an object") {
                assert_eq!(&answer[key], value, "{key} of {arguments}");
            }
        }
        let answer = call(&json!({}), &diff).expect("fits");
        assert_eq!(
            answer["files"][0]["largestHunk"],
            json!({"line": 1, "additions": 1})
        );
    }

    #[test]
    fn a_damaged_diff_is_refused() {
        assert!(call(&json!({"diff": "@@ -1,5 +1 @@\n a"}), &Diff::default()).is_err());
    }
}
