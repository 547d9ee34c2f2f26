//! Tools of a server that is made with the official SDK, another one than ours: on pipes, and over HTTP.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use millstream::domain::{JobId, ReviewResult, StoredDiff};
use millstream_worker::agent::Limits;
use millstream_worker::github::{Github, GithubSettings};
use millstream_worker::model::Message;
use millstream_worker::model::stub::{self, Stub};
use millstream_worker::reach::McpServers;
use millstream_worker::reach::mcp::{McpServer, Way};
use millstream_worker::review::sinks::Recorded;
use millstream_worker::review::{Reviewer, RunId, Source};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::support::python::{self, Python};
use crate::support::reviews::KEY;
use crate::support::{PATIENCE, until};

const SDK: &str = "mcp==2.3.0";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/worker/mcp/server.py");
const HEADER: &str = "Bearer k3y";

/// The SDK, fetched by whichever test is first.
async fn sdk() -> &'static Python {
    static SDK_ONCE: OnceCell<Python> = OnceCell::const_new();
    let constraints = include_str!("mcp/constraints.txt");
    SDK_ONCE.get_or_init(|| python::with(SDK, constraints)).await
}

/// The server on pipes, which our client has started. Where that took longer than a review waits, it starts anew.
async fn on_pipes() -> McpServers {
    let python = sdk().await;
    until("the server on pipes offers its tools", || async {
        let servers = program(python);
        (!servers.tools().await.is_empty()).then_some(servers)
    })
    .await
}

fn program(python: &Python) -> McpServers {
    let packages = python.packages.display().to_string();
    let unwritten = ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    let way = Way::Program {
        command: python.program.clone(),
        args: vec![SERVER.to_owned()],
        env: BTreeMap::from([("PYTHONPATH".to_owned(), packages), unwritten]),
    };
    McpServers::new(vec![McpServer {
        name: "real".into(),
        way,
    }])
}

/// The server over HTTP, which lets nobody in without the header; it ends with the test.
async fn over_http() -> (Child, McpServers) {
    let python = sdk().await;
    let mut server = Command::new(&python.program)
        .args([SERVER, HEADER])
        .env("PYTHONPATH", &python.packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let mut said = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let port = tokio::time::timeout(PATIENCE, said.next_line()).await;
    let port = port.expect("it says its port").expect("text").expect("a line");
    let mut header = HeaderValue::from_static(HEADER);
    header.set_sensitive(true);
    let way = Way::Address {
        url: format!("http://127.0.0.1:{port}/mcp")
            .parse()
            .expect("an address"),
        headers: vec![(AUTHORIZATION, header)],
    };
    let server_there = McpServer {
        name: "real".into(),
        way,
    };
    (server, McpServers::new(vec![server_there]))
}

/// Reviews a small change with a model that calls these tools in its first turn; with what they answered.
async fn review(servers: &McpServers, calls: &[(&str, Value)]) -> (ReviewResult, Vec<(String, bool)>) {
    let stub = Stub::new();
    stub.answer("security", stub::asks(calls));
    let github = GithubSettings::at("http://127.0.0.1:9".parse().expect("an address"));
    let github = Github::new(github).expect("settings that work");
    let run = RunId {
        job: JobId::fresh(),
        attempt: 1,
    };
    let change = Source::Diff(StoredDiff {
        label: "patch:0a1b2c3d4e5f".into(),
        text: "--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,2 @@\n a\n+b\n".into(),
    });
    let sinks = Recorded::new();
    let result = Reviewer::new(Arc::new(stub.clone()), github, Limits::default())
        .with_servers(servers.clone())
        .review(run, change, &sinks)
        .await
        .expect("tools end no review");
    let asked = stub.calls();
    let second = asked
        .iter()
        .find(|call| call.agent == "security" && call.turn == 1);
    let Some(Message::ToolResults(told)) = second.and_then(|call| call.messages.last()) else {
        panic!("the model was told nothing: {asked:?}");
    };
    let told = told.iter().map(|one| (one.content.clone(), one.is_error));
    (result, told.collect())
}

/// What both ways must do alike.
async fn holds(servers: &McpServers) {
    let calls = [
        ("mcp_real_say", json!({"word": "look", "times": 2})),
        ("mcp_real_say", json!({"word": KEY})),
        ("mcp_real_say", json!({})),
        ("mcp_real_settings", json!({})),
        ("mcp_real_fail", json!({})),
    ];
    let (_, told) = review(servers, &calls).await;
    let [twice, key, none, settings, failed] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(twice, &("look look".to_owned(), false));
    assert_eq!(
        key,
        &("AKIA…(masked)".to_owned(), false),
        "it never got more than that"
    );
    assert!(none.1 && none.0.contains("word"), "{none:?}");
    let told: Value = serde_json::from_str(&settings.0).expect("JSON");
    assert_eq!(told["user"], "ledger");
    assert!(
        settings.0.contains("(masked)") && !settings.0.contains("Lm4Tn8Kp3Ws6"),
        "{settings:?}"
    );
    assert!(failed.1 && failed.0.contains("fail"), "{failed:?}");
}

#[tokio::test]
async fn a_review_calls_the_tools_of_a_real_server_on_pipes() {
    holds(&on_pipes().await).await;
}

#[tokio::test]
async fn a_review_calls_the_tools_of_a_real_server_over_http() {
    let (_server, servers) = over_http().await;
    holds(&servers).await;
}

#[tokio::test]
async fn a_real_server_that_dies_in_the_middle_of_a_call_ends_no_review_and_is_begun_again() {
    let servers = on_pipes().await;
    let say = ("mcp_real_say", json!({"word": "here"}));
    let (_, told) = review(&servers, &[("mcp_real_die", json!({})), say.clone()]).await;
    assert!(told[0].1 && told[1].1, "{told:?}");
    let (_, mut told) = review(&servers, std::slice::from_ref(&say)).await;
    if told[0].1 && told[0].0.contains("unknown tool") {
        // On a busy machine it can take a Python longer to begin again than a review waits for its tools.
        told = review(&on_pipes().await, &[say]).await.1;
    }
    assert_eq!(told, [("here".to_owned(), false)]);
}

#[tokio::test]
async fn a_real_server_over_http_that_dies_in_the_middle_of_a_call_ends_no_review() {
    let (mut server, servers) = over_http().await;
    let say = ("mcp_real_say", json!({"word": "here"}));
    let (_, told) = review(&servers, &[("mcp_real_die", json!({})), say.clone()]).await;
    assert!(told[0].1 && told[1].1, "{told:?}");
    let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
    ended.expect("it has ended").expect("it is our child");
    // The next review goes on without it.
    let (_, told) = review(&servers, &[say]).await;
    assert_eq!(told, [("unknown tool \"mcp_real_say\"".to_owned(), true)]);
}
