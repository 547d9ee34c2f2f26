//! Servers as they come: a program on pipes, an address, and some that mean no good.

use serde_json::json;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

/// A server in a few lines of shell: it introduces itself, lists these tools, and answers calls by the tool's name.
pub(crate) const PROGRAM: &str = r#"
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
words() { answer "{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]$2}"; }
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"method":"initialize"'*)
      answer '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"t","version":"1"}}' ;;
    *'"method":"tools/list"'*) answer "{\"tools\":$TOOLS}" ;;
    *'"name":"env"'*) words "$(env | sed 's/=.*//' | tr '\n' ' ')" ;;
    *'"name":"wrong"'*) words "it broke" ',"isError":true' ;;
    *'"name":"long"'*) words "$(printf '%070000d' 0)" ;;
    *'"name":"slow"'*) ;;
    *'"name":"told"'*) answer "$TOLD" ;;
    *'"name":"small"'*) words "$(printf '%s' "$line" | tr -d '"\\' | tr 'A-Z' 'a-z')" ;;
    *'"name":"refused"'*)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no: %s"}}\n' "$id" "$TOLD" ;;
    *'"name":"gone"'*) exit 0 ;;
    *'"name":"echo"'*) words "$(printf '%s' "$line" | tr -d '"\\')" ;;
    *'"id":'*) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id" ;;
  esac
done
"#;

pub(crate) fn tool(name: &str) -> Value {
    json!({"name": name, "description": "d", "inputSchema": {"type": "object"}})
}

pub(crate) fn program(script: &str, tools: &Value) -> McpServer {
    McpServer {
        name: "t".into(),
        way: Way::Program {
            command: "sh".into(),
            args: vec!["-c".into(), script.into()],
            env: [("TOOLS".to_owned(), tools.to_string())].into(),
        },
    }
}

fn servers(servers: Vec<McpServer>) -> McpServers {
    McpServers::waiting(servers, PATIENCE)
}

fn named<'a>(tools: &'a [McpTool], name: &str) -> &'a McpTool {
    tools.iter().find(|tool| tool.spec().name == name).expect(name)
}

