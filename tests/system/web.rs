//! The web producer as a process: how it starts, what it refuses, and how it ends.

use rustix::process::Signal;
use serde_json::json;

use super::{Lab, rows};
use crate::support::reviews::CLEAN;

/// Where a producer says that it listens.
fn address(log: &str) -> String {
    let (_, rest) = log.split_once("listening on ").expect("it listens");
    rest.split_whitespace().next().expect("an address").to_owned()
}

fn client() -> reqwest::Client {
    let builder = millstream_worker::http::builder().expect("TLS").no_proxy();
    builder.build().expect("a client")
}

#[tokio::test]
async fn a_producer_takes_a_review_over_http_and_ends_when_it_is_asked_to() {
    let lab = Lab::new().await;
    let web = lab.home.start("web", &[("PORT", "0")], &["web"]);
    web.until_said("listening on ").await;
    let url = format!("{}/api/reviews", address(&web.stderr()));
    let answer = client().post(&url).json(&json!({ "patch": CLEAN })).send().await;
    assert_eq!(answer.expect("an answer").status(), 202);
    let _worker = lab.worker("worker", &[]).await;
    lab.until_jobs("done", 1).await;
    web.signal(Signal::TERM);
    assert_eq!(web.until_ended().await, 0, "{}", web.stderr());
    assert!(client().get(&url).send().await.is_err(), "nobody listens there");
}

#[tokio::test]
async fn a_producer_that_cannot_serve_says_why_and_what_to_do() {
    let lab = Lab::new().await;
    let before = rows(&lab.world.sql).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it listens").port().to_string();
    for (vars, code, words) in [
        (&[("PORT", port.as_str())][..], 1, "failed to listen on"),
        (
            &[("PORT", "0"), ("DATABASE_URL", "postgres://127.0.0.1:1/x")],
            69,
            "ostgres",
        ),
    ] {
        let ran = lab
            .home
            .run_with(&[vars, &[("LOG", "error")]].concat(), &["web"], b"")
            .await;
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
        let complaint = ran.complaint();
        assert_eq!(
            complaint.len(),
            2,
            "what is wrong, and what to do: {complaint:#?}"
        );
        assert!(complaint[0].contains(words), "{complaint:#?}");
    }
    let open = lab
        .home
        .run_with(&[("HOST", "0.0.0.0"), ("PORT", "0")], &["web"], b"")
        .await;
    assert_eq!(open.code, 64, "{open:?}");
    assert!(
        open.complaint().len() == 1 && open.stderr.contains("MILLSTREAM_TOKEN"),
        "{open:?}"
    );
    assert_eq!(rows(&lab.world.sql).await, before);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_open_streams_fit_in_sixty_mebibytes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    let lab = Lab::new().await;
    let web = lab
        .home
        .start("web", &[("PORT", "0"), ("STREAMS_EACH", "1000")], &["web"]);
    web.until_said("listening on ").await;
    let address = address(&web.stderr());
    let sent = client()
        .post(format!("{address}/api/reviews"))
        .json(&json!({ "patch": CLEAN }))
        .send()
        .await;
    let body: serde_json::Value = sent.expect("an answer").json().await.expect("JSON");
    let id = body["id"].as_str().expect("an id");
    let head = format!("GET /api/reviews/{id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..1_000 {
        let mut line = TcpStream::connect(address.trim_start_matches("http://"))
            .await
            .expect("it listens");
        line.write_all(head.as_bytes()).await.expect("it is taken");
        let mut first = [0; 15];
        line.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        open.push(line);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", web.pid())).expect("it runs");
    // Its own memory. The pages of the program itself lie in the file; this one has the console in it, unoptimised.
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .expect("a line");
    let kib: u64 = own.trim().trim_end_matches(" kB").parse().expect("a number");
    eprintln!("a thousand open streams: {} MiB", kib / 1_024);
    assert!(kib < 60 * 1_024, "{kib} KiB");
    // They hold its end up no longer than it takes to send them away.
    web.signal(Signal::TERM);
    assert_eq!(web.until_ended().await, 0, "{}", web.stderr());
}
