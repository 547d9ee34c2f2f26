//! Who may import whom: the rules of ARCHITECTURE.md, held against the paths in the code.

use super::source::{Source, read, rust};

/// A crate and the folders that may name it: each promise has one home.
const HOMES: [(&str, &[&str]); 16] = [
    ("redis", &["src", "tests", "examples"]),
    ("sqlx", &["src", "tests", "examples"]),
    ("axum", &["web"]),
    ("tower_http", &["web"]),
    ("tower", &["web"]),
    ("hyper", &["web"]),
    ("hyper_util", &["web"]),
    ("governor", &["web"]),
    ("prometheus_client", &["web"]),
    ("maud", &["web"]),
    ("utoipa", &["web"]),
    ("ratatui", &["tui", "tests"]),
    ("crossterm", &["tui", "tests"]),
    ("millstream_worker", &["worker", "tui", "tests"]),
    ("millstream_web", &["web", "tui", "tests"]),
    ("millstream_tui", &["tui", "tests"]),
];

/// A part of the core and the other parts that it may name. The first rule that fits a file counts. `a::b`
/// allows that one name of a part.
const PARTS: [(&str, &[&str]); 16] = [
    ("src/engine/dispatcher.rs", &["domain"]),
    ("src/engine/dispatcher_tests.rs", &["domain"]),
    ("src/engine/outcome.rs", &["domain", "backoff", "store::Next"]),
    ("src/domain/", &["untrusted"]),
    ("src/clock.rs", &[]),
    ("src/backoff.rs", &[]),
    ("src/untrusted.rs", &[]),
    ("src/settings/", &["backoff", "untrusted"]),
    (
        "src/queue/",
        &["domain", "clock", "settings", "exit", "untrusted"],
    ),
    ("src/store/", &["domain", "clock", "exit", "untrusted"]),
    (
        "src/engine/",
        &[
            "domain",
            "clock",
            "backoff",
            "queue",
            "store",
            "settings",
            "exit",
            "untrusted",
        ],
    ),
    ("src/ops/", &["domain", "clock", "queue", "store", "settings"]),
    (
        "src/bench/",
        &[
            "domain",
            "clock",
            "engine",
            "ops",
            "queue",
            "store",
            "settings",
            "untrusted",
        ],
    ),
    ("src/reports/", &["domain", "queue", "store", "engine::card"]),
    ("src/logging.rs", &["settings", "untrusted"]),
    ("src/", &["settings"]),
];

/// The loops of the engine talk to the runtime by channels, never to each other.
const LOOPS: [&str; 7] = [
    "fetch",
    "listen",
    "heartbeat",
    "sweep",
    "reconcile",
    "release",
    "telemetry",
];
/// What a heartbeat tells the sweeper is the one word that two loops share.
const SHARED_BY_LOOPS: [(&str, &str); 1] = [("src/engine/heartbeat.rs", "sweep::Duty")];

/// A part of the console and the parts that it may never name: what draws decides nothing, what decides
/// neither draws nor waits.
const CONSOLE: [(&str, &[&str]); 4] = [
    ("tui/src/model/", &["update", "view", "theme", "runtime"]),
    ("tui/src/update/", &["view", "theme", "runtime"]),
    ("tui/src/recording/", &["view", "theme", "runtime"]),
    ("tui/src/view/", &["update", "runtime"]),
];

#[test]
fn the_console_draws_decides_and_waits_in_different_places() {
    for source in rust() {
        let Some((_, forbidden)) = CONSOLE.iter().find(|(start, _)| source.path.starts_with(start)) else {
            continue;
        };
        for name in crate_paths(&source.code()) {
            let part = name.split("::").next().unwrap_or_default();
            assert!(!forbidden.contains(&part), "{} names crate::{name}", source.path);
        }
    }
}

#[test]
fn a_crate_is_named_only_where_it_has_its_home() {
    for source in rust() {
        let code = source.code();
        for (name, homes) in HOMES {
            let at_home = homes.iter().any(|home| source.is_in(home));
            assert!(
                at_home || !names_crate(&code, name),
                "{} names {name}, whose home is {}",
                source.path,
                homes.join(", ")
            );
        }
    }
}

