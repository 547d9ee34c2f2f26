//! `callbackUrl`: taken with a submission, and refused when nobody may be called there.

use millstream::domain::JobId;
use millstream::queue::Wire;
use millstream::settings::CallbackSettings;
use serde_json::{Value, json};

use super::{Producer, ask};
use crate::support::World;
use crate::support::reviews::CLEAN;

/// Callbacks are taken, and may lead to this machine.
const CALLBACKS: CallbackSettings = CallbackSettings {
    signed: true,
    allow_private: true,
};

/// The address that is told of a review's end.
async fn stored(world: &World, id: &Value) -> Option<String> {
    let id: JobId = id.as_str().expect("an id").parse().expect("an id");
    sqlx::query_scalar("select callback_url from millstream.jobs where id = $1")
        .bind(id.0)
        .fetch_one(&world.sql)
        .await
        .expect("its row")
}

async fn count(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from millstream.jobs")
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there")
}

#[tokio::test]
async fn a_callback_is_stored_with_its_review_and_shown_to_nobody() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| web.callbacks = CALLBACKS).await;
    for callback in [Some("http://127.0.0.1:9/hooks?key=t0ken"), None] {
        let answer = ask(producer.post(json!({ "patch": CLEAN, "callbackUrl": callback }).to_string())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let id = answer.json()["id"].clone();
        assert_eq!(stored(&world, &id).await.as_deref(), callback);
        let path = format!("/api/reviews/{}", id.as_str().expect("an id"));
        let shown = ask(producer.get(&path)).await;
        assert!(shown.status == 200 && !shown.body.contains("t0ken"), "{shown:?}");
    }
}

#[tokio::test]
async fn a_callback_is_a_part_of_what_a_key_stands_for() {
    let world = World::with(Wire::REVIEW).await;
    let producer = Producer::start_with(&world, |web| web.callbacks = CALLBACKS).await;
    let submit = async |callback: Option<&str>| {
        let body = json!({ "patch": CLEAN, "callbackUrl": callback }).to_string();
        ask(producer.post(body).header("idempotency-key", "k1")).await
    };
    let first = submit(Some("http://127.0.0.1:9/one")).await;
    assert_eq!(first.status, 202);
    let again = submit(Some("http://127.0.0.1:9/one")).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["id"]),
        (202, &first.json()["id"])
    );
    submit(Some("http://127.0.0.1:9/two")).await.problem(422);
    submit(None).await.problem(422);
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn a_callback_that_may_not_be_called_is_refused_and_nothing_is_written() {
    let world = World::with(Wire::REVIEW).await;
    let public = CallbackSettings {
        allow_private: false,
        ..CALLBACKS
    };
    let producer = Producer::start_with(&world, |web| web.callbacks = public).await;
    for (callback, told) in [
        (json!("https://169.254.169.254/"), "this one is link-local"),
        (
            json!("https://user:hunter2@example.com/"),
            "no name and no password",
        ),
        (json!("http://example.com/t0ken"), "must start with https://"),
        (json!("/hooks"), "an absolute address"),
        (json!(""), "an absolute address"),
        (json!(7), "callbackUrl must be a string, not a number"),
    ] {
        let answer = ask(producer.post(json!({ "patch": CLEAN, "callbackUrl": callback }).to_string())).await;
        let error = answer.problem(400);
        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(
            detail.contains("callbackUrl") && detail.contains(told),
            "{detail}"
        );
        for secret in ["hunter2", "t0ken"] {
            assert!(
                !answer.body.contains(secret) && !error.contains(secret),
                "{answer:?}"
            );
        }
    }
    let unsigned = Producer::start(&world, None).await;
    let body = json!({ "patch": CLEAN, "callbackUrl": "https://example.com/hooks" }).to_string();
    let answer = ask(unsigned.post(body)).await;
    answer.problem(400);
    assert!(answer.body.contains("WEBHOOK_SECRET is not set"), "{answer:?}");
    assert_eq!(count(&world).await, 0);
}
