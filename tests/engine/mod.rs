//! The engine on real servers: the five facts of the reference, and the fence.

mod bounds;
mod drain;
mod hearts;
mod identity;
mod letters;
mod losses;
mod outage;
mod panics;
mod pause;
mod recording;
mod suspects;
mod takeover;

use std::time::Duration;

use millstream::domain::{Failure, FailureClass, JobState, Lane, WorkerId};
use millstream::queue::fetch::Want;
use millstream::queue::keys::PARKED;
use millstream::store::{Fence, Lease, Next, Taken};

use crate::support::{Gated, World, until};

#[tokio::test]
async fn a_success_is_acknowledged_and_leaves_nothing_behind() {
    let world = World::new().await;
    let id = world.submit("one").await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    let row = world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    assert_eq!((row.attempt, handler.runs()), (1, 1));
    worker.drain().await;
    assert!(
        world.queue.workers().await.expect("workers").is_empty(),
        "its card is down"
    );
}

#[tokio::test]
async fn a_failed_handler_leaves_the_entry_pending_until_its_next_attempt_succeeds() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    let handler = Gated::shut();
    handler
        .fail_with([Failure::passing(FailureClass::Model, "503").not_before(Duration::from_secs(60))])
        .await;
    let worker = world.worker(&handler, World::engine());
    handler.let_through(1);
    let row = world.until_state(id, JobState::Retrying).await;
    assert_eq!(row.error.as_deref(), Some("503"));
    let held = until("the entry is parked", || async {
        world.holder(entry).await.filter(|(holder, _)| holder == PARKED)
    });
    held.await;
    // The clock moves on a minute.
    let () = redis::cmd("ZADD")
        .arg(&world.queue.keys().due)
        .arg(1)
        .arg(format!("1:{entry}"))
        .query_async(&mut world.valkey.clone())
        .await
        .expect("zadd");
    handler.let_through(1);
    let row = world.until_state(id, JobState::Done).await;
    assert_eq!(row.attempt, 2);
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_stale_pending_entry_is_delivered_again_and_then_acknowledged() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.submit("one").await;
    let dead = WorkerId::fresh();
    let entry = world
        .queue
        .fetch(dead, 1, Want::Anything)
        .await
        .expect("fetch")
        .entries
        .remove(0);
    world
        .age(entry.id, &dead.to_string(), Duration::from_secs(60))
        .await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    assert_eq!(
        handler.next_start().await.attempt,
        1,
        "the dead worker never started it"
    );
    worker.drain().await;
}

#[tokio::test]
async fn what_was_queued_before_the_first_worker_existed_is_processed() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for word in ["one", "two", "three"] {
        ids.push(world.submit(word).await);
    }
    let worker = world.worker(&Gated::open(), World::engine());
    for id in ids {
        world.until_state(id, JobState::Done).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_whose_jobs_were_taken_over_writes_nothing_more() {
    let world = World::new().await;
    let id = world.submit("one").await;
    let frozen = Gated::shut();
    let first = world.worker(&frozen, World::engine());
    let lease = frozen.next_start().await;
    // What a sweeper does when the visibility timeout of a frozen worker is over.
    let slice = world
        .queue
        .take_over(
            Lane::Own,
            &first.id.to_string(),
            Duration::ZERO,
            Duration::ZERO,
            None,
        )
        .await;
    let slice = slice.expect("takeover");
    assert_eq!(slice.found.len(), 1);
    let taken = Taken {
        job: id,
        entry: slice.found[0].id,
        deliveries: slice.found[0].deliveries,
    };
    world
        .store
        .lost(&first.id.to_string(), &[taken])
        .await
        .expect("lost");
    // It wakes up and finishes.
    assert_eq!(
        world.store.finish(&lease, &(), None).await.expect("finish"),
        Fence::Closed
    );
    let failure = Failure::passing(FailureClass::Model, "late");
    assert_eq!(
        world
            .store
            .fail(&lease, &failure, Next::Bury, None)
            .await
            .expect("fail"),
        Fence::Closed
    );
    let saved = world
        .store
        .save_checkpoint(&lease, "step", &serde_json::json!(1))
        .await
        .expect("checkpoint");
    assert_eq!(saved, Fence::Closed);
    frozen.let_through(1);
    let counts: (i32, i32) = sqlx::query_as("select crashes, failures from millstream.jobs")
        .fetch_one(&world.sql)
        .await
        .expect("one");
    assert_eq!(counts, (1, 0), "a crash is no failure");
    // Whoever runs it next is another attempt.
    let next = frozen.next_start().await;
    assert_eq!((next.job, next.attempt), (id, 2));
    frozen.let_through(1);
    let row = world.until_state(id, JobState::Done).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(world.outcomes(id).await, ["crashed", "done"]);
    first.drain().await;
}

#[tokio::test]
async fn a_failure_that_cannot_heal_is_dead_at_once_with_its_letter() {
    let world = World::new().await;
    let id = world.submit("one").await;
    let handler = Gated::open();
    handler
        .fail_with([Failure::lasting(FailureClass::Input, "no such pull request")])
        .await;
    let worker = world.worker(&handler, World::engine());
    let row = world.until_state(id, JobState::Dead).await;
    assert_eq!(
        (row.attempt, row.error.as_deref()),
        (1, Some("no such pull request"))
    );
    world.until_empty().await;
    let letter = world.dead_letters().await.remove(0);
    assert_eq!(letter["jobId"], id.to_string());
    assert_eq!(
        (letter["class"].as_str(), letter["error"].as_str()),
        ("input", "no such pull request")
    );
    worker.drain().await;
}

#[tokio::test]
async fn the_last_failed_attempt_buries_the_job_and_a_panic_is_a_failure() {
    let world = World::new().await;
    let id = world.submit("panic").await;
    let handler = Gated::open();
    let settings = millstream::settings::EngineSettings {
        max_attempts: 3,
        ..World::engine()
    };
    let worker = world.worker(&handler, settings);
    let row = world.until_state(id, JobState::Dead).await;
    assert_eq!(row.attempt, 3);
    assert!(row.error.expect("an error").contains("panicked"));
    assert_eq!(world.outcomes(id).await, ["failed", "failed", "failed"]);
    worker.drain().await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_buried_with_its_raw_fields() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    for fields in [["jobId", "not a uuid"], ["other", "x"]] {
        let () = redis::cmd("XADD")
            .arg(&world.queue.keys().shared)
            .arg("*")
            .arg(&fields)
            .query_async::<String>(&mut world.valkey.clone())
            .await
            .map(|_| ())
            .expect("xadd");
    }
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_empty().await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|letter| letter["class"] == "unreadable"));
    assert!(
        letters
            .iter()
            .any(|letter| letter.get("raw:jobId").is_some_and(|raw| raw == "not a uuid"))
    );
    worker.drain().await;
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_begins_nothing_new() {
    let world = World::new().await;
    let settings = millstream::settings::EngineSettings {
        concurrency: 1,
        ..World::engine()
    };
    let handler = Gated::shut();
    let worker = world.worker(&handler, settings);
    let running = world.submit("one").await;
    handler.next_start().await;
    let waiting = world.submit("two").await;
    tokio::join!(worker.drain(), async { handler.let_through(2) });
    assert_eq!(world.job(running).await.status, "done");
    assert_eq!(world.job(waiting).await.status, "waiting");
    assert_eq!(handler.runs(), 1);
}

