//! How ends are taken down: together, and no one's lock holds up another.

use millstream::domain::JobState;
use millstream::store::{Asked, Fence, Issued, Lease, Start};

use crate::support::{Gated, World};

#[tokio::test]
async fn a_row_that_somebody_has_locked_holds_up_no_other_jobs_result() {
    let world = World::new().await;
    let handler = Gated::shut();
    let worker = world.worker(&handler, World::engine());
    let (locked, free) = (world.submit("locked").await, world.submit("free").await);
    handler.next_start().await;
    handler.next_start().await;
    let mut psql = world.sql.begin().await.expect("postgres is there");
    sqlx::query("select 1 from millstream.jobs where id = $1 for update")
        .bind(locked.0)
        .execute(&mut *psql)
        .await
        .expect("its row is free");
    handler.let_through(2);
    world.until_state(free, JobState::Done).await;
    assert_eq!(world.job(locked).await.status, "running");
    psql.rollback().await.expect("postgres is there");
    world.until_state(locked, JobState::Done).await;
    world.until_empty().await;
    for job in [locked, free] {
        assert_eq!(world.outcomes(job).await, ["done"]);
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_result_that_is_taken_down_twice_is_no_closed_fence() {
    let world = World::new().await;
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    let worker = millstream::domain::WorkerId::fresh();
    let asked = Asked {
        job: id,
        entry,
        lane: millstream::domain::Lane::Own,
        payload: String::new(),
        delivery: 1,
    };
    let started = world.store.start(&world.settings.name, worker, &[asked]).await;
    let begun = Issued {
        attempt: 1,
        failures: 0,
        crashes: 0,
    };
    assert_eq!(started.expect("start"), [Start::Begin(begun)]);
    let lease = Lease {
        job: id,
        attempt: 1,
        worker,
    };
    for _ in 0..2 {
        // The second time stands for a reply that was lost.
        let fence = world.store.finish(&lease, &(), None).await.expect("finish");
        assert_eq!(fence, Fence::Open);
    }
    let other = Lease {
        worker: millstream::domain::WorkerId::fresh(),
        ..lease
    };
    let fence = world.store.finish(&other, &(), None).await.expect("finish");
    assert_eq!(fence, Fence::Closed, "another worker's result is not ours");
}
