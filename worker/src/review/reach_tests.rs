//! Reviews whose reviewers look beyond the diff.

use super::tests::hostile::hosted;
use super::tests::{NOWHERE, SMALL, first, github, pull, second, stored};
use super::*;
use crate::model::played::{Act, Played};
use crate::model::stub::{self, Stub};
use crate::model::{Block, Message, ToolCall, TurnAnswer};
use crate::reach::mcp::tests::{PROGRAM, program, tool};
use crate::reach::mcp::{McpServer, Way};
use millstream::domain::{Retry, Verdict};
use sinks::Recorded;
use std::time::Duration;
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

/// GitHub with a pull request whose repository has this file at its head.
async fn serve(file: &str, text: String) -> MockServer {
    let (server, head) = (MockServer::start().await, "1".repeat(40));
    let files = json!([{"filename": "src/a.rs", "status": "modified", "changes": 1,
                        "contents_url": format!("https://x/contents/src/a.rs?ref={head}"),
                        "patch": "@@ -1 +1,2 @@\n a\n+b"}]);
    Mock::given(path("/repos/acme/ledger/pulls/7/files"))
        .respond_with(ResponseTemplate::new(200).set_body_json(files))
        .mount(&server)
        .await;
    Mock::given(path(format!("/repos/acme/ledger/contents/{file}")))
        .and(query_param("ref", &head))
        .respond_with(ResponseTemplate::new(200).set_body_string(text))
        .mount(&server)
        .await;
    server
}

fn reviewer(model: impl Model + 'static, github_at: &str) -> Reviewer {
    Reviewer::new(Arc::new(model), github(github_at), Limits::default())
}

#[tokio::test]
async fn a_reviewer_reads_a_file_at_the_head_with_its_secrets_masked() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let server = serve("src/b.rs", format!("one\nlet k = \"{key}\";\n")).await;
    let stub = Stub::new();
    let calls = [
        ("read_file", json!({"path": "src/b.rs"})),
        ("read_file", json!({"path": "../b.rs"})),
        ("mcp_away_x", json!({})),
    ];
    stub.answer("security", stub::asks(&calls));
    let sinks = Recorded::new();
    let result = reviewer(stub.clone(), &server.uri())
        .with_servers(away())
        .review(first(), pull(), &sinks)
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
async fn a_secret_in_a_call_and_in_the_name_of_what_it_reads_is_masked() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let named = format!("src/{key}.rs");
    let server = serve(&named, "one\n".to_owned()).await;
    let call = |id: &str, name: &str, arguments: Value| {
        Block::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        })
    };
    let stub = Stub::new();
    let answer = TurnAnswer {
        blocks: vec![
            call(&key, "scan_for_secrets", json!({ "file": "src/a.rs" })),
            call("2", &key, json!({})),
            call("3", "read_file", json!({ "path": named })),
        ],
        ..stub::asks(&[])
    };
    stub.answer("security", answer);
    let sinks = Recorded::new();
    reviewer(stub.clone(), &server.uri())
        .review(first(), pull(), &sinks)
        .await
        .expect("a result");
    let told = results(&stub, "security");
    assert_eq!(told[1].0, "unknown tool \"AKIA…(masked)\"");
    assert!(told[2].0.contains("src/AKIA…(masked).rs"), "{}", told[2].0);
    // A call and its answer still belong together.
    let calls = stub.calls();
    let second = calls
        .iter()
        .find(|call| call.agent == "security" && call.turn == 1);
    let [_, Message::Assistant(said), Message::ToolResults(answers)] =
        &second.expect("a second turn").messages[..]
    else {
        panic!("{calls:?}");
    };
    for (said, answer) in said.iter().zip(answers) {
        assert!(
            matches!(said, Block::ToolCall(call) if call.id == answer.id),
            "{said:?}"
        );
    }
    let everywhere = format!("{calls:?}{}", sinks.everything());
    assert!(!everywhere.contains("Q7FAKE"), "{everywhere}");
}

#[tokio::test]
async fn a_patch_has_no_head_to_read() {
    let stub = Stub::new();
    stub.answer("security", stub::asks(&[("read_file", json!({"path": "x.rs"}))]));
    reviewer(stub.clone(), NOWHERE)
        .review(first(), stored(SMALL), &Recorded::new())
        .await
        .expect("a result");
    assert_eq!(
        results(&stub, "security"),
        [("unknown tool \"read_file\"".to_owned(), true)]
    );
}

