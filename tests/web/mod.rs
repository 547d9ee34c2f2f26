//! The web producer on real servers, asked over HTTP.

mod access;
mod away;
mod bench;
mod browser;
mod callbacks;
mod contract;
mod cuts;
mod fuzz;
mod limits;
mod operations;
mod page;
mod process;
mod progress;
mod reference_client;
mod results;
mod silence;
mod stream;

use std::net::Ipv4Addr;

use insta::{Settings, assert_json_snapshot};
use millstream::domain::{JobId, JobState, Lane};
use millstream::queue::Wire;
use millstream_web::settings::WebSettings;
use millstream_web::{State, run};
use millstream_worker::model::Offline;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::World;
use crate::support::reviews::{CLEAN, COMMITTED_KEY, KEY};

/// The largest diff that the tests' producer takes.
const MAX_PATCH: usize = 10_000;

/// A producer that listens, and a client for it. It ends with its test.
struct Producer {
    address: String,
    client: reqwest::Client,
    stop: CancellationToken,
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Producer {
    async fn start(world: &World, token: Option<&str>) -> Self {
        Self::start_with(world, |web| web.token = token.map(Into::into)).await
    }

    /// A producer with other settings.
    async fn start_with(world: &World, change: impl FnOnce(&mut WebSettings)) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let mut web = WebSettings {
            address,
            max_patch: MAX_PATCH,
            // Tests of other things send as fast as they can.
            submit_rate: 0,
            ..WebSettings::default()
        };
        change(&mut web);
        let state = State::new(world.store.clone(), world.queue.clone(), &world.settings, &web);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the test's runtime, or at the stop"
        )]
        let _serving = tokio::spawn(async move { run(listener, state, stopped).await.expect("it serves") });
        let client = millstream_worker::http::builder().expect("TLS").no_proxy();
        Self {
            address: format!("http://{address}"),
            client: client.build().expect("a client"),
            stop,
        }
    }

    fn post(&self, body: impl Into<String>) -> RequestBuilder {
        self.post_as("application/json", body)
    }

    fn post_as(&self, kind: &str, body: impl Into<String>) -> RequestBuilder {
        let request = self.client.post(format!("{}/api/reviews", self.address));
        request.header("content-type", kind).body(body.into())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.address))
    }

    /// Submits a diff; answers its id.
    async fn submit(&self, patch: &str) -> JobId {
        let answer = ask(self.post(json!({ "patch": patch }).to_string())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("an id")
    }

    async fn get_json(&self, path: &str) -> Value {
        let answer = ask(self.get(path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

async fn ask(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await.expect("a body"),
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Checks that it is a problem of that status; answers its `error`.
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        for member in ["type", "title", "detail"] {
            assert!(
                body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {body}"
            );
        }
        body["error"].as_str().expect("the reference's member").to_owned()
    }
}

async fn world_and_producer() -> (World, Producer) {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    (world, producer)
}

fn offline() -> Offline {
    Offline::new(std::time::Duration::ZERO, 0.0)
}

async fn count(world: &World, table: &str) -> i64 {
    let query = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there")
}

/// Snapshots in which what differs from run to run is named instead.
fn redacted() -> Settings {
    let mut settings = Settings::clone_current();
    let redact: [(&str, &str); 13] = [
        (".**.id", "[id]"),
        (".**.review_id", "[id]"),
        (".**.span_id", "[id]"),
        (".**.run_id", "[id]"),
        (".**.created_at", "[time]"),
        (".**.updated_at", "[time]"),
        (".**.started_at", "[time]"),
        (".**.ended_at", "[time]"),
        (".**.input_tokens", "[n]"),
        (".**.output_tokens", "[n]"),
        (".**.inputTokens", "[n]"),
        (".**.outputTokens", "[n]"),
        (".**.tokens", "[n]"),
    ];
    for (selector, word) in redact {
        settings.add_redaction(selector, word);
    }
    settings
}

#[tokio::test]
async fn an_accepted_review_is_a_row_and_an_entry_and_its_address_is_told() {
    let (world, producer) = world_and_producer().await;
    let pull = "https://github.com/acme/ledger/pull/7";
    let time = "2099-01-01T00:00:00Z";
    for (body, lane, pr_url, state, entries) in [
        (json!({ "patch": CLEAN }), Lane::Own, "patch:", "waiting", 1),
        (json!({ "prUrl": pull }), Lane::Shared, pull, "waiting", 1),
        (
            json!({ "prUrl": pull, "notBefore": time }),
            Lane::Own,
            pull,
            "scheduled",
            0,
        ),
    ] {
        let answer = ask(producer.post(body.to_string())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let accepted = answer.json();
        let id = accepted["id"].as_str().expect("an id");
        assert_eq!(accepted, json!({ "id": id, "status": "queued", "state": state }));
        assert_eq!(
            answer.header("location"),
            Some(format!("/api/reviews/{id}").as_str())
        );
        let id: JobId = id.parse().expect("an id");
        let review = world
            .store
            .find_review(id)
            .await
            .expect("postgres")
            .expect("its row");
        assert!(
            review.pr_url.starts_with(pr_url) && review.status == "running",
            "{review:?}"
        );
        assert_eq!(review.state.as_deref(), Some(state));
        let (queue, id) = (&world.queue, id.to_string());
        let rows: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
            .arg(queue.keys().stream(lane))
            .arg("-")
            .arg("+")
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        let ours = rows
            .iter()
            .filter(|(_, fields)| fields.iter().any(|(_, value)| *value == id));
        assert_eq!(ours.count(), entries, "{rows:?}");
    }
}

#[tokio::test]
async fn what_the_api_tells_before_and_after_a_review_keeps_its_shape() {
    let (world, producer) = world_and_producer().await;
    assert_eq!(producer.get_json("/api/reviews").await, json!([]));
    let id = producer.submit(COMMITTED_KEY).await;
    let address = format!("/api/reviews/{id}");
    let waiting = producer.get_json(&address).await;
    redacted().bind(|| assert_json_snapshot!("waiting", waiting));
    let worker = world.reviewer(offline(), World::engine());
    world.until_state(id, JobState::Done).await;
    let list = producer.get_json("/api/reviews").await;
    let mut done = producer.get_json(&address).await;
    assert_eq!(list, json!([done["review"]]));
    redacted().bind(|| assert_json_snapshot!("list", list));
    // Reviewers run side by side, so the order of their spans is nobody's promise.
    let spans = done["spans"].as_array_mut().expect("spans");
    spans.retain(|span| span["kind"] != "agent" || span["name"] == "judge");
    spans.sort_by_key(|span| format!("{} {} {}", span["kind"], span["name"], span["output"]));
    assert!(spans.iter().all(|span| span["run_id"] == *id.to_string()));
    let mut settings = redacted();
    settings.add_redaction(
        ".spans[].parent_span_id",
        insta::dynamic_redaction(|value, _| {
            if value.as_str().is_some() {
                "[id]"
            } else {
                "[none]"
            }
        }),
    );
    settings.bind(|| assert_json_snapshot!("done", done));
    assert!(!done.to_string().contains(KEY));
    worker.drain().await;
}

#[tokio::test]
async fn the_newest_fifty_are_listed_and_the_newest_comes_first() {
    let (_world, producer) = world_and_producer().await;
    let mut ids = Vec::new();
    for _ in 0..52 {
        ids.push(producer.submit(CLEAN).await.to_string());
    }
    ids.reverse();
    let list = producer.get_json("/api/reviews?whatever").await;
    let listed: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|review| review["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(listed, ids[..50]);
}

#[tokio::test]
async fn an_id_that_names_no_review_is_not_found() {
    let (_world, producer) = world_and_producer().await;
    for id in [
        "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11",
        "7",
        "not-a-uuid",
        "%00",
        "..%2f",
        "' or 1=1",
    ] {
        let answer = ask(producer.get(&format!("/api/reviews/{id}"))).await;
        assert_eq!(answer.problem(404), "not found", "{id}");
    }
}

#[tokio::test]
async fn a_repeat_with_the_same_key_is_the_same_review_and_another_body_is_refused() {
    let (world, producer) = world_and_producer().await;
    let post = async |patch: &str, key: &str| {
        let request = producer.post(json!({ "patch": patch }).to_string());
        ask(request.header("idempotency-key", key)).await
    };
    let first = post(CLEAN, "k-1").await;
    let again = post(CLEAN, "k-1").await;
    assert_eq!(
        (first.status.as_u16(), again.status.as_u16()),
        (202, 202),
        "{again:?}"
    );
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("location"), again.header("location"));
    let error = post(COMMITTED_KEY, "k-1").await.problem(422);
    assert!(error.contains("another submission"), "{error}");
    assert_ne!(post(CLEAN, "k-2").await.json()["id"], first.json()["id"]);
    assert_eq!(count(&world, "millstream.jobs").await, 2);
    let at_once = futures_util::future::join_all((0..8).map(|_| post(CLEAN, "k-3"))).await;
    assert!(
        at_once
            .iter()
            .all(|answer| answer.status == 202 && answer.body == at_once[0].body),
        "{at_once:?}"
    );
    assert_eq!(count(&world, "reviews").await, 3);
}

#[tokio::test]
async fn a_body_that_makes_no_sense_is_a_problem_and_writes_nothing() {
    let (world, producer) = world_and_producer().await;
    let required = "prUrl is required";
    let cases: &[(&str, u16, &str)] = &[
        ("", 400, required),
        ("null", 400, required),
        ("[]", 400, required),
        ("\"x\"", 400, required),
        ("{", 400, required),
        ("{}", 400, required),
        (r#"{"prUrl":null}"#, 400, required),
        (r#"{"prUrl":""}"#, 400, required),
        (r#"{"prUrl":123}"#, 400, "must be a string"),
        (r#"{"prUrl":true}"#, 400, "must be a string"),
        (r#"{"prUrl":{"a":1}}"#, 400, "must be a string"),
        (
            r#"{"prUrl":["https://github.com/a/b/pull/1","reviewId","x"]}"#,
            400,
            "must be a string",
        ),
        (r#"{"prUrl":"not a url"}"#, 400, "cannot parse PR URL"),
        (
            r#"{"prUrl":"https://github.com/../user?x=/pull/1"}"#,
            400,
            "cannot parse PR URL",
        ),
        (
            r#"{"prUrl":"https://github.com/a/b/pull/1\u0000"}"#,
            400,
            "cannot parse PR URL",
        ),
        (
            r#"{"prUrl":"https://github.com/a/b/pull/1","patch":"x"}"#,
            400,
            "not both",
        ),
        (r#"{"patch":"  "}"#, 400, "empty"),
        (r#"{"patch":"Dear all"}"#, 400, "not a unified diff"),
        (r#"{"patch":"a\u0000b"}"#, 400, ""),
        (
            r#"{"prUrl":"https://github.com/a/b/pull/1","notBefore":"soon"}"#,
            400,
            "RFC 3339",
        ),
    ];
    for (body, status, error) in cases {
        let problem = ask(producer.post(*body)).await.problem(*status);
        assert!(problem.contains(error), "{body}: {problem}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let body = r#"{"prUrl":"https://github.com/a/b/pull/1"}"#;
        ask(producer.post_as(kind, body)).await.problem(415);
    }
    let over = json!({ "patch": "x".repeat(MAX_PATCH + 1) }).to_string();
    assert!(ask(producer.post(over)).await.problem(413).contains("MAX_PATCH"));
    let huge = json!({ "patch": "x".repeat(1_000_000) }).to_string();
    assert!(ask(producer.post(huge)).await.problem(413).contains("MAX_PATCH"));
    for table in [
        "reviews",
        "millstream.jobs",
        "millstream.inputs",
        "millstream.idempotency",
    ] {
        assert_eq!(count(&world, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 2;
    let producer = Producer::start(&world, None).await;
    producer.submit(CLEAN).await;
    let keyed = || {
        producer
            .post(json!({ "patch": CLEAN }).to_string())
            .header("idempotency-key", "k-1")
    };
    let last = ask(keyed()).await;
    assert_eq!(last.status, 202, "{last:?}");
    let full = ask(producer.post(json!({ "patch": CLEAN }).to_string())).await;
    full.problem(429);
    assert_eq!(full.header("retry-after"), Some("30"));
    let again = ask(keyed()).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (202, last.json()),
        "a repeat adds nothing to it"
    );
    assert_eq!(count(&world, "reviews").await, 2);
}

#[tokio::test]
async fn what_waits_for_its_time_fills_the_queue_too() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 2;
    let producer = Producer::start_with(&world, |web| (web.submit_rate, web.submit_burst) = (1, 1_000)).await;
    let later = || {
        let body = json!({ "patch": CLEAN, "notBefore": "2099-01-01T00:00:00Z" });
        producer.post(body.to_string())
    };
    for _ in 0..2 {
        assert_eq!(ask(later()).await.status, 202);
    }
    for request in [later(), producer.post(json!({ "patch": CLEAN }).to_string())] {
        let full = ask(request).await;
        assert!(full.problem(429).contains("full"), "{full:?}");
        assert!(full.header("retry-after").is_some());
        assert!(
            full.header("ratelimit")
                .is_some_and(|left| left.starts_with("\"submit\";r=")),
            "a 429 says what is left, whatever it is for: {full:?}"
        );
    }
    assert_eq!(count(&world, "reviews").await, 2);
}

#[tokio::test]
async fn the_token_opens_the_api_and_health_needs_none() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start(&world, Some("s3cret")).await;
    let body = || producer.post(json!({ "patch": CLEAN }).to_string());
    for request in [
        body(),
        body().bearer_auth("wrong"),
        producer.get("/api/reviews"),
        producer.get("/api/reviews/7"),
    ] {
        let answer = ask(request).await;
        answer.problem(401);
        assert!(
            answer
                .header("www-authenticate")
                .is_some_and(|value| value.starts_with("Bearer"))
        );
    }
    assert_eq!(count(&world, "reviews").await, 0);
    assert_eq!(ask(body().bearer_auth("s3cret")).await.status, 202);
    assert_eq!(
        ask(producer.get("/api/reviews").bearer_auth("s3cret"))
            .await
            .status,
        200
    );
    for method in ["GET", "HEAD"] {
        let method: reqwest::Method = method.parse().expect("a method");
        let body = if method == "GET" { "ok" } else { "" };
        let answer = ask(producer
            .client
            .request(method, format!("{}/healthz", producer.address)))
        .await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, body));
        assert_eq!(answer.header("content-length"), Some("2"));
    }
}
