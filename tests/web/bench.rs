//! What a submission over HTTP costs beside the same insert and `XADD` alone, and what open streams keep in memory.
//! Measurements, not promises: they are run by hand (`just bench-web`), since a busy machine would make them fail for no
//! reason of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use millstream::domain::{JobId, Lane};
use millstream::queue::{NewEntry, Queue, Wire};
use millstream::store::Store;
use millstream::store::jobs::{NewJob, REVIEW};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Producer;
use crate::support::{Home, World, until};

/// At a time.
const CONNECTIONS: usize = 64;
/// Of one measurement; both are measured in turns, so that what else the machine does falls on both.
const STRETCH: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// Clients that follow reviews.
const STREAMS: usize = 1_000;
/// Reviews that they follow between them.
const FOLLOWED: usize = 100;
const PULL: &str = "https://github.com/acme/ledger/pull/7";

/// How many, and how long each took.
#[derive(Debug, Default)]
struct Measured {
    took: Vec<Duration>,
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.took.len() as f64 / (STRETCH.as_secs_f64() * ROUNDS as f64)
    }

    fn at(&mut self, share: f64) -> f64 {
        self.took.sort();
        let place = ((self.took.len() - 1) as f64 * share) as usize;
        self.took[place].as_secs_f64() * 1e3
    }
}

/// Does it again and again, so many at a time, for a stretch.
async fn stretch<F: Future<Output = ()>>(measured: &mut Measured, work: impl Fn() -> F) {
    let until = Instant::now() + STRETCH;
    let took = join_all((0..CONNECTIONS).map(|_| async {
        let mut took = Vec::new();
        while Instant::now() < until {
            let begun = Instant::now();
            work().await;
            took.push(begun.elapsed());
        }
        took
    }))
    .await;
    measured.took.extend(took.into_iter().flatten());
}

/// The insert and the `XADD` of a submission, and nothing else.
async fn raw(store: &Store, queue: &Queue, name: &str) {
    let job = NewJob {
        id: JobId::fresh(),
        queue: name.to_owned(),
        kind: REVIEW.to_owned(),
        lane: Lane::Shared,
        payload: PULL.to_owned(),
        run_at: None,
        traceparent: None,
        input: None,
        idempotency: None,
        callback: None,
    };
    store.accept(&job).await.expect("postgres is there");
    let entry = NewEntry {
        lane: job.lane,
        job: job.id,
        payload: job.payload,
        traceparent: None,
    };
    queue.enqueue(&[entry]).await.expect("valkey is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it by `just bench-web`"]
async fn submissions_over_http_beside_their_insert_and_xadd_alone() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 100_000_000;
    world.store = Store::open(&world.database_url.as_str().into(), "bench", 8).expect("an address of ours");
    let producer = Producer::start(&world, None).await;
    let store = Store::open(&world.database_url.as_str().into(), "bench raw", 8).expect("an address of ours");
    let (body, refused) = (
        json!({ "prUrl": PULL }).to_string(),
        Arc::new(AtomicUsize::new(0)),
    );
    let (mut alone, mut http) = (Measured::default(), Measured::default());
    for _ in 0..ROUNDS {
        stretch(&mut alone, || raw(&store, &world.queue, &world.settings.name)).await;
        stretch(&mut http, || async {
            let answer = producer.post(body.clone()).send().await.expect("an answer");
            if answer.status() != 202 {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            let _body = answer.bytes().await;
        })
        .await;
    }
    for (name, measured) in [("insert + XADD", &mut alone), ("POST /api/reviews", &mut http)] {
        let (rate, median, p99) = (measured.per_second(), measured.at(0.5), measured.at(0.99));
        println!("{name:<18} {rate:>7.0} a second, median {median:.1} ms, p99 {p99:.1} ms");
    }
    println!(
        "ratio {:.2} at {CONNECTIONS} connections",
        http.per_second() / alone.per_second()
    );
    assert_eq!(refused.load(Ordering::Relaxed), 0);
}

/// What a process keeps in memory, in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<f64>().ok()).expect("a figure") / 1_024.0
}

/// Opens a stream and reads its first event.
async fn follow(address: &str, id: &str) -> TcpStream {
    let mut line = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET /api/reviews/{id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    line.write_all(request.as_bytes()).await.expect("it is taken");
    let mut said = Vec::new();
    while !said.windows(12).any(|part| part == b"retry: 2000\n") {
        let count = line.read_buf(&mut said).await.expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
    }
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it by `just bench-web`"]
async fn what_a_thousand_open_streams_keep_in_memory() {
    let world = World::with(Wire::REVIEW).await;
    let home = Home::beside(&world);
    let settings = [("PORT", "0"), ("SUBMIT_RATE", "0"), ("STREAMS_EACH", "1000")];
    let web = home.start("web", &settings, &["web"]);
    web.until_said("listening on ").await;
    let log = web.stderr();
    let (_, rest) = log.split_once("listening on http://").expect("it listens");
    let address = rest.split_whitespace().next().expect("an address").to_owned();
    let client = millstream_worker::http::builder().expect("TLS").no_proxy();
    let client = client.build().expect("a client");
    let mut ids = Vec::new();
    for _ in 0..FOLLOWED {
        let sent = client
            .post(format!("http://{address}/api/reviews"))
            .json(&json!({ "prUrl": PULL }));
        let accepted: serde_json::Value = sent.send().await.expect("an answer").json().await.expect("JSON");
        ids.push(accepted["id"].as_str().expect("an id").to_owned());
    }
    let before = resident(web.pid());
    let mut lines = Vec::new();
    for number in 0..STREAMS {
        lines.push(follow(&address, &ids[number % FOLLOWED]).await);
    }
    // Each of them hears something, so whatever a stream needs to pass events on is there.
    for id in &ids {
        let told = json!({ "type": "phase", "phase": "prepare" }).to_string();
        until("it is heard", || async {
            let heard: i64 = redis::cmd("PUBLISH")
                .arg(format!("review:{id}"))
                .arg(&told)
                .query_async(&mut world.valkey.clone())
                .await
                .expect("valkey is there");
            (heard > 0).then_some(())
        })
        .await;
    }
    for line in &mut lines {
        let mut piece = [0; 256];
        assert!(line.read(&mut piece).await.expect("an event") > 0);
    }
    let after = resident(web.pid());
    let each = (after - before) * 1_024.0 / STREAMS as f64;
    println!(
        "{STREAMS} open streams: {after:.1} MiB resident, {before:.1} MiB without them, {each:.1} KiB each"
    );
}
