//! Reviews whose reviewers look beyond the diff.

use super::tests::{first, github, stored};
use super::*;
use crate::model::Message;
use crate::model::stub::{self, Stub};
use crate::reach::mcp::{McpServer, Way};
use millstream::domain::Verdict;
use sinks::Recorded;
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn away() -> McpServers {
    let command = "/there/is/no/such/program".to_owned();
    McpServers::new(vec![McpServer {
        name: "away".into(),
        way: Way::Program {
            command,
            args: vec![],
            env: Default::default(),
        },
    }])
}

/// The answers to the calls of the reviewer's first turn.
fn results(stub: &Stub, agent: &str) -> Vec<(String, bool)> {
    let calls = stub.calls();
    let second = calls.iter().find(|call| call.agent == agent && call.turn == 1);
    let Some(Message::ToolResults(results)) = second.and_then(|call| call.messages.last()) else {
        panic!("no results")
    };
    results
        .iter()
        .map(|result| (result.content.clone(), result.is_error))
        .collect()
}

#[tokio::test]
async fn a_reviewer_reads_a_file_at_the_head_with_its_secrets_masked() {
    let (server, head) = (MockServer::start().await, "1".repeat(40));
    let files = json!([{"filename": "src/a.rs", "status": "modified", "changes": 1,
                        "contents_url": format!("https://x/contents/src/a.rs?ref={head}"),
                        "patch": "@@ -1 +1,2 @@\n a\n+b"}]);
    Mock::given(path("/repos/acme/ledger/pulls/7/files"))
        .respond_with(ResponseTemplate::new(200).set_body_json(files))
        .mount(&server)
        .await;
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    Mock::given(path("/repos/acme/ledger/contents/src/b.rs"))
        .and(query_param("ref", &head))
        .respond_with(ResponseTemplate::new(200).set_body_string(format!("one\nlet k = \"{key}\";\n")))
        .mount(&server)
        .await;
    let stub = Stub::new();
    let calls = [
        ("read_file", json!({"path": "src/b.rs"})),
        ("read_file", json!({"path": "../b.rs"})),
        ("mcp_away_x", json!({})),
    ];
    stub.answer("security", stub::asks(&calls));
    let sinks = Recorded::new();
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(&server.uri()), Limits::default());
    let pull = Source::PullRequest(
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address"),
    );
    let result = reviewer
        .with_servers(away())
        .review(first(), pull, &sinks)
        .await
        .expect("a result");
    assert_ne!(result.verdict, Verdict::RequestChanges);
    let told = results(&stub, "security");
    assert!(
        told[0].0.contains("let k = ") && told[0].0.contains("AKIA…(masked)"),
        "{}",
        told[0].0
    );
    assert_eq!(
        told.iter().map(|(_, wrong)| *wrong).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert!(
        !format!("{}{told:?}", sinks.everything()).contains(&key),
        "the key has leaked"
    );
    let offered = |agent: &str| -> Vec<String> {
        let calls = stub.calls();
        let call = calls.iter().find(|call| call.agent == agent).expect("a call");
        call.tools.iter().map(|tool| tool.name.clone()).collect()
    };
    assert_eq!(offered("performance"), ["diff_stats", "read_file"]);
    assert!(offered("judge").is_empty());
}

#[tokio::test]
async fn a_patch_has_no_head_to_read() {
    let stub = Stub::new();
    stub.answer("security", stub::asks(&[("read_file", json!({"path": "x.rs"}))]));
    let reviewer = Reviewer::new(
        Arc::new(stub.clone()),
        github("http://127.0.0.1:9"),
        Limits::default(),
    );
    let text = "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,2 @@\n a\n+b\n";
    reviewer
        .review(first(), stored(text), &Recorded::new())
        .await
        .expect("a result");
    assert_eq!(
        results(&stub, "security"),
        [("unknown tool \"read_file\"".to_owned(), true)]
    );
}
