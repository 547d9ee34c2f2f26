//! What the server lost, and how a worker that is at work hears of it.

use std::time::Duration;

use millstream::domain::{EntryId, Failure, FailureClass, JobId, JobState, Lane, WorkerId};
use millstream::engine::{Identity, NoLedger, Stop, Worker};
use millstream::queue::keys::PARKED;
use millstream::queue::{NewEntry, Wire};

use crate::support::{Gated, Line, Running, TestJob, World, private, until};

/// A worker whose reconciler has held everything against Postgres once, and does so again only when it sees a
/// reason. The end of that first pass is seen by the letter of a job that died before.
async fn settled_worker(world: &World, handler: &Gated) -> Running {
    let id = world.accept("dead long ago").await;
    sqlx::query(
        "update millstream.jobs set state = 'dead', attempt = 1, finished_at = now(), updated_at = now(),
                error = 'no such pull request', error_class = 'input' where id = $1",
    )
    .bind(id.0)
    .execute(&world.sql)
    .await
    .expect("postgres is there");
    let worker = world.worker(handler, World::engine());
    until_letter(world, id).await;
    worker
}

async fn until_letter(world: &World, id: JobId) {
    until("the letter is there", || async {
        let letters = world.dead_letters().await;
        let one = letters.first().filter(|letter| letter["jobId"] == id.to_string());
        one.map(|_| assert_eq!(letters.len(), 1))
    })
    .await;
}

/// Waits until no entry stands for a job any more.
async fn until_without_entry(world: &World, id: JobId) {
    until("its row knows that the entry is gone", || async {
        let entry: Option<String> = sqlx::query_scalar("select entry_id from millstream.jobs where id = $1")
            .bind(id.0)
            .fetch_one(&world.sql)
            .await
            .expect("its row");
        entry.is_none().then_some(())
    })
    .await;
}

/// The time passes in which a job without an entry is its producer's business.
async fn let_time_pass(world: &World, id: JobId) {
    sqlx::query("update millstream.jobs set updated_at = now() - interval '31 s' where id = $1")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("the clock moves");
}

#[tokio::test]
async fn streams_that_vanish_under_a_worker_are_noticed() {
    let world = World::new().await;
    let worker = settled_worker(&world, &Gated::open()).await;
    let keys = world.queue.keys();
    // The epoch is left: the group that has to be made again is what tells.
    let () = redis::cmd("DEL")
        .arg(&[&keys.dead, &keys.own, &keys.shared, &keys.high])
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    until("the letter is back", || async {
        (world.dead_letters().await.len() == 1).then_some(())
    })
    .await;
    worker.drain().await;
}

#[tokio::test]
async fn what_a_server_lost_in_a_restart_is_enqueued_again() {
    let folder = private::folder();
    let servers = private::valkey_in(&folder).await;
    let line = Line::to(&servers.valkey_url).await;
    let world = World::on_valkey(&line.through(&servers.valkey_url), Wire::JOB).await;
    let worker = settled_worker(&world, &Gated::open()).await;
    // The row tells of an entry, and the server that comes back has none.
    let id = world.accept("one").await;
    let lost = EntryId { ms: 1, seq: 0 };
    world
        .store
        .enqueued(&[(id, lost)])
        .await
        .expect("postgres is there");
    servers.stop().await;
    let again = private::valkey_in(&folder).await;
    line.lead_to(&again.valkey_url);
    assert_eq!(world.until_state(id, JobState::Done).await.attempt, 1);
    worker.drain().await;
    again.stop().await;
}

#[tokio::test]
async fn without_a_ledger_a_group_that_is_gone_is_made_again() {
    let world = World::new().await;
    let handler = Gated::open();
    let (queue, settings) = (world.queue.clone(), World::engine());
    let worker: Worker<TestJob, _, _> =
        Worker::new(queue, NoLedger, handler.clone(), settings, Identity::default());
    let stop = Stop::new();
    let enqueue = async || {
        let entry = NewEntry {
            lane: Lane::Own,
            job: JobId::fresh(),
            payload: r#"{"word":"one"}"#.to_owned(),
            traceparent: None,
        };
        world.queue.enqueue(&[entry]).await.expect("enqueue");
    };
    let driving = async {
        enqueue().await;
        handler.next_start().await;
        world.until_empty().await;
        let keys = world.queue.keys();
        let () = redis::cmd("DEL")
            .arg(&[&keys.own, &keys.shared, &keys.high])
            .query_async(&mut world.valkey.clone())
            .await
            .expect("valkey is there");
        // Nobody but the worker itself makes the group.
        enqueue().await;
        until("the new entry has run", || async {
            (handler.runs() == 2).then_some(())
        })
        .await;
        world.until_empty().await;
        stop.ask();
    };
    let (ended, ()) = tokio::join!(worker.run(stop.clone()), driving);
    ended.expect("it drains");
}

#[tokio::test]
async fn a_job_whose_parked_entry_was_trimmed_gets_a_new_one() {
    let world = World::new().await;
    let handler = Gated::open();
    let worker = settled_worker(&world, &handler).await;
    let later = Failure::passing(FailureClass::Model, "503").not_before(Duration::from_secs(60));
    handler.fail_with([later]).await;
    let id = world.accept("one").await;
    let entry = world.enqueue(id, "one").await;
    until("the entry is parked", || async {
        world.holder(entry).await.filter(|(holder, _)| holder == PARKED)
    })
    .await;
    let keys = world.queue.keys();
    // The payload goes, and the time of the next attempt comes.
    let () = redis::pipe()
        .atomic()
        .cmd("XTRIM")
        .arg(&[&keys.own, "MAXLEN", "0"])
        .ignore()
        .cmd("ZADD")
        .arg(&[&keys.due, "1", &format!("1:{entry}")])
        .ignore()
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    until_without_entry(&world, id).await;
    let_time_pass(&world, id).await;
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["failed", "done"]);
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_job_whose_entry_was_trimmed_in_dead_hands_gets_a_new_one() {
    let world = World::new().await;
    let worker = settled_worker(&world, &Gated::open()).await;
    let id = world.accept("one").await;
    let (keys, dead) = (world.queue.keys(), WorkerId::fresh().to_string());
    // In one step, so that no living worker comes first.
    let (entry, _): (String, redis::Value) = redis::pipe()
        .atomic()
        .cmd("XADD")
        .arg(&[&keys.own, "*", "jobId", &id.to_string(), "payload", "{}"])
        .cmd("XREADGROUP")
        .arg(&["GROUP", &keys.group, &dead, "STREAMS", &keys.own, ">"])
        .cmd("XTRIM")
        .arg(&[&keys.own, "MAXLEN", "0"])
        .ignore()
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let entry: EntryId = entry.parse().expect("an entry id");
    world
        .store
        .enqueued(&[(id, entry)])
        .await
        .expect("postgres is there");
    until_without_entry(&world, id).await;
    assert_eq!(world.holder(entry).await, None, "nothing is pending");
    let_time_pass(&world, id).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
}
