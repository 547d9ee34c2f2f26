//! Takes out of a change what no reviewer should spend time on, and says what was taken.
//!
//! Noise is what tools write: lock files, minified bundles, source maps, snapshots, vendored code.
//! Binary files and those whose lines are not shown cannot be reviewed; they are counted apart,
//! since unlike noise their absence matters.

use millstream::domain::{Finding, Severity};

use crate::agent::prompt::named;
use crate::agent::trace::presentable;
use crate::diff::{Diff, FileDiff, Status};
use crate::github::Cut;
use crate::tools::secrets;

/// Lock files, by their whole name.
const NOISE_NAMES: [&str; 24] = [
    "bun.lock",
    "bun.lockb",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "deno.lock",
    "cargo.lock",
    "go.sum",
    "go.work.sum",
    "poetry.lock",
    "pipfile.lock",
    "uv.lock",
    "pdm.lock",
    "composer.lock",
    "gemfile.lock",
    "flake.lock",
    "mix.lock",
    "pubspec.lock",
    "podfile.lock",
    "package.resolved",
    "packages.lock.json",
    "gradle.lockfile",
    ".terraform.lock.hcl",
];

/// Generated files, by the end of their name.
const NOISE_ENDS: [&str; 11] = [
    ".min.js",
    ".min.mjs",
    ".min.cjs",
    ".min.css",
    ".bundle.js",
    ".map",
    ".snap",
    ".pb.go",
    "_pb2.py",
    "_pb2_grpc.py",
    ".g.dart",
];

/// Folders of generated or foreign code, wherever they lie.
const NOISE_FOLDERS: [&str; 3] = ["node_modules", "dist", "__snapshots__"];

/// Folders that hold foreign code at the top of a repository; deeper down, `vendor` is often a word
/// of the trade (`app/vendor/invoice.py`).
const NOISE_ROOTS: [&str; 2] = ["vendor", "third_party"];

/// Keys in noise that are told of; a bundle with more is no better known for them.
const LEAKS: usize = 50;

/// A file's name, with the one that it had before if that was another.
#[must_use]
pub fn with_old_name(path: &str, old: Option<&str>) -> String {
    match old.filter(|old| *old != path) {
        Some(old) => format!("{path}, before {old}"),
        None => path.to_owned(),
    }
}

/// Whether a file is noise. Letter case does not matter.
#[must_use]
pub fn is_noise(path: &str) -> bool {
    let path = path.to_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    NOISE_NAMES.contains(&name)
        || NOISE_ENDS.iter().any(|end| name.ends_with(end))
        || folders.split('/').any(|folder| NOISE_FOLDERS.contains(&folder))
        || folders
            .split('/')
            .next()
            .is_some_and(|root| NOISE_ROOTS.contains(&root))
}

/// What is not reviewed, by its reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Noise.
    pub noise: Vec<String>,
    /// Keys in the added lines of noise: who commits a bundle commits what was bundled.
    pub leaked: Vec<Finding>,
    /// Files that got another name or mode, and no other line.
    pub unchanged: Vec<String>,
    /// Binary files.
    pub binary: Vec<String>,
    /// Files that changed in lines which GitHub does not show, since the change is too large.
    pub without_patch: Vec<String>,
    /// Files whose patch is damaged.
    pub unreadable: Vec<String>,
    /// Files with a hunk too large for a reviewer's prompt; only the tools read it.
    pub too_large: Vec<String>,
    /// Files that are beyond what the reviewers may spend; only the tools read them.
    pub over_budget: Vec<String>,
    /// There are files after the first so many, and why they are not here.
    pub beyond: Option<(usize, Cut)>,
}

