//! The queue protocol on a real server: ownership, parking, takeover, and what a foreign hand does.

mod bounds;
mod clock;
mod silence;
mod streams;
mod window;

use std::time::Duration;

use millstream::domain::{JobId, Lane, WorkerId};
use millstream::queue::fetch::Want;
use millstream::queue::keys::PARKED;
use millstream::queue::{Entry, NewEntry, Parking, QueueError, Wire};

use crate::support::{World, first_parking};

/// A world with its groups made and one entry on a stream.
async fn with_entry(lane: Lane) -> (World, JobId) {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("valkey is there");
    let job = JobId::fresh();
    let entry = NewEntry {
        lane,
        job,
        payload: "p".into(),
        traceparent: None,
    };
    world.queue.enqueue(&[entry]).await.expect("valkey is there");
    (world, job)
}

async fn fetch_one(world: &World, worker: WorkerId) -> Entry {
    let fetched = world
        .queue
        .fetch(worker, 1, Want::Anything)
        .await
        .expect("the group is there");
    fetched.entries.into_iter().next().expect("an entry is there")
}

#[tokio::test]
async fn an_entry_carries_the_references_fields_first_and_in_order() {
    let (world, job) = with_entry(Lane::Shared).await;
    let entry = fetch_one(&world, WorkerId::fresh()).await;
    let names: Vec<_> = entry
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect();
    assert_eq!(names, ["reviewId", "prUrl", "v"]);
    assert_eq!(entry.carried(Wire::REVIEW).expect("readable").job, job);
    assert_eq!(entry.deliveries, 1);
}

#[tokio::test]
async fn only_the_owner_settles_parks_buries_and_renews() {
    let (world, _) = with_entry(Lane::Own).await;
    let (owner, other) = (WorkerId::fresh(), WorkerId::fresh());
    let entry = fetch_one(&world, owner).await;
    let (queue, ids) = (&world.queue, [entry.id]);
    assert_eq!(
        queue.settle(Lane::Own, other, &ids).await.expect("settle"),
        [false]
    );
    assert_eq!(
        queue
            .park(Lane::Own, other, &[first_parking(entry.id, Duration::ZERO)])
            .await
            .expect("park"),
        [false]
    );
    assert!(
        !queue
            .bury(Lane::Own, other, entry.id, &[(b"a".to_vec(), b"b".to_vec())])
            .await
            .expect("bury")
    );
    assert_eq!(queue.renew(Lane::Own, other, &ids).await.expect("renew"), [false]);
    assert_eq!(world.holder(entry.id).await, Some((owner.to_string(), 1)));
    assert_eq!(queue.depth().await.expect("depth").dead, 0);
    assert_eq!(queue.renew(Lane::Own, owner, &ids).await.expect("renew"), [true]);
    assert_eq!(
        queue.settle(Lane::Own, owner, &ids).await.expect("settle"),
        [true]
    );
    assert_eq!(
        queue.settle(Lane::Own, owner, &ids).await.expect("settle"),
        [false],
        "a repeat does nothing"
    );
    world.until_empty().await;
}

#[tokio::test]
async fn a_parked_entry_stays_pending_and_comes_back_when_it_is_due() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    world
        .queue
        .park(
            Lane::Own,
            worker,
            &[first_parking(entry.id, Duration::from_secs(60))],
        )
        .await
        .expect("park");
    assert_eq!(world.holder(entry.id).await, Some((PARKED.to_owned(), 1)));
    let early = world.queue.fetch(worker, 4, Want::Anything).await.expect("fetch");
    assert!(early.entries.is_empty());
    assert!(
        early.next_due.is_some_and(|due| due > Duration::from_secs(50)),
        "{:?}",
        early.next_due
    );
    // The clock moves: the due time becomes the past.
    let member = format!("1:{}", entry.id);
    let () = redis::cmd("ZADD")
        .arg(&world.queue.keys().due)
        .arg(1)
        .arg(member)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("zadd");
    let again = fetch_one(&world, worker).await;
    assert_eq!((again.id, again.deliveries), (entry.id, 2));
    assert_eq!(again.fields, entry.fields);
}

