//! Pull requests as large as GitHub lists them: nothing is left out without a word.

use super::tests::{first, github, stored, told};
use super::*;
use crate::model::Offline;
use crate::model::stub::Stub;
use millstream::domain::{Retry, Severity};
use sinks::Recorded;
use std::time::Duration;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PULL: &str = "/repos/acme/ledger/pulls/7";

fn pull() -> Source {
    Source::PullRequest(
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address"),
    )
}

fn reviewer(model: impl Model + 'static, server: &MockServer, tokens: u64) -> Reviewer {
    let limits = Limits {
        tokens,
        ..Limits::default()
    };
    Reviewer::new(Arc::new(model), github(&server.uri()), limits)
}

/// GitHub with so many files of which it lists 3,000, and a key in the last of these.
async fn serve_thousands(changed_files: usize) -> MockServer {
    let server = MockServer::start().await;
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let page = move |request: &wiremock::Request| {
        let number = request.url.query_pairs().find(|(name, _)| name == "page");
        let page: usize = number.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
        let files: Vec<Value> = (page * 100 - 99..=page * 100)
            .map(|n| {
                let line = if n == 3_000 {
                    format!("k = \"{key}\"")
                } else {
                    format!("line {n}")
                };
                json!({"filename": format!("src/f{n}.py"), "status": "modified", "changes": 1,
                       "patch": format!("@@ -1,0 +1 @@\n+{line}")})
            })
            .collect();
        let answer = ResponseTemplate::new(200).set_body_json(files);
        if page < 30 {
            answer.insert_header("link", "<https://evil.example/>; rel=\"next\"")
        } else {
            answer
        }
    };
    Mock::given(path(format!("{PULL}/files")))
        .respond_with(page)
        .mount(&server)
        .await;
    let described = json!({"head": {"sha": "a".repeat(40)}, "changed_files": changed_files});
    Mock::given(path(PULL))
        .respond_with(ResponseTemplate::new(200).set_body_json(described))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn three_thousand_files_are_reviewed_and_those_beyond_are_a_finding() {
    let offline = || Offline::new(Duration::ZERO, 0.0);
    let server = serve_thousands(3_400).await;
    let sinks = Recorded::new();
    let result = reviewer(offline(), &server, 1_000_000)
        .review(first(), pull(), &sinks)
        .await
        .expect("a result");
    assert_eq!(result.findings[0].location(), "src/f3000.py:1");
    assert_eq!(
        told(&sinks)[1],
        "filter 3000 files (0 noise dropped); not reviewed: those after the first 3000"
    );
    let said = "Not reviewed: all files after the first 3000, which GitHub does not list.";
    assert!(result.findings.iter().any(|finding| finding.note == said));

    let server = serve_thousands(3_000).await;
    let sinks = Recorded::new();
    reviewer(offline(), &server, 1_000_000)
        .review(first(), pull(), &sinks)
        .await
        .expect("a result");
    assert_eq!(told(&sinks)[1], "filter 3000 files (0 noise dropped)");
}

#[tokio::test]
async fn lines_that_the_list_does_not_show_are_taken_from_the_raw_diff() {
    let files = json!([
        {"filename": "src/large.rs", "status": "modified", "changes": 2},
        {"filename": "src/gone.rs", "status": "modified", "changes": 9},
    ]);
    let raw = "diff --git a/src/large.rs b/src/large.rs\n--- a/src/large.rs\n+++ b/src/large.rs\n@@ -1 +1,2 @@\n a\n+b\n";
    for (answer, kept) in [
        (ResponseTemplate::new(200).set_body_string(raw), 1),
        (
            ResponseTemplate::new(200).set_body_string("@@ -1,5 +1 @@ damaged"),
            0,
        ),
        (ResponseTemplate::new(406).set_body_string("too_large"), 0),
    ] {
        let server = MockServer::start().await;
        Mock::given(path(format!("{PULL}/files")))
            .respond_with(ResponseTemplate::new(200).set_body_json(&files))
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .and(path(PULL))
            .and(header("accept", "application/vnd.github.diff"))
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        let sinks = Recorded::new();
        let result = reviewer(Stub::new(), &server, 1_000_000)
            .review(first(), pull(), &sinks)
            .await;
        let missing = 2 - kept;
        match result {
            Ok(_) => assert_eq!(
                told(&sinks)[1],
                format!("filter {kept} files (0 noise dropped); not reviewed: {missing} without a patch")
            ),
            Err(failure) => assert_eq!((kept, failure.class), (0, FailureClass::Input), "{failure}"),
        }
    }
}

#[tokio::test]
async fn a_change_larger_than_a_prompt_is_read_in_parts_within_the_budget() {
    // Five files of which two fit into a prompt of the stub, and tokens for two parts.
    let text: String = (1..=5)
        .map(|n| {
            format!(
                "--- a/f{n}\n+++ b/f{n}\n@@ -1,0 +1 @@\n+{}\n",
                "x".repeat(150_000)
            )
        })
        .collect();
    let stub = Stub::new();
    for agent in ["security", "performance"] {
        for part in [1, 3] {
            let found = format!(r#"[{{"severity":"warn","file":"f{part}","line":1,"note":"n{part}"}}]"#);
            stub.answer(agent, crate::model::stub::says(&found));
        }
    }
    let server = MockServer::start().await;
    let (run, sinks) = (first(), Recorded::new());
    let reviewer = reviewer(stub.clone(), &server, 600_000);
    let result = reviewer
        .review(run, stored(&text), &sinks)
        .await
        .expect("a result");
    let places: Vec<String> = result
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Warn)
        .map(Finding::location)
        .collect();
    assert_eq!(places, ["f1:1", "f1:1", "f3:1", "f3:1"]);
    assert!(
        result
            .reason
            .contains("1 file beyond the reviewers' budget, read by the tools only (f5)"),
        "{}",
        result.reason
    );
    assert_eq!(
        sinks.steps(),
        [
            "judge/0",
            "part2/performance/0",
            "part2/security/0",
            "performance/0",
            "security/0"
        ]
    );
    assert_eq!(
        told(&sinks)
            .iter()
            .filter(|event| event.starts_with("done "))
            .count(),
        2
    );
    // Another attempt pays for none of the parts again.
    reviewer
        .review(RunId { attempt: 2, ..run }, stored(&text), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!((stub.count("security", 0), stub.count("judge", 0)), (2, 1));
}

#[tokio::test]
async fn the_parts_of_a_change_share_their_agents_budget() {
    // Five files of which two fit into a prompt of the stub: three parts.
    let text: String = (1..=5)
        .map(|n| {
            format!(
                "--- a/f{n}\n+++ b/f{n}\n@@ -1,0 +1 @@\n+{}\n",
                "x".repeat(150_000)
            )
        })
        .collect();
    // A turn of the stub costs 0.001, so the third part has nothing left.
    let limits = Limits {
        cost_usd: 0.0015,
        ..Limits::default()
    };
    let stub = Stub::new();
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github("http://127.0.0.1:9"), limits);
    let failure = reviewer
        .review(first(), stored(&text), &Recorded::new())
        .await
        .expect_err("it is used up");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Budget, Retry::Never),
        "{failure}"
    );
    assert_eq!((stub.count("security", 0), stub.count("judge", 0)), (2, 0));
}