#[tokio::test]
async fn secrets_that_their_line_or_a_line_above_gives_away_are_masked_in_a_file_too() {
    // Put together here, so that no scanner finds them in this file.
    let (env, yaml) = ("q7Zr2Vx9Lm4Tn8Kp3Ws6", "Yd1Hb5Jc0Fg7Ra2Qn8Kp");
    let (key, tail) = (format!("AKIA{}", "Q7FAKE2DEMO4KEY5"), "Q7FAKE2DEMO4KEY5");
    let body = [
        "MIIEpAIBAAKCAQEAq7Zr2Vx9Lm4Tn8Kp3Ws6",
        "Yd1Hb5Jc0Fg7Ra2QzXcVbNmAsDfGhJkL",
    ];
    let quoted = "Tn8Kp3Ws6Yd1Hb5Jc0Fg";
    let lines = [
        "name = ledger".to_owned(),
        format!("DB_PASSWORD={env}"),
        format!("api_key: {yaml}"),
        key,
        format!("password = \"{quoted}\""),
        format!("-----BEGIN {} KEY-----", "PRIVATE"),
        body[0].to_owned(),
        body[1].to_owned(),
        format!("-----END {} KEY-----", "PRIVATE"),
        "the end".to_owned(),
    ];
    let server = serve("deploy/all", lines.join("\n")).await;
    let stub = Stub::new();
    let calls = [
        ("read_file", json!({"path": "deploy/all"})),
        ("read_file", json!({"path": "deploy/all", "start": 4, "end": 4})),
        ("read_file", json!({"path": "deploy/all", "start": 8, "end": 10})),
    ];
    stub.answer("security", stub::asks(&calls));
    let sinks = Recorded::new();
    reviewer(stub.clone(), &server.uri())
        .review(first(), pull(), &sinks)
        .await
        .expect("a result");
    let told = results(&stub, "security");
    // The lines are where they were.
    for (answer, shown) in told.iter().zip([1..=10, 4..=4, 8..=10]) {
        let answer: Value = serde_json::from_str(&answer.0).expect("JSON");
        let text = answer["text"].as_str().expect("a text");
        assert_eq!(
            (text.lines().count(), &answer["end"], &answer["of"]),
            (shown.clone().count(), &json!(shown.end()), &json!(10))
        );
        assert!(text.contains("(masked)"), "{text}");
    }
    assert!(told[0].0.contains("name = ledger") && told[2].0.contains("the end"));
    // Prompts, spans and checkpoints.
    let everywhere = format!("{:?}{}", stub.calls(), sinks.everything());
    for secret in [env, yaml, tail, quoted, body[0], body[1]] {
        assert!(!everywhere.contains(secret), "{secret} has leaked");
    }
}

#[tokio::test]
async fn tools_that_a_provider_refuses_are_left_out_and_the_review_goes_on() {
    let played = Played::start().await.expect("a port");
    played.direct(|seen| {
        if seen.body["tools"].to_string().contains("mcp_t_echo") {
            Act::status(400)
        } else {
            Act::usual(seen)
        }
    });
    let review = || async {
        let servers = McpServers::new(vec![program(PROGRAM, &json!([tool("echo")]))]);
        let reviewer = reviewer(hosted(&played), NOWHERE).with_servers(servers);
        reviewer.review(first(), stored(SMALL), &Recorded::new()).await
    };
    let result = review().await.expect("a result");
    assert_eq!(result.verdict, Verdict::Approve);
    let asked = |agent: &str| played.seen().iter().filter(|seen| seen.agent() == agent).count();
    assert_eq!((asked("security"), asked("judge")), (2, 1));

    // One that refuses them all the same is not asked for ever.
    played.direct(|_| Act::status(400));
    played.forget();
    let failure = review().await.expect_err("it is refused");
    assert_eq!((failure.retry, asked("security")), (Retry::Never, 2), "{failure}");
}

#[tokio::test]
async fn calls_end_with_the_agents_time_and_their_turn_is_kept() {
    let stub = Stub::new();
    let slow = ("mcp_t_slow", json!({}));
    stub.answer("security", stub::asks(&[slow.clone(), slow]));
    let servers = McpServers::new(vec![program(PROGRAM, &json!([tool("slow")]))]);
    // Far less than the half minute that a call has.
    let limits = Limits {
        wall: Duration::from_secs(1),
        ..Limits::default()
    };
    let reviewer = Reviewer::new(Arc::new(stub.clone()), github(NOWHERE), limits);
    let reviewer = reviewer.with_servers(servers);
    let (run, sinks) = (first(), Recorded::new());
    let failure = reviewer
        .review(run, stored(SMALL), &sinks)
        .await
        .expect_err("its time is over");
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::Timeout, Retry::Later),
        "{failure}"
    );
    assert!(
        sinks.steps().contains(&"security/0".to_owned()),
        "{:?}",
        sinks.steps()
    );
    assert_eq!(sinks.starts().len(), sinks.ends().len(), "no span is left open");

    let result = reviewer
        .review(second(run), stored(SMALL), &sinks.resumed())
        .await;
    result.expect("a result");
    assert_eq!(stub.count("security", 0), 1, "the turn is not paid again");
    let told = results(&stub, "security");
    for (content, wrong) in &told {
        assert!(
            *wrong && content.contains("call again if you still need it"),
            "{content}"
        );
    }
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn a_conversation_grows_so_far_and_then_must_be_answered() {
    let line = format!("{}\n", "x".repeat(149));
    let server = serve("deploy/all", line.repeat(200)).await;
    let stub = Stub::new();
    let call = ("read_file", json!({"path": "deploy/all"}));
    let calls: Vec<_> = std::iter::repeat_n(call, 9).collect();
    stub.answer("security", stub::asks(&calls));
    reviewer(stub.clone(), &server.uri())
        .review(first(), pull(), &Recorded::new())
        .await
        .expect("a result");
    let told = results(&stub, "security");
    let chars: usize = told.iter().map(|(content, _)| content.chars().count()).sum();
    let room = stub.prompt_chars() / 2;
    assert!(chars > room - 1_000 && chars < room + 1_000, "{chars}");
    let (last, wrong) = told.last().expect("an answer");
    assert!(*wrong && last.contains("answer with what you have"), "{last}");
    let calls = stub.calls();
    let must: Vec<bool> = calls
        .iter()
        .filter(|call| call.agent == "security")
        .map(|call| call.must_answer)
        .collect();
    assert_eq!(must, [false, true]);
}
