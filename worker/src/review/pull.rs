//! A pull request as GitHub lists it, read into the files under review and what is left out of them.

use std::collections::HashMap;

use super::filter::{self, LeftOut};
use crate::diff::{self, FileDiff, Status};
use crate::github::{PullFile, PullFiles};

/// Whether a file has changed lines that the list does not show.
#[must_use]
pub fn lacks_patches(listed: &PullFiles) -> bool {
    listed
        .files
        .iter()
        .any(|file| file.changes > 0 && patch(file).is_none() && !filter::is_noise(&file.filename))
}

/// Reads the list. `raw` is the whole diff, for the files whose lines the list does not show.
#[must_use]
pub fn read(listed: PullFiles, raw: Option<&str>) -> (Vec<FileDiff>, LeftOut) {
    let mut left_out = LeftOut {
        beyond: listed.cut.map(|cut| (listed.files.len(), cut)),
        ..LeftOut::default()
    };
    let mut raw = by_path(raw);
    let mut files = Vec::with_capacity(listed.files.len());
    for mut file in listed.files {
        file.filename = diff::spelt_out(&file.filename);
        match patch(&file) {
            Some(patch) => match FileDiff::named(&file.filename, status(&file), patch) {
                Ok(read) => files.push(FileDiff {
                    old_path: file.previous_filename.as_deref().map(diff::spelt_out),
                    ..read
                }),
                Err(_) => left_out.unreadable.push(file.filename),
            },
            None if filter::is_noise(&file.filename) => left_out.noise.push(file.filename),
            // A change that has lines and does not show them is too large for GitHub's list; one
            // without lines is binary, or only a name or a mode.
            None if file.changes > 0 => match raw.remove(&file.filename) {
                Some(read) => files.push(read),
                None => left_out.without_patch.push(file.filename),
            },
            None if file.status != "renamed" => left_out.binary.push(file.filename),
            None => {
                let old = file.previous_filename.as_deref().map(diff::spelt_out);
                left_out
                    .unchanged
                    .push(filter::with_old_name(&file.filename, old.as_deref()));
            }
        }
    }
    (files, left_out)
}

fn patch(file: &PullFile) -> Option<&str> {
    file.patch.as_deref().filter(|patch| !patch.is_empty())
}

/// The files of a raw diff that show lines. One that is damaged shows none.
fn by_path(raw: Option<&str>) -> HashMap<String, FileDiff> {
    let parsed = raw.and_then(|text| diff::parse(text).ok()).unwrap_or_default();
    let shown = parsed.files.into_iter().filter(|file| !file.hunks.is_empty());
    shown.map(|file| (file.path.clone(), file)).collect()
}

fn status(file: &PullFile) -> Status {
    match file.status.as_str() {
        "added" | "copied" => Status::Added,
        "removed" => Status::Deleted,
        "renamed" => Status::Renamed,
        _ => Status::Modified,
    }
}
