//! Who a worker is, and that it is known before it takes anything.

use std::time::Duration;

use futures_util::StreamExt;
use millstream::domain::{JobState, WorkerId};
use millstream::queue::fetch::Want;
use millstream::queue::{Queue, Wire};
use millstream::settings::EngineSettings;
use redis::Value;

use crate::support::{Gated, Running, TestJob, World, private, until};

/// A worker whose connections are its own, as a process has them: they go when it is killed.
fn process(world: &World, handler: &Gated, settings: EngineSettings) -> Running {
    let queue = Queue::open(
        &world.valkey_url.as_str().into(),
        &world.settings,
        world.queue.wire(),
    );
    let queue = queue.expect("an address of ours");
    World::run_on::<TestJob, _>(queue, world.store.clone(), handler.clone(), settings)
}

#[tokio::test]
async fn a_worker_that_is_started_again_is_another_and_takes_over_at_once() {
    let world = World::new().await;
    let (handler, heir) = (Gated::shut(), Gated::open());
    // Only what a dead worker held is taken over so soon that this test sees it.
    let settings = EngineSettings {
        visibility_timeout: Duration::from_secs(600),
        ..World::engine()
    };
    let first = process(&world, &handler, settings.clone());
    let before = first.id;
    let id = world.submit("one").await;
    assert_eq!(handler.next_start().await.worker, before);
    first.kill().await;
    // The same machine, the same pid.
    let second = process(&world, &heir, settings);
    assert_ne!(second.id, before);
    let row = world.until_state(id, JobState::Done).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(heir.next_start().await.worker, second.id);
    assert_eq!(world.outcomes(id).await, ["crashed", "done"]);
    second.drain().await;
}

#[tokio::test]
async fn the_card_is_up_before_the_first_read() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::JOB).await;
    world.queue.ensure_groups().await.expect("groups");
    // The server knows the script that fetches and not the one that beats: who does not wait for its first
    // heartbeat is overtaken by its own fetch.
    let fetched = world.queue.fetch(WorkerId::fresh(), 1, Want::Anything).await;
    assert!(fetched.expect("the group is there").entries.is_empty());
    let client = redis::Client::open(servers.valkey_url.as_str()).expect("an address of ours");
    let monitor = client.get_async_monitor().await.expect("valkey is there");
    let mut lines = std::pin::pin!(monitor.into_on_message::<String>());
    let worker = world.worker(&Gated::open(), World::engine());
    let name = worker.id.to_string();
    let (card, consumer) = (
        format!("\"SET\" \"{}\"", world.queue.keys().card(&name)),
        format!("\"{name}\""),
    );
    let mut is_up = false;
    loop {
        let line = lines.next().await.expect("the monitor goes on");
        is_up |= line.contains(&card);
        if line.contains("\"XREADGROUP\"") && line.contains(&consumer) {
            break;
        }
    }
    assert!(is_up, "it read before anybody had heard of it");
    worker.drain().await;
    servers.stop().await;
}

#[tokio::test]
async fn what_a_silent_worker_left_is_taken_down() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let gone = WorkerId::fresh();
    world.queue.beat(gone, "{}", true).await.expect("beat");
    let (keys, name) = (world.queue.keys(), gone.to_string());
    let long_ago = world.queue.server_ms().await.expect("time") - 61_000;
    // It held something once, and its last heartbeat was a minute ago.
    let () = redis::pipe()
        .cmd("XGROUP")
        .arg(&["CREATECONSUMER", &keys.own, &keys.group, &name])
        .ignore()
        .cmd("ZADD")
        .arg(&keys.workers)
        .arg(long_ago)
        .arg(&name)
        .ignore()
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let worker = world.worker(&Gated::open(), World::engine());
    until("its card and its consumer are gone", || async {
        let seen = world.queue.workers().await.expect("valkey is there");
        let consumers: Vec<Value> = redis::cmd("XINFO")
            .arg(&["CONSUMERS", &keys.own, &keys.group])
            .query_async(&mut world.valkey.clone())
            .await
            .expect("the group is there");
        let left = seen.iter().any(|seen| seen.worker == name) || format!("{consumers:?}").contains(&name);
        (!left).then_some(())
    })
    .await;
    worker.drain().await;
}
