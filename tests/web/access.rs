//! Who may do what: tokens with scopes, doors that are open to look, and pages of other sites.

use millstream::domain::{JobState, Scope, Scopes};
use millstream::ops::tokens::WantedToken;
use millstream::ops::{Operator, Rights};
use millstream::queue::Wire;
use serde_json::json;

use super::{Answer, Producer, ask, offline, world_and_producer};
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::{World, until};

fn operating(world: &World) -> Operator {
    Operator::new(world.store.clone(), world.queue.clone(), "test", Rights::Explicit)
}

async fn token(world: &World, name: &str, scopes: &[Scope]) -> String {
    let wanted = WantedToken {
        name: name.to_owned(),
        scopes: Scopes::of(scopes),
        expires_at: None,
    };
    let made = operating(world)
        .create_token(wanted)
        .await
        .expect("postgres is there");
    made.expect("the name is free").text
}

#[tokio::test]
async fn a_token_may_do_what_its_scopes_say_until_it_is_revoked() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start(&world, Some("s3cret")).await;
    let id = {
        let answer = ask(producer
            .post(json!({ "patch": CLEAN }).to_string())
            .bearer_auth("s3cret"))
        .await;
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let submit = async |token: &str| {
        ask(producer
            .post(json!({ "patch": CLEAN }).to_string())
            .bearer_auth(token))
        .await
    };
    let list = async |token: &str| ask(producer.get("/api/reviews").bearer_auth(token)).await;
    let cancel = async |token: &str| {
        let address = format!("{}/api/reviews/{id}/cancel", producer.address);
        ask(producer.client.post(address).bearer_auth(token)).await
    };
    let reader = token(&world, "ada", &[Scope::Read]).await;
    let sender = token(&world, "ci", &[Scope::Submit]).await;
    let operator = token(&world, "ops", &[Scope::Operate]).await;
    assert_eq!(list(&reader).await.status, 200);
    assert!(submit(&reader).await.problem(403).contains("submit"));
    assert_eq!(submit(&sender).await.status, 202);
    assert!(cancel(&sender).await.problem(403).contains("operate"));
    assert_eq!(cancel(&operator).await.status, 200);
    list("mst_0000").await.problem(401);
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("select hash from millstream.tokens")
        .fetch_all(&world.sql)
        .await
        .expect("postgres is there");
    assert!(
        stored
            .iter()
            .all(|hash| hash.len() == 32 && !reader.as_bytes().windows(32).any(|part| part == hash))
    );
    assert!(
        operating(&world)
            .revoke_token("ci")
            .await
            .expect("postgres is there")
    );
    until("the producer notices", || async {
        (submit(&sender).await.status == 401).then_some(())
    })
    .await;
    let verbs: Vec<(String, String)> =
        sqlx::query_as("select actor, verb from millstream.actions order by id")
            .fetch_all(&world.sql)
            .await
            .expect("the book");
    let verbs: Vec<_> = verbs
        .iter()
        .map(|(actor, verb)| format!("{actor} {verb}"))
        .collect();
    assert_eq!(
        verbs,
        [
            "test token create",
            "test token create",
            "test token create",
            "web:token:ops cancel",
            "test token revoke"
        ]
    );
}

#[tokio::test]
async fn who_may_only_look_sees_how_reviews_ended_and_nothing_that_quotes_them() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| {
        web.token = Some("s3cret".into());
        web.public_read = true;
    })
    .await;
    let posted = ask(producer
        .post(json!({ "patch": COMMITTED_KEY }).to_string())
        .bearer_auth("s3cret"))
    .await;
    let id = posted.json()["id"].as_str().expect("an id").to_owned();
    let worker = world.reviewer(offline(), World::engine());
    world
        .until_state(id.parse().expect("an id"), JobState::Done)
        .await;
    let path = format!("/api/reviews/{id}");
    let whole = ask(producer.get(&path).bearer_auth("s3cret")).await;
    let outline = ask(producer.get(&path)).await;
    assert_ne!(whole.header("etag"), outline.header("etag"));
    let (whole, outline) = (whole.json(), outline.json());
    assert_eq!(outline["review"]["verdict"], whole["review"]["verdict"]);
    assert_eq!(
        outline["spans"].as_array().map(Vec::len),
        whole["spans"].as_array().map(Vec::len)
    );
    assert_eq!(
        (&outline["findings"], &outline["results"]),
        (&json!([]), &json!([]))
    );
    assert!(outline["review"]["reason"].is_null());
    assert!(
        outline["spans"]
            .as_array()
            .expect("spans")
            .iter()
            .all(|span| span["input"].is_null())
    );
    assert!(whole["review"]["reason"].is_string());
    let stream = ask(producer.get(&format!("{path}/stream"))).await;
    assert!(
        stream.body.contains("agent_done") && !stream.body.contains("\"note\""),
        "{}",
        stream.body
    );
    let list = ask(producer.get("/api/reviews")).await.json();
    assert!(list[0]["reason"].is_null() && list[0]["verdict"].is_string());
    ask(producer.post(json!({ "patch": CLEAN }).to_string()))
        .await
        .problem(401);
    worker.drain().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let (world, producer) = world_and_producer().await;
    let post = async |name: &str, value: &str| -> Answer {
        let request = producer.post(json!({ "patch": CLEAN }).to_string());
        ask(request.header(name, value)).await
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert!(
            post(name, value).await.problem(403).contains("another site"),
            "{name}: {value}"
        );
    }
    assert_eq!(super::count(&world, "reviews").await, 0);
    assert_eq!(post("origin", &producer.address).await.status, 202);
    assert_eq!(post("sec-fetch-site", "same-origin").await.status, 202);
}
