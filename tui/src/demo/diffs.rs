//! What the demo reviews: the commits of the repository it stands in, between the diffs it brings.

use std::path::Path;

use millstream_worker::review::filter::is_noise;

use crate::git;

/// The diffs of `assets/demo`, compiled in.
const BROUGHT: [&str; 8] = [
    include_str!("../../../assets/demo/committed-key.patch"),
    include_str!("../../../assets/demo/clean-rust.patch"),
    include_str!("../../../assets/demo/pale-styles.patch"),
    include_str!("../../../assets/demo/query-per-row.patch"),
    include_str!("../../../assets/demo/docs-only.patch"),
    include_str!("../../../assets/demo/huge-hunk.patch"),
    include_str!("../../../assets/demo/lockfile-bump.patch"),
    include_str!("../../../assets/demo/rename-and-delete.patch"),
];
/// Commits that are taken.
const COMMITS: usize = 24;
/// A commit whose diff is larger is passed over: a demo shows many small reviews, not one long one.
const LARGEST: usize = 256 * 1024;

/// All diffs, the repository's and the brought ones in turn. Without a repository only the latter.
pub async fn gather(folder: &Path) -> Vec<String> {
    let mut commits = Vec::new();
    for commit in git::commits(folder, COMMITS).await.unwrap_or_default() {
        if let Ok(diff) = git::diff(folder, &commit, LARGEST).await
            && diff.text.len() <= LARGEST
            && is_reviewable(&diff.text)
        {
            commits.push(diff.text);
        }
    }
    let mut commits = commits.into_iter();
    let mut all = Vec::new();
    for brought in BROUGHT {
        all.push(brought.to_owned());
        all.extend(commits.next());
    }
    all.extend(commits);
    all
}

/// Whether a reviewer finds anything to read in a diff: a commit of nothing but lock and generated files would end as
/// a dead job, in a demo that nothing has gone wrong in.
fn is_reviewable(text: &str) -> bool {
    millstream_worker::diff::parse(text).is_ok_and(|diff| {
        let mut files = diff.files.iter();
        files.any(|file| !file.hunks.is_empty() && !is_noise(&file.path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_diff_that_is_brought_can_be_reviewed() {
        for text in BROUGHT {
            assert!(is_reviewable(text), "{}", &text[..80]);
        }
    }

    #[test]
    fn a_commit_of_generated_files_alone_is_passed_over() {
        let change = |path: &str| {
            format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
        };
        let generated = change("tests/a.snap");
        assert!(!is_reviewable(&generated));
        assert!(is_reviewable(&(generated + &change("src/a.rs"))));
    }
}
