//! What a collector gets: a real HTTP server that decodes it, one that is away, and one that is slow.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{
    Failure, FailureClass, JobId, ReviewResult, SpanEnd, SpanId, SpanKind, SpanStart, SpanStatus, Usage,
    Verdict, WorkerId,
};
use millstream::store::Lease;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use prost::Message as _;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(address: &str) -> OtlpSettings {
    let mut headers = HeaderMap::new();
    headers.insert("x-key", HeaderValue::from_static("k"));
    OtlpSettings {
        traces: format!("{address}/v1/traces").parse().expect("an address"),
        headers,
        service: "reviews".into(),
        queue: "reviews:queue".into(),
        group: "reviewers".into(),
    }
}

fn start(address: &str) -> (Exporter, Shipper) {
    Shipper::start(settings(address)).expect("a client")
}

fn lease() -> Lease {
    Lease {
        job: JobId::fresh(),
        attempt: 2,
        worker: WorkerId::fresh(),
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 5).expect("a time")
}

fn began(kind: SpanKind, name: &str, parent: Option<SpanId>, second: i64) -> SpanStart {
    SpanStart {
        id: SpanId::fresh(),
        parent,
        kind,
        name: name.into(),
        input: match kind {
            SpanKind::Llm => json!({"iteration": 0, "provider": "anthropic", "model": "claude-sonnet-4"}),
            _ => json!({"patches": "the diff"}),
        },
        at: at(second),
    }
}

fn ended(span: &SpanStart, error: Option<&str>, second: i64) -> SpanEnd {
    SpanEnd {
        id: span.id,
        status: if error.is_some() {
            SpanStatus::Error
        } else {
            SpanStatus::Ok
        },
        output: json!({"stopReason": "tool_use", "text": "the answer"}),
        error: error.map(str::to_owned),
        usage: Usage {
            input_tokens: 70,
            output_tokens: 7,
        },
        cost_usd: 0.25,
        model: (span.kind == SpanKind::Llm).then(|| "claude-sonnet-4-6".to_owned()),
        at: at(second),
    }
}

fn approved() -> Result<ReviewResult, Failure> {
    Ok(ReviewResult {
        verdict: Verdict::Approve,
        reason: "the reason".into(),
        findings: vec![],
        notes: vec![],
        usage: Usage::default(),
        cost_usd: 0.0,
    })
}

/// A collector that gives these answers, the last one for ever.
async fn collector(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let last = answers.len() - 1;
    for (place, answer) in answers.into_iter().enumerate() {
        let mock = Mock::given(method("POST"))
            .and(path("/v1/traces"))
            .and(header("content-type", "application/x-protobuf"))
            .and(header("x-key", "k"))
            .respond_with(answer);
        let mock = if place < last { mock.up_to_n_times(1) } else { mock };
        mock.mount(&server).await;
    }
    server
}

/// Everything a collector was sent, request by request.
async fn received(server: &MockServer) -> Vec<ExportTraceServiceRequest> {
    let requests = server.received_requests().await.unwrap_or_default();
    let decode = |request: &wiremock::Request| {
        ExportTraceServiceRequest::decode(request.body.as_slice()).expect("protobuf")
    };
    requests.iter().map(decode).collect()
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

fn read(attributes: &[KeyValue], key: &str) -> Value {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(list)) => json!(list.values.len()),
        _ => Value::Null,
    }
}

/// Sends one attempt with an agent, a turn and a call of a tool that fails. Answers the agent's id, and what arrived.
async fn a_review(lease: Lease) -> (SpanId, Vec<ExportTraceServiceRequest>) {
    let server = collector(vec![ResponseTemplate::new(200)]).await;
    let (exporter, shipper) = start(&server.uri());
    let traced = Traced::begin(&exporter, lease, Some(TRACEPARENT)).expect("sampled");
    let agent = began(SpanKind::Agent, "security", None, 1);
    let llm = began(SpanKind::Llm, "llm", Some(agent.id), 2);
    let tool = began(SpanKind::Tool, "diff_stats", Some(llm.id), 3);
    for span in [&agent, &llm, &tool] {
        traced.start(span);
    }
    traced.end(&ended(&llm, None, 4));
    traced.end(&ended(&tool, Some("broken"), 5));
    traced.end(&ended(&agent, None, 6));
    traced.finish(&approved());
    shipper.finish(PATIENCE).await;
    assert_eq!(exporter.missing(), 0);
    (agent.id, received(&server).await)
}

