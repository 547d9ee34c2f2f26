//! Two workers of one process: one command is the heartbeat of both, and neither needs the other to live.

use std::time::Duration;

use futures_util::StreamExt;
use millstream::domain::{JobState, WorkerId};
use millstream::engine::{Hearts, Identity, Stop, Worker};
use millstream::queue::reader::connection_name;
use millstream::queue::{Queue, Wire};
use millstream::settings::{EngineSettings, QueueSettings};
use millstream::store::Store;
use tokio::task::JoinSet;

use crate::support::{Gated, TestJob, World, private, until};

/// When the queue's worker was heard last, by the server's clock in ms; nothing while no card is up.
async fn last_beat(queue: &Queue) -> Option<u64> {
    let now = queue.server_ms().await.ok()?;
    let seen = queue.workers().await.ok()?;
    let silence = seen.first()?.silence;
    Some(now - u64::try_from(silence.as_millis()).ok()?)
}

#[tokio::test]
async fn workers_of_one_process_beat_in_one_command_and_who_leaves_silences_nobody() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::JOB).await;
    let beside = beside(&world);
    let (hearts, mut running) = (Hearts::default(), JoinSet::new());
    let mut start = |queue: &Queue| {
        let (handler, settings) = (Gated::open(), World::engine());
        let worker: Worker<TestJob, _, Store> = Worker::new(
            queue.clone(),
            world.store.clone(),
            handler,
            settings,
            Identity::default(),
        );
        let (worker, stop) = (worker.beating_with(&hearts), Stop::new());
        let (id, asked) = (worker.id(), stop.clone());
        running.spawn(async move { worker.run(asked).await.expect("the worker runs") });
        (id, stop)
    };
    let (first, stop_first) = start(&world.queue);
    until("the first beats", || last_beat(&world.queue)).await;
    let (second, stop_second) = start(&beside);
    until("the second beats", || last_beat(&beside)).await;

    let client = redis::Client::open(servers.valkey_url.as_str()).expect("an address of ours");
    let monitor = client.get_async_monitor().await.expect("valkey is there");
    let mut lines = std::pin::pin!(monitor.into_on_message::<String>());
    let cards = [
        world.queue.keys().card(&first.to_string()),
        beside.keys().card(&second.to_string()),
    ];
    let together = async {
        loop {
            let line = lines.next().await.expect("the monitor goes on");
            if line.contains("EVALSHA") && cards.iter().all(|card| line.contains(card)) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), together).await;
    in_time.expect("one command is both heartbeats");

    // Whose turn it is has come first: it goes, and the other beats on.
    stop_first.ask();
    until("its card is down", || async {
        world.queue.workers().await.ok()?.is_empty().then_some(())
    })
    .await;
    let left = world.queue.server_ms().await.expect("valkey is there");
    until("two more beats of the other", || async {
        (last_beat(&beside).await? > left + 1_500).then_some(())
    })
    .await;
    let seen = world.queue.workers().await.expect("valkey is there");
    assert!(seen.is_empty(), "the card of who has left stays down: {seen:?}");
    stop_second.ask();
    while let Some(ended) = running.join_next().await {
        ended.expect("no worker panics");
    }
    assert!(beside.workers().await.expect("valkey is there").is_empty());
    servers.stop().await;
}

/// Another queue on the same server.
fn beside(world: &World) -> Queue {
    let settings = QueueSettings {
        name: format!("{}:beside", world.settings.name),
        ..world.settings.clone()
    };
    Queue::open(&world.valkey_url.as_str().into(), &settings, Wire::JOB).expect("an address")
}

#[tokio::test]
async fn what_is_wrong_with_one_queue_silences_no_other() {
    let world = World::new().await;
    let beside = beside(&world);
    let (hearts, mut running) = (Hearts::default(), JoinSet::new());
    let stop = Stop::new();
    for queue in [&world.queue, &beside] {
        let worker: Worker<TestJob, _, Store> = Worker::new(
            queue.clone(),
            world.store.clone(),
            Gated::open(),
            World::engine(),
            Identity::default(),
        );
        let (worker, asked) = (worker.beating_with(&hearts), stop.clone());
        running.spawn(async move { worker.run(asked).await.expect("the worker runs") });
        until("it beats", || last_beat(queue)).await;
    }
    // Somebody has put a text where the due times of the first queue are, whose heartbeat comes first too.
    let () = redis::cmd("SET")
        .arg(&world.queue.keys().due)
        .arg("hello")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let wrong = world.queue.server_ms().await.expect("valkey is there");
    until("two more beats of the one that is well", || async {
        (last_beat(&beside).await? > wrong + 1_500).then_some(())
    })
    .await;
    let () = redis::cmd("DEL")
        .arg(&world.queue.keys().due)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let mended = world.queue.server_ms().await.expect("valkey is there");
    until("the other beats again", || async {
        (last_beat(&world.queue).await? > mended).then_some(())
    })
    .await;
    stop.ask();
    while let Some(ended) = running.join_next().await {
        ended.expect("no worker panics");
    }
}

/// The connections that carry this worker's name.
async fn named(world: &World, worker: WorkerId) -> Vec<String> {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let name = format!(" name={} ", connection_name(&worker.to_string()));
    let of_it = list.lines().filter(|line| line.contains(&name));
    let id = |line: &str| line.split(' ').next()?.strip_prefix("id=").map(ToOwned::to_owned);
    of_it.filter_map(id).collect()
}

#[tokio::test]
async fn a_line_that_breaks_without_a_beat_on_it_has_its_name_again_soon() {
    let world = World::new().await;
    let beside = beside(&world);
    let (hearts, mut running) = (Hearts::default(), JoinSet::new());
    let (stop, busy) = (Stop::new(), Gated::shut());
    let mut ids = Vec::new();
    for (queue, handler) in [(&beside, &Gated::open()), (&world.queue, &busy)] {
        let settings = EngineSettings {
            concurrency: 1,
            ..World::engine()
        };
        let worker: Worker<TestJob, _, Store> = Worker::new(
            queue.clone(),
            world.store.clone(),
            handler.clone(),
            settings,
            Identity::default(),
        );
        let (worker, asked) = (worker.beating_with(&hearts), stop.clone());
        ids.push(worker.id());
        running.spawn(async move { worker.run(asked).await.expect("the worker runs") });
        until("it beats", || last_beat(queue)).await;
    }
    let job = world.submit("one").await;
    busy.next_start().await;
    // Both beat by the line of the first. This one is busy, so nothing but its leases goes over its own.
    let broken = named(&world, ids[1]).await;
    for id in &broken {
        let killed: Result<u32, _> = redis::cmd("CLIENT")
            .arg(&["KILL", "ID", id])
            .query_async(&mut world.valkey.clone())
            .await;
        killed.expect("valkey is there");
    }
    until("a new line has its name", || async {
        (!named(&world, ids[1]).await.is_empty()).then_some(())
    })
    .await;
    busy.let_through(1);
    world.until_state(job, JobState::Done).await;
    stop.ask();
    while let Some(ended) = running.join_next().await {
        ended.expect("no worker panics");
    }
}