#[tokio::test]
async fn what_outlives_the_grace_runs_on_another_worker() {
    let world = World::new().await;
    let (stuck, heir) = (Gated::shut(), Gated::open());
    // A share of it is all that handing back has; a loaded machine needs more than a few milliseconds.
    let settings = millstream::settings::EngineSettings {
        grace: Duration::from_secs(5),
        ..World::engine()
    };
    let first = world.worker(&stuck, settings);
    let id = world.submit("one").await;
    stuck.next_start().await;
    let second = world.worker(&heir, World::engine());
    first.drain().await;
    let row = world.until_state(id, JobState::Done).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(world.outcomes(id).await, ["handed_back", "done"]);
    second.drain().await;
}

#[tokio::test]
async fn what_was_accepted_while_valkey_was_away_is_enqueued_by_the_reconciler() {
    let world = World::new().await;
    let id = world.accept("one").await;
    sqlx::query("update millstream.jobs set updated_at = now() - interval '31 s'")
        .execute(&world.sql)
        .await
        .expect("the clock moves");
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
}

#[tokio::test]
async fn the_loss_of_the_streams_loses_no_job() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for word in ["one", "two", "three"] {
        ids.push(world.submit(word).await);
    }
    let keys = world.queue.keys();
    let () = redis::cmd("DEL")
        .arg(&[&keys.own, &keys.shared, &keys.due, &keys.epoch])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("del");
    let worker = world.worker(&Gated::open(), World::engine());
    for id in ids {
        assert_eq!(world.until_state(id, JobState::Done).await.attempt, 1);
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_second_entry_of_a_finished_job_is_acknowledged_and_not_run() {
    let world = World::new().await;
    let id = world.submit("one").await;
    let handler = Gated::open();
    let worker = world.worker(&handler, World::engine());
    world.until_state(id, JobState::Done).await;
    world.enqueue(id, "one").await;
    world.until_empty().await;
    assert_eq!(handler.runs(), 1);
    worker.drain().await;
}

#[tokio::test]
async fn without_a_ledger_jobs_run_retry_and_die_on_the_queue_alone() {
    use millstream::engine::{Identity, NoLedger, Stop, Worker};
    let world = World::new().await;
    let handler = Gated::open();
    handler
        .fail_with([Failure::passing(FailureClass::Model, "once")])
        .await;
    let (queue, settings) = (world.queue.clone(), World::engine());
    let worker: Worker<crate::support::TestJob, _, _> =
        Worker::new(queue, NoLedger, handler.clone(), settings, Identity::default());
    let stop = Stop::new();
    let driving = async {
        let payload = r#"{"word":"one"}"#.to_owned();
        let job = millstream::domain::JobId::fresh();
        let entry = millstream::queue::NewEntry {
            lane: Lane::Own,
            job,
            payload,
            traceparent: None,
        };
        world.queue.enqueue(&[entry]).await.expect("enqueue");
        let first: Lease = handler.next_start().await;
        let second = handler.next_start().await;
        assert_eq!((first.attempt, second.attempt), (1, 2));
        world.until_empty().await;
        stop.ask();
    };
    let (ended, ()) = tokio::join!(worker.run(stop.clone()), driving);
    ended.expect("it drains");
}

#[tokio::test]
async fn an_entry_whose_delivery_never_arrived_is_found_and_run() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let settings = millstream::settings::EngineSettings {
        visibility_timeout: Duration::from_secs(3),
        ..World::engine()
    };
    let worker = world.worker(&Gated::open(), settings);
    let seen = until("the worker's card is up", || async {
        world
            .queue
            .workers()
            .await
            .expect("valkey is there")
            .into_iter()
            .next()
    });
    let name = seen.await.worker;
    // In one step, so that the worker's own read cannot come first: its name takes an entry, and the reply
    // goes elsewhere.
    let id = world.accept("one").await;
    let keys = world.queue.keys();
    let (entry, _): (String, redis::Value) = redis::pipe()
        .atomic()
        .cmd("XADD")
        .arg(&[
            &keys.own,
            "*",
            "jobId",
            &id.to_string(),
            "payload",
            r#"{"word":"one"}"#,
        ])
        .cmd("XREADGROUP")
        .arg(&[
            "GROUP",
            &keys.group,
            &name,
            "COUNT",
            "1",
            "STREAMS",
            &keys.own,
            ">",
        ])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let entry = entry.parse().expect("an entry id");
    world
        .store
        .enqueued(&[(id, entry)])
        .await
        .expect("postgres is there");
    world.age(entry, &name, Duration::from_secs(60)).await;
    world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn an_entry_with_thousands_of_fields_is_buried_and_holds_nobody_up() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let mut huge = redis::cmd("XADD");
    huge.arg(&world.queue.keys().own).arg("*");
    for n in 0..6_000 {
        huge.arg(format!("field{n}")).arg("value");
    }
    let () = huge
        .query_async::<String>(&mut world.valkey.clone())
        .await
        .map(|_| ())
        .expect("xadd");
    let id = world.submit("one").await;
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_state(id, JobState::Done).await;
    world.until_empty().await;
    let letter = world.dead_letters().await.remove(0);
    assert!(
        letter["raw"].starts_with("6:field0,5:value,"),
        "{}",
        &letter["raw"][..40]
    );
    worker.drain().await;
}