#[tokio::test]
async fn a_review_arrives_as_a_trace_below_the_submissions_span() {
    let lease = lease();
    let (agent, requests) = a_review(lease).await;
    let resource = requests[0].resource_spans[0]
        .resource
        .clone()
        .expect("a resource");
    assert_eq!(read(&resource.attributes, "service.name"), "reviews");
    let all: Vec<Span> = requests.iter().flat_map(spans).collect();
    let named = |name: &str| all.iter().find(|span| span.name == name).expect(name).clone();
    let root = named("process reviews:queue");
    let (agent_span, chat) = (named("invoke_agent security"), named("chat claude-sonnet-4"));
    let tool_span = named("execute_tool diff_stats");
    assert_eq!(all.len(), 4);

    let parents: Vec<&[u8]> = [&root, &agent_span, &chat, &tool_span]
        .map(|span| span.parent_span_id.as_slice())
        .to_vec();
    let producer = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    let expected: [&[u8]; 4] = [&producer, &root.span_id, &agent_span.span_id, &chat.span_id];
    assert_eq!(parents, expected);
    assert_eq!(agent_span.span_id, agent.0.as_bytes()[8..]);
    for span in &all {
        assert_eq!(
            (span.trace_id[0], span.trace_id.len(), span.span_id.len()),
            (0x0a, 16, 8)
        );
    }
    let kinds = [&root, &agent_span, &chat, &tool_span].map(|span| span.kind);
    assert_eq!(
        kinds,
        [Kind::Consumer, Kind::Internal, Kind::Client, Kind::Internal].map(i32::from)
    );
    assert_eq!(
        (chat.start_time_unix_nano, chat.end_time_unix_nano),
        (1_800_000_002_000_000_005, 1_800_000_004_000_000_005)
    );
    for (span, key, value) in [
        (&root, "messaging.system", json!("redis")),
        (&root, "messaging.operation.type", json!("process")),
        (&root, "messaging.destination.name", json!("reviews:queue")),
        (&root, "messaging.consumer.group.name", json!("reviewers")),
        (&root, "messaging.message.id", json!(lease.job.to_string())),
        (&root, "messaging.client.id", json!(lease.worker.to_string())),
        (&root, "millstream.attempt", json!(2)),
        (&root, "millstream.verdict", json!("approve")),
        (&agent_span, "gen_ai.operation.name", json!("invoke_agent")),
        (&agent_span, "gen_ai.agent.name", json!("security")),
        (&chat, "gen_ai.operation.name", json!("chat")),
        (&agent_span, "gen_ai.provider.name", json!("anthropic")),
        (&agent_span, "gen_ai.request.model", json!("claude-sonnet-4")),
        (&chat, "gen_ai.provider.name", json!("anthropic")),
        (&chat, "gen_ai.request.model", json!("claude-sonnet-4")),
        (&chat, "gen_ai.response.model", json!("claude-sonnet-4-6")),
        (&chat, "gen_ai.usage.input_tokens", json!(70)),
        (&chat, "gen_ai.usage.output_tokens", json!(7)),
        (&chat, "gen_ai.response.finish_reasons", json!(1)),
        (&chat, "millstream.cost_usd", json!(0.25)),
        (&tool_span, "gen_ai.tool.name", json!("diff_stats")),
        (&tool_span, "gen_ai.operation.name", json!("execute_tool")),
        (&tool_span, "error.type", json!("_OTHER")),
    ] {
        assert_eq!(read(&span.attributes, key), value, "{} {key}", span.name);
    }
    let status = tool_span.status.expect("it failed");
    assert_eq!((status.code, status.message.as_str()), (2, "broken"));
    assert!(chat.status.is_none() && root.status.is_none());
    let sent = format!("{requests:?}");
    for content in ["the diff", "the answer", "the reason"] {
        assert!(!sent.contains(content), "{content} has left");
    }
}

