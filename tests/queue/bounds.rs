//! What lies there in thousands, and what consumers and sweepers leave behind.

use std::time::Duration;

use millstream::domain::{JobId, Lane, WorkerId};
use millstream::queue::NewEntry;
use millstream::queue::fetch::Want;
use millstream::queue::keys::PARKED;

use crate::support::World;

/// More than Lua can unpack at once (some 8,000).
const MANY: usize = 10_000;

fn entries(count: usize) -> Vec<NewEntry> {
    let one = |_| NewEntry {
        lane: Lane::Own,
        job: JobId::fresh(),
        payload: "p".into(),
        traceparent: None,
    };
    (0..count).map(one).collect()
}

/// Gives everything that is new to a consumer.
async fn deliver(world: &World, consumer: &str) {
    let _rows: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", &world.settings.group, consumer, "COUNT"])
        .arg(MANY)
        .arg(&["STREAMS", &world.queue.keys().own, ">"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
}

#[tokio::test]
async fn ten_thousand_due_entries_are_given_out_in_small_parts() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let ids = world.queue.enqueue(&entries(MANY)).await.expect("enqueue");
    deliver(&world, PARKED).await;
    let mut pipe = redis::pipe();
    for id in &ids {
        pipe.cmd("ZADD")
            .arg(&world.queue.keys().due)
            .arg(1)
            .arg(format!("1:{id}"))
            .ignore();
    }
    let () = pipe
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let worker = WorkerId::fresh();
    let beat = world.queue.beat(worker, "{}", true).await.expect("beat");
    assert_eq!(
        (beat.due, beat.parked),
        (1_000, MANY as u64),
        "counted as far as it matters"
    );
    let fetched = world.queue.fetch(worker, 7, Want::Anything).await.expect("fetch");
    assert_eq!(fetched.entries.len(), 7);
    // More than Lua could unpack, were it asked to.
    let fetched = world
        .queue
        .fetch(worker, MANY, Want::Anything)
        .await
        .expect("fetch");
    assert_eq!(fetched.entries.len(), MANY - 7);
    let all: Vec<_> = fetched.entries.iter().map(|entry| entry.id).collect();
    let kept = world.queue.renew(Lane::Own, worker, &all).await.expect("renew");
    assert!(kept.iter().all(|kept| *kept));
    let settled = world.queue.settle(Lane::Own, worker, &all).await.expect("settle");
    assert!(settled.iter().all(|settled| *settled));
}

#[tokio::test]
async fn what_a_dead_consumer_held_is_taken_over_in_slices() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    world.queue.enqueue(&entries(250)).await.expect("enqueue");
    deliver(&world, "dead").await;
    let (mut from, mut sizes) = (None, Vec::new());
    loop {
        let slice = world
            .queue
            .take_over(Lane::Own, "dead", Duration::ZERO, Duration::ZERO, from.as_deref())
            .await
            .expect("takeover");
        sizes.push(slice.found.len());
        match slice.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(sizes, [50, 50, 50, 50, 50, 0]);
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!((depth.pending, depth.parked), (250, 250));
}

#[tokio::test]
async fn what_was_trimmed_in_a_dead_consumers_hands_leaves_the_pending_list() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    world.queue.enqueue(&entries(1)).await.expect("enqueue");
    deliver(&world, "dead").await;
    let () = redis::cmd("XTRIM")
        .arg(&[&world.queue.keys().own, "MAXLEN", "0"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let slice = world
        .queue
        .take_over(Lane::Own, "dead", Duration::ZERO, Duration::ZERO, None)
        .await
        .expect("takeover");
    assert!(slice.found.iter().all(millstream::queue::Entry::is_gone) && slice.found.len() == 1);
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!((depth.pending, depth.parked), (0, 0));
}

#[tokio::test]
async fn what_was_queued_before_the_group_was_made_is_given_out() {
    let world = World::new().await;
    let ids = world.queue.enqueue(&entries(3)).await.expect("enqueue");
    world.queue.ensure_groups().await.expect("groups");
    let fetched = world
        .queue
        .fetch(WorkerId::fresh(), 9, Want::Anything)
        .await
        .expect("fetch");
    let given: Vec<_> = fetched.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(given, ids);
}

#[tokio::test]
async fn a_sweeper_that_is_killed_is_followed_by_another() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let (first, second) = (WorkerId::fresh(), WorkerId::fresh());
    assert!(world.queue.beat(first, "{}", true).await.expect("beat").sweeps);
    assert!(!world.queue.beat(second, "{}", true).await.expect("beat").sweeps);
    let left: i64 = redis::cmd("PTTL")
        .arg(&world.queue.keys().sweeper)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert!((1..=3_000).contains(&left), "its term ends by itself: {left} ms");
    // The clock moves on.
    let () = redis::cmd("PEXPIRE")
        .arg(&world.queue.keys().sweeper)
        .arg(0)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert!(world.queue.beat(second, "{}", true).await.expect("beat").sweeps);
    assert!(!world.queue.beat(first, "{}", true).await.expect("beat").sweeps);
}

#[tokio::test]
async fn a_worker_that_has_just_started_sweeps_in_a_steady_fleet_only() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let (fresh, steady) = (WorkerId::fresh(), WorkerId::fresh());
    // After an outage everybody looks silent to whoever comes first.
    assert!(!world.queue.beat(fresh, "{}", false).await.expect("beat").sweeps);
    assert!(world.queue.beat(steady, "{}", true).await.expect("beat").sweeps);
    // The steady one dies, and its term ends.
    let () = redis::cmd("DEL")
        .arg(&world.queue.keys().sweeper)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert!(world.queue.beat(fresh, "{}", false).await.expect("beat").sweeps);
    let left: i64 = redis::cmd("PTTL")
        .arg(&world.queue.keys().steady)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert!(
        (1..=2_500).contains(&left),
        "the mark is not renewed by whoever is not steady"
    );
}