#[tokio::test]
async fn a_repeated_park_leaves_the_next_delivery_to_the_same_worker_alone() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    let order = [first_parking(entry.id, Duration::ZERO)];
    let parked = world.queue.park(Lane::Own, worker, &order).await;
    assert_eq!(parked.expect("park"), [true]);
    let again = fetch_one(&world, worker).await;
    assert_eq!((again.id, again.deliveries), (entry.id, 2));
    // The reply to the first call was lost, so the worker asks once more.
    let parked = world.queue.park(Lane::Own, worker, &order).await;
    assert_eq!(parked.expect("park"), [false]);
    assert_eq!(world.holder(entry.id).await, Some((worker.to_string(), 2)));
    let second = [Parking {
        delivery: 2,
        ..order[0]
    }];
    let parked = world.queue.park(Lane::Own, worker, &second).await;
    assert_eq!(parked.expect("park"), [true]);
}

#[tokio::test]
async fn an_entry_that_another_group_needs_is_acknowledged_and_kept() {
    let (world, _) = with_entry(Lane::Shared).await;
    let keys = world.queue.keys();
    let mut valkey = world.valkey.clone();
    let () = redis::cmd("XGROUP")
        .arg("CREATE")
        .arg(&keys.shared)
        .arg("audit")
        .arg("0")
        .query_async(&mut valkey)
        .await
        .expect("a second group");
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    assert_eq!(
        world
            .queue
            .settle(Lane::Shared, worker, &[entry.id])
            .await
            .expect("settle"),
        [true]
    );
    let depth = world.queue.depth().await.expect("depth");
    assert_eq!((depth.entries, depth.pending), (1, 0));
}

#[tokio::test]
async fn a_stale_consumers_entries_are_parked_due_at_once_and_a_fresh_ones_are_left() {
    let (world, job) = with_entry(Lane::Own).await;
    let (lost, heir) = (WorkerId::fresh(), WorkerId::fresh());
    let entry = fetch_one(&world, lost).await;
    let (idle, fresh) = (Duration::from_secs(15), Duration::from_secs(3));
    let queue = &world.queue;
    let slice = queue
        .take_over(Lane::Own, &lost.to_string(), idle, fresh, None)
        .await
        .expect("takeover");
    assert!(slice.found.is_empty(), "it is not idle yet");
    world.age(entry.id, &lost.to_string(), idle).await;
    let slice = queue
        .take_over(Lane::Own, &lost.to_string(), idle, fresh, None)
        .await
        .expect("takeover");
    assert_eq!(slice.found[0].carried(Wire::REVIEW).expect("readable").job, job);
    assert_eq!(
        queue.settle(Lane::Own, lost, &[entry.id]).await.expect("settle"),
        [false]
    );
    assert_eq!(fetch_one(&world, heir).await.id, entry.id);
}

#[tokio::test]
async fn an_entry_that_was_trimmed_while_pending_leaves_the_pending_list() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    world
        .queue
        .park(Lane::Own, worker, &[first_parking(entry.id, Duration::ZERO)])
        .await
        .expect("park");
    let () = redis::cmd("XTRIM")
        .arg(&world.queue.keys().own)
        .arg("MAXLEN")
        .arg(0)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("trim");
    let gone = fetch_one(&world, worker).await;
    assert!(gone.is_gone());
    assert_eq!(world.holder(entry.id).await, None);
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_out() {
    let (world, _) = with_entry(Lane::Own).await;
    let mut valkey = world.valkey.clone();
    let pause = &world.queue.keys().pause;
    let () = redis::cmd("SET")
        .arg(pause)
        .arg("1")
        .query_async(&mut valkey)
        .await
        .expect("set");
    let fetched = world
        .queue
        .fetch(WorkerId::fresh(), 4, Want::Anything)
        .await
        .expect("fetch");
    assert!(fetched.paused && fetched.entries.is_empty());
    let () = redis::cmd("DEL")
        .arg(pause)
        .query_async(&mut valkey)
        .await
        .expect("del");
    fetch_one(&world, WorkerId::fresh()).await;
}

