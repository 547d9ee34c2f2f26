//! What a submission over HTTP costs beside the same insert and `XADD` alone, and what open streams keep in memory.
//! Measurements, not promises: they are run by hand (`just bench-web`), since a busy machine would make them fail for no
//! reason of ours.

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
use super::process::Process;
use crate::support::{World, until};

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

/// Lets each of them do it again and again, at the same time, for a stretch.
async fn stretch<W: AsyncFnMut()>(measured: &mut Measured, workers: impl IntoIterator<Item = W>) {
    let until = Instant::now() + STRETCH;
    let took = join_all(workers.into_iter().map(async |mut work| {
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

/// A connection that is kept. What a client needs beside the bytes would be measured too: it runs on the same machine.
struct Kept {
    line: TcpStream,
    keys: Keys,
    said: Vec<u8>,
}

/// Whether each submission has an `Idempotency-Key`, which no other one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    None,
    Fresh,
}

impl Kept {
    async fn to(address: &str, keys: Keys) -> Self {
        let line = TcpStream::connect(address).await.expect("it listens");
        line.set_nodelay(true).expect("a socket");
        Self {
            line,
            keys,
            said: Vec::new(),
        }
    }

    /// Sends the request, and reads the whole answer; answers whether it was accepted.
    async fn post(&mut self) -> bool {
        let body = json!({ "prUrl": PULL }).to_string();
        let key = match self.keys {
            Keys::None => String::new(),
            Keys::Fresh => format!("Idempotency-Key: {}\r\n", JobId::fresh()),
        };
        let request = format!(
            "POST /api/reviews HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             {key}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = self.line.write_all(request.as_bytes()).await;
        sent.expect("it is taken");
        self.said.clear();
        while !is_whole(&self.said) {
            let count = self.line.read_buf(&mut self.said).await.expect("an answer");
            assert!(count > 0, "{}", String::from_utf8_lossy(&self.said));
        }
        self.said.starts_with(b"HTTP/1.1 202 ")
    }
}

/// Whether an answer has come to its end.
fn is_whole(said: &[u8]) -> bool {
    let text = std::str::from_utf8(said).unwrap_or_default();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().expect("a number");
    body.len() >= length
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
    let refused = AtomicUsize::new(0);
    let address = producer.address.trim_start_matches("http://");
    let (mut lines, mut keyed_lines) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        lines.push(Kept::to(address, Keys::None).await);
        keyed_lines.push(Kept::to(address, Keys::Fresh).await);
    }
    let (mut alone, mut http, mut keyed) = (Measured::default(), Measured::default(), Measured::default());
    for _ in 0..ROUNDS {
        let inserting =
            (0..CONNECTIONS).map(|_| async || raw(&store, &world.queue, &world.settings.name).await);
        stretch(&mut alone, inserting).await;
        let refused = &refused;
        for (lines, measured) in [(&mut lines, &mut http), (&mut keyed_lines, &mut keyed)] {
            let posting = lines.iter_mut().map(|line| {
                async move || {
                    if !line.post().await {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            stretch(measured, posting).await;
        }
    }
    for (name, measured) in [
        ("insert + XADD", &mut alone),
        ("POST /api/reviews", &mut http),
        ("the same, keyed", &mut keyed),
    ] {
        let (rate, median, p99) = (measured.per_second(), measured.at(0.5), measured.at(0.99));
        println!("{name:<18} {rate:>7.0} a second, median {median:.1} ms, p99 {p99:.1} ms");
    }
    println!(
        "ratio {:.2} at {CONNECTIONS} connections, {:.2} with a key each",
        http.per_second() / alone.per_second(),
        keyed.per_second() / alone.per_second()
    );
    assert_eq!(refused.load(Ordering::Relaxed), 0);
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
    let process = Process::start(&world, &[("STREAMS_EACH", "1000")]).await;
    let mut ids = Vec::new();
    for _ in 0..FOLLOWED {
        let sent = process.post(json!({ "prUrl": PULL }).to_string());
        let accepted: serde_json::Value = sent.send().await.expect("an answer").json().await.expect("JSON");
        ids.push(accepted["id"].as_str().expect("an id").to_owned());
    }
    let before = process.memory("VmRSS");
    let mut lines = Vec::new();
    for number in 0..STREAMS {
        lines.push(follow(&process.address, &ids[number % FOLLOWED]).await);
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
    let after = process.memory("VmRSS");
    let each = (after - before) * 1_024.0 / STREAMS as f64;
    println!(
        "{STREAMS} open streams: {after:.1} MiB resident, {before:.1} MiB without them, {each:.1} KiB each"
    );
}
