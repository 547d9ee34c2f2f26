//! A change that is larger than one prompt, cut into parts that each fit into one.
//!
//! Files stay whole where they can and in their order; one that is larger than a prompt is cut
//! between its hunks. Each reviewer reads the parts one after the other, so their number is bounded
//! by what it may spend. Whatever finds no place is named, and its first part's tools read it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diff::{Diff, FileDiff, Status};

/// How often a part is sent, at a guess: the first turn, the one after the tool, and a repair.
const TURNS: u64 = 3;

/// Characters of a token, at a guess.
const CHARS_PER_TOKEN: u64 = 4;

/// Parts at most, whatever the budget: each is a conversation of minutes.
const MOST: u64 = 8;

/// How many parts of so many characters an agent can read for its tokens.
#[must_use]
pub fn affordable(tokens: u64, chars: usize) -> usize {
    let one = u64::try_from(chars).unwrap_or(u64::MAX) / CHARS_PER_TOKEN * TURNS;
    let parts = (tokens / one.max(1)).clamp(1, MOST);
    usize::try_from(parts).unwrap_or(1)
}

/// Lines of a file that stand in one prompt.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The file.
    pub path: String,
    /// Its name before, if that was another.
    pub old_path: Option<String>,
    /// What happened to it.
    pub status: Status,
    /// Its lines: hunks with their headers.
    pub text: String,
}

/// What one prompt shows.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The lines it shows.
    pub shown: Vec<Piece>,
    /// What the tools read beside it.
    pub diff: Arc<Diff>,
    chars: usize,
}

/// A change in parts.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// At least one.
    pub parts: Vec<Part>,
    /// Files of which a hunk is larger than a prompt.
    pub too_large: Vec<String>,
    /// Files that would have needed one more part.
    pub over_budget: Vec<String>,
}

/// Cuts a change into at most so many parts of so many characters.
#[must_use]
pub fn cut(diff: &Arc<Diff>, chars: usize, most: usize) -> Parts {
    let mut cut = Parts {
        parts: vec![Part::default()],
        ..Parts::default()
    };
    for file in &diff.files {
        let (pieces, whole) = pieces(file, chars);
        let mut placed = true;
        for text in pieces {
            placed &= cut.place(file, text, chars, most);
        }
        if !whole {
            cut.too_large.push(file.path.clone());
        } else if !placed {
            cut.over_budget.push(file.path.clone());
        }
    }
    cut.give_to_tools(diff);
    cut
}

