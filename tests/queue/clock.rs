//! A server whose clock is set back, or that was replaced by one whose clock is behind: what was noted by the old one lies
//! ahead, and holds nothing up until the new one gets there.

use std::time::Duration;

use millstream::domain::{Lane, WorkerId};
use millstream::queue::keys::lane_number;

use super::{fetch_one, with_entry};
use crate::support::{World, first_parking};

const AHEAD_MS: u64 = 3_600_000;

async fn put_ahead(world: &World, key: &str, member: &str) {
    let ahead = world.queue.server_ms().await.expect("valkey is there") + AHEAD_MS;
    let () = redis::cmd("ZADD")
        .arg(key)
        .arg("XX")
        .arg(ahead)
        .arg(member)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

/// By how much a time lies ahead of the server's clock, in milliseconds.
async fn ahead(world: &World, key: &str, member: &str) -> f64 {
    let score: f64 = redis::cmd("ZSCORE")
        .arg(&[key, member])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("it is there");
    score - world.queue.server_ms().await.expect("valkey is there") as f64
}

#[tokio::test]
async fn a_worker_that_was_heard_in_the_future_is_silent_from_now_on() {
    let (world, _) = with_entry(Lane::Own).await;
    let (gone, alive) = (WorkerId::fresh(), WorkerId::fresh());
    world.queue.beat(gone, "{}", true).await.expect("beat");
    fetch_one(&world, gone).await;
    let (key, name) = (world.queue.keys().workers.clone(), gone.to_string());
    put_ahead(&world, &key, &name).await;
    // The first was elected too; it has left, as far as the election goes.
    let () = redis::cmd("DEL")
        .arg(&world.queue.keys().sweeper)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let beat = world.queue.beat(alive, "{}", true).await.expect("beat");
    assert!(beat.sweeps);
    assert!(beat.suspects.is_empty(), "nobody is silent yet: {beat:?}");
    assert!(ahead(&world, &key, &name).await <= 0.0);
}

#[tokio::test]
async fn an_entry_that_is_parked_for_longer_than_any_may_be_is_due() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    let longest = first_parking(entry.id, Duration::from_secs(300));
    let parked = world.queue.park(Lane::Own, worker, &[longest]).await;
    parked.expect("park");
    let key = world.queue.keys().due(Lane::Own).to_owned();
    let member = format!("{}:{}", lane_number(Lane::Own), entry.id);
    world.queue.tend_parked(Lane::Own, None).await.expect("tend");
    assert!(
        ahead(&world, &key, &member).await > 200_000.0,
        "it waits as it was told"
    );
    put_ahead(&world, &key, &member).await;
    world.queue.tend_parked(Lane::Own, None).await.expect("tend");
    assert_eq!(fetch_one(&world, worker).await.id, entry.id);
}