#[tokio::test]
async fn a_dead_worker_leaves_no_consumer_behind_once_nothing_is_pending() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let dead = WorkerId::fresh();
    world.queue.beat(dead, "{}", true).await.expect("beat");
    world.queue.enqueue(&entries(1)).await.expect("enqueue");
    let fetched = world.queue.fetch(dead, 1, Want::Anything).await.expect("fetch");
    assert_eq!(fetched.entries.len(), 1);
    let now = world.queue.server_ms().await.expect("time");
    let minute = Duration::from_secs(60);
    let silent = world
        .queue
        .silent_workers(now + 61_000, minute)
        .await
        .expect("silent");
    assert_eq!(silent, [dead.to_string()]);
    assert_eq!(
        world.queue.silent_workers(now, minute).await.expect("silent"),
        [""; 0]
    );
    assert_eq!(
        world.queue.leave(&silent[0]).await.expect("leave"),
        1,
        "it holds something"
    );
    assert_eq!(consumers(&world).await, 1);
    world
        .queue
        .take_over(Lane::Own, &silent[0], Duration::ZERO, Duration::ZERO, None)
        .await
        .expect("takeover");
    assert_eq!(world.queue.leave(&silent[0]).await.expect("leave"), 0);
    assert_eq!(
        consumers(&world).await,
        1,
        "only the one that parked entries belong to"
    );
}

#[tokio::test]
async fn a_consumer_that_was_made_after_the_data_was_lost_and_never_beat_is_taken_down() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let (forgotten, living, holder) = (WorkerId::fresh(), WorkerId::fresh(), WorkerId::fresh());
    world.queue.beat(living, "{}", true).await.expect("beat");
    for idle in [forgotten, living] {
        deliver(&world, &idle.to_string()).await;
    }
    // A foreign worker has no heartbeat, and its consumer is its own affair.
    deliver(&world, "worker-4711").await;
    world.queue.enqueue(&entries(1)).await.expect("enqueue");
    deliver(&world, &holder.to_string()).await;
    assert_eq!(world.queue.forget_consumers().await.expect("forget"), 1);
    assert_eq!(consumers(&world).await, 3);
}

async fn consumers(world: &World) -> usize {
    let rows: Vec<redis::Value> = redis::cmd("XINFO")
        .arg(&["CONSUMERS", &world.queue.keys().own, &world.settings.group])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    rows.len()
}

#[tokio::test]
async fn waiting_is_exact_after_entries_left_out_of_order() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    world.queue.enqueue(&entries(10)).await.expect("enqueue");
    let worker = WorkerId::fresh();
    let fetched = world.queue.fetch(worker, 6, Want::Anything).await.expect("fetch");
    let out_of_order: Vec<_> = fetched
        .entries
        .iter()
        .rev()
        .step_by(2)
        .map(|entry| entry.id)
        .collect();
    world
        .queue
        .settle(Lane::Own, worker, &out_of_order)
        .await
        .expect("settle");
    let glance = world.queue.glance().await.expect("glance");
    assert_eq!((glance.waiting, glance.pending), (4, 3));
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!(depth.entries - depth.pending, 4);
}
