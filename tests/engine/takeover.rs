//! What is taken away from a worker, and what is found lying about.

use millstream::domain::{JobState, Lane};
use millstream::engine::{EngineError, Identity, Stop, Worker};
use millstream::queue::Call;
use millstream::queue::{Queue, Wire};
use millstream::settings::QueueSettings;

use crate::support::gated::TestJob;
use crate::support::{Gated, World, until};

#[tokio::test]
async fn a_worker_whose_entry_was_withdrawn_drops_the_handler_at_once() {
    let world = World::new().await;
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let lease = handler.next_start().await;
    let sql = "update millstream.jobs set state = 'cancelled', finished_at = now() where id = $1";
    sqlx::query(sql)
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("postgres");
    let () = redis::pipe()
        .cmd("XACK")
        .arg(&world.queue.keys().own)
        .arg(&world.settings.group)
        .arg(entry.to_string())
        .ignore()
        .cmd("XDEL")
        .arg(&world.queue.keys().own)
        .arg(entry.to_string())
        .ignore()
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    world
        .queue
        .call_workers(Call::Renew)
        .await
        .expect("valkey is there");
    // The gate is shut: only the token ends it.
    assert_eq!(handler.next_end().await, lease);
    until("the slot is free", || async {
        let seen = world.queue.workers().await.expect("valkey is there");
        let card = seen.first()?.card.clone()?;
        card.contains("\"busy\":0").then_some(())
    })
    .await;
    assert_eq!(world.job(id).await.status, "cancelled");
    assert_eq!(handler.runs(), 0);
    worker.drain().await;
}

#[tokio::test]
async fn what_a_foreign_worker_acknowledged_and_left_lying_is_cleared_away() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.accept("one").await;
    world.enqueue(id, "one").await;
    let stream = &world.queue.keys().own;
    let _delivered: redis::Value = redis::cmd("XREADGROUP")
        .arg(&[
            "GROUP",
            &world.settings.group,
            "a-reference-worker",
            "STREAMS",
            stream,
            ">",
        ])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let entry: Vec<(String, redis::Value)> = redis::cmd("XRANGE")
        .arg(&[stream, "-", "+"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    sqlx::query("update millstream.jobs set state = 'done' where id = $1")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("postgres");
    let acknowledged: u64 = redis::cmd("XACK")
        .arg(&[stream, &world.settings.group, &entry[0].0])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert_eq!(acknowledged, 1);
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn nothing_that_a_group_still_needs_is_cleared_away() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let keys = world.queue.keys();
    let mut ids = Vec::new();
    for word in ["finished", "pending here", "needed there", "new"] {
        let id = world.accept(word).await;
        ids.push(world.enqueue(id, word).await.to_string());
    }
    let mut valkey = world.valkey.clone();
    let ours = world.settings.group.as_str();
    let mut ask = async |words: &[&str]| -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut valkey).await.expect("valkey is there")
    };
    ask(&["XGROUP", "CREATE", &keys.own, "audit", "0"]).await;
    ask(&[
        "XREADGROUP",
        "GROUP",
        ours,
        "c",
        "COUNT",
        "3",
        "STREAMS",
        &keys.own,
        ">",
    ])
    .await;
    ask(&[
        "XREADGROUP",
        "GROUP",
        "audit",
        "c",
        "COUNT",
        "3",
        "STREAMS",
        &keys.own,
        ">",
    ])
    .await;
    ask(&["XACK", &keys.own, ours, &ids[0], &ids[2]]).await;
    ask(&["XACK", &keys.own, "audit", &ids[0], &ids[1]]).await;
    let slice = world.queue.clear_finished(Lane::Own, None).await.expect("clear");
    assert_eq!((slice.found, slice.next), (1, None));
    let left: Vec<(String, redis::Value)> = redis::cmd("XRANGE")
        .arg(&[keys.own.as_str(), "-", "+"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let left: Vec<String> = left.into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, ids[1..]);
}

#[tokio::test]
async fn a_queue_belongs_to_one_group() {
    let world = World::new().await;
    let worker = world.worker(&Gated::open(), World::engine());
    let id = world.submit("one").await;
    world.until_state(id, JobState::Done).await;
    let settings = QueueSettings {
        group: "others".to_owned(),
        ..world.settings.clone()
    };
    let queue = Queue::open(&world.valkey_url.as_str().into(), &settings, Wire::JOB).expect("an address");
    let other: Worker<TestJob, _, _> = Worker::new(
        queue,
        world.store.clone(),
        Gated::open(),
        World::engine(),
        Identity::default(),
    );
    let refused = other.run(Stop::new()).await.expect_err("the queue is taken");
    assert!(matches!(refused, EngineError::Refused(_)), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("belongs to the group reviewers") && text.contains("DEL"),
        "{text}"
    );
    worker.drain().await;
}
