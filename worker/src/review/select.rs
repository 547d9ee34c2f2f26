//! Which reviewers a change needs.

use crate::agent::Agent;
use crate::agent::roster::{PERFORMANCE, SECURITY, UX};
use crate::diff::Diff;

/// Ends of the names of files that a user gets to see.
const SEEN_BY_USERS: [&str; 11] = [
    ".tsx", ".jsx", ".vue", ".svelte", ".astro", ".css", ".scss", ".sass", ".less", ".html", ".htm",
];

/// The reviewers of a change, in the order in which they are named and recorded.
#[must_use]
pub fn reviewers(diff: &Diff) -> Vec<&'static Agent> {
    let mut chosen = vec![&SECURITY, &PERFORMANCE];
    if diff.files.iter().any(|file| is_seen_by_users(&file.path)) {
        chosen.push(&UX);
    }
    chosen
}

fn is_seen_by_users(path: &str) -> bool {
    let path = path.to_lowercase();
    SEEN_BY_USERS.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_see_is_told_by_the_end_of_the_name() {
        for path in [
            "a.tsx", "A.JSX", "x/y.vue", "s.svelte", "s.astro", "s.css", "s.SCSS", "s.sass", "s.less",
            "i.html", "i.htm",
        ] {
            assert!(is_seen_by_users(path), "{path}");
        }
        for path in ["a.ts", "css", "a.css.rs", "a.htmlx", "README.md"] {
            assert!(!is_seen_by_users(path), "{path}");
        }
    }
}
