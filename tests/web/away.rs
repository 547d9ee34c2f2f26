//! The producer while one of its servers is away.

use std::time::{Duration, Instant};

use millstream::domain::JobState;
use millstream::queue::{Patience, Queue, Wire};
use millstream::store::Store;
use serde_json::json;

use super::{Producer, ask, count, offline};
use crate::support::reviews::CLEAN;
use crate::support::servers::shared;
use crate::support::{Line, World, private, until};

#[tokio::test]
async fn while_valkey_is_away_a_review_is_accepted_and_owed() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let before = producer.submit(CLEAN).await;
    servers.kill_valkey().await.expect("it is ours");
    let asked = Instant::now();
    let id = producer.submit(CLEAN).await;
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    let entry: Option<String> = sqlx::query_scalar("select entry_id from millstream.jobs where id = $1")
        .bind(id.0)
        .fetch_one(&world.sql)
        .await
        .expect("its row");
    assert_eq!((entry, world.job(id).await.status.as_str()), (None, "waiting"));
    assert_eq!(ask(producer.get("/api/reviews")).await.status, 200);
    assert_eq!(ask(producer.get("/healthz")).await.status, 200);
    servers.restart_valkey().await.expect("it comes back");
    // The time passes in which it is the producer's own business.
    sqlx::query("update millstream.jobs set updated_at = now() - interval '31 s' where id = $1")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("the clock moves");
    let worker = world.reviewer(offline(), World::engine());
    for id in [before, id] {
        assert_eq!(world.until_state(id, JobState::Done).await.attempt, 1);
    }
    // The connection of the producer comes back too.
    let after = producer.submit(CLEAN).await;
    world.until_state(after, JobState::Done).await;
    worker.drain().await;
    servers.stop().await;
}

#[tokio::test]
async fn a_valkey_that_fell_silent_holds_no_request_up() {
    let line = Line::to(shared().valkey_url()).await;
    let mut world = World::on_valkey(&line.through(shared().valkey_url()), Wire::REVIEW).await;
    // Its commands wait for a minute: only the enqueue's own limit can answer the request sooner.
    let patience = Patience {
        answer: Duration::from_secs(60),
        ..Patience::default()
    };
    let url = world.valkey_url.as_str().into();
    world.queue =
        Queue::open_with(&url, &world.settings, Wire::REVIEW, patience).expect("an address of ours");
    let producer = Producer::start(&world, None).await;
    producer.submit(CLEAN).await;
    line.silence();
    let asked = Instant::now();
    let id = producer.submit(CLEAN).await;
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    assert_eq!(world.job(id).await.status, "waiting");
}

#[tokio::test]
async fn while_postgres_is_away_nothing_is_accepted_and_a_repeat_is_safe() {
    let servers = private::postgres().await;
    let store = Store::open(&servers.database_url.clone().into(), "tests", 1).expect("an address of ours");
    store.migrate().await.expect("an empty database");
    let world = World::at(&servers.valkey_url, &servers.database_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let submit = || {
        let request = producer.post(json!({ "patch": CLEAN }).to_string());
        ask(request.header("idempotency-key", "k-1"))
    };
    let list = || ask(producer.get("/api/reviews"));
    let first = submit().await;
    assert_eq!(first.status, 202);
    servers.kill_postgres().await.expect("it is ours");
    let (submitted, listed) = tokio::join!(submit(), list());
    for answer in [&submitted, &listed] {
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(!answer.body.contains("127.0.0.1"), "{answer:?}");
    }
    assert!(
        submitted.problem(503).contains("same Idempotency-Key"),
        "{submitted:?}"
    );
    assert_eq!(
        ask(producer.get("/healthz")).await.status,
        200,
        "a restart of us heals nothing"
    );
    servers.restart_postgres().await.expect("it comes back");
    let again = until("it is accepted again", || async {
        let again = submit().await;
        (again.status == 202).then_some(again)
    })
    .await;
    assert_eq!(again.json(), first.json());
    assert_eq!(count(&world, "reviews").await, 1);
    servers.stop().await;
}
