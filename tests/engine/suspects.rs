//! Jobs with which workers have vanished.

use millstream::domain::{JobId, JobState};
use millstream::settings::EngineSettings;

use crate::support::{Gated, World};

async fn note_crashes(world: &World, id: JobId, crashes: i32) {
    sqlx::query("update millstream.jobs set crashes = $2 where id = $1")
        .bind(id.0)
        .bind(crashes)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
}

#[tokio::test]
async fn a_job_with_which_workers_vanished_runs_with_nothing_beside_it() {
    let world = World::new().await;
    let suspect = world.accept("suspect").await;
    note_crashes(&world, suspect, 2).await;
    let plain = world.submit("plain").await;
    world.enqueue(suspect, "suspect").await;
    let handler = Gated::shut();
    let settings = EngineSettings {
        concurrency: 2,
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    assert_eq!(handler.next_start().await.job, plain);
    let late = world.submit("late").await;
    // The suspect holds its place while the other runs, and nothing more is taken.
    world.until_state(suspect, JobState::Running).await;
    handler.let_through(1);
    world.until_state(plain, JobState::Done).await;
    assert_eq!(handler.next_start().await.job, suspect);
    assert_eq!(world.job(late).await.status, "waiting", "nothing beside it");
    handler.let_through(1);
    world.until_state(suspect, JobState::Done).await;
    assert_eq!(handler.next_start().await.job, late);
    handler.let_through(1);
    world.until_state(late, JobState::Done).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_job_with_which_too_many_workers_vanished_is_not_run_again() {
    let world = World::new().await;
    let id = world.accept("one").await;
    note_crashes(&world, id, 5).await;
    world.enqueue(id, "one").await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    let row = world.until_state(id, JobState::Dead).await;
    assert!(row.error.is_some_and(|error| error.contains("vanished")));
    world.until_empty().await;
    assert_eq!(handler.runs(), 0);
    assert_eq!(world.dead_letters().await.len(), 1);
    worker.drain().await;
}
