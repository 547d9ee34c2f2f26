//! Files: each says what it is for, each is part of a program, none has grown too long, no test waits by the clock.

use std::collections::BTreeSet;

use super::source::{Source, root, rust};

/// Lines of a file without its tests from which on it holds more than one thing.
const LONGEST: usize = 600;
/// Longer ones, and why.
const LONG: [(&str, &str); 1] = [(
    "src/engine/runtime.rs",
    "the one loop of a worker with what it does for each action",
)];
/// Where a program, a library or the suite begins.
const BEGINNINGS: [&str; 13] = [
    "src/lib.rs",
    "worker/src/lib.rs",
    "worker/src/main.rs",
    "web/src/lib.rs",
    "web/src/main.rs",
    "tui/src/lib.rs",
    "tui/src/main.rs",
    "tui/benches/console.rs",
    "tests/src/lib.rs",
    "tests/main.rs",
    "tests/src/bin/millstream-chaos/main.rs",
    "examples/thumbnails.rs",
    "build.rs",
];

#[test]
fn every_file_says_first_what_it_is_for() {
    for source in rust() {
        assert!(
            source.text.starts_with("//!"),
            "{} does not open with `//!`",
            source.path
        );
    }
}

#[test]
fn no_file_is_forgotten() {
    let files = rust();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = BEGINNINGS.iter().map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        if let Some(source) = files.iter().find(|source| source.path == path) {
            open.extend(modules(source));
        }
        reached.insert(path);
    }
    for source in &files {
        assert!(
            reached.contains(&source.path),
            "{} belongs to no program: no file has a `mod` for it",
            source.path
        );
    }
}

#[test]
fn no_file_has_grown_too_long() {
    for source in rust() {
        let own = source
            .text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        let known = LONG.iter().any(|(path, _why)| *path == source.path);
        assert!(
            own <= LONGEST || known,
            "{} has {own} lines without its tests: cut it, or list it here with its reason",
            source.path
        );
        assert!(
            own > LONGEST || !known,
            "{} is short enough again: take it off the list",
            source.path
        );
    }
}

#[test]
fn no_test_waits_by_the_clock() {
    for source in rust() {
        if source.is_in("tests") && !source.is_in("tests/support") {
            assert!(
                !source.code().contains("sleep("),
                "{} sleeps: wait for a signal with `support::until`, or move the clock",
                source.path
            );
        }
    }
}

/// The files that a file has a `mod` for.
fn modules(source: &Source) -> Vec<String> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.trim_end_matches(".rs");
    let is_root = matches!(stem, "mod" | "lib" | "main");
    let beside = if is_root {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut found = Vec::new();
    let mut named = None;
    for line in source.text.lines().map(str::trim) {
        if let Some(path) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            named = Some(format!("{folder}/{path}"));
            continue;
        }
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        if let [.., "mod", module] = words[..]
            && line.ends_with(';')
            && !line.starts_with("//")
        {
            found.push(named.take().unwrap_or_else(|| file_of(&beside, module)));
        }
        if !line.starts_with("#[") {
            named = None;
        }
    }
    found
}

fn file_of(folder: &str, module: &str) -> String {
    let flat = format!("{folder}/{module}.rs");
    if root().join(&flat).is_file() {
        flat
    } else {
        format!("{folder}/{module}/mod.rs")
    }
}
