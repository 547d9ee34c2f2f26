//! The document and the code: every route is in it, and what it says of an answer is what comes.

use millstream::domain::JobState;
use serde_json::{Map, Value, json};

use super::{Answer, Producer, ask, offline, world_and_producer};
use crate::support::World;
use crate::support::reviews::COMMITTED_KEY;

/// What a part of the document refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .expect("it is there"),
        None => schema,
    }
}

/// Checks that a value is what a schema says, member by member; `at` says where.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().find(|choice| {
            let wants_null = choice["type"] == "null";
            wants_null == value.is_null()
        });
        return check(document, fitting.expect("one of them fits"), value, at);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        // Any value.
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) if kinds.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(
        kinds.contains(&kind),
        "{at} is {value}, the document says {kinds:?}"
    );
    match value {
        Value::Array(items) => {
            for item in items {
                check(document, &schema["items"], item, &format!("{at}[]"));
            }
        }
        Value::Object(members) => check_members(document, schema, members, at),
        _ => {}
    }
}

fn check_members(document: &Value, schema: &Value, members: &Map<String, Value>, at: &str) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (name, value) in members {
        let property = properties.get(name);
        let property = property.unwrap_or_else(|| panic!("{at}.{name} is not in the document"));
        check(document, property, value, &format!("{at}.{name}"));
    }
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        assert!(members.contains_key(name), "{at}.{name} is required and missing");
    }
}

/// Checks an answer against what the document says of it.
fn check_answer(document: &Value, (method, path): (&str, &str), answer: &Answer) {
    let status = answer.status.as_str().to_owned();
    let said = &document["paths"][path][method]["responses"][&status];
    assert!(
        said.is_object(),
        "{method} {path} answered {status}, which the document does not know"
    );
    let Some(content) = said["content"].as_object() else {
        assert_eq!(answer.body, "", "{method} {path} {status}");
        return;
    };
    let kind = answer.header("content-type").expect("a type");
    let (_, media) = content
        .iter()
        .find(|(known, _)| *known == kind)
        .unwrap_or_else(|| panic!("{method} {path} {status} is {kind}"));
    if kind.ends_with("json") {
        check(
            document,
            &media["schema"],
            &answer.json(),
            &format!("{method} {path} {status}"),
        );
    }
}

async fn call(producer: &Producer, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let method = method.to_uppercase().parse().expect("a method");
    let mut request = producer
        .client
        .request(method, format!("{}{path}", producer.address));
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    ask(request).await
}

#[tokio::test]
async fn what_the_document_says_is_what_comes() {
    let (world, producer) = world_and_producer().await;
    let document = producer.get_json("/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    let id = producer.submit(COMMITTED_KEY).await;
    let worker = world.reviewer(offline(), World::engine());
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    let waits = producer.submit(COMMITTED_KEY).await;
    let submission =
        json!({ "patch": COMMITTED_KEY, "priority": "high", "notBefore": "2099-01-01T00:00:00Z" });
    let unknown = "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11";
    let list = [
        "/api/reviews",
        "/api/reviews?limit=x",
        "/api/reviews?state=done&limit=1",
    ];
    let mut asked: Vec<(&str, &str, String, Option<Value>)> = list
        .into_iter()
        .map(|path| ("get", "/api/reviews", path.to_owned(), None))
        .collect();
    for body in [json!({}), json!({ "patch": "x" }), submission] {
        asked.push(("post", "/api/reviews", "/api/reviews".to_owned(), Some(body)));
    }
    for (pattern, method) in [
        ("/api/reviews/{id}", "get"),
        ("/api/reviews/{id}/stream", "get"),
        ("/api/reviews/{id}/cancel", "post"),
        ("/api/reviews/{id}/retry", "post"),
    ] {
        for one in [id.to_string(), unknown.to_owned(), "7".to_owned()] {
            asked.push((method, pattern, pattern.replace("{id}", &one), None));
        }
    }
    asked.push((
        "post",
        "/api/reviews/{id}/cancel",
        format!("/api/reviews/{waits}/cancel"),
        None,
    ));
    asked.push((
        "get",
        "/api/reviews/{id}",
        format!("/api/reviews/{id}?wait=x"),
        None,
    ));
    for path in ["/healthz", "/readyz", "/metrics"] {
        asked.push(("get", path, path.to_owned(), None));
    }
    for (method, pattern, path, body) in &asked {
        let answer = call(&producer, method, path, body.as_ref()).await;
        check_answer(&document, (method, pattern), &answer);
    }
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let known = asked
                .iter()
                .any(|(asked, pattern, ..)| asked == method && pattern == path);
            assert!(
                known,
                "nobody asks whether {method} {path} is as the document says"
            );
        }
    }
}
