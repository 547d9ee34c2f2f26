//! The worker as a process: when it refuses to start, how it ends, and what becomes of its jobs when it is
//! killed or frozen.

use std::time::Instant;

use futures_util::StreamExt;
use millstream::domain::{JobId, WorkerId};
use millstream::queue::Wire;
use rustix::process::Signal;
use serde_json::Value;

use super::{Lab, patch};
use crate::support::{Home, Started, World, private, until};

/// A turn of the model takes so long that no test sees its end.
const FOR_EVER: (&str, &str) = ("OFFLINE_LATENCY", "1h");

impl Lab {
    /// Submits diffs; answers their ids.
    async fn submit(&self, count: usize) -> Vec<JobId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let review = self.ask(&["submit", &patch("committed-key"), "--json"]).await;
            ids.push(review["id"].as_str().expect("an id").parse().expect("an id"));
        }
        ids
    }

    /// A worker's card with its figures, by its process.
    async fn card(&self, worker: &Started) -> Option<Value> {
        let workers = self.ask(&["workers", "--json"]).await;
        let all = workers.as_array().expect("a list");
        all.iter().find(|card| card["pid"] == worker.pid()).cloned()
    }

    async fn count(&self, table: &str) -> i64 {
        let query = format!("select count(*) from {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&self.world.sql)
            .await
            .expect("postgres is there")
    }
}

/// Has the server answer `CONFIG SET`.
async fn configure(world: &World, name: &str, value: &str) {
    let () = redis::cmd("CONFIG")
        .arg("SET")
        .arg(name)
        .arg(value)
        .query_async(&mut world.valkey.clone())
        .await
        .expect("config set");
}

#[tokio::test]
async fn a_worker_without_its_servers_says_which_one_and_ends() {
    let lab = Lab::new().await;
    for (variable, address, named) in [
        ("VALKEY_URL", "redis://127.0.0.1:1", "alkey"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/x", "ostgres"),
    ] {
        let vars = [(variable, address), ("LOG", "error")];
        let ran = lab.home.run_with(&vars, &["worker"], b"").await;
        assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{ran:?}");
        let complaint = ran.complaint();
        assert_eq!(
            complaint.len(),
            2,
            "what is wrong, and what to do: {complaint:#?}"
        );
        assert!(complaint[0].contains(named), "{complaint:#?}");
    }
    assert!(
        lab.world.queue.workers().await.expect("workers").is_empty(),
        "no card is left"
    );
}

#[tokio::test]
async fn a_worker_refuses_a_server_that_may_drop_jobs_unless_it_is_allowed() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    configure(&world, "maxmemory-policy", "allkeys-lru").await;
    let home = Home::beside(&world);
    let ran = home.run_with(&[("LOG", "error")], &["worker"], b"").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{ran:?}");
    let line = ran.complaint()[0].to_owned();
    for word in [
        "allkeys-lru",
        "CONFIG SET maxmemory-policy noeviction",
        "ALLOW_EVICTION=1",
    ] {
        assert!(line.contains(word), "{line}");
    }
    assert!(world.queue.workers().await.expect("workers").is_empty());
    let allowed = home.start("worker", &[("ALLOW_EVICTION", "1")], &["worker"]);
    allowed.until_said("ready (").await;
    assert!(
        allowed.stderr().contains("allkeys-lru"),
        "it warns: {}",
        allowed.stderr()
    );
    allowed.signal(Signal::TERM);
    assert_eq!(allowed.until_ended().await, 0);
    servers.stop().await;
}

#[tokio::test]
async fn an_idle_worker_that_is_asked_to_end_takes_its_card_down() {
    let lab = Lab::new().await;
    let worker = lab.worker("worker", &[]).await;
    let card = until("its card is up", || lab.card(&worker)).await;
    assert_eq!(
        (&card["state"], &card["slots"]),
        (&Value::from("idle"), &Value::from(4))
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0, "{}", worker.stderr());
    assert!(lab.world.queue.workers().await.expect("workers").is_empty());
    let consumers: Vec<redis::Value> = redis::cmd("XINFO")
        .arg("CONSUMERS")
        .arg(&lab.world.queue.keys().own)
        .arg(&lab.world.settings.group)
        .query_async(&mut lab.world.valkey.clone())
        .await
        .expect("the group is there");
    assert!(consumers.is_empty(), "{consumers:?}");
}

#[tokio::test]
async fn a_busy_worker_that_is_asked_to_end_finishes_its_job_first() {
    let lab = Lab::new().await;
    let patient = [("OFFLINE_LATENCY", "3s"), ("SHUTDOWN_GRACE", "10m")];
    let worker = lab.worker("worker", &patient).await;
    let id = lab.submit(1).await.remove(0);
    lab.until_jobs("running", 1).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0, "{}", worker.stderr());
    assert_eq!(lab.world.outcomes(id).await, ["done"]);
}

#[tokio::test]
async fn a_second_signal_hands_everything_back_without_waiting_for_the_grace() {
    let lab = Lab::new().await;
    // Its grace is far beyond the suite's patience.
    let worker = lab.worker("worker", &[FOR_EVER, ("SHUTDOWN_GRACE", "1h")]).await;
    let id = lab.submit(1).await.remove(0);
    lab.until_jobs("running", 1).await;
    worker.signal(Signal::TERM);
    worker.until_said("stopping").await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0, "{}", worker.stderr());
    assert_eq!(lab.world.outcomes(id).await, ["handed_back"]);
    let _heir = lab.worker("heir", &[]).await;
    lab.until_jobs("done", 1).await;
    assert_eq!(lab.world.outcomes(id).await, ["handed_back", "done"]);
}

