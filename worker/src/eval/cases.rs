//! The labelled changes: what is compiled in, or what a folder holds.
//!
//! A set is a file `labels.json` and beside it `NAME.patch` for each of its cases.

use std::path::Path;

use millstream::domain::Verdict;
use serde::Deserialize;

/// The most cases that a set may have.
const MOST: usize = 1_000;

/// The largest file of a set.
const LARGEST: u64 = 8 << 20;

/// A change whose faults are known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The verdict that it deserves, where there is no doubt.
    pub verdict: Option<Verdict>,
    /// Its faults.
    pub expect: Vec<Label>,
    /// The change, as a unified diff.
    #[serde(skip)]
    pub patch: String,
}

/// A fault that is in a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// Of which kind.
    pub kind: String,
    /// The reviewer who should find it.
    pub agent: String,
    /// The file.
    pub file: String,
    /// The line in its new version.
    pub line: u32,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A file cannot be read.
    #[error("read {0}: {1}")]
    File(String, std::io::Error),
    /// A file is larger than it may be.
    #[error("read {0}: it is larger than 8 MiB")]
    Large(String),
    /// The labels are none.
    #[error("read labels.json: {0}")]
    Labels(String),
}

/// The compiled-in patches, by name.
macro_rules! patches {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../assets/eval/", $name, ".patch")))),*]
    };
}

const LABELS: &str = include_str!("../../../assets/eval/labels.json");

const PATCHES: &[(&str, &str)] = patches![
    "key-aws-settings",
    "key-github-workflow",
    "key-private-pem",
    "key-database-url",
    "key-stripe-client",
    "key-model-in-script",
    "key-slack-and-password",
    "sql-python-fstring",
    "sql-node-template",
    "sql-rust-format",
    "sql-go-sprintf",
    "sql-java-concatenation",
    "nplusone-python",
    "nplusone-typescript",
    "nplusone-rust",
    "nplusone-ruby",
    "cache-python-module",
    "cache-node-map",
    "cache-rust-static",
    "cache-go-map",
    "label-input",
    "label-image",
    "label-icon-button",
    "label-clickable-div",
    "contrast-css-hint",
    "contrast-css-badge",
    "contrast-scss-footer",
    "contrast-inline-style",
    "contrast-svelte-style",
    "clean-environment-key",
    "clean-bound-query",
    "clean-joined-query",
    "clean-bounded-cache",
    "clean-labelled-form",
    "clean-strong-contrast",
    "clean-rust-refactor",
    "clean-documentation",
    "clean-test-fixture",
    "clean-deletion",
    "hostile-orders-with-key",
];

/// The set that is compiled in.
///
/// # Errors
/// Never: a test reads it.
pub fn built_in() -> Result<Vec<Case>, SetError> {
    let find = |name: &str| {
        let known = PATCHES.iter().find(|(other, _)| *other == name);
        known.map(|(_, text)| (*text).to_owned())
    };
    let mut cases = labels(LABELS)?;
    for case in &mut cases {
        case.patch =
            find(&case.name).ok_or_else(|| SetError::Labels(format!("there is no patch {}", case.name)))?;
    }
    Ok(cases)
}

/// The set in a folder.
///
/// # Errors
/// When a file is missing, too large or wrong.
pub fn in_folder(folder: &Path) -> Result<Vec<Case>, SetError> {
    let mut cases = labels(&text(&folder.join("labels.json"))?)?;
    for case in &mut cases {
        case.patch = text(&folder.join(format!("{}.patch", case.name)))?;
    }
    Ok(cases)
}

fn text(path: &Path) -> Result<String, SetError> {
    let shown = path.display().to_string();
    let wrong = |error| SetError::File(shown.clone(), error);
    if std::fs::metadata(path).map_err(wrong)?.len() > LARGEST {
        return Err(SetError::Large(shown));
    }
    std::fs::read_to_string(path).map_err(wrong)
}

fn labels(text: &str) -> Result<Vec<Case>, SetError> {
    let cases: Vec<Case> = serde_json::from_str(text).map_err(|error| SetError::Labels(error.to_string()))?;
    if cases.is_empty() || cases.len() > MOST {
        return Err(SetError::Labels(format!(
            "it has {} cases; 1 to {MOST} are wanted",
            cases.len()
        )));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match cases.iter().find(|case| !case.name.chars().all(plain)) {
        Some(case) => Err(SetError::Labels(format!(
            "`{}` is no name: letters, digits, - and _ make one",
            case.name
        ))),
        None => Ok(cases),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;

    #[test]
    fn every_label_stands_on_an_added_line_of_its_change() {
        let cases = built_in().expect("the set is whole");
        assert!(cases.len() >= 25);
        for case in &cases {
            let diff = diff::parse(&case.patch).expect(&case.name);
            for label in &case.expect {
                let file = diff.file(&label.file).expect(&case.name);
                let added = file.added().any(|line| line.number == label.line);
                assert!(added, "{}: {label:?}", case.name);
            }
        }
    }

    #[test]
    fn the_folder_holds_what_is_compiled_in_and_nothing_else() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/eval");
        assert_eq!(
            in_folder(Path::new(folder)).expect("the folder is whole"),
            built_in().expect("the set is whole")
        );
        let files = std::fs::read_dir(folder).expect("it is there").count();
        assert_eq!(files, PATCHES.len() + 1);
    }

    #[test]
    fn a_set_that_is_wrong_says_why() {
        for (text, why) in [
            ("[]", "it has 0 cases"),
            ("{", "invalid type"),
            (r#"[{"name":"../x","expect":[]}]"#, "`../x` is no name"),
        ] {
            let told = labels(text).expect_err(why).to_string();
            assert!(told.contains(why), "{told}");
        }
        assert!(in_folder(Path::new("/nowhere")).is_err());
    }
}