#[tokio::test]
async fn a_failure_that_is_taken_down_twice_is_taken_down_once() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let id = world.submit("one").await;
    let worker = WorkerId::fresh();
    let entry = world
        .queue
        .fetch(worker, 1, Want::Anything)
        .await
        .expect("fetch")
        .entries
        .remove(0);
    let asked = millstream::store::Asked {
        job: id,
        entry: entry.id,
        lane: Lane::Own,
        payload: String::new(),
        delivery: 1,
    };
    world
        .store
        .start(&world.settings.name, worker, &[asked])
        .await
        .expect("start");
    let lease = Lease {
        job: id,
        attempt: 1,
        worker,
    };
    let failure = Failure::passing(FailureClass::Model, "503");
    let next = Next::Retry(Duration::from_secs(60));
    for _ in 0..2 {
        // The second time stands for a reply that was lost.
        assert_eq!(
            world
                .store
                .fail(&lease, &failure, next, None)
                .await
                .expect("fail"),
            Fence::Open
        );
    }
    assert_eq!(world.outcomes(id).await, ["failed"]);
    let failures: i32 = sqlx::query_scalar("select failures from millstream.jobs")
        .fetch_one(&world.sql)
        .await
        .expect("one");
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn a_result_that_a_reference_worker_recorded_first_ends_the_job() {
    let world = World::with(millstream::queue::Wire::REVIEW).await;
    let id = millstream::domain::JobId::fresh();
    sqlx::query(
        "insert into reviews (id, pr_url, status) values ($1, 'https://github.com/a/b/pull/1', 'running')",
    )
    .bind(id.0)
    .execute(&world.sql)
    .await
    .expect("insert");
    let asked = millstream::store::Asked {
        job: id,
        entry: millstream::domain::EntryId { ms: 1, seq: 0 },
        lane: Lane::Shared,
        payload: String::new(),
        delivery: 1,
    };
    let worker = WorkerId::fresh();
    world
        .store
        .start(&world.settings.name, worker, &[asked])
        .await
        .expect("start");
    sqlx::query("update reviews set status = 'done', verdict = 'approve'")
        .execute(&world.sql)
        .await
        .expect("foreign");
    assert_eq!(
        world
            .store
            .adopt_foreign_results(&world.settings.name)
            .await
            .expect("adopt"),
        1
    );
    assert_eq!(world.job(id).await.status, "done");
    let late = world
        .store
        .finish(
            &Lease {
                job: id,
                attempt: 1,
                worker,
            },
            &(),
            None,
        )
        .await
        .expect("finish");
    assert_eq!(late, Fence::Closed);
}
