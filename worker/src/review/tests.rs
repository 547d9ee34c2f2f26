//! Whole reviews: offline over real diffs, and with a stub that can be held, scripted and counted.

use super::*;
use crate::github::GithubSettings;
use crate::model::stub::{self, Stub};
use crate::model::{Message, Offline};
use millstream::domain::{JobId, Retry, Severity, SpanKind, SpanStatus, Verdict};
use serde_json::json;
use sinks::Recorded;
use std::time::Duration;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

mod answers;
mod budgets;
pub(super) mod hostile;

pub(super) const SMALL: &str = "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,2 @@\n a\n+b\n";

/// Where no GitHub answers.
pub(super) const NOWHERE: &str = "http://127.0.0.1:9";

pub(super) fn github(api: &str) -> Github {
    Github::new(GithubSettings::at(api.parse().expect("an address"))).expect("settings that work")
}

fn reviewer(model: impl Model + 'static) -> Reviewer {
    Reviewer::new(Arc::new(model), github(NOWHERE), Limits::default())
}

fn offline() -> Reviewer {
    reviewer(Offline::new(Duration::ZERO, 0.0))
}

pub(super) fn first() -> RunId {
    RunId {
        job: JobId::fresh(),
        attempt: 1,
    }
}

pub(super) fn second(run: RunId) -> RunId {
    RunId { attempt: 2, ..run }
}

pub(super) fn stored(text: &str) -> Source {
    Source::Diff(StoredDiff {
        label: "patch:0a1b2c3d4e5f".into(),
        text: text.into(),
    })
}

pub(super) fn pull() -> Source {
    Source::PullRequest(
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address"),
    )
}

