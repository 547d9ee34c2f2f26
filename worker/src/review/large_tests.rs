//! Pull requests as large as GitHub lists them: nothing is left out without a word.

use super::tests::{NOWHERE, first, github, pull, second, stored, told};
use super::*;
use crate::model::stub::{self, Stub};
use crate::model::{Offline, TurnAnswer};
use millstream::domain::{Retry, Severity};
use sinks::Recorded;
use std::time::Duration;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PULL: &str = "/repos/acme/ledger/pulls/7";

/// A reviewer that asks this GitHub.
fn asking(server: &MockServer, model: impl Model + 'static) -> Reviewer {
    Reviewer::new(Arc::new(model), github(&server.uri()), Limits::default())
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
    let result = asking(&server, offline())
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
    asking(&server, offline())
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
        let result = asking(&server, Stub::new()).review(first(), pull(), &sinks).await;
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

/// Five files, f1 to f5, of which two fit into a prompt of the stub: three parts.
fn five_files() -> Source {
    let file = |n| {
        let line = "x".repeat(150_000);
        format!("--- a/f{n}\n+++ b/f{n}\n@@ -1,0 +1 @@\n+{line}\n")
    };
    stored(&(1..=5).map(file).collect::<String>())
}

/// What a reviewer says that warns of the first line of a file.
fn warns(file: &str) -> TurnAnswer {
    let found = json!([{"severity": "warn", "file": file, "line": 1, "note": format!("in {file}")}]);
    stub::says(&found.to_string())
}

/// Where the reviewers warn.
fn warned(result: &ReviewResult) -> Vec<String> {
    let warnings = result
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Warn);
    warnings.map(Finding::location).collect()
}

#[tokio::test]
async fn a_change_larger_than_a_prompt_is_read_in_parts_within_the_budget() {
    let stub = Stub::new();
    for agent in ["security", "performance"] {
        stub.answer(agent, warns("f1")).answer(agent, warns("f3"));
    }
    let (run, sinks) = (first(), Recorded::new());
    // Tokens for two of the three parts.
    let limits = Limits {
        tokens: 600_000,
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), limits);
    let result = reviewer
        .review(run, five_files(), &sinks)
        .await
        .expect("a result");
    assert_eq!(warned(&result), ["f1:1", "f1:1", "f3:1", "f3:1"]);
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
    let told = told(&sinks);
    let done = told.iter().filter(|event| event.starts_with("done "));
    assert_eq!(done.count(), 2);
    // Another attempt pays for none of the parts again.
    reviewer
        .review(second(run), five_files(), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!((stub.count("security", 0), stub.count("judge", 0)), (2, 1));
}

#[tokio::test]
async fn an_agent_over_its_budget_keeps_what_it_has_found_and_says_what_it_has_not_read() {
    let stub = Stub::new();
    for file in ["f1", "f3"] {
        let answer = TurnAnswer {
            cost_usd: 0.8,
            ..warns(file)
        };
        stub.answer("security", answer);
    }
    let limits = Limits {
        cost_usd: 1.5,
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), limits);
    let (run, sinks) = (first(), Recorded::new());
    let result = reviewer
        .review(run, five_files(), &sinks)
        .await
        .expect("a result");
    let unread = "Not reviewed: part 3 of 3 by security (f5), since agent security cost 1.60 of 1.50 USD without an answer.";
    assert_eq!(warned(&result), ["f1:1", "f3:1"]);
    let last = result.findings.last().expect("three findings");
    assert_eq!(
        (
            result.findings.len(),
            last.agent.as_str(),
            last.severity,
            last.note.as_str()
        ),
        (3, "security", Severity::Info, unread)
    );
    assert!(result.reason.ends_with(unread), "{}", result.reason);
    assert!(result.notes[0].note.contains(unread), "{}", result.notes[0].note);
    let calls = stub.calls();
    let judge = calls
        .iter()
        .find(|call| call.agent == "judge")
        .expect("it is asked");
    assert!(format!("{:?}", judge.messages).contains("part 3 of 3 by security"));
    // The performance reviewer has a budget of its own.
    assert_eq!((stub.count("security", 0), stub.count("performance", 0)), (2, 3));

    let again = reviewer
        .review(second(run), five_files(), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!(
        (again.findings, again.usage, stub.count("security", 0)),
        (result.findings, Usage::default(), 2),
        "the same, and nothing is paid twice"
    );
}

#[tokio::test]
async fn reviewers_that_use_up_what_a_review_may_cost_leave_the_judge_its_answer() {
    let stub = Stub::new();
    for (agent, file) in [
        ("security", "f1"),
        ("security", "f3"),
        ("performance", "f1"),
        ("performance", "f3"),
    ] {
        let answer = TurnAnswer {
            cost_usd: 0.8,
            ..warns(file)
        };
        stub.answer(agent, answer);
    }
    let limits = Limits {
        cost_usd: 1.5,
        review_cost_usd: 3.2,
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), limits);
    let result = reviewer
        .review(first(), five_files(), &Recorded::new())
        .await
        .expect("a verdict");
    assert_eq!(stub.count("judge", 0), 1);
    assert_eq!(
        warned(&result).len(),
        4,
        "what was found is kept: {:?}",
        result.findings
    );
}

#[tokio::test]
async fn turns_that_are_used_up_in_one_part_leave_the_others_and_are_paid() {
    let stub = Stub::new();
    stub.answer("performance", warns("f1"));
    for _ in 0..Limits::default().turns {
        stub.answer("performance", stub::asks(&[("diff_stats", json!({}))]));
    }
    stub.answer("performance", warns("f5"));
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), Limits::default());
    let result = reviewer
        .review(first(), five_files(), &Recorded::new())
        .await
        .expect("a result");
    assert_eq!(warned(&result), ["f1:1", "f5:1"]);
    let unread =
        "part 2 of 3 by performance (f3, f4), since agent performance used its 12 turns without an answer";
    assert!(result.reason.contains(unread), "{}", result.reason);
    // Three parts of the one reviewer, two parts and twelve turns of the other, and the judge.
    assert_eq!(result.usage.input_tokens, (3 + 2 + 12 + 1) * 100);
}

#[tokio::test]
async fn a_budget_that_pays_for_no_part_ends_the_review() {
    let limits = Limits {
        turns: 0,
        ..Limits::default()
    };
    let stub = Stub::new();
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), limits);
    let failure = reviewer
        .review(first(), five_files(), &Recorded::new())
        .await
        .expect_err("it is used up");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Budget, Retry::Never),
        "{failure}"
    );
    assert_eq!(stub.calls(), []);
}