#[tokio::test]
async fn a_missing_group_is_told_apart_from_a_missing_server() {
    let world = World::new().await;
    let error = world
        .queue
        .fetch(WorkerId::fresh(), 1, Want::Anything)
        .await
        .expect_err("no group yet");
    assert!(matches!(error, QueueError::NoGroup(_)), "{error}");
    let away = millstream::queue::Queue::open(&"redis://127.0.0.1:1".into(), &world.settings, Wire::JOB);
    let error = away
        .expect("the address is fine")
        .depth()
        .await
        .expect_err("nobody listens there");
    assert!(error.is_passing(), "{error}");
}

#[tokio::test]
async fn a_leaving_worker_takes_its_consumer_only_when_nothing_is_pending() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    world.queue.beat(worker, "{}", true).await.expect("beat");
    let entry = fetch_one(&world, worker).await;
    assert_eq!(world.queue.leave(&worker.to_string()).await.expect("leave"), 1);
    assert_eq!(
        world.holder(entry.id).await.expect("still pending").0,
        worker.to_string()
    );
    world
        .queue
        .settle(Lane::Own, worker, &[entry.id])
        .await
        .expect("settle");
    assert_eq!(world.queue.leave(&worker.to_string()).await.expect("leave"), 0);
    assert!(world.queue.workers().await.expect("workers").is_empty());
}

#[tokio::test]
async fn a_consumer_that_is_nobodys_is_taken_down() {
    let (world, _) = with_entry(Lane::Own).await;
    let (gone, alive) = (WorkerId::fresh(), WorkerId::fresh());
    world.queue.beat(alive, "{}", true).await.expect("beat");
    let entry = fetch_one(&world, gone).await;
    fetch_nothing(&world, alive).await;
    // It left with an entry in its hands, so its consumer stayed.
    assert_eq!(world.queue.leave(&gone.to_string()).await.expect("leave"), 1);
    let held = world.queue.forget_consumers().await.expect("forget");
    assert_eq!(held, 0, "an entry is still pending there");
    let (name, zero) = (gone.to_string(), Duration::ZERO);
    let slice = world.queue.take_over(Lane::Own, &name, zero, zero, None).await;
    assert_eq!(slice.expect("takeover").found[0].id, entry.id);
    assert_eq!(world.queue.forget_consumers().await.expect("forget"), 1);
    assert_eq!(
        world.queue.forget_consumers().await.expect("forget"),
        0,
        "a living one stays"
    );
}

async fn fetch_nothing(world: &World, worker: WorkerId) {
    let fetched = world.queue.fetch(worker, 1, Want::Anything).await.expect("fetch");
    assert!(fetched.entries.is_empty());
}

#[tokio::test]
async fn tending_keeps_parked_entries_young_and_finds_a_lost_due_time() {
    let (world, _) = with_entry(Lane::Own).await;
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    world
        .queue
        .park(
            Lane::Own,
            worker,
            &[first_parking(entry.id, Duration::from_secs(60))],
        )
        .await
        .expect("park");
    world.age(entry.id, PARKED, Duration::from_secs(29)).await;
    let mut valkey = world.valkey.clone();
    let () = redis::cmd("DEL")
        .arg(&world.queue.keys().due)
        .query_async(&mut valkey)
        .await
        .expect("del");
    let slice = world.queue.tend_parked(Lane::Own, None).await.expect("tend");
    assert_eq!((slice.found, slice.next), (1, None));
    let claimed: redis::Value = redis::cmd("XAUTOCLAIM")
        .arg(&world.queue.keys().own)
        .arg(&world.settings.group)
        .arg("worker-4711")
        .arg(20_000)
        .arg(0)
        .query_async(&mut valkey)
        .await
        .expect("autoclaim");
    assert!(
        !format!("{claimed:?}").contains(&entry.id.to_string()),
        "a foreign worker took it: {claimed:?}"
    );
    assert_eq!(fetch_one(&world, worker).await.id, entry.id, "it is due again");
}