impl LeftOut {
    /// What a reader of the verdict must know, a sentence part for each reason. Noise is not in it.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let gaps = self.gaps().into_iter();
        counted(&self.binary, "binary file", "binary files")
            .into_iter()
            .chain(gaps)
            .collect()
    }

    /// What is left out of every review: it is no text that people write, or none at all.
    #[must_use]
    pub fn usual(&self) -> Vec<String> {
        [
            counted(&self.binary, "binary file", "binary files"),
            counted(&self.noise, "lock or generated file", "lock or generated files"),
            counted(
                &self.unchanged,
                "file without changed lines",
                "files without changed lines",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What should have been reviewed and was not.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let beyond = self.beyond.map(|(count, cut)| {
            let why = match cut {
                Cut::Unlisted => "which GitHub does not list",
                Cut::TooLarge => "since the change is larger than MAX_PATCH",
            };
            format!("all files after the first {count}, {why}")
        });
        [
            counted(
                &self.without_patch,
                "file whose change GitHub does not show",
                "files whose changes GitHub does not show",
            ),
            counted(
                &self.unreadable,
                "file with a damaged patch",
                "files with damaged patches",
            ),
            counted(
                &self.too_large,
                "file too large for the reviewers, read by the tools only",
                "files too large for the reviewers, read by the tools only",
            ),
            counted(
                &self.over_budget,
                "file beyond the reviewers' budget, read by the tools only",
                "files beyond the reviewers' budget, read by the tools only",
            ),
            beyond,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What the `filter` event says, in the reference's words, and behind them what it keeps silent.
    #[must_use]
    pub fn detail(&self, kept: usize) -> String {
        let mut detail = format!("{kept} files ({} noise dropped)", self.noise.len());
        let counts: Vec<String> = [
            (self.binary.len(), "binary"),
            (self.without_patch.len(), "without a patch"),
            (self.unreadable.len(), "damaged"),
            (self.too_large.len(), "too large"),
            (self.over_budget.len(), "over budget"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .chain(
            self.beyond
                .map(|(count, _)| format!("those after the first {count}")),
        )
        .collect();
        if !counts.is_empty() {
            detail.push_str("; not reviewed: ");
            detail.push_str(&counts.join(", "));
        }
        detail
    }
}

/// How many files there are of a sort, and which; none if there is none.
fn counted(paths: &[String], singular: &str, plural: &str) -> Option<String> {
    let words = if paths.len() == 1 { singular } else { plural };
    (!paths.is_empty()).then(|| format!("{} {words} ({})", paths.len(), named(paths)))
}

/// The keys in a file that nobody reads: those with a form of their own. Passwords are told by the name beside them, and
/// in a bundle names mean nothing.
fn leaked(file: &FileDiff) -> Vec<Finding> {
    let leak = |leak: secrets::Leak| Finding {
        agent: super::FILTER.to_owned(),
        severity: if leak.sample {
            Severity::Info
        } else {
            Severity::Block
        },
        file: Some(presentable(&file.path)),
        line: Some(leak.line),
        note: format!(
            "A secret in a file that is generated or foreign: {} {}.",
            leak.kind.replace('_', " "),
            leak.shown
        ),
    };
    secrets::leaks(file)
        .into_iter()
        .filter(|leak| leak.has_form)
        .map(leak)
        .collect()
}

/// Parts a change into what is reviewed and what is not.
pub fn apart(files: Vec<FileDiff>, left_out: &mut LeftOut) -> Diff {
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        if is_noise(&file.path) {
            let room = LEAKS.saturating_sub(left_out.leaked.len());
            left_out.leaked.extend(leaked(&file).into_iter().take(room));
            left_out.noise.push(file.path);
        } else if file.status == Status::Binary {
            left_out.binary.push(file.path);
        } else if !file.hunks.is_empty() {
            kept.push(file);
        } else {
            left_out
                .unchanged
                .push(with_old_name(&file.path, file.old_path.as_deref()));
        }
    }
    Diff { files: kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_files_bundles_and_foreign_code_are_noise() {
        for path in [
            "package-lock.json",
            "web/yarn.lock",
            "Cargo.lock",
            "a/b/Pipfile.lock",
            "uv.lock",
            "bun.lockb",
            "flake.lock",
            "npm-shrinkwrap.json",
            "x/app.min.js",
            "x/app.MIN.CSS",
            "lib.min.mjs",
            "app.bundle.js",
            "app.js.map",
            "src/__snapshots__/a.ts",
            "ui/button.test.tsx.snap",
            "vendor/github.com/x/y.go",
            "packages/a/dist/index.js",
            "node_modules/x/index.js",
            "api/v1/types.pb.go",
        ] {
            assert!(is_noise(path), "{path}");
        }
    }

    #[test]
    fn what_people_write_is_kept() {
        for path in [
            "src/lock.rs",
            "Cargo.toml",
            "package.json",
            "src/map.rs",
            "roadmap",
            "app/vendor/invoice.py",
            "distance/x.c",
            "min.js",
            "go.mod",
            "src/vendor.rs",
        ] {
            assert!(!is_noise(path), "{path}");
        }
    }

    #[test]
    fn the_detail_is_the_references_and_says_what_else_is_missing() {
        let mut left_out = LeftOut {
            noise: vec!["a".into()],
            ..LeftOut::default()
        };
        assert_eq!(left_out.detail(2), "2 files (1 noise dropped)");
        assert_eq!(left_out.reasons(), Vec::<String>::new());
        left_out.binary = (0..7).map(|n| format!("{n}.png")).collect();
        left_out.without_patch = vec!["big.rs".into()];
        left_out.beyond = Some((3_000, Cut::Unlisted));
        assert_eq!(
            left_out.detail(2),
            "2 files (1 noise dropped); not reviewed: 7 binary, 1 without a patch, those after the first 3000"
        );
        assert_eq!(
            left_out.reasons(),
            [
                "7 binary files (0.png, 1.png, 2.png, 3.png, 4.png, and 2 more)",
                "1 file whose change GitHub does not show (big.rs)",
                "all files after the first 3000, which GitHub does not list",
            ]
        );
    }
}
