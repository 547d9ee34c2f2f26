//! What documents claim: files and tests they name are there, and nothing in them is true on one machine only.

use super::source::{Source, read, root, rust, under};

/// Beginnings of paths that are one machine's.
const MACHINES: [&str; 6] = ["/root/", "/home/", "/Users/", "/work/", "C:\\", "localhost/"];

/// Everything that people read.
fn documents() -> Vec<Source> {
    let named = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "render.yaml",
        "justfile",
        ".env.example",
        "scripts/figures",
    ];
    let mut documents: Vec<Source> = named
        .iter()
        .map(|path| Source {
            path: (*path).to_owned(),
            text: read(path),
        })
        .collect();
    documents.extend(under("docs"));
    documents
}

#[test]
fn no_document_names_a_path_of_one_machine() {
    for document in documents() {
        for (number, line) in document.text.lines().enumerate() {
            let found = MACHINES.iter().find(|start| line.contains(*start));
            assert!(found.is_none(), "{}:{}: {line}", document.path, number + 1);
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for document in documents()
        .iter()
        .filter(|document| document.path.ends_with(".md"))
    {
        let folder = root().join(&document.path);
        let folder = folder.parent().expect("a file lies in a folder");
        for target in document
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            assert!(folder.join(path).exists(), "{} links to {target}", document.path);
        }
    }
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let starts = [
        "src/",
        "worker/src/",
        "web/src/",
        "tui/src/",
        "tests/",
        "assets/",
        "docs/",
        "examples/",
        "scripts/",
    ];
    for document in documents()
        .iter()
        .filter(|document| document.path.ends_with(".md"))
    {
        for name in document.text.split('`').skip(1).step_by(2) {
            let path = name.split([' ', ':', '#']).next().unwrap_or_default();
            let is_file =
                starts.iter().any(|start| path.starts_with(start)) && !path.contains(['*', '<', '{']);
            assert!(
                !is_file || root().join(path).exists(),
                "{} names {path}, which is not there",
                document.path
            );
        }
    }
}

/// The names in the last column of a table of docs/delivery.md, row by row.
fn named_in(text: &str, head: &str) -> Vec<Vec<String>> {
    let (_, table) = text.split_once(head).expect("the page has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let last = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        last.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    })
    .collect()
}

#[test]
fn every_promise_and_every_failure_mode_names_tests_that_exist() {
    let text = read("docs/delivery.md");
    let code: String = rust().iter().map(Source::code).collect();
    let promises = named_in(&text, "| promise | test |");
    let failures = named_in(&text, "| | failure | handling | tests |");
    assert!(promises.len() >= 10 && failures.len() >= 28 + 9);
    for names in promises.iter().chain(&failures) {
        assert!(!names.is_empty(), "a row of docs/delivery.md names no test");
        for name in names {
            assert!(
                code.contains(&format!("fn {name}(")),
                "docs/delivery.md names the test {name}, which is not there"
            );
        }
    }
}

#[test]
fn every_decision_is_listed_and_has_its_parts() {
    let list = read("ARCHITECTURE.md");
    for decision in under("docs/decisions") {
        for part in ["# ", "Context. ", "Decision. ", "Consequences. "] {
            assert!(
                decision.text.lines().any(|line| line.starts_with(part)),
                "{} has no `{part}`",
                decision.path
            );
        }
        assert!(
            list.contains(&decision.path),
            "ARCHITECTURE.md does not list {}",
            decision.path
        );
    }
}
