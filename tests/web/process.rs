//! Bursts against a producer that is a process of its own, with what it keeps in memory. They take a machine for minutes,
//! so they are run by hand (`just burst`).

use futures_util::StreamExt;
use millstream::queue::Wire;
use serde_json::json;

use super::limits::{check_burst, pull};
use super::{Answer, ask, count};
use crate::support::{Home, Started, World};

/// At a time, of small ones.
const CONNECTIONS: usize = 64;
/// Bodies as large as they may be, all of them at once.
const LARGE: usize = 200;
/// What a process may keep at the most while they come, in MiB; together they have 3,200.
const LARGE_WITHIN: f64 = 600.0;

/// A producer that is a process.
pub(super) struct Process {
    pub web: Started,
    pub address: String,
    client: reqwest::Client,
    _home: Home,
}

impl Process {
    /// Starts one, and waits until it listens.
    pub async fn start(world: &World, settings: &[(&str, &str)]) -> Self {
        let home = Home::beside(world);
        let settings = [&[("PORT", "0"), ("SUBMIT_RATE", "0")], settings].concat();
        let web = home.start("web", &settings, &["web"]);
        web.until_said("listening on ").await;
        let log = web.stderr();
        let (_, rest) = log.split_once("listening on http://").expect("it listens");
        let address = rest.split_whitespace().next().expect("an address").to_owned();
        let client = millstream_worker::http::builder().expect("TLS").no_proxy();
        Self {
            web,
            address,
            client: client.build().expect("a client"),
            _home: home,
        }
    }

    pub fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("http://{}/api/reviews", self.address));
        request.header("content-type", "application/json").body(body)
    }

    /// What it keeps in memory (`VmRSS`), or kept at the most (`VmHWM`), in MiB.
    pub fn memory(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.web.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(field));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<f64>().ok()).expect("a figure") / 1_024.0
    }

    fn tell(&self, what: &str, before: f64) {
        let (after, most) = (self.memory("VmRSS"), self.memory("VmHWM"));
        println!("{what}: {before:.1} MiB resident before, {most:.1} MiB at the most, {after:.1} MiB after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute of a machine: run it by `just burst`"]
async fn of_a_burst_of_ten_thousand_too() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 2_500;
    let process = Process::start(&world, &[("QUEUE_LIMIT", "2500")]).await;
    let before = process.memory("VmRSS");
    let answers: Vec<Answer> = futures_util::stream::iter(0..10_000)
        .map(|number| ask(process.post(pull(number + 1))))
        .buffer_unordered(CONNECTIONS)
        .collect()
        .await;
    process.tell("ten thousand submissions", before);
    check_burst(&world, &answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes of a machine: run it by `just burst`"]
async fn of_a_burst_of_large_bodies_only_so_many_are_held() {
    let world = World::with(Wire::REVIEW).await;
    let process = Process::start(&world, &[]).await;
    let before = process.memory("VmRSS");
    // Each quote is two bytes of JSON, so a diff of the largest size makes a body of twice as many.
    let line = format!("+{}\n", "\"".repeat(1_023));
    let lines = (8 << 20) / line.len() - 1;
    let head = format!("--- a/x\n+++ b/x\n@@ -0,0 +1,{lines} @@\n");
    let body = json!({ "patch": head + &line.repeat(lines) }).to_string();
    let bytes = body.len();
    let body: &'static str = Box::leak(body.into_boxed_str());
    let answers: Vec<Result<u16, String>> = futures_util::stream::iter(0..LARGE)
        .map(|_| async {
            let answer = process
                .post(body)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            Ok(answer.status().as_u16())
        })
        .buffer_unordered(LARGE)
        .collect()
        .await;
    let of = |status: u16| answers.iter().filter(|answer| **answer == Ok(status)).count();
    let broken = answers.iter().filter(|answer| answer.is_err()).count();
    process.tell(
        &format!("{LARGE} bodies of {:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        before,
    );
    println!(
        "{} accepted, {} got a 429, {} a 503, {} a 408, {broken} no answer that they could read",
        of(202),
        of(429),
        of(503),
        of(408)
    );
    assert!(of(202) > 0, "{answers:?}");
    // A connection that is closed under a client that still sends may lose its answer.
    assert_eq!(
        of(202) + of(429) + of(503) + of(408) + broken,
        LARGE,
        "{answers:?}"
    );
    assert_eq!(count(&world, "millstream.inputs").await, of(202) as i64);
    let most = process.memory("VmHWM");
    assert!(most < LARGE_WITHIN, "{most:.1} MiB");
    let small = ask(process.post(pull(1))).await;
    assert_eq!(small.status, 202, "{small:?}");
}
