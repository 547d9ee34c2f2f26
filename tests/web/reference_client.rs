//! Clients of the reference in front of our producer: its page, which polls, and its reader of events.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ask, offline, world_and_producer};
use crate::support::World;
use crate::support::reviews::COMMITTED_KEY;

/// The columns of the reference's three tables, as its answers name them.
const REVIEW: [&str; 11] = [
    "id",
    "pr_url",
    "status",
    "verdict",
    "reason",
    "source",
    "workflow",
    "input_tokens",
    "output_tokens",
    "created_at",
    "updated_at",
];
const FINDING: [&str; 5] = ["id", "review_id", "agent", "note", "created_at"];
const SPAN: [&str; 11] = [
    "span_id",
    "run_id",
    "parent_span_id",
    "name",
    "kind",
    "status",
    "input",
    "output",
    "error",
    "started_at",
    "ended_at",
];

fn has_all(object: &Value, names: &[&str]) {
    for name in names {
        assert!(object.get(name).is_some(), "{name} in {object}");
    }
}

/// What the reference's page does: submit, then ask for the list and the open review while any of them is `running`
/// or `queued`.
#[tokio::test]
async fn the_references_page_polls_ours_to_the_end() {
    let (world, producer) = world_and_producer().await;
    let sent = ask(producer.post(json!({ "patch": COMMITTED_KEY }).to_string()))
        .await
        .json();
    assert_eq!(sent["status"], "queued");
    let id = sent["id"].as_str().expect("an id").to_owned();
    let worker = world.reviewer(offline(), World::engine());
    let done = crate::support::until("the page has nothing more to ask for", || async {
        let list = producer.get_json("/api/reviews").await;
        let rows = list.as_array().expect("a bare list");
        let at_work = |row: &&Value| matches!(row["status"].as_str(), Some("running" | "queued"));
        if rows.iter().find(at_work).is_some() {
            return None;
        }
        Some(producer.get_json(&format!("/api/reviews/{id}")).await)
    })
    .await;
    has_all(&done["review"], &REVIEW);
    assert_eq!(
        (&done["review"]["status"], &done["review"]["verdict"]),
        (&json!("done"), &json!("request-changes"))
    );
    let (findings, spans) = (&done["findings"], &done["spans"]);
    assert!(
        findings.as_array().is_some_and(|all| all.len() >= 3)
            && spans.as_array().is_some_and(|all| !all.is_empty())
    );
    findings
        .as_array()
        .into_iter()
        .flatten()
        .for_each(|one| has_all(one, &FINDING));
    spans
        .as_array()
        .into_iter()
        .flatten()
        .for_each(|one| has_all(one, &SPAN));
    assert_eq!(
        producer
            .get("/api/workflows")
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
    worker.drain().await;
}

/// What its reader of events does: it knows `data:` lines and nothing else, and leaves at the first `error` or at `done`.
#[tokio::test]
async fn the_references_reader_of_events_hears_what_it_knows_and_leaves() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(COMMITTED_KEY).await;
    let mut response = producer
        .get(&format!("/api/reviews/{id}/stream"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let worker = world.reviewer(offline(), World::engine());
    let (mut text, mut told): (String, Vec<Value>) = Default::default();
    while told
        .last()
        .is_none_or(|event| event["type"] != "error" && event["phase"] != "done")
    {
        let chunk = tokio::time::timeout(Duration::from_secs(30), response.chunk()).await;
        let chunk = chunk
            .expect("in time")
            .expect("the line holds")
            .expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let lines: String = text.drain(..whole).collect();
        let data = lines.lines().filter_map(|line| line.strip_prefix("data: "));
        told.extend(data.map(|json| serde_json::from_str::<Value>(json).expect("JSON")));
    }
    let kinds: Vec<&str> = told.iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(
        kinds
            .iter()
            .all(|kind| ["phase", "agent_start", "agent_done", "error"].contains(kind)),
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "agent_done").count(),
        2,
        "{kinds:?}"
    );
    worker.drain().await;
}