/// The file's lines in pieces of at most so many characters, and whether these are all of them.
fn pieces(file: &FileDiff, chars: usize) -> (Vec<String>, bool) {
    if file.patch.len() <= chars {
        return (vec![file.patch.clone()], true);
    }
    let (mut pieces, mut whole) = (vec![String::new()], true);
    for hunk in &file.hunks {
        let text = file.hunk_text(hunk);
        if text.len() > chars {
            whole = false;
            continue;
        }
        match pieces.last_mut() {
            Some(last) if last.len() + text.len() <= chars => last.push_str(text),
            _ => pieces.push(text.to_owned()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    (pieces, whole)
}

impl Parts {
    /// Puts a piece where there is room for it; false if there is none.
    fn place(&mut self, file: &FileDiff, text: String, chars: usize, most: usize) -> bool {
        let fitting = self
            .parts
            .iter()
            .position(|part| part.chars + text.len() <= chars);
        let at = match fitting {
            Some(at) => at,
            None if self.parts.len() < most => {
                self.parts.push(Part::default());
                self.parts.len() - 1
            }
            None => return false,
        };
        let part = &mut self.parts[at];
        part.chars += text.len();
        part.shown.push(Piece {
            path: file.path.clone(),
            old_path: file.old_path.clone().filter(|old| *old != file.path),
            status: file.status,
            text,
        });
        true
    }

    /// Gives every file to the tools of one part: the first that shows it, or the first of all.
    fn give_to_tools(&mut self, diff: &Arc<Diff>) {
        if let [only] = &mut self.parts[..] {
            only.diff = Arc::clone(diff);
            return;
        }
        let mut home = HashMap::new();
        for (at, part) in self.parts.iter().enumerate() {
            for piece in &part.shown {
                home.entry(piece.path.as_str()).or_insert(at);
            }
        }
        let mut read = vec![Vec::new(); self.parts.len()];
        for file in &diff.files {
            read[home.get(file.path.as_str()).copied().unwrap_or(0)].push(file.clone());
        }
        for (part, files) in self.parts.iter_mut().zip(read) {
            part.diff = Arc::new(Diff { files });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diff;

    /// Files of so many hunks, each of one added line of so many characters.
    fn change(files: &[&[usize]]) -> Arc<Diff> {
        let mut text = String::new();
        for (number, hunks) in files.iter().enumerate() {
            text.push_str(&format!("--- a/{number}\n+++ b/{number}\n"));
            for (place, length) in hunks.iter().enumerate() {
                let at = place * 10 + 1;
                text.push_str(&format!("@@ -{at},0 +{at} @@\n+{}\n", "x".repeat(*length)));
            }
        }
        Arc::new(diff::parse(&text).expect("a diff"))
    }

    fn names(part: &Part) -> Vec<&str> {
        part.shown.iter().map(|piece| piece.path.as_str()).collect()
    }

    #[test]
    fn a_change_that_fits_is_one_part_and_the_tools_read_all_of_it() {
        let diff = change(&[&[10], &[20]]);
        let cut = cut(&diff, 1_000, 3);
        assert_eq!((cut.parts.len(), names(&cut.parts[0])), (1, vec!["0", "1"]));
        assert!(Arc::ptr_eq(&cut.parts[0].diff, &diff));
    }

    #[test]
    fn files_stay_whole_and_what_finds_no_place_is_named_and_left_to_the_tools() {
        let cut = cut(&change(&[&[100], &[100], &[100], &[10], &[400]]), 180, 2);
        assert_eq!(names(&cut.parts[0]), ["0", "3"]);
        assert_eq!(names(&cut.parts[1]), ["1"]);
        assert_eq!(
            (cut.over_budget, cut.too_large),
            (vec!["2".to_owned()], vec!["4".to_owned()])
        );
        let tools: Vec<&str> = cut.parts[0]
            .diff
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(tools, ["0", "2", "3", "4"]);
        assert_eq!(cut.parts[1].diff.files.len(), 1);
    }

    #[test]
    fn a_large_file_is_cut_between_its_hunks() {
        let cut = cut(&change(&[&[100, 100, 400, 100]]), 150, 8);
        assert_eq!(cut.parts.len(), 3);
        assert_eq!(cut.too_large, ["0"]);
        for part in &cut.parts {
            let Piece {
                path, status, text, ..
            } = &part.shown[0];
            assert!(FileDiff::named(path, *status, text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_budget_says_how_many_parts_there_may_be() {
        for (tokens, chars, parts) in [
            (1_000_000, 400_000, 3),
            (1_000_000, 1_000_000, 1),
            (1_000, 400_000, 1),
            (u64::MAX, 0, 8),
        ] {
            assert_eq!(affordable(tokens, chars), parts);
        }
    }

    proptest! {
        #[test]
        fn every_hunk_is_shown_once_or_its_file_is_named(
            files in prop::collection::vec(prop::collection::vec(1_usize..300, 1..5), 1..12),
            chars in 50_usize..400,
            most in 1_usize..5,
        ) {
            let lists: Vec<&[usize]> = files.iter().map(Vec::as_slice).collect();
            let diff = change(&lists);
            let cut = cut(&diff, chars, most);
            prop_assert!((1..=most).contains(&cut.parts.len()));
            for part in &cut.parts {
                prop_assert!(part.shown.iter().map(|piece| piece.text.len()).sum::<usize>() <= chars);
            }
            for file in &diff.files {
                let shown: usize = cut.parts.iter().flat_map(|part| &part.shown)
                    .filter(|piece| piece.path == file.path)
                    .map(|piece| piece.text.matches("@@ -").count())
                    .sum();
                let named = cut.too_large.contains(&file.path) || cut.over_budget.contains(&file.path);
                prop_assert!(shown == file.hunks.len() || (named && shown < file.hunks.len()));
                let read = cut.parts.iter().flat_map(|part| &part.diff.files)
                    .filter(|other| other.path == file.path).count();
                prop_assert_eq!(read, 1);
            }
        }
    }
}
