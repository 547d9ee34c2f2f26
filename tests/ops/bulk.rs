//! Many jobs accepted at once.

use millstream::domain::{JobId, Lane};
use millstream::engine::Job;
use millstream::ops::bulk::accept_many;
use millstream::store::jobs::NewJob;

use crate::support::{Gated, TestJob, World};

/// More than fit into the batches that are on their way together.
const MANY: usize = 950;

fn jobs(world: &World, count: usize) -> Vec<NewJob> {
    let one = |number: usize| NewJob {
        id: JobId::fresh(),
        queue: world.settings.name.clone(),
        kind: TestJob::KIND.to_owned(),
        lane: Lane::Own,
        payload: TestJob {
            word: number.to_string(),
        }
        .to_payload(),
        run_at: None,
        traceparent: None,
        input: None,
        idempotency: None,
        callback: None,
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn each_of_many_gets_its_row_and_its_entry_and_is_done_once() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let jobs = jobs(&world, MANY);
    accept_many(&world.store, &world.queue, &jobs)
        .await
        .expect("accepted");
    let (rows, noted): (i64, i64) =
        sqlx::query_as("select count(*), count(distinct entry_id) from millstream.jobs")
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
    assert_eq!((rows, noted), (MANY as i64, MANY as i64));
    assert_eq!(world.queue.depth().await.expect("valkey").entries, MANY as u64);
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_empty().await;
    worker.drain().await;
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.done, counts.accepted), (MANY as i64, MANY as i64));
    let attempts: i64 = sqlx::query_scalar("select count(*) from millstream.all_attempts")
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(attempts, MANY as i64);
}

#[tokio::test]
async fn a_batch_that_is_refused_is_told_and_leaves_nothing_of_itself() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let mut jobs = jobs(&world, 150);
    jobs[149].id = jobs[0].id;
    let refused = accept_many(&world.store, &world.queue, &jobs)
        .await
        .expect_err("the same id twice");
    assert!(refused.accepted < 150 && refused.asked == 150, "{refused}");
    let rows: i64 = sqlx::query_scalar("select count(*) from millstream.jobs")
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
    assert!(rows == 100 || rows == 50, "one batch of both: {rows}");
}