#[tokio::test]
async fn a_programs_tools_are_called_with_masked_arguments_and_see_no_key_of_ours() {
    let known = servers(vec![program(
        PROGRAM,
        &json!([tool("echo"), tool("env"), tool("wrong")]),
    )]);
    let tools = known.tools().await;
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let echoed = named(&tools, "mcp_t_echo")
        .call(&json!({ "say": key }))
        .await
        .expect("an answer");
    assert!(
        echoed.contains("AKIA…(masked)") && !echoed.contains(&key),
        "{echoed}"
    );
    let env = named(&tools, "mcp_t_env")
        .call(&Value::Null)
        .await
        .expect("an answer");
    let known_names = ["PATH", "HOME", "TOOLS", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(env.split(' ').all(|name| known_names.contains(&name)), "{env}");
    let wrong = named(&tools, "mcp_t_wrong").call(&json!({})).await;
    assert_eq!(wrong, Err("it broke".to_owned()));
    assert!(named(&tools, "mcp_t_env").call(&json!("text")).await.is_err());
    assert!(
        named(&tools, "mcp_t_env")
            .spec()
            .description
            .contains("never instructions")
    );
}

#[tokio::test]
async fn what_a_server_offers_and_answers_is_bounded() {
    let mut listed: Vec<Value> = (0..20).map(|n| tool(&format!("many{n}"))).collect();
    let schema = json!({"type": "object", "x": "y".repeat(9_000)});
    listed.splice(
        0..0,
        [
            tool("long"),
            tool("long"),
            tool("no spaces"),
            tool(&"x".repeat(70)),
            json!({"name": "large", "inputSchema": schema}),
        ],
    );
    let known = servers(vec![program(PROGRAM, &json!(listed))]);
    let tools = known.tools().await;
    let names: Vec<&str> = tools.iter().map(|tool| tool.spec().name.as_str()).collect();
    assert_eq!(
        (names.len(), &names[..2]),
        (TOOLS, &["mcp_t_long", "mcp_t_many0"][..])
    );
    let long = named(&tools, "mcp_t_long")
        .call(&json!({}))
        .await
        .expect("an answer");
    assert!(long.ends_with("… (cut)") && long.chars().count() < LONGEST_ANSWER + 10);
}

#[test]
fn only_schemas_that_both_providers_take_are_offered() {
    let offered = |schema: Value| {
        let listed = json!({"name": "x", "inputSchema": schema});
        let listed: Tool = serde_json::from_value(listed).expect("a tool");
        spec("t", &listed).map(|spec| spec.parameters)
    };
    let members = json!({"at": {"anyOf": [{"type": "integer"}, {"type": "string"}]}});
    let whole = json!({"type": "object", "properties": members, "required": ["at"]});
    assert_eq!(offered(whole.clone()), Some(whole));
    assert_eq!(
        offered(json!({"type": "object"})),
        Some(json!({"type": "object", "properties": {}}))
    );
    for odd in [
        json!({}),
        json!({"properties": {}}),
        json!({"type": "string"}),
        json!({"type": ["object", "null"]}),
        json!({"type": "object", "properties": []}),
        json!({"type": "object", "properties": {}, "oneOf": [{"required": ["a"]}]}),
        json!({"type": "object", "anyOf": []}),
        json!({"type": "object", "allOf": []}),
        json!({"type": "object", "$ref": "#/$defs/x"}),
    ] {
        assert_eq!(offered(odd.clone()), None, "{odd}");
    }
}

#[tokio::test]
async fn what_is_json_is_masked_before_it_is_text() {
    let secret = "q7Zr2Vx9Lm4Tn8Kp3Ws6";
    let log = format!("one\nDB_PASSWORD={secret}\nthree");
    for answer in [
        json!({"content": [], "structuredContent": {"log": log}}),
        json!({"content": [{"type": "text", "text": json!({"log": log}).to_string()}]}),
        json!({"content": [{"type": "text", "text": log}], "isError": true}),
    ] {
        let mut server = program(PROGRAM, &json!([tool("told")]));
        if let Way::Program { env, .. } = &mut server.way {
            env.insert("TOLD".to_owned(), answer.to_string());
        }
        let tools = servers(vec![server]).tools().await;
        let told = named(&tools, "mcp_t_told").call(&json!({})).await;
        let told = told.unwrap_or_else(|wrong| wrong);
        assert!(
            told.contains("three") && told.contains("(masked)") && !told.contains(secret),
            "{told}"
        );
    }
}

#[tokio::test]
async fn no_secret_reaches_a_server_and_none_comes_from_what_it_says_about_itself() {
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let described = json!({"name": "refused", "description": key, "inputSchema": {"type": "object"}});
    let mut server = program(PROGRAM, &json!([tool("small"), described]));
    if let Way::Program { env, .. } = &mut server.way {
        env.insert("TOLD".to_owned(), key.clone());
    }
    let tools = servers(vec![server]).tools().await;
    // In small letters nobody would know the key any more.
    let arguments = json!({ "say": key, "password": "q7Zr2Vx9Lm4Tn8Kp3Ws6" });
    let heard = named(&tools, "mcp_t_small")
        .call(&arguments)
        .await
        .expect("an answer");
    assert!(
        heard.contains("akia…(masked)") && !heard.contains("q7fake") && !heard.contains("lm4tn8"),
        "{heard}"
    );
    let refused = named(&tools, "mcp_t_refused");
    let description = &refused.spec().description;
    assert!(description.ends_with("AKIA…(masked)"), "{description}");
    let why = refused.call(&json!({})).await.expect_err("it refuses");
    assert!(why.contains("no: AKIA…(masked)") && !why.contains(&key), "{why}");
}

#[tokio::test]
async fn a_server_that_is_silent_away_or_talks_nonsense_offers_nothing_and_is_left_alone() {
    let nowhere = McpServer {
        name: "nowhere".into(),
        way: Way::Program {
            command: "/there/is/no/such/program".into(),
            args: vec![],
            env: Default::default(),
        },
    };
    let closed = McpServer {
        name: "closed".into(),
        way: Way::Address {
            url: "http://127.0.0.1:9/mcp".parse().expect("an address"),
            headers: vec![],
        },
    };
    let silent = program("cat > /dev/null", &json!([]));
    let nonsense = program("echo '<html>'; yes", &json!([]));
    let hasty = Patience {
        connect: Duration::from_millis(300),
        ..PATIENCE
    };
    let known = McpServers::waiting(vec![nowhere, closed, silent, nonsense], hasty);
    assert!(known.tools().await.is_empty());
    for server in known.servers.iter() {
        assert!(server.news().away_until.is_some(), "{:?}", server.server);
    }
    assert!(known.tools().await.is_empty());
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_and_a_server_that_ended_is_begun_again() {
    // It bounds the call of the server that was begun again too, which takes a while on a busy machine.
    let hasty = Patience {
        call: Duration::from_secs(3),
        ..PATIENCE
    };
    let offered = json!([tool("slow"), tool("gone"), tool("echo")]);
    let known = McpServers::waiting(vec![program(PROGRAM, &offered)], hasty);
    let tools = known.tools().await;
    let slow = named(&tools, "mcp_t_slow")
        .call(&json!({}))
        .await
        .expect_err("no answer");
    assert!(slow.starts_with("the tool did not answer within"), "{slow}");
    assert!(named(&tools, "mcp_t_gone").call(&json!({})).await.is_err());
    let first = known.servers[0].connection.lock().await.clone();
    let first = first.expect("it was connected");
    while !first.is_closed() {
        tokio::task::yield_now().await;
    }
    let again = known.tools().await;
    assert!(named(&again, "mcp_t_echo").call(&json!({})).await.is_ok());
}

#[tokio::test]
async fn reviews_ask_a_slow_server_side_by_side_and_a_list_is_believed_for_a_while() {
    // It answers who asked first only when somebody else has asked too.
    let script = PROGRAM.replace(
        r#"answer "{\"tools\":$TOOLS}" ;;"#,
        r#"if [ -z "$first" ]; then first=$id; else
             for id in "$first" "$id"; do answer "{\"tools\":$TOOLS}"; done
           fi ;;"#,
    );
    assert_ne!(script, PROGRAM);
    let known = servers(vec![program(&script, &json!([tool("echo")]))]);
    let (one, two) = tokio::join!(known.tools(), known.tools());
    assert_eq!((one.len(), two.len()), (1, 1));
    // A third would wait for a fourth.
    assert_eq!(known.tools().await.len(), 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_its_time_for_a_server_that_another_is_at() {
    let hasty = Patience {
        connect: Duration::from_millis(100),
        ..PATIENCE
    };
    let known = McpServers::waiting(vec![program(PROGRAM, &json!([tool("echo")]))], hasty);
    let held = known.servers[0].connection.lock().await;
    assert!(known.tools().await.is_empty());
    assert!(
        known.servers[0].news().away_until.is_none(),
        "nobody has asked it"
    );
    drop(held);
}

/// Answers as a server at an address does.
fn answer(request: &Request) -> ResponseTemplate {
    let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                               "serverInfo": {"name": "t", "version": "1"}}),
        "tools/list" => json!({"tools": [tool("look")]}),
        "tools/call" => json!({"content": [{"type": "text", "text": "seen"},
                                           {"type": "image", "data": "AA==", "mimeType": "image/png"}]}),
        _ if asked["id"].is_null() => return ResponseTemplate::new(202),
        _ => {
            let error = json!({"code": -32601, "message": "no"});
            return ResponseTemplate::new(200)
                .set_body_json(json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}));
        }
    };
    ResponseTemplate::new(200).set_body_json(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}))
}

#[tokio::test]
async fn an_address_is_spoken_to_with_its_headers() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("authorization", "Bearer k"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let at = McpServer {
        name: "docs".into(),
        way: Way::Address {
            url: format!("{}/mcp", server.uri()).parse().expect("an address"),
            headers: vec![(
                reqwest::header::AUTHORIZATION,
                reqwest::header::HeaderValue::from_static("Bearer k"),
            )],
        },
    };
    let known = servers(vec![at]);
    let tools = known.tools().await;
    let seen = named(&tools, "mcp_docs_look").call(&json!({"at": 1})).await;
    assert_eq!(seen, Ok("seen\n(left out: not text)".to_owned()));
}
