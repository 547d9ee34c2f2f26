//! A driver dies, in whichever instant: the run goes on by the next one, and each job is put back once.
//!
//! A drive is a future. It is polled so many times and then dropped, with whatever it had asked the servers for still
//! on its way, or done and not heard of.

use std::pin::pin;
use std::task::Poll;

use millstream::domain::{RunId, RunState, Terms};
use millstream::ops::{DriveEnd, Operator, OpsError, Rights};
use millstream::settings::process_environment;
use millstream::store::Store;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::dead::{matching, pile};
use super::runs::each_was_put_back_once;
use super::{ada, guarded, typed};
use crate::support::{Gated, World};

/// Kills in the suite; `MILLSTREAM_KILLS` asks for more.
const KILLS: u32 = 250;
/// Jobs of one run.
const JOBS: i32 = 150;
/// The most polls that a drive lives.
const LIVES: u32 = 40;

/// Drives a run for so many polls; nothing if it was killed before its end. The driver has connections of its own, which
/// close with it, as those of a process do.
async fn drive_for(world: &World, run: RunId, polls: u32) -> Option<Result<DriveEnd, OpsError>> {
    let store = Store::open(&world.database_url.as_str().into(), "driver", 2).expect("an address");
    // Connected before, so that the polls are the drive's own.
    store.check_schema().await.expect("postgres is there");
    let operator = Operator::new(store, world.queue.clone(), "console:ada", Rights::Guarded);
    let mut left = polls;
    let mut drive = pin!(operator.drive_run(run, |_| ()));
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        drive.as_mut().poll(context).map(Some)
    })
    .await
}

/// The clock of leases: who was killed holds its run no longer.
async fn lease_runs_out(world: &World, run: RunId) {
    sqlx::query(
        "update millstream.runs set until = now() - interval '1 s' where id = $1 and holder is not null",
    )
    .bind(run.0)
    .execute(&world.sql)
    .await
    .expect("its row");
}

/// Attempts beyond the first of a job: what a worker that lost its lease has left behind.
async fn started_again(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from millstream.all_attempts where attempt > 6")
        .fetch_one(&world.sql)
        .await
        .expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_many_kills_each_job_is_put_back_once() {
    let (mut kills, mut rounds, mut again) = (0, 0, 0);
    let asked = process_environment("MILLSTREAM_KILLS").and_then(|text| text.parse().ok());
    let wanted = asked.unwrap_or(KILLS);
    let mut random = StdRng::seed_from_u64(7);
    while kills < wanted {
        let world = World::new().await;
        world.queue.ensure_groups().await.expect("groups");
        let jobs = pile(&world, "model", JOBS).await;
        let operator = guarded(&world, typed(JOBS.unsigned_abs().into()));
        let plan = operator
            .plan_requeue(&matching("class:model"), None)
            .await
            .expect("a plan");
        let terms = Terms {
            canary: 2,
            rate: None,
            in_flight: Some(12),
            stop_over: Some(0.2),
        };
        let run = operator.begin_run(&plan, terms).await.expect("a run");
        let worker = world.worker(&Gated::open(), World::engine());
        loop {
            match drive_for(&world, run, random.random_range(1..=LIVES)).await {
                None => kills += 1,
                Some(end) => match end.expect("an end") {
                    DriveEnd::Over(RunState::Done) => break,
                    // What a killed driver had asked for last was done after the clock was moved.
                    DriveEnd::Elsewhere => {}
                    other @ DriveEnd::Over(_) => panic!("{other:?}"),
                },
            }
            // Now and then it is halted in between.
            if random.random_ratio(1, 20) {
                let _over_by_now = ada(&world).pause_run(run).await;
                let _over_by_now = ada(&world).resume_run(run).await;
            }
            lease_runs_out(&world, run).await;
        }
        for job in &jobs {
            world.until_state(*job, millstream::domain::JobState::Done).await;
        }
        world.until_empty().await;
        worker.drain().await;
        each_was_put_back_once(&world, run, &jobs).await;
        again += started_again(&world).await;
        rounds += 1;
    }
    println!(
        "runs: {kills} kills in {rounds} runs of {JOBS} jobs, each was put back once; {again} were started again by the engine"
    );
}
