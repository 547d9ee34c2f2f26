//! How fast and how much: a bucket for each client, and a queue that is full.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use millstream::domain::WorkerId;
use millstream::engine::reconcile::Reconciler;
use millstream::queue::Wire;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Answer, Producer, ask, count};
use crate::support::reviews::CLEAN;
use crate::support::{World, until};

/// So often may a machine be too slow to be too fast.
const TRIES: usize = 20;

pub(super) fn pull(number: usize) -> String {
    json!({ "prUrl": format!("https://github.com/acme/ledger/pull/{number}") }).to_string()
}

#[tokio::test]
async fn a_client_that_is_too_fast_is_told_when_to_come_back() {
    // A second gives a place back: three that a busy machine held up longer tell nothing, and others are sent.
    for _ in 0..TRIES {
        if is_told_when_to_come_back().await {
            return;
        }
    }
    panic!("three submissions took a second each of {TRIES} times");
}

/// Whether a client that was too fast was told so; not when the machine was too slow for that.
async fn is_told_when_to_come_back() -> bool {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| {
        (web.submit_rate, web.submit_burst) = (1, 2);
        web.token = Some("s3cret".into());
        web.public_submit = true;
    })
    .await;
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(ask(producer.post(pull(1))).await);
    }
    if began.elapsed() >= Duration::from_millis(900) {
        return false;
    }
    let refused = answers.remove(2);
    for (answer, left) in answers.iter().zip(["\"submit\";r=1;t=1", "\"submit\";r=0;t=2"]) {
        assert_eq!(
            (answer.status.as_u16(), answer.header("ratelimit")),
            (202, Some(left))
        );
        assert_eq!(answer.header("ratelimit-policy"), Some("\"submit\";q=2;w=2"));
    }
    assert!(refused.problem(429).contains("too many submissions"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"submit\";r=0;t=2"));
    assert_eq!(
        ask(producer.post(pull(1)).bearer_auth("s3cret")).await.status,
        202,
        "it has a bucket of its own"
    );
    assert_eq!(
        ask(producer.get("/api/reviews")).await.status,
        200,
        "reading is not limited"
    );
    assert_eq!(count(&world, "reviews").await, 3);
    true
}

#[tokio::test]
async fn one_client_cannot_take_the_places_of_all_others() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| {
        web.token = Some("s3cret".into());
        web.public_submit = true;
    })
    .await;
    let path = format!("/api/reviews/{}", producer.submit(CLEAN).await);
    let stream = || producer.get(&format!("{path}/stream"));
    let open = async |_| stream().send().await.expect("an answer");
    let mut held: Vec<_> = futures_util::stream::iter(0..64)
        .map(open)
        .buffer_unordered(16)
        .collect()
        .await;
    assert!(held.iter().all(|answer| answer.status() == 200));
    // A stream that is let in does not end, so it is asked for last.
    for request in [producer.get(&format!("{path}?wait=1s")), stream()] {
        let refused = ask(request).await;
        assert!(refused.problem(429).contains("64 streams"), "{refused:?}");
        assert_eq!(refused.header("retry-after"), Some("5"));
    }
    for free in ["/healthz", "/readyz", &path, &format!("{path}?wait=0")] {
        assert_eq!(ask(producer.get(free)).await.status, 200, "{free}");
    }
    let other = stream().bearer_auth("s3cret").send().await.expect("an answer");
    assert_eq!(other.status(), 200, "another client has places of its own");
    held.pop();
    until("the place is free again", || async {
        (stream().send().await.expect("an answer").status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_a_burst_over_the_limit_every_accepted_one_is_there_and_every_other_is_told_when_to_come_back() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 500;
    let producer = Producer::start(&world, None).await;
    let answers: Vec<Answer> = futures_util::stream::iter(0..2_000)
        .map(|number| ask(producer.post(pull(number + 1))))
        .buffer_unordered(64)
        .collect()
        .await;
    check_burst(&world, &answers).await;
}

/// Checks what came of more submissions than a world's queue takes.
pub(super) async fn check_burst(world: &World, answers: &[Answer]) {
    let limit = world.settings.limit;
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert!(answer.problem(429).contains("full"));
        assert!(answer.header("retry-after").is_some());
    }
    let accepted = answers.iter().filter(|answer| answer.status == 202).count() as u64;
    println!(
        "burst: {accepted} of {} accepted, the others got a 429",
        answers.len()
    );
    assert!(
        (limit..limit + 200).contains(&accepted),
        "those that were on their way are let through: {accepted}"
    );
    assert_eq!(rows(world, "reviews").await, accepted);
    // On a machine that is busy an enqueue may take longer than a submission waits for: it is owed, and paid.
    pay(world).await;
    assert_eq!(
        rows(world, "millstream.jobs where entry_id is not null").await,
        accepted
    );
    // One whose answer came too late stands there twice, and runs once.
    let depth = world.queue.depth().await.expect("valkey is there");
    assert!(
        (accepted..accepted + 64).contains(&depth.entries),
        "{} entries",
        depth.entries
    );
}

/// Enqueues what is owed, as the reconciler does once it is no longer the producer's business.
async fn pay(world: &World) {
    let sql = "update millstream.jobs set updated_at = now() - interval '31 s' where entry_id is null";
    sqlx::query(sql)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let reconciler = Reconciler {
        queue: world.queue.clone(),
        store: world.store.clone(),
        worker: WorkerId::fresh(),
        stop: CancellationToken::new(),
    };
    let known = &mut None;
    reconciler
        .round(true, known)
        .await
        .expect("both servers are there");
}

async fn rows(world: &World, table: &str) -> u64 {
    count(world, table).await.unsigned_abs()
}

#[tokio::test]
async fn a_full_queue_drains_at_a_rate_and_that_is_what_a_client_is_told() {
    let mut world = World::with(Wire::REVIEW).await;
    world.settings.limit = 40;
    let producer = Producer::start(&world, None).await;
    for _ in 0..80 {
        producer.submit(CLEAN).await;
        // Thirty ended in the last minute: two places, which is a twentieth of the limit, are free in four seconds.
        if count(&world, "millstream.jobs where state = 'done'").await == 30 {
            break;
        }
        sqlx::query("update millstream.jobs set state = 'done', finished_at = now() where state = 'waiting'")
            .execute(&world.sql)
            .await
            .expect("postgres is there");
    }
    sqlx::query(
        "insert into millstream.jobs (id, queue, kind, lane, payload, state)
         select gen_random_uuid(), $1, 'review', 'own', 'x', 'waiting' from generate_series(1, 40)",
    )
    .bind(&world.settings.name)
    .execute(&world.sql)
    .await
    .expect("postgres is there");
    let full = until("the queue is seen to be full", || async {
        let answer = ask(producer.post(json!({ "patch": CLEAN }).to_string())).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert_eq!(full.header("retry-after"), Some("4"));
}

#[tokio::test]
async fn a_key_is_deleted_once_its_day_is_over() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    for key in ["old", "older", "new"] {
        let answer = ask(producer.post(pull(1)).header("idempotency-key", key)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let sql = "update millstream.idempotency set created_at = now() - interval '25 h' where key like 'old%'";
    sqlx::query(sql)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(
        world.store.forget_keys(1).await.expect("postgres is there"),
        1,
        "no more than asked for"
    );
    assert_eq!(rows(&world, "millstream.idempotency").await, 2);
    pay(&world).await;
    let left: Vec<String> = sqlx::query_scalar("select key from millstream.idempotency")
        .fetch_all(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(left, ["new"]);
}
