//! Requests that nobody would write: whatever comes, nothing ends in a 5xx, and the producer goes on.

use millstream::settings::process_environment;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ask, world_and_producer};

/// Cases of one run; `PROPTEST_CASES` asks for another number.
const CASES: u32 = 300;

/// A part of a path or of a query: what means something, what looks like it, and anything.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "api",
        "reviews",
        "stream",
        "cancel",
        "retry",
        "assets",
        "login",
        "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11",
        "00000000000000000000000000000000",
        "..",
        "%00",
        "%ff",
        "%2e%2e%2f",
        "",
        "limit",
        "1",
        "-1",
        "state",
        "dead",
        "before",
        "9223372036854775807-00000000000000000000000000000007",
        "-62135596800000000-00000000000000000000000000000007",
        "q",
        "wait",
        "1s",
        "part",
        "live",
    ];
    prop_oneof![
        3 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "[!-~&&[^#?]]{0,12}",
    ]
}

fn target() -> impl Strategy<Value = String> {
    let path = vec(word(), 0..5).prop_map(|words| format!("/{}", words.join("/")));
    let pairs = vec((word(), word()), 0..4);
    (path, pairs).prop_map(|(path, pairs)| {
        let pairs: Vec<String> = pairs
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if pairs.is_empty() {
            path
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    })
}

fn header() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Content-Type",
        "Idempotency-Key",
        "Authorization",
        "Cookie",
        "If-None-Match",
        "Last-Event-ID",
        "Origin",
        "Sec-Fetch-Site",
        "X-Forwarded-For",
        "X-Request-Id",
        "traceparent",
        "Accept",
        "Range",
    ]);
    let value = prop_oneof![
        Just("application/json".to_owned()),
        Just("application/x-www-form-urlencoded".to_owned()),
        Just("millstream_token=mst_00".to_owned()),
        Just("Bearer mst_00".to_owned()),
        Just("same-origin".to_owned()),
        "[ -~]{0,40}",
    ];
    (name, value).prop_map(|(name, value)| format!("{name}: {value}"))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just(r#""https://github.com/a/b/pull/1""#.to_owned()),
        Just(r#""--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n""#.to_owned()),
        Just(r#""9999-12-31T23:59:59Z""#.to_owned()),
        Just(r#""-9999-01-01T00:00:00+23:59""#.to_owned()),
        Just(r#""high""#.to_owned()),
        Just(r#""\u0000""#.to_owned()),
        Just("null".to_owned()),
        Just("1e400".to_owned()),
        Just("[[[]]]".to_owned()),
        "\"[ -~&&[^\"\\\\]]{0,30}\"",
    ];
    let name = prop::sample::select(vec![
        "prUrl",
        "patch",
        "notBefore",
        "priority",
        "callbackUrl",
        "x",
    ]);
    let object = vec((name, value), 0..4).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    prop_oneof![
        4 => object,
        1 => vec(any::<u8>(), 0..200),
        1 => "(prUrl|patch|token|key)=[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW",
    ]);
    (method, target(), vec(header(), 0..5), body()).prop_map(|(method, target, headers, body)| {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for header in headers {
            head.push_str(&header);
            head.push_str("\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        [head.into_bytes(), body].concat()
    })
}

/// The status of the answer to these bytes.
async fn status(address: &str, request: &[u8]) -> u16 {
    let mut line = TcpStream::connect(address).await.expect("it listens");
    line.write_all(request).await.expect("it is taken");
    let mut head = [0; 12];
    line.read_exact(&mut head).await.expect("an answer");
    let text = std::str::from_utf8(&head).expect("a status line");
    text.rsplit(' ')
        .next()
        .and_then(|code| code.parse().ok())
        .expect("a status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_nothing_ends_in_a_5xx() {
    let (_world, producer) = world_and_producer().await;
    let address = producer.address.trim_start_matches("http://").to_owned();
    let runtime = tokio::runtime::Handle::current();
    let cases = process_environment("PROPTEST_CASES").and_then(|text| text.parse().ok());
    let asked = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases: cases.unwrap_or(CASES),
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&request(), |request| {
            let status = runtime.block_on(status(&address, &request));
            prop_assert!(
                (200..500).contains(&status),
                "{status} to {}",
                String::from_utf8_lossy(&request)
            );
            Ok(())
        })
    });
    asked.await.expect("it runs").expect("no 5xx");
    assert_eq!(ask(producer.get("/healthz")).await.status, 200);
}
