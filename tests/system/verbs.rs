//! The verbs find a running demo by themselves, and their JSON has the shape that scripts rely on.

use std::collections::HashMap;

use insta::assert_json_snapshot;
use insta::internals::Content;
use rustix::process::Signal;
use serde_json::Value;

use super::demo::{one_at_a_time, standing};
use super::patch;
use crate::support::Home;

/// What stands where a time in seconds stood.
fn seconds(value: &Content) -> &'static str {
    match value {
        Content::F64(_) => "[seconds]",
        _ => "[no number of seconds]",
    }
}

/// The same, where there may be none.
fn seconds_or_none(value: &Content) -> &'static str {
    match value {
        Content::F64(_) | Content::None | Content::Unit => "[seconds or none]",
        _ => "[no number of seconds]",
    }
}

/// The spans of an attempt by where they are: `agent security/llm 0/tool scan_for_secrets`.
fn tree(spans: &[Value]) -> Vec<String> {
    let by_id: HashMap<&str, &Value> = spans
        .iter()
        .map(|span| (span["span_id"].as_str().expect("an id"), span))
        .collect();
    let mut lines: Vec<String> = spans.iter().map(|span| place(span, &by_id)).collect();
    lines.sort();
    lines
}

fn place(span: &Value, all: &HashMap<&str, &Value>) -> String {
    let own = format!("{} {} {}", span["kind"], span["name"], span["status"]).replace('"', "");
    match span["parent"].as_str() {
        Some(parent) => format!("{} > {own}", place(all[parent], all)),
        None => own,
    }
}

async fn ask(home: &Home, args: &[&str]) -> Value {
    let ran = home.run(args).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
    ran.json()
}

#[tokio::test]
async fn every_verb_finds_the_demo_and_keeps_its_shape() {
    let _turn = one_at_a_time().await;
    let home = Home::new().with("OFFLINE_LATENCY", "50ms");
    let (demo, running) = standing(&home, &["--workers", "1"]).await;

    let ran = home
        .run(&["submit", &patch("committed-key"), "--wait", "--json"])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let review = ran.json();
    assert_json_snapshot!("submit", review, { ".id" => "[id]", ".tokens" => "[n]" });

    let status = ask(&home, &["status", "--json"]).await;
    assert_eq!(status["web_url"], running["web_url"]);
    let figures = [
        "waiting",
        "running",
        "retrying",
        "scheduled",
        "dead",
        "dropped",
        "cancelled",
        "done",
    ];
    let sum: i64 = figures
        .iter()
        .map(|name| status[*name].as_i64().expect("a count"))
        .sum();
    assert_eq!(status["accepted"], sum, "{status}");
    assert_json_snapshot!("status", status, {
        ".waiting" => "[n]", ".running" => "[n]", ".done" => "[n]", ".accepted" => "[n]",
        ".in_per_s" => "[rate]", ".out_per_s" => "[rate]", ".web_url" => "[url]",
        ".oldest_waiting_s" => insta::dynamic_redaction(|value, _| seconds_or_none(&value)),
        ".stream.entries" => "[n]", ".stream.pending" => "[n]",
    });

    let id = review["id"].as_str().expect("an id");
    let jobs = ask(&home, &["jobs", "--json"]).await;
    let job = jobs
        .as_array()
        .expect("a list")
        .iter()
        .find(|job| job["id"] == id);
    assert_json_snapshot!("job", job.expect("the job is listed"), {
        ".id" => "[id]", ".worker" => "[worker]", ".created_at" => "[time]",
        ".wait_s" => insta::dynamic_redaction(|value, _| seconds(&value)),
        ".run_s" => insta::dynamic_redaction(|value, _| seconds(&value)),
    });
    let done = ask(&home, &["jobs", "--state", "done", "--limit", "1", "--json"]).await;
    assert_eq!(done.as_array().map(Vec::len), Some(1));
    assert_eq!(done[0]["status"], "done");

    let workers = ask(&home, &["workers", "--json"]).await;
    assert_json_snapshot!("workers", workers, {
        "[].id" => "[worker]", "[].pid" => "[pid]", "[].host" => "[host]", "[].version" => "[version]",
        "[].state" => "[busy or idle]", "[].running" => "[n]", "[].done" => "[n]",
        "[].p50_s" => insta::dynamic_redaction(|value, _| seconds(&value)),
        "[].p95_s" => insta::dynamic_redaction(|value, _| seconds(&value)),
        "[].heartbeat_age_s" => insta::dynamic_redaction(|value, _| seconds(&value)),
    });

    let mut trace = ask(&home, &["trace", id, "--json"]).await;
    let spans = trace["attempts"][0]["spans"].as_array().expect("spans").clone();
    assert_json_snapshot!("trace_spans", tree(&spans));
    trace["attempts"][0]["spans"] = spans.into_iter().filter(|span| span["name"] == "judge").collect();
    assert_json_snapshot!("trace", trace, {
        ".id" => "[id]", ".attempts[].worker" => "[worker]", ".attempts[].started_at" => "[time]",
        ".attempts[].ended_at" => "[time]", ".attempts[].spans[].span_id" => "[id]",
        ".attempts[].spans[].started_at" => "[time]", ".attempts[].spans[].ended_at" => "[time]",
    });

    for words in [&["status"][..], &["jobs"], &["workers"], &["trace", id]] {
        let ran = home.run(words).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
        assert!(ran.stdout.lines().count() > 1, "{words:?}: {}", ran.stdout);
    }
    demo.signal(Signal::TERM);
    assert_eq!(demo.until_ended().await, 0, "{}", demo.stderr());
}

#[tokio::test]
async fn with_no_demo_and_no_settings_a_verb_says_what_to_type() {
    // The defaults are the usual ports of this machine: whoever serves there is somebody else's.
    let taken = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    if taken(5432) || taken(6379) {
        return eprintln!("somebody serves on a usual port: the defaults would find that server");
    }
    let home = Home::new();
    for verb in [
        &["status", "--json"][..],
        &["jobs"],
        &["workers"],
        &["trace", "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11"],
    ] {
        let ran = home.run(verb).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{verb:?}: {ran:?}");
        let complaint = ran.complaint();
        assert_eq!(complaint.len(), 2, "{complaint:?}");
        assert!(
            complaint[1].contains("./demo") && complaint[1].contains("VALKEY_URL"),
            "{complaint:?}"
        );
    }
}

#[tokio::test]
async fn a_review_that_nobody_knows_is_not_found() {
    let lab = super::Lab::new().await;
    let ran = lab
        .home
        .run(&["trace", "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11", "--json"])
        .await;
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(
        ran.complaint(),
        ["millstream: there is no review 6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11"]
    );
}
