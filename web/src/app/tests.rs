//! The router as a client sees it, over pipes in memory and with both servers away.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use axum::serve::Listener;
use millstream::queue::{Queue, Wire};
use millstream::settings::QueueSettings;
use millstream::store::Store;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::settings::WebSettings;
use crate::shares::Shares;

/// Hands out one connection.
struct Pipe(Option<DuplexStream>);

impl Listener for Pipe {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(connection) => (connection, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn problem(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        for member in ["type", "title", "detail", "error"] {
            assert!(body[member].is_string(), "{member} in {body}");
        }
        assert_eq!(body["status"], self.status);
        body
    }
}

/// Nothing listens on port 1, so what asks a server fails; what must not ask one does not notice.
fn state(token: Option<&str>) -> State {
    state_with(token, |_| {})
}

fn state_with(token: Option<&str>, change: impl FnOnce(&mut WebSettings)) -> State {
    let queue_settings = QueueSettings {
        name: "q".to_owned(),
        group: "g".to_owned(),
        limit: 1,
    };
    let mut web = WebSettings {
        token: token.map(Into::into),
        max_patch: 1_000,
        ..WebSettings::default()
    };
    change(&mut web);
    let queue =
        Queue::open(&"redis://127.0.0.1:1".into(), &queue_settings, Wire::REVIEW).expect("an address");
    let store = Store::open(&"postgres://127.0.0.1:1/x".into(), "test", 1).expect("an address");
    State::new(store, queue, &queue_settings, &web)
}

async fn ask_app(app: Router, request: &[u8]) -> Answer {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let talk = async {
        client.write_all(request).await.expect("the request is taken");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let serving = axum::serve(Pipe(Some(server)), app).into_future();
    let answer = either(talk, serving).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = io::Result<()>>) -> T {
    tokio::select! {
        answer = first => answer,
        ended = second => panic!("the server ended: {ended:?}"),
    }
}

async fn ask(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let request = request(method, path, headers, body);
    ask_app(app(state(None)), &request).await
}

fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn health_answers_to_get_and_head_without_any_server() {
    for method in ["GET", "HEAD"] {
        let answer = ask(method, "/healthz", &[], b"").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), Some("2"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.body, if method == "GET" { "ok" } else { "" });
    }
}

#[tokio::test]
async fn every_answer_tells_a_browser_to_trust_nothing() {
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/nowhere"),
        ("POST", "/api/reviews"),
        ("PUT", "/api/reviews"),
        ("OPTIONS", "/api/reviews"),
    ] {
        let answer = ask(method, path, &["Origin: https://evil.example"], b"").await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'")
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    for path in [
        "/nowhere",
        "/assets/page.css",
        "/api",
        "/api/reviews/",
        "/api/reviews/a/b",
        "/api/workflows",
    ] {
        let answer = ask("GET", path, &[], b"").await;
        assert_eq!((answer.status, path), (404, path));
        assert_eq!(answer.problem()["error"], "not found");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found_and_never_asks_postgres() {
    for id in [
        "7",
        "not-a-uuid",
        "%00",
        "%ff",
        "..%2f..",
        "00000000-0000-0000-0000-00000000000g",
    ] {
        let answer = ask("GET", &format!("/api/reviews/{id}"), &[], b"").await;
        assert_eq!((answer.status, id), (404, id));
        assert_eq!(answer.problem()["error"], "not found");
    }
}

#[tokio::test]
async fn a_method_that_is_not_known_gets_the_list_of_those_that_are() {
    for (method, path, allowed) in [
        ("DELETE", "/api/reviews", "GET,HEAD,POST"),
        ("OPTIONS", "/api/reviews", "GET,HEAD,POST"),
        ("POST", "/api/reviews/7", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let answer = ask(method, path, &[], b"").await;
        assert_eq!((answer.status, method, path), (405, method, path));
        assert_eq!(answer.header("allow"), Some(allowed));
        answer.problem();
    }
}

#[tokio::test]
async fn a_form_or_a_text_submits_nothing() {
    let body = br#"{"prUrl":"https://github.com/acme/ledger/pull/7"}"#;
    for header in [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "X-Nothing: at all",
    ] {
        let answer = ask("POST", "/api/reviews", &[header], body).await;
        assert_eq!((answer.status, header), (415, header));
        answer.problem();
    }
}

#[tokio::test]
async fn a_submission_that_names_nothing_gets_the_answer_of_the_reference() {
    for (headers, body) in [
        (&[][..], ""),
        (&[JSON][..], ""),
        (&[JSON][..], "null"),
        (&[JSON][..], "{}"),
    ] {
        let answer = ask("POST", "/api/reviews", headers, body.as_bytes()).await;
        assert_eq!((answer.status, body), (400, body));
        assert_eq!(answer.problem()["error"], "prUrl is required");
    }
    let key = ask(
        "POST",
        "/api/reviews",
        &[JSON, "Idempotency-Key: two words"],
        b"{}",
    )
    .await;
    let detail = key.problem()["detail"].to_string();
    assert!(detail.contains("Idempotency-Key"), "{detail}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_says_which_limit() {
    let huge = vec![b' '; 1_000_000];
    let declared = ask("POST", "/api/reviews", &[JSON], &huge).await;
    let chunk = [b"f4240\r\n", huge.as_slice(), b"\r\n0\r\n\r\n"].concat();
    let mut streamed = request("POST", "/api/reviews", &[JSON, "Transfer-Encoding: chunked"], b"");
    streamed.extend(chunk);
    let streamed = ask_app(app(state(None)), &streamed).await;
    for answer in [declared, streamed] {
        assert_eq!(answer.status, 413);
        let detail = answer.problem()["detail"].to_string();
        assert!(
            detail.contains("67536") && detail.contains("MAX_PATCH"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_patch_over_max_patch_is_refused_before_postgres_is_asked() {
    let body = serde_json::json!({ "patch": "x".repeat(1_001) }).to_string();
    let answer = ask("POST", "/api/reviews", &[JSON], body.as_bytes()).await;
    assert_eq!(answer.status, 413);
    let detail = answer.problem()["detail"].to_string();
    assert!(
        detail.contains("1000") && detail.contains("MAX_PATCH"),
        "{detail}"
    );
}

#[tokio::test]
async fn the_api_is_behind_the_door_and_health_is_not() {
    let ask = async |path: &str, headers: &[&str]| {
        let request = request("GET", path, headers, b"");
        ask_app(app(state(Some("s3cret"))), &request).await
    };
    for path in ["/api/reviews", "/api/reviews/7"] {
        let answer = ask(path, &["Authorization: Bearer wrong"]).await;
        assert_eq!((answer.status, path), (401, path));
        assert!(answer.header("www-authenticate").is_some());
        answer.problem();
    }
    assert_eq!(
        ask("/api/reviews/7", &["Authorization: Bearer s3cret"])
            .await
            .status,
        404
    );
    assert_eq!(ask("/healthz", &[]).await.status, 200);
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// The head of a form whose body never comes.
fn silent_form() -> Vec<u8> {
    request("POST", "/reviews", &[FORM, "Content-Length: 1000"], b"")
}

#[tokio::test]
async fn who_may_not_submit_is_refused_before_the_form_is_read() {
    let state = state_with(Some("s3cret"), |web| web.public_read = true);
    assert_eq!(ask_app(app(state), &silent_form()).await.status, 401);
}

#[tokio::test]
async fn a_client_that_is_too_fast_is_refused_before_the_form_is_read() {
    let state = state_with(None, |web| (web.submit_rate, web.submit_burst) = (1, 1));
    let shared = state.clone();
    let limits = shared.limits.as_ref().expect("a rate");
    // Its bucket stays empty, however slow this machine is.
    let too_fast = async {
        loop {
            let _taken = limits.take("address:unknown");
            tokio::task::yield_now().await;
        }
    };
    let form = silent_form();
    let refused = tokio::select! {
        biased;
        () = too_fast => unreachable!("it is endless"),
        answer = ask_app(app(state), &form) => answer,
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
}

#[tokio::test]
async fn large_bodies_on_their_way_leave_room_for_others_and_small_ones_need_none() {
    let state = state(None).with_bodies(Shares::new(40_000, 60_000));
    let (mut slow, server) = tokio::io::duplex(64 * 1024);
    let holding = axum::serve(Pipe(Some(server)), app(state.clone())).into_future();
    let submit = async |bytes: usize| {
        let text = request("POST", "/api/reviews", &[JSON], &vec![b' '; bytes]);
        ask_app(app(state.clone()), &text).await
    };
    let others = async {
        let head = request("POST", "/api/reviews", &[JSON, "Content-Length: 60000"], b"");
        slow.write_all(&head).await.expect("it is taken");
        slow.write_all(&[b' '; 30_000]).await.expect("it is taken");
        while state.bodies.held() < 30_000 {
            tokio::task::yield_now().await;
        }
        let large = submit(30_000).await;
        assert_eq!((large.status, large.header("retry-after")), (429, Some("1")));
        assert!(large.problem()["detail"].to_string().contains("large bodies"));
        assert_eq!(submit(1_000).await.status, 400, "it is read, and names nothing");
        drop(slow);
        while state.bodies.held() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(submit(30_000).await.status, 400, "there is room again");
    };
    let others = tokio::time::timeout(Duration::from_secs(30), others);
    either(others, holding).await.expect("in time");
}

#[tokio::test]
async fn figures_are_for_who_may_read() {
    let figures = async |state: State, headers: &[&str]| {
        ask_app(app(state), &request("GET", "/metrics", headers, b"")).await
    };
    let looks = |web: &mut WebSettings| web.public_read = true;
    let refused = figures(state_with(Some("s3cret"), looks), &[]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.problem()["detail"].to_string().contains("read"));
    let shown = figures(
        state_with(Some("s3cret"), looks),
        &["Authorization: Bearer s3cret"],
    )
    .await;
    assert_eq!(shown.status, 200);
    assert_eq!(figures(state(None), &[]).await.status, 200, "on its own machine");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    async fn panics() -> &'static str {
        panic!("hunter2")
    }
    let app = Router::new()
        .route("/", get(panics))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            after_panic(&*panic)
        }));
    let answer = ask_app(app, &request("GET", "/", &[], b"")).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("hunter2"));
    answer.problem();
}