#[tokio::test]
async fn the_jobs_of_a_killed_worker_are_finished_by_another() {
    let lab = Lab::new().await;
    // Who waits for the lease to run out waits in vain.
    let timeout = ("VISIBILITY_TIMEOUT", "10m");
    let victim = lab.worker("victim", &[FOR_EVER, timeout]).await;
    let ids = lab.submit(4).await;
    lab.until_jobs("running", 4).await;
    let _heir = lab.worker("heir", &[timeout]).await;
    victim.signal(Signal::KILL);
    let killed = Instant::now();
    lab.until_jobs("done", 4).await;
    eprintln!(
        "killed: its 4 jobs were done elsewhere after {} ms",
        killed.elapsed().as_millis()
    );
    for id in ids {
        assert_eq!(lab.world.outcomes(id).await, ["crashed", "done"]);
    }
    lab.world.until_empty().await;
}

#[tokio::test]
async fn a_frozen_worker_that_wakes_up_after_another_finished_its_job_records_nothing() {
    let lab = Lab::new().await;
    let timeout = ("VISIBILITY_TIMEOUT", "3s");
    let frozen = lab.worker("frozen", &[timeout, ("OFFLINE_LATENCY", "5s")]).await;
    let id = lab.submit(1).await.remove(0);
    // It is in the middle of the first turn of its reviewers.
    until("it has begun", || async {
        let events = lab
            .world
            .store
            .events_after(id, 0)
            .await
            .expect("postgres is there");
        events
            .iter()
            .any(|event| event.body["type"] == "agent_start")
            .then_some(())
    })
    .await;
    frozen.signal(Signal::STOP);
    let _heir = lab.worker("heir", &[timeout]).await;
    lab.until_jobs("done", 1).await;
    let tables = [
        "findings",
        "millstream.findings",
        "spans",
        "millstream.events",
        "millstream.checkpoints",
    ];
    let counted = async || {
        let mut counts = Vec::new();
        for table in tables {
            counts.push(lab.count(table).await);
        }
        counts
    };
    let before = counted().await;
    frozen.signal(Signal::CONT);
    until("it is awake and its hands are empty", || async {
        let card = lab.card(&frozen).await?;
        (card["running"] == 0 && card["heartbeat_age_s"].as_f64()? < 2.0).then_some(())
    })
    .await;
    frozen.signal(Signal::TERM);
    assert_eq!(frozen.until_ended().await, 0, "{}", frozen.stderr());
    let told = ["leases were lost to another worker", "has moved on"];
    assert!(
        told.iter().any(|words| frozen.stderr().contains(words)),
        "{}",
        frozen.stderr()
    );
    assert_eq!(counted().await, before, "{tables:?}");
    assert_eq!(lab.world.outcomes(id).await, ["crashed", "done"]);
    assert_eq!(lab.world.job(id).await.status, "done");
    lab.world.until_empty().await;
}

#[tokio::test]
async fn an_idle_worker_sends_less_than_two_commands_a_second() {
    idle_worker_sends_less_than_two_commands_a_second(&[]).await;
}

#[tokio::test]
async fn an_idle_worker_that_delivers_webhooks_too_sends_less_than_two_commands_a_second() {
    let secret = [("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
    idle_worker_sends_less_than_two_commands_a_second(&secret).await;
}

/// Counts what a worker that is alone, and leads everything, sends in fifteen heartbeats.
async fn idle_worker_sends_less_than_two_commands_a_second(vars: &[(&str, &str)]) {
    // The first beats belong to the start: scripts are loaded, the sweeper finds its feet.
    const WARM: usize = 7;
    const BEATS: usize = WARM + 15;
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let home = Home::beside(&world);
    let worker = home.start("worker", vars, &["worker"]);
    worker.until_said("ready (").await;
    // What a script calls inside the server is sent by nobody, and the monitor says so.
    let client = redis::Client::open(servers.valkey_url.as_str()).expect("an address of ours");
    let monitor = client.get_async_monitor().await.expect("valkey is there");
    let mut lines = std::pin::pin!(monitor.into_on_message::<String>());
    let id: WorkerId = until("its card is up", || async {
        world.queue.workers().await.ok()?.first()?.worker.parse().ok()
    })
    .await;
    let (beat, id) = (
        format!("\"{}\"", world.queue.keys().card(&id.to_string())),
        id.to_string(),
    );
    let (mut sent, mut beats, mut began, mut took) = (Vec::new(), 0, 0.0, 0.0);
    while beats < BEATS {
        let line = lines.next().await.expect("the monitor goes on");
        let (time, rest) = line.split_once(' ').expect("a time comes first");
        if rest.contains(" lua]") {
            continue;
        }
        let time: f64 = time.parse().expect("seconds");
        if rest.to_ascii_uppercase().contains("\"EVALSHA\"") && rest.contains(&beat) && rest.contains(&id) {
            beats += 1;
            if beats == WARM {
                began = time;
            }
            took = time - began;
        }
        // From the first beat on, without it: what belongs to the time between the beats.
        if beats >= WARM && time > began {
            sent.push(line);
        }
    }
    let rate = sent.len() as f64 / took;
    eprintln!("idle: {} commands in {took:.1} s, {rate:.2} a second", sent.len());
    assert!(rate < 2.0, "{rate:.2} a second: {sent:#?}");
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
    servers.stop().await;
}