#[tokio::test]
async fn a_consumer_that_has_beaten_lately_keeps_everything() {
    let (world, _) = with_entry(Lane::Own).await;
    let alive = WorkerId::fresh();
    let entry = fetch_one(&world, alive).await;
    world
        .age(entry.id, &alive.to_string(), Duration::from_secs(60))
        .await;
    world.queue.beat(alive, "{}", true).await.expect("beat");
    let name = alive.to_string();
    let fresh = Duration::from_secs(3);
    let slice = world
        .queue
        .take_over(Lane::Own, &name, Duration::ZERO, fresh, None)
        .await
        .expect("takeover");
    assert!(slice.found.is_empty(), "it beat a moment ago");
    let slice = world
        .queue
        .take_over(Lane::Own, &name, Duration::ZERO, Duration::ZERO, None)
        .await;
    assert_eq!(slice.expect("takeover").found.len(), 1);
}

#[tokio::test]
async fn an_entry_stands_for_its_job_while_it_is_pending_or_not_delivered() {
    let (world, job) = with_entry(Lane::Own).await;
    let other = NewEntry {
        lane: Lane::Own,
        job: JobId::fresh(),
        payload: "p".into(),
        traceparent: None,
    };
    let waiting = world
        .queue
        .enqueue(std::slice::from_ref(&other))
        .await
        .expect("enqueue")[0];
    let worker = WorkerId::fresh();
    let entry = fetch_one(&world, worker).await;
    let stands = async |id, job| world.queue.stands(Lane::Own, &[(id, job)]).await.expect("stands")[0];
    assert!(stands(entry.id, job).await && stands(waiting, other.job).await);
    assert!(!stands(entry.id, other.job).await, "it carries another job");
    // A reference worker acknowledges and leaves the entry lying.
    let () = redis::cmd("XACK")
        .arg(&world.queue.keys().own)
        .arg(&world.settings.group)
        .arg(entry.id.to_string())
        .query_async::<u64>(&mut world.valkey.clone())
        .await
        .map(|_| ())
        .expect("xack");
    assert!(!stands(entry.id, job).await);
}

#[tokio::test]
async fn what_has_priority_comes_first_new_or_due() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let mut expected = Vec::new();
    for lane in [Lane::Own, Lane::Shared, Lane::High, Lane::High] {
        let entry = NewEntry {
            lane,
            job: JobId::fresh(),
            payload: "p".into(),
            traceparent: None,
        };
        expected.push(world.queue.enqueue(&[entry]).await.expect("enqueue").remove(0));
    }
    let worker = WorkerId::fresh();
    let take = async |slots| {
        let fetched = world
            .queue
            .fetch(worker, slots, Want::Anything)
            .await
            .expect("fetch");
        fetched
            .entries
            .into_iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
    };
    let first = take(1).await;
    assert_eq!(first, [expected[2]]);
    let parked = world
        .queue
        .park(Lane::High, worker, &[first_parking(first[0], Duration::ZERO)])
        .await;
    assert_eq!(parked.expect("park"), [true]);
    let beat = world.queue.beat(worker, "{}", true).await.expect("beat");
    assert_eq!((beat.due, beat.parked), (1, 1));
    let all = take(10).await;
    assert_eq!(all.len(), 4);
    assert_eq!(
        all[..2],
        [expected[2], expected[3]],
        "due, then new, then the rest"
    );
}

#[tokio::test]
async fn all_that_a_lost_reply_has_brought_is_given_back() {
    const MANY: usize = 250;
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("valkey is there");
    let entry = || NewEntry {
        lane: Lane::Own,
        job: JobId::fresh(),
        payload: "p".into(),
        traceparent: None,
    };
    let entries: Vec<NewEntry> = std::iter::repeat_with(entry).take(MANY).collect();
    world.queue.enqueue(&entries).await.expect("valkey is there");
    let worker = WorkerId::fresh();
    let fetched = world
        .queue
        .fetch(worker, MANY, Want::Anything)
        .await
        .expect("fetch");
    assert_eq!(fetched.entries.len(), MANY);
    let parked = world.queue.park_unknown(Lane::Own, worker, Duration::ZERO).await;
    assert_eq!(parked.expect("valkey is there"), MANY);
}
