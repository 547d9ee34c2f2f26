//! The dead-letter stream follows the rows, whatever it missed.

use millstream::domain::{Failure, FailureClass, JobId, JobState, WorkerId};
use millstream::queue::fetch::Want;
use millstream::store::{Asked, Lease, Next};

use crate::support::{Gated, Running, World, until};

#[tokio::test]
async fn a_letter_whose_writer_vanished_is_written_by_the_next_worker() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.submit("one").await;
    let gone = WorkerId::fresh();
    let entry = world
        .queue
        .fetch(gone, 1, Want::Anything)
        .await
        .expect("fetch")
        .entries
        .remove(0);
    let asked = Asked {
        job: id,
        entry: entry.id,
        lane: entry.lane,
        payload: String::new(),
        delivery: entry.deliveries,
    };
    let queue = &world.settings.name;
    world.store.start(queue, gone, &[asked]).await.expect("start");
    let lease = Lease {
        job: id,
        attempt: 1,
        worker: gone,
    };
    let failure = Failure::lasting(FailureClass::Input, "nothing to review");
    let dead = world.store.fail(&lease, &failure, Next::Bury, None).await;
    dead.expect("fail");
    // Here its process ends: the row says dead, no letter was written, the entry is pending.
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    world.until_empty().await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["jobId"], id.to_string());
    assert_eq!(letters[0]["error"], "nothing to review");
    assert_eq!(letters[0]["class"], "input");
    assert_eq!(handler.runs(), 0);
    worker.drain().await;
}

/// A world with a worker and one dead job.
async fn one_dead() -> (World, Running, JobId) {
    let world = World::new().await;
    let handler = Gated::open();
    handler
        .fail_with([Failure::lasting(FailureClass::Input, "no such pull request")])
        .await;
    let worker = world.worker(&handler, World::engine());
    let id = world.submit("one").await;
    world.until_state(id, JobState::Dead).await;
    world.until_empty().await;
    (world, worker, id)
}

#[tokio::test]
async fn letters_that_were_lost_with_everything_else_are_written_anew() {
    let (world, worker, id) = one_dead().await;
    let keys = world.queue.keys();
    let () = redis::cmd("DEL")
        .arg(&[
            &keys.dead,
            &keys.letters,
            &keys.own,
            &keys.shared,
            &keys.high,
            &keys.epoch,
        ])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let letters = until("the letter is back", || async {
        Some(world.dead_letters().await).filter(|letters| !letters.is_empty())
    })
    .await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["jobId"], id.to_string());
    assert_eq!(letters[0]["attempt"], "1");
    assert_eq!(letters[0]["error"], "no such pull request");
    worker.drain().await;
}

#[tokio::test]
async fn of_the_letters_of_one_job_the_newest_is_left() {
    let (world, worker, id) = one_dead().await;
    worker.drain().await;
    // What an undo and a pass that writes letters anew leave when they come at the same time.
    let job = id.to_string();
    let () = redis::cmd("XADD")
        .arg(&world.queue.keys().dead)
        .arg(&["*", "jobId", &job, "error", "the newest"])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let worker = world.worker(&Gated::open(), World::engine());
    let letters = until("the older one is gone", || async {
        Some(world.dead_letters().await).filter(|letters| letters.len() == 1)
    })
    .await;
    assert_eq!(letters[0]["error"], "the newest");
    worker.drain().await;
}