fn demo(name: &str) -> String {
    let path = format!("{}/../assets/demo/{name}.patch", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

/// The events in a few words each.
pub(super) fn told(sinks: &Recorded) -> Vec<String> {
    sinks
        .progress()
        .into_iter()
        .map(|event| match event {
            Progress::Phase { phase, detail } => format!("{phase:?} {}", detail.unwrap_or_default())
                .trim()
                .to_lowercase(),
            Progress::AgentStart { agent } => format!("start {agent}"),
            Progress::AgentProgress { agent, chars } => format!("{agent} wrote {chars}"),
            Progress::AgentDone { agent, .. } => format!("done {agent}"),
            Progress::Error { message } => message,
        })
        .collect()
}

#[tokio::test]
async fn a_committed_key_asks_for_changes_and_is_masked_wherever_it_goes() {
    let sinks = Recorded::new();
    let result = offline()
        .review(first(), stored(&demo("committed-key")), &sinks)
        .await
        .expect("a result");
    assert_eq!(result.verdict, Verdict::RequestChanges);
    let finding = &result.findings[0];
    assert_eq!(
        (finding.severity, finding.location().as_str()),
        (Severity::Block, "deploy/settings.py:11")
    );
    assert!(finding.note.contains("AKIA…(masked)"), "{}", finding.note);
    assert!(
        result
            .reason
            .starts_with("Blocked by deploy/settings.py:11: An AWS access key"),
        "{}",
        result.reason
    );
    let heard = format!("{}{result:?}", sinks.everything());
    assert!(!heard.contains("FAKE2DEMO4"), "the key has leaked");
}

#[tokio::test]
async fn every_demo_diff_gets_the_verdict_it_deserves() {
    for (name, verdict, kept, grades) in [
        ("clean-rust", Verdict::Approve, 1, vec![]),
        ("docs-only", Verdict::Approve, 1, vec![]),
        ("rename-and-delete", Verdict::Approve, 2, vec![]),
        ("lockfile-bump", Verdict::Approve, 2, vec![Severity::Info]),
        ("huge-hunk", Verdict::Approve, 2, vec![Severity::Warn]),
        (
            "query-per-row",
            Verdict::RequestChanges,
            1,
            vec![Severity::Block, Severity::Warn, Severity::Warn],
        ),
        ("pale-styles", Verdict::RequestChanges, 2, vec![Severity::Warn; 5]),
    ] {
        let sinks = Recorded::new();
        let result = offline()
            .review(first(), stored(&demo(name)), &sinks)
            .await
            .expect(name);
        let found: Vec<Severity> = result.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(
            (result.verdict, found),
            (verdict, grades),
            "{name}: {:?}",
            result.findings
        );
        let noise = usize::from(name == "lockfile-bump");
        assert_eq!(
            told(&sinks)[1],
            format!("filter {kept} files ({noise} noise dropped)"),
            "{name}"
        );
        assert!(result.usage.input_tokens > 0 && result.cost_usd == 0.0);
    }
}

#[tokio::test]
async fn the_events_are_the_references() {
    let sinks = Recorded::new();
    offline()
        .review(first(), stored(&demo("pale-styles")), &sinks)
        .await
        .expect("a result");
    let told = told(&sinks);
    assert_eq!(
        told[..6],
        [
            "prepare",
            "filter 2 files (0 noise dropped)",
            "review security, performance, ux",
            "start security",
            "start performance",
            "start ux",
        ]
    );
    let mut done = told[6..9].to_vec();
    done.sort();
    assert_eq!(
        (done, &told[9..]),
        (
            vec![
                "done performance".into(),
                "done security".into(),
                "done ux".into()
            ],
            &["judge".to_owned()][..]
        )
    );
}

#[tokio::test]
async fn spans_have_the_references_names_parents_and_outputs() {
    let sinks = Recorded::new();
    offline()
        .review(first(), stored(SMALL), &sinks)
        .await
        .expect("a result");
    let (starts, ends) = (sinks.starts(), sinks.ends());
    let shape = |parent: Option<SpanKind>, kind: SpanKind, name: &str| {
        starts
            .iter()
            .filter(|span| span.kind == kind && span.name == name)
            .filter(|span| {
                starts
                    .iter()
                    .find(|other| Some(other.id) == span.parent)
                    .map(|other| other.kind)
                    == parent
            })
            .count()
    };
    assert_eq!(shape(None, SpanKind::Agent, "security"), 1);
    assert_eq!(shape(None, SpanKind::Agent, "judge"), 1);
    assert_eq!(shape(Some(SpanKind::Agent), SpanKind::Llm, "llm"), 5);
    assert_eq!(shape(Some(SpanKind::Llm), SpanKind::Tool, "scan_for_secrets"), 1);
    assert_eq!((starts.len(), ends.len()), (10, 10));
    for start in &starts {
        let end = ends.iter().find(|end| end.id == start.id).expect("it ended");
        assert!(end.status == SpanStatus::Ok && end.at >= start.at);
        match start.kind {
            SpanKind::Agent => {
                assert!(
                    end.output["text"].is_string() && end.output["usage"]["inputTokens"].is_u64(),
                    "{}",
                    end.output
                );
            }
            SpanKind::Llm if end.output["final"] == json!(true) => {
                assert_eq!(
                    (&end.output["stopReason"], end.model.as_deref()),
                    (&json!("end_turn"), Some("offline"))
                );
            }
            SpanKind::Llm => assert_eq!(end.output, json!({"stopReason": "tool_use", "tools": 1})),
            SpanKind::Tool => assert!(end.output.is_string()),
        }
    }
    let security = starts
        .iter()
        .find(|span| span.name == "security")
        .expect("its span");
    let patch = &security.input["patches"][0];
    assert_eq!(
        (&patch["file"], &patch["additions"], &patch["deletions"]),
        (&json!("x.rs"), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn notes_are_in_the_references_order_and_the_judge_has_one() {
    let stub = Stub::new();
    stub.answer("judge", stub::says(r#"{"verdict":"approve","reason":""}"#));
    let result = reviewer(stub)
        .review(first(), stored(SMALL), &Recorded::new())
        .await
        .expect("a result");
    let notes: Vec<(&str, &str)> = result
        .notes
        .iter()
        .map(|note| (note.agent.as_str(), note.note.as_str()))
        .collect();
    assert_eq!(
        notes,
        [
            ("security", "No findings."),
            ("performance", "No findings."),
            ("judge", "approve")
        ]
    );
    assert_eq!((result.usage.input_tokens, result.usage.output_tokens), (300, 60));
    assert!((result.cost_usd - 0.003).abs() < 1e-9);
}

#[tokio::test]
async fn a_crash_between_two_turns_pays_only_for_the_turn_in_flight() {
    let stub = Stub::new();
    stub.answer("security", stub::asks(&[("scan_for_secrets", json!({}))]));
    let gate = stub.gate("security", 1);
    let run = first();
    let sinks = Recorded::new();
    {
        let reviewer = reviewer(stub.clone());
        let review = reviewer.review(run, stored(SMALL), &sinks);
        // The other reviewer ends while this one stands at the gate: then the worker dies.
        let other_done = async {
            gate.reached().await;
            while !sinks.steps().contains(&"performance/0".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = review => panic!("the gate is closed"),
            () = other_done => {}
        }
    }
    assert_eq!(sinks.steps(), ["performance/0", "security/0"]);

    gate.open();
    let later = sinks.resumed();
    let result = reviewer(stub.clone())
        .review(second(run), stored(SMALL), &later)
        .await
        .expect("a result");
    assert_eq!(
        (stub.count("security", 0), stub.count("performance", 0)),
        (1, 1),
        "finished turns are not paid again"
    );
    assert_eq!(
        (stub.count("security", 1), stub.count("judge", 0)),
        (2, 1),
        "the turn in flight is paid twice"
    );
    assert_eq!(result.usage.input_tokens, 200, "this attempt paid two turns");
    let resumed = stub
        .calls()
        .into_iter()
        .rfind(|call| call.agent == "security")
        .expect("a call");
    assert!(matches!(
        &resumed.messages[..],
        [Message::User(_), Message::Assistant(_), Message::ToolResults(_)]
    ));
    assert_eq!(
        told(&later)
            .iter()
            .filter(|event| event.starts_with("done "))
            .count(),
        2
    );
}

#[tokio::test]
async fn a_review_that_had_ended_is_replayed_without_a_call() {
    let (stub, sinks, run) = (Stub::new(), Recorded::new(), first());
    let one = reviewer(stub.clone())
        .review(run, stored(SMALL), &sinks)
        .await
        .expect("a result");
    let two = reviewer(stub.clone())
        .review(second(run), stored(SMALL), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!((stub.calls().len(), two.usage), (3, Usage::default()));
    assert_eq!((one.verdict, one.notes), (two.verdict, two.notes));
}

#[tokio::test]
async fn checkpoints_of_another_diff_are_not_believed() {
    let (stub, sinks, run) = (Stub::new(), Recorded::new(), first());
    reviewer(stub.clone())
        .review(run, stored(SMALL), &sinks)
        .await
        .expect("a result");
    let changed = SMALL.replace("+b", "+c");
    reviewer(stub.clone())
        .review(second(run), stored(&changed), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!((stub.count("security", 0), stub.count("performance", 0)), (2, 2));
    assert_eq!(
        stub.count("judge", 0),
        1,
        "the judge is asked about the same findings"
    );
}

#[tokio::test]
async fn one_reviewers_failure_keeps_what_the_others_have_paid_for() {
    let (stub, sinks, run) = (Stub::new(), Recorded::new(), first());
    let wrong = Failure::passing(FailureClass::Model, "overloaded");
    stub.fail("security", wrong.clone());
    assert_eq!(
        reviewer(stub.clone()).review(run, stored(SMALL), &sinks).await,
        Err(wrong)
    );
    assert_eq!(sinks.steps(), ["performance/0"]);
    assert!(
        sinks
            .ends()
            .iter()
            .any(|end| end.status == SpanStatus::Error && end.error.as_deref() == Some("overloaded"))
    );
    reviewer(stub.clone())
        .review(second(run), stored(SMALL), &sinks.resumed())
        .await
        .expect("a result");
    assert_eq!((stub.count("security", 0), stub.count("performance", 0)), (2, 1));
}

#[tokio::test]
async fn wrong_calls_are_answers_to_the_model_and_turns_run_out() {
    let stub = Stub::new();
    let wrong = [
        ("rm_rf", json!({})),
        ("scan_for_secrets", json!({"file": 1})),
        ("diff_stats", json!({})),
    ];
    stub.answer("security", stub::asks(&wrong));
    let sinks = Recorded::new();
    reviewer(stub.clone())
        .review(first(), stored(SMALL), &sinks)
        .await
        .expect("a result");
    let second = stub
        .calls()
        .into_iter()
        .find(|call| call.agent == "security" && call.turn == 1)
        .expect("a second turn");
    let Some(Message::ToolResults(results)) = second.messages.last() else {
        panic!("no results")
    };
    let told: Vec<(&str, bool)> = results
        .iter()
        .map(|result| (result.content.as_str(), result.is_error))
        .collect();
    assert_eq!(
        told,
        [
            ("unknown tool \"rm_rf\"", true),
            ("`file` must be a string", true),
            ("unknown tool \"diff_stats\"", true)
        ]
    );

    let stub = Stub::new();
    for _ in 0..20 {
        stub.answer("performance", stub::asks(&[("diff_stats", json!({}))]));
    }
    let failure = reviewer(stub.clone())
        .review(first(), stored(SMALL), &Recorded::new())
        .await
        .expect_err("no end");
    assert_eq!(
        failure.message,
        "agent performance used its 12 turns without an answer"
    );
    let calls: Vec<bool> = stub
        .calls()
        .iter()
        .filter(|call| call.agent == "performance")
        .map(|call| call.must_answer)
        .collect();
    assert_eq!(
        (
            calls.len(),
            calls.iter().filter(|must| **must).count(),
            calls.last()
        ),
        (12, 1, Some(&true))
    );
}

#[tokio::test]
async fn a_silent_model_is_a_time_out_that_may_pass() {
    let stub = Stub::new();
    let _gate = stub.gate("performance", 0);
    let limits = Limits {
        wall: Duration::from_millis(20),
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(stub), github(NOWHERE), limits);
    let failure = reviewer
        .review(first(), stored(SMALL), &Recorded::new())
        .await
        .expect_err("too late");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Timeout, Retry::Later)
    );
}

#[tokio::test]
async fn a_model_that_quotes_a_secret_or_a_nul_cannot_spread_it() {
    let key = format!("ghp_{}", "q7Zr2Vx9Lm4Tn8Kp3Ws6Yd1Hb5Jc0Fg7Ra2Q");
    let stub = Stub::new();
    stub.answer(
        "security",
        stub::says(&format!(
            r#"[{{"severity":"block","file":"x.rs","line":2,"note":"{key}\u0000"}}]"#
        )),
    );
    stub.answer(
        "judge",
        stub::says(&format!(
            r#"{{"verdict":"request-changes","reason":"{key}\u0000"}}"#
        )),
    );
    let sinks = Recorded::new();
    let result = reviewer(stub)
        .review(first(), stored(SMALL), &sinks)
        .await
        .expect("a result");
    let heard = format!("{}{result:?}", sinks.everything());
    assert!(!heard.contains(&key) && !heard.contains("\\0") && heard.contains("ghp_…(masked)"));
    assert_eq!(result.findings[0].location(), "x.rs:2");
}

#[tokio::test]
async fn what_holds_nothing_to_review_is_refused_for_good() {
    let noise = SMALL.replace("x.rs", "Cargo.lock");
    for (text, message) in [
        ("", "the patch is empty"),
        (
            "hello",
            "this is not a unified diff: it has no `diff --git`, `---`/`+++` or `@@` line",
        ),
        (
            "diff --git a/p b/p\nBinary files a/p and b/p differ\n",
            "nothing to review: 1 binary file",
        ),
        (
            noise.as_str(),
            "nothing to review: 1 lock or generated file (Cargo.lock)",
        ),
    ] {
        let failure = offline()
            .review(first(), stored(text), &Recorded::new())
            .await
            .expect_err(text);
        assert_eq!(failure, Failure::lasting(FailureClass::Input, message));
    }
}

#[tokio::test]
async fn a_pull_request_is_reviewed_and_what_github_does_not_show_is_said() {
    let server = MockServer::start().await;
    let files = json!([
        {"filename": "src/a.rs", "status": "modified", "changes": 1, "patch": "@@ -1 +1,2 @@\n a\n+b"},
        {"filename": "src/b.rs", "previous_filename": "src/c.rs", "status": "renamed", "changes": 0},
        {"filename": "src/huge.rs", "status": "modified", "changes": 90_000},
        {"filename": "logo.png", "status": "added", "changes": 0},
        {"filename": "src/cut.rs", "status": "modified", "changes": 9, "patch": "@@ -1,9 +1,9 @@\n a"},
        {"filename": "yarn.lock", "status": "modified", "changes": 1, "patch": "@@ -1 +1 @@\n-a\n+b"},
    ]);
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(files))
        .mount(&server)
        .await;
    let reviewer = Reviewer::new(
        Arc::new(Offline::new(Duration::ZERO, 0.0)),
        github(&server.uri()),
        Limits::default(),
    );
    let sinks = Recorded::new();
    let result = reviewer.review(first(), pull(), &sinks).await.expect("a result");
    assert_eq!(
        told(&sinks)[1],
        "filter 1 files (1 noise dropped); not reviewed: 1 binary, 1 without a patch, 1 damaged"
    );
    let remarks: Vec<&str> = result
        .findings
        .iter()
        .map(|finding| finding.note.as_str())
        .collect();
    assert_eq!(
        remarks,
        [
            "Left out: 1 binary file (logo.png).",
            "Left out: 1 lock or generated file (yarn.lock).",
            "Left out: 1 file without changed lines (src/b.rs, before src/c.rs).",
            "Not reviewed: 1 file whose change GitHub does not show (src/huge.rs).",
            "Not reviewed: 1 file with a damaged patch (src/cut.rs).",
        ]
    );
    assert_eq!(result.verdict, Verdict::Approve);
    assert!(
        result.reason.contains("Not reviewed: 1 binary file (logo.png); "),
        "{}",
        result.reason
    );
}

#[tokio::test]
async fn a_secret_in_a_file_too_large_for_the_reviewers_is_found_all_the_same() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let long = "+let harmless = 1;\n".repeat(60_000);
    let text = format!("--- a/big.rs\n+++ b/big.rs\n@@ -1,0 +1,60001 @@\n{long}+let k = \"{key}\";\n{SMALL}");
    let sinks = Recorded::new();
    let result = offline()
        .review(first(), stored(&text), &sinks)
        .await
        .expect("a result");
    assert_eq!(result.findings[0].location(), "big.rs:60001");
    assert!(
        told(&sinks)[1].ends_with("; not reviewed: 1 too large"),
        "{}",
        told(&sinks)[1]
    );
    assert!(
        result.reason.contains("read by the tools only (big.rs)"),
        "{}",
        result.reason
    );
}
