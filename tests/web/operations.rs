//! What an operator of the producer relies on: readiness, figures, ids, and bounds on what clients hold open.

use millstream::queue::Wire;
use millstream::store::Store;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Producer, ask, world_and_producer};
use crate::support::reviews::CLEAN;
use crate::support::{World, private, until};

#[tokio::test]
async fn it_is_ready_while_both_servers_are_there() {
    let servers = private::both().await;
    let store = Store::open(&servers.database_url.clone().into(), "tests", 1).expect("an address of ours");
    store.migrate().await.expect("an empty database");
    let world = World::at(&servers.valkey_url, &servers.database_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let ready = async || ask(producer.get("/readyz")).await;
    assert_eq!(ready().await.json(), json!({ "postgres": true, "valkey": true }));
    servers.kill_valkey().await.expect("it is ours");
    let away = until("Valkey is missed", || async {
        Some(ready().await).filter(|answer| answer.status == 503)
    })
    .await;
    assert!(away.problem(503).contains("Valkey"), "{away:?}");
    servers.restart_valkey().await.expect("it comes back");
    until("it is ready again", || async {
        (ready().await.status == 200).then_some(())
    })
    .await;
    servers.kill_postgres().await.expect("it is ours");
    let away = until("Postgres is missed", || async {
        Some(ready().await).filter(|answer| answer.status == 503)
    })
    .await;
    assert!(
        away.problem(503).contains("Postgres") && !away.body.contains("127.0.0.1"),
        "{away:?}"
    );
    assert_eq!(ask(producer.get("/healthz")).await.status, 200);
    // Figures of who is there are told, and of who is away that they are.
    let figures = ask(producer.get("/metrics")).await.body;
    assert!(
        figures.contains("review_server_up{server=\"postgres\"} 0"),
        "{figures}"
    );
    assert!(
        figures.contains("review_server_up{server=\"valkey\"} 1"),
        "{figures}"
    );
    servers.stop().await;
}

#[tokio::test]
async fn figures_are_told_as_prometheus_reads_them() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    ask(producer.get(&format!("/api/reviews/{id}"))).await;
    ask(producer.get("/api/reviews/7")).await.problem(404);
    let answer = ask(producer.get("/metrics")).await;
    let kind = answer.header("content-type").expect("a type").to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let queue = &world.settings.name;
    for line in [
        format!("review_queue_waiting{{queue=\"{queue}\"}} 1"),
        format!("review_jobs_accepted_total{{queue=\"{queue}\"}} 1"),
        format!("review_jobs_completed_total{{queue=\"{queue}\",outcome=\"done\"}} 0"),
        format!("review_queue_cancelled{{queue=\"{queue}\"}} 0"),
        format!("review_queue_dropped{{queue=\"{queue}\"}} 0"),
        format!("review_queue_oldest_pending_age_seconds{{queue=\"{queue}\"}} 0"),
        format!("review_queue_entries{{queue=\"{queue}\"}} 1"),
        "http_server_requests_total{method=\"POST\",route=\"/api/reviews\",status=\"202\"} 1".to_owned(),
        "http_server_requests_total{method=\"GET\",route=\"/api/reviews/{id}\",status=\"404\"} 1".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(
            answer.body.lines().any(|found| found.starts_with(&line)),
            "{line} in {}",
            answer.body
        );
    }
    assert!(!answer.body.contains(&id.to_string()), "no id is a label");
}

#[tokio::test]
async fn a_request_has_an_id_of_its_own_or_its_callers() {
    let (_world, producer) = world_and_producer().await;
    let id = async |sent: &str| {
        let answer = ask(producer.get("/healthz").header("x-request-id", sent)).await;
        answer.header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(id("caller-7_a.b").await, "caller-7_a.b");
    for wrong in ["", "two words", "a=b", &"x".repeat(65)] {
        let fresh = id(wrong).await;
        assert!(fresh != wrong && fresh.len() == 36, "{fresh}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused_before_it_fills_anything() {
    let (_world, producer) = world_and_producer().await;
    let mut line = TcpStream::connect(producer.address.trim_start_matches("http://"))
        .await
        .expect("it listens");
    line.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        .await
        .expect("it is taken");
    let filler = format!("X-Filler: {}\r\n", "x".repeat(8_000));
    let mut sent = 0;
    // At some point it is refused, or the connection is closed; either is an end.
    while sent < 200 && line.write_all(filler.as_bytes()).await.is_ok() {
        sent += 1;
    }
    let mut answer = Vec::new();
    let _reset = line.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    assert_eq!(ask(producer.get("/healthz")).await.status, 200);
}
