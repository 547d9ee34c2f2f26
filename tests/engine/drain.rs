//! Leaving, with others around.

use std::time::Duration;

use millstream::domain::{JobState, WorkerId};
use millstream::queue::fetch::Want;
use millstream::settings::EngineSettings;

use crate::support::{Gated, World, until};

#[tokio::test]
async fn a_sweeper_that_drains_goes_on_sweeping() {
    let world = World::new().await;
    let (busy, heir) = (Gated::shut(), Gated::open());
    let settings = EngineSettings {
        grace: Duration::from_secs(60),
        ..World::engine()
    };
    let sweeper = world.worker(&busy, settings);
    let long = world.submit("long").await;
    busy.next_start().await;
    until("it is elected", || async {
        let elected: Option<String> = redis::cmd("GET")
            .arg(&world.queue.keys().sweeper)
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        elected.filter(|name| *name == sweeper.id.to_string())
    })
    .await;
    sweeper.stop.ask();
    // A worker dies with an entry in its hands while the elected one drains.
    let orphan = world.submit("orphan").await;
    let dead = WorkerId::fresh();
    let fetched = world.queue.fetch(dead, 1, Want::Anything).await.expect("fetch");
    assert_eq!(fetched.entries.len(), 1);
    let second = world.worker(&heir, World::engine());
    world.until_state(orphan, JobState::Done).await;
    assert_eq!(world.job(long).await.status, "running", "the first still drains");
    busy.let_through(1);
    world.until_state(long, JobState::Done).await;
    sweeper.drain().await;
    second.drain().await;
}

#[tokio::test]
async fn an_idle_worker_that_blocks_on_its_read_leaves_without_waiting_for_it() {
    let world = World::new().await;
    let worker = world.worker(&Gated::open(), World::engine());
    let id = world.submit("one").await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    // Whatever the read took in that moment belongs to nobody now.
    let late = world.submit("late").await;
    let depth = world.queue.depth().await.expect("valkey is there");
    assert_eq!((depth.entries, depth.pending), (1, 0));
    let next = world.worker(&Gated::open(), World::engine());
    assert_eq!(world.until_state(late, JobState::Done).await.attempt, 1);
    next.drain().await;
}
