//! Polling for results: tags, waiting answers, pages, and moves by an operator.

use std::time::{Duration, Instant};

use millstream::domain::JobState;
use serde_json::{Value, json};

use super::{Producer, ask, offline, world_and_producer};
use crate::support::World;
use crate::support::reviews::CLEAN;

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    for path in ["/api/reviews".to_owned(), format!("/api/reviews/{id}")] {
        let first = ask(producer.get(&path)).await;
        let tag = first.header("etag").expect("a tag").to_owned();
        let again = ask(producer.get(&path).header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        assert_eq!(
            ask(producer.get(&path).header("if-none-match", "\"x\""))
                .await
                .status,
            200
        );
    }
    let path = format!("/api/reviews/{id}");
    let waiting = ask(producer.get(&path)).await;
    let worker = world.reviewer(offline(), World::engine());
    world.until_state(id, JobState::Done).await;
    let tag = waiting.header("etag").expect("a tag");
    let done = ask(producer.get(&path).header("if-none-match", tag)).await;
    assert_eq!(
        (done.status.as_u16(), &done.json()["review"]["state"]),
        (200, &json!("done"))
    );
    worker.drain().await;
}

#[tokio::test]
async fn an_answer_waits_for_the_end_and_no_longer_than_it_was_asked_to() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let path = format!("/api/reviews/{id}?wait=30s");
    let (answer, worker) = tokio::join!(ask(producer.get(&path)), async {
        world.reviewer(offline(), World::engine())
    });
    assert_eq!(answer.json()["review"]["state"], "done");
    // It has ended: there is nothing to wait for, also for who knows as much.
    let tag = answer.header("etag").expect("a tag");
    let asked = Instant::now();
    assert_eq!(
        ask(producer.get(&path).header("if-none-match", tag)).await.status,
        304
    );
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    worker.drain().await;
    let other = producer.submit(CLEAN).await;
    let waited = ask(producer.get(&format!("/api/reviews/{other}?wait=1"))).await;
    assert_eq!(waited.json()["review"]["state"], "waiting");
    for wrong in ["61s", "-1", "1.5", "soon", "%2B5", "999999999999"] {
        let answer = ask(producer.get(&format!("/api/reviews/{other}?wait={wrong}"))).await;
        assert!(answer.problem(400).contains("wait"), "{wrong}");
    }
}

#[tokio::test]
async fn an_answer_that_waits_comes_when_anything_changes() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let path = format!("/api/reviews/{id}");
    let first = ask(producer.get(&path)).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let waiting = producer
        .get(&format!("{path}?wait=30s"))
        .header("if-none-match", tag);
    let (answer, worker) = tokio::join!(ask(waiting), async { world.reviewer(offline(), World::engine()) });
    assert_eq!(answer.status, 200);
    assert_ne!(answer.json()["review"], first.json()["review"]);
    worker.drain().await;
}

/// The ids of a page, and where the next one is.
async fn page(producer: &Producer, path: &str) -> (Vec<String>, Option<String>) {
    let answer = ask(producer.get(path)).await;
    let ids = answer
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(id_of)
        .collect();
    let next = answer.header("link").map(|link| {
        let (address, rest) = link.split_once('>').expect("an address");
        assert_eq!(rest, "; rel=\"next\"");
        address.trim_start_matches('<').to_owned()
    });
    (ids, next)
}

fn id_of(review: &Value) -> String {
    review["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_list_is_walked_in_pages_and_filtered() {
    let (world, producer) = world_and_producer().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(producer.submit(CLEAN).await.to_string());
    }
    // All in one instant: the place of a page is more than a time.
    sqlx::query("update reviews set created_at = '2026-01-01'")
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let mut found = Vec::new();
    let mut path = Some("/api/reviews?limit=2".to_owned());
    while let Some(next) = path {
        let (ids, further) = page(&producer, &next).await;
        assert!(ids.len() <= 2);
        found.extend(ids);
        path = further;
    }
    all.sort();
    assert_eq!(found, all);
    let pull = json!({ "prUrl": "https://github.com/Acme/Ledger/pull/7" }).to_string();
    let pull = ask(producer.post(pull)).await.json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        page(&producer, "/api/reviews?q=acme%2FLEDGER").await.0,
        [pull.as_str()]
    );
    assert_eq!(page(&producer, "/api/reviews?q=%25").await.0, [""; 0]);
    assert_eq!(
        page(&producer, "/api/reviews?state=waiting&verdict=")
            .await
            .0
            .len(),
        6
    );
    assert_eq!(page(&producer, "/api/reviews?state=done").await.0.len(), 0);
    for wrong in ["limit=0", "limit=201", "state=finished", "before=7", "q=%ff&q=a"] {
        ask(producer.get(&format!("/api/reviews?{wrong}")))
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn an_operator_calls_off_and_runs_again() {
    let (world, producer) = world_and_producer().await;
    let id = producer.submit(CLEAN).await;
    let post = async |path: String| ask(producer.client.post(format!("{}{path}", producer.address))).await;
    let retried = post(format!("/api/reviews/{id}/retry")).await;
    assert!(retried.problem(409).contains("waiting"));
    let cancelled = post(format!("/api/reviews/{id}/cancel")).await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.json()["id"]),
        (200, &json!(id.to_string()))
    );
    assert_eq!(world.job(id).await.status, "cancelled");
    assert!(
        post(format!("/api/reviews/{id}/cancel"))
            .await
            .problem(409)
            .contains("cancelled")
    );
    let dead = producer.submit(CLEAN).await;
    sqlx::query("update millstream.jobs set state = 'dead', finished_at = now() where id = $1")
        .bind(dead.0)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(post(format!("/api/reviews/{dead}/retry")).await.status, 200);
    assert_eq!(world.job(dead).await.status, "waiting");
    for path in ["cancel", "retry"] {
        let unknown = "6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11";
        post(format!("/api/reviews/{unknown}/{path}")).await.problem(404);
        post(format!("/api/reviews/7/{path}")).await.problem(404);
    }
    let by: Vec<String> = sqlx::query_scalar("select distinct actor from millstream.actions")
        .fetch_all(&world.sql)
        .await
        .expect("the book");
    assert_eq!(by, ["web:public"]);
}