#[test]
fn a_package_depends_on_no_crate_that_it_may_not_name() {
    for package in ["worker", "web", "tui"] {
        let manifest = read(&format!("{package}/Cargo.toml"));
        for (name, homes) in HOMES {
            let dependency = name.replace('_', "-");
            let listed = manifest
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next() == Some(dependency.as_str()));
            assert!(
                !listed || homes.contains(&package),
                "{package}/Cargo.toml depends on {dependency}, whose home is {}",
                homes.join(", ")
            );
        }
    }
}

#[test]
fn a_part_of_the_core_names_only_those_below_it() {
    for source in rust().iter().filter(|source| source.is_in("src")) {
        if source.path == "src/lib.rs" {
            continue;
        }
        let (rule, allowed) = PARTS
            .iter()
            .find(|(start, _)| source.path.starts_with(start))
            .expect("the last rule fits every file");
        let own = rule.trim_start_matches("src/").split(['/', '.']).next();
        let own = own.filter(|own| !own.is_empty() && rule.ends_with('/'));
        for name in crate_paths(&source.code()) {
            let part = name.split("::").next().unwrap_or_default();
            let fits = |allowed: &&str| {
                *allowed == part || *allowed == name || name.starts_with(&format!("{allowed}::"))
            };
            assert!(
                Some(part) == own || allowed.iter().any(fits),
                "{} names crate::{name}; it may name {}",
                source.path,
                allowed.join(", ")
            );
        }
    }
}

#[test]
fn the_rules_of_delivery_neither_wait_nor_ask_the_time() {
    for path in ["src/engine/dispatcher.rs", "src/engine/outcome.rs"] {
        let text = read(path);
        let code = Source {
            path: path.to_owned(),
            text,
        }
        .code();
        for word in [
            "async ",
            ".await",
            "tokio",
            "Instant",
            "SystemTime",
            "Utc",
            "rand",
        ] {
            assert!(!code.contains(word), "{path} has `{word}`");
        }
    }
}

#[test]
fn the_loops_of_the_engine_do_not_name_each_other() {
    for name in LOOPS {
        let path = format!("src/engine/{name}.rs");
        let code = super::source::code(&read(&path));
        for other in LOOPS.iter().filter(|other| **other != name) {
            let path_to = format!("super::{other}::");
            for (at, _) in code.match_indices(&path_to) {
                let path_named = &code[at + "super::".len()..];
                let allowed = SHARED_BY_LOOPS
                    .iter()
                    .any(|(file, shared)| *file == path && path_named.starts_with(shared));
                assert!(allowed, "{path} names the loop {other}");
            }
        }
    }
}

/// Whether code names a crate: as the start of a path, or alone behind `use`.
fn names_crate(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let starts_path = !before.ends_with(is_word) && !before.ends_with("::") && !before.ends_with('.');
        let used_alone = before.ends_with("use ") && after.trim_start().starts_with([';', ' ']);
        starts_path && (after.starts_with("::") || used_alone)
    })
}

/// What stands behind each `crate::` of code; a list in braces counts name by name.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(list) => paths.extend(list_of(list)),
            None => paths.push(path_of(rest)),
        }
    }
    paths
}

fn path_of(rest: &str) -> String {
    let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'));
    let path = rest[..end.unwrap_or(rest.len())].trim_end_matches(':');
    // Of `a::{b, c}` only `a` is told: a rule that allows `a::b` wants it written so.
    path.to_owned()
}

fn list_of(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0_usize, Vec::new(), 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(path_of(list[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(path_of(list[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn paths_are_found_however_they_are_written() {
    let code = "use crate::{a, b::{c, d}, e::f}; crate::g::h(); my_crate::x; use crate::i::J;";
    assert_eq!(crate_paths(code), ["a", "b", "e::f", "g::h", "i::J"]);
    assert!(names_crate("use redis::cmd;", "redis") && names_crate("use axum;", "axum"));
    assert!(!names_crate(
        "as_redis::x; crate::redis::y; let redis = 1;",
        "redis"
    ));
}