#[tokio::test]
async fn what_is_given_up_or_fails_leaves_as_an_error_and_masked() {
    let server = collector(vec![ResponseTemplate::new(200)]).await;
    let (exporter, shipper) = start(&server.uri());
    let traced = Traced::begin(&exporter, lease(), None).expect("sampled");
    traced.start(&began(SpanKind::Agent, "ux", None, 0));
    drop(traced);
    let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
    let failed = Traced::begin(&exporter, lease(), None).expect("sampled");
    failed.finish(&Err(Failure::passing(FailureClass::Github, format!("no: {key}"))));
    let unsampled = TRACEPARENT.replace("-01", "-00");
    assert!(Traced::begin(&exporter, lease(), Some(&unsampled)).is_none());
    shipper.finish(PATIENCE).await;

    let all: Vec<Span> = received(&server).await.iter().flat_map(spans).collect();
    let told: Vec<(&str, i32, Value)> = all
        .iter()
        .map(|span| {
            let code = span.status.as_ref().map_or(0, |status| status.code);
            (span.name.as_str(), code, read(&span.attributes, "error.type"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("invoke_agent ux", 2, json!("_OTHER")),
            ("process reviews:queue", 2, json!("given_up")),
            ("process reviews:queue", 2, json!("github")),
        ]
    );
    let sent = format!("{all:?}");
    assert!(sent.contains("AKIA…(masked)") && !sent.contains(&key));
}

#[tokio::test]
async fn a_turn_that_fails_says_whom_it_asked_and_which_fault_it_was() {
    let server = collector(vec![ResponseTemplate::new(200)]).await;
    let (exporter, shipper) = start(&server.uri());
    let traced = Traced::begin(&exporter, lease(), None).expect("sampled");
    let agent = began(SpanKind::Agent, "security", None, 1);
    let (one, two) = (
        began(SpanKind::Llm, "llm", Some(agent.id), 2),
        began(SpanKind::Llm, "llm", Some(agent.id), 3),
    );
    traced.start(&agent);
    traced.start(&one);
    let late = SpanEnd {
        output: json!({"fault": "time used up"}),
        ..ended(&one, Some("too late"), 4)
    };
    traced.end(&late);
    traced.end(&ended(&agent, Some("too late"), 5));
    // A turn that is given up with its attempt.
    traced.start(&two);
    drop(traced);
    shipper.finish(PATIENCE).await;

    let all: Vec<Span> = received(&server).await.iter().flat_map(spans).collect();
    let told: Vec<[Value; 4]> = all[..3]
        .iter()
        .map(|span| {
            let read = |key: &str| read(&span.attributes, key);
            [
                json!(span.name),
                read("gen_ai.provider.name"),
                read("gen_ai.request.model"),
                read("error.type"),
            ]
        })
        .collect();
    let row = |name: &str, error: &str| [name, "anthropic", "claude-sonnet-4", error].map(|word| json!(word));
    assert_eq!(
        told,
        [
            row("chat claude-sonnet-4", "time used up"),
            row("invoke_agent security", "time used up"),
            row("chat claude-sonnet-4", "_OTHER"),
        ]
    );
    assert_eq!(read(&all[0].attributes, "gen_ai.response.model"), Value::Null);
}

/// Sends so many attempts of one span each.
fn send(exporter: &Exporter, count: usize) {
    for _ in 0..count {
        let traced = Traced::begin(exporter, lease(), None).expect("sampled");
        traced.finish(&approved());
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_the_same_spans_again() {
    let busy = || ResponseTemplate::new(503).insert_header("retry-after", "0");
    let server = collector(vec![busy(), busy(), ResponseTemplate::new(200)]).await;
    let (exporter, shipper) = start(&server.uri());
    send(&exporter, 3);
    shipper.finish(PATIENCE).await;
    let requests = received(&server).await;
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| *request == requests[0]) && spans(&requests[0]).len() == 3);
    assert_eq!(exporter.missing(), 0);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_sent_again() {
    let refused = ExportTracePartialSuccess {
        rejected_spans: 2,
        error_message: "too old".into(),
    };
    let partly = ExportTraceServiceResponse {
        partial_success: Some(refused),
    };
    let partly = ResponseTemplate::new(200).set_body_bytes(partly.encode_to_vec());
    for (answer, missing) in [(ResponseTemplate::new(400), 3), (partly, 2)] {
        let server = collector(vec![answer]).await;
        let (exporter, shipper) = start(&server.uri());
        send(&exporter, 3);
        shipper.finish(PATIENCE).await;
        assert_eq!((received(&server).await.len(), exporter.missing()), (1, missing));
    }
}

#[tokio::test]
async fn a_collector_that_is_away_or_slow_holds_nobody_up() {
    let silent = ResponseTemplate::new(200).set_delay(PATIENCE);
    let slow = collector(vec![silent]).await;
    for address in [slow.uri(), "http://127.0.0.1:9".to_owned()] {
        let (exporter, shipper) = start(&address);
        // More than the queue holds, and nobody takes any of it while this runs.
        send(&exporter, 5_000);
        assert_eq!(exporter.missing(), 5_000 - 2_048);
        shipper.finish(Duration::from_millis(50)).await;
    }
}
