//! A paused queue starts nothing, whoever was waiting for an entry already.

use millstream::domain::JobState;
use millstream::queue::Call;
use millstream::queue::keys::PARKED;

use crate::support::{Gated, World, until};

/// Waits until a worker's blocking read has begun on the server.
async fn until_reading(world: &World, name: &str) {
    until("the worker blocks on an idle queue", || async {
        let clients: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        let name = format!(" name=millstream:{name} ");
        // A read that has just begun does not end before the test is through with it.
        let young = |line: &str| [" idle=0 ", " idle=1 "].iter().any(|idle| line.contains(idle));
        let blocked = |line: &&str| line.contains(&name) && line.contains("cmd=xreadgroup") && young(line);
        clients.lines().find(blocked).map(drop)
    })
    .await;
}

async fn set_pause(world: &World, on: bool) {
    let mut pipe = redis::pipe();
    if on {
        pipe.cmd("SET").arg(&world.queue.keys().pause).arg("{}");
    } else {
        pipe.cmd("DEL").arg(&world.queue.keys().pause);
    }
    let () = pipe
        .ignore()
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_to_a_worker_that_waited_for_it() {
    let world = World::new().await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    until_reading(&world, &worker.id.to_string()).await;
    set_pause(&world, true).await;
    // The blocking read of before the pause takes it, and gives it back.
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    until("the entry is parked", || async {
        world.holder(entry).await.filter(|(holder, _)| holder == PARKED)
    })
    .await;
    assert_eq!(world.job(id).await.status, "waiting");
    assert_eq!(handler.runs(), 0);
    set_pause(&world, false).await;
    world
        .queue
        .call_workers(Call::Due)
        .await
        .expect("valkey is there");
    let row = world.until_state(id, JobState::Done).await;
    assert_eq!(row.attempt, 1, "it was not started before");
    worker.drain().await;
}

#[tokio::test]
async fn what_is_due_waits_until_a_paused_queue_goes_on() {
    let world = World::new().await;
    set_pause(&world, true).await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    let id = world.submit("one").await;
    // Long enough for several rounds of fetching: the heartbeat comes once a second.
    until("the worker has asked for work", || async {
        let workers = world.queue.workers().await.expect("valkey is there");
        (!workers.is_empty()).then_some(())
    })
    .await;
    world
        .queue
        .call_workers(Call::Due)
        .await
        .expect("valkey is there");
    let depth = world.queue.depth().await.expect("valkey is there");
    assert_eq!((depth.entries, depth.pending, handler.runs()), (1, 0, 0));
    set_pause(&world, false).await;
    world
        .queue
        .call_workers(Call::Due)
        .await
        .expect("valkey is there");
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
}

#[tokio::test]
async fn the_key_of_a_pause_follows_the_row_both_ways() {
    let world = World::new().await;
    let name = &world.settings.name;
    world
        .store
        .pause(name, "ada", Some("deploy"))
        .await
        .expect("postgres");
    // Its key went with the rest of Valkey's data.
    let worker = world.worker(&Gated::open(), World::engine());
    until("the key is back", || async {
        let key = world.queue.pause_text().await.expect("valkey is there")?;
        key.contains("deploy").then_some(())
    })
    .await;
    let id = world.submit("one").await;
    // A resume that did not reach Valkey leaves the key.
    assert!(world.store.resume(name).await.expect("postgres"));
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.queue.pause_text().await.expect("valkey is there"), None);
    worker.drain().await;
}
