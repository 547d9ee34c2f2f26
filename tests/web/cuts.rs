//! Servers that are cut off, slow and started anew under load: every submission is answered, every accepted one comes
//! to its end, and a repeat is safe.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use millstream::domain::{JobId, JobState};
use millstream::queue::Wire;
use millstream::store::Store;
use serde_json::json;

use super::{Producer, ask, count, offline};
use crate::support::reviews::CLEAN;
use crate::support::servers::shared;
use crate::support::{Line, World, private, until, until_within};

/// At a time.
const CLIENTS: usize = 8;
/// What the producer gives itself for an answer, and some.
const ANSWERED_WITHIN: Duration = Duration::from_secs(35);

/// How long the producer waits for a Postgres that says nothing, as the program does.
const SILENT_FOR: Duration = Duration::from_secs(12);

/// Hundreds of reviews, on a machine that others use.
const ALL_ENDED_WITHIN: Duration = Duration::from_secs(180);

/// Clients that submit one review after the other, each again and again until it is accepted.
struct Load<'a> {
    producer: &'a Producer,
    over: AtomicBool,
    answers: AtomicUsize,
    refused: AtomicUsize,
    accepted: Mutex<Vec<JobId>>,
}

impl<'a> Load<'a> {
    fn on(producer: &'a Producer) -> Self {
        Self {
            producer,
            over: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            accepted: Mutex::default(),
        }
    }

    /// Submits once; answers whether it was accepted.
    async fn submit(&self, key: &str) -> bool {
        let request = self.producer.post(json!({ "patch": CLEAN }).to_string());
        let asked = Instant::now();
        let answer = ask(request.header("idempotency-key", key)).await;
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
        self.answers.fetch_add(1, Ordering::Relaxed);
        match answer.status.as_u16() {
            202 => {
                let id = answer.json()["id"].as_str().expect("an id").parse();
                self.accepted
                    .lock()
                    .expect("nobody panicked")
                    .push(id.expect("an id"));
                true
            }
            503 => {
                assert!(answer.header("retry-after").is_some(), "{}", answer.problem(503));
                self.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
            _ => panic!("{answer:?}"),
        }
    }

    /// Submits until it is over, and leaves nothing behind that was not accepted in the end.
    async fn send(&self) {
        join_all((0..CLIENTS).map(|client| async move {
            let mut number = 0;
            while !self.over.load(Ordering::Relaxed) {
                let key = format!("{client}-{number}");
                while !self.submit(&key).await {}
                number += 1;
            }
        }))
        .await;
    }

    /// Waits until so many more are accepted.
    async fn accepts(&self, more: usize) {
        let count = || self.accepted.lock().expect("nobody panicked").len();
        let wanted = count() + more;
        until("the producer accepts", || async {
            (count() >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until so many more are answered, however.
    async fn answers(&self, more: usize) {
        let wanted = self.answers.load(Ordering::Relaxed) + more;
        until("the producer answers", || async {
            (self.answers.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until somebody is told that something is away.
    async fn is_missed(&self) {
        let before = self.refused.load(Ordering::Relaxed);
        until("a server is missed", || async {
            (self.refused.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
    }

    /// Has this happen while the clients send.
    async fn under(&self, weather: impl Future<Output = ()>) {
        let weather = async {
            self.accepts(10).await;
            weather.await;
            self.accepts(10).await;
            self.over.store(true, Ordering::Relaxed);
        };
        tokio::join!(self.send(), weather);
    }

    /// Every accepted one comes to its end, none was accepted twice, and nothing else is there.
    async fn judge(self, world: &World) {
        // The time passes in which what is owed is the producer's own business.
        sqlx::query("update millstream.jobs set updated_at = now() - interval '31 s' where entry_id is null")
            .execute(&world.sql)
            .await
            .expect("the clock moves");
        let worker = world.reviewer(offline(), World::engine());
        let accepted = self.accepted.into_inner().expect("nobody panicked");
        until_within(
            ALL_ENDED_WITHIN,
            Duration::from_millis(100),
            "all have ended",
            || async { (count(world, "millstream.jobs where live").await == 0).then_some(()) },
        )
        .await;
        for id in &accepted {
            assert_eq!(world.job(*id).await.status, JobState::Done.word());
        }
        worker.drain().await;
        let ids: HashSet<&JobId> = accepted.iter().collect();
        assert_eq!(ids.len(), accepted.len(), "each key has a review of its own");
        assert_eq!(
            count(world, "millstream.jobs").await,
            accepted.len() as i64,
            "what was answered with 503 and accepted all the same is what its repeat was answered with"
        );
    }
}

/// A world whose producer has lines to its servers.
async fn by_lines() -> (World, Line, Line, Producer) {
    let world = World::with(Wire::REVIEW).await;
    let valkey = Line::to(shared().valkey_url()).await;
    let postgres = Line::to(&world.database_url).await;
    let (queue, store) = world.by_lines(&valkey, &postgres);
    let mut behind = World::at(&world.valkey_url, &world.database_url, Wire::REVIEW).await;
    let store = store.answering_within(SILENT_FOR);
    (behind.queue, behind.store, behind.settings) = (queue, store, world.settings.clone());
    let producer = Producer::start(&behind, None).await;
    (world, valkey, postgres, producer)
}

#[tokio::test]
async fn while_servers_are_cut_off_every_submission_is_answered_and_every_accepted_one_ends() {
    let (world, valkey, postgres, producer) = by_lines().await;
    let load = Load::on(&producer);
    load.under(async {
        for line in [&valkey, &postgres, &valkey] {
            line.cut();
            // While Valkey is away it accepts all the same; while Postgres is away somebody is told so.
            if std::ptr::eq(line, &valkey) {
                load.accepts(10).await;
            } else {
                load.is_missed().await;
            }
            line.mend();
            load.accepts(10).await;
        }
    })
    .await;
    load.judge(&world).await;
}

#[tokio::test]
async fn while_servers_fall_silent_every_submission_is_answered_and_every_accepted_one_ends() {
    let (world, valkey, postgres, producer) = by_lines().await;
    let load = Load::on(&producer);
    load.under(async {
        for line in [&postgres, &valkey, &postgres] {
            // Those that are connected hear nothing any more. With eight clients some statement is on its way.
            line.silence();
            load.accepts(10).await;
        }
    })
    .await;
    load.judge(&world).await;
}

#[tokio::test]
async fn while_servers_are_slow_every_submission_is_answered_and_every_accepted_one_ends() {
    let (world, valkey, postgres, producer) = by_lines().await;
    let load = Load::on(&producer);
    load.under(async {
        // Slower than the second that an enqueue may take: what is accepted is owed.
        valkey.slow_down(Duration::from_millis(700));
        load.accepts(10).await;
        valkey.slow_down(Duration::ZERO);
        load.accepts(10).await;
        // Of four connections each takes seconds for a submission: who finds none in time is told to come back.
        postgres.slow_down(Duration::from_millis(500));
        load.answers(10).await;
        postgres.slow_down(Duration::ZERO);
    })
    .await;
    load.judge(&world).await;
}

#[tokio::test]
async fn while_valkey_is_started_anew_every_submission_is_answered_and_every_accepted_one_ends() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let load = Load::on(&producer);
    load.under(async {
        servers.kill_valkey().await.expect("it is ours");
        load.accepts(10).await;
        servers.restart_valkey().await.expect("it comes back");
    })
    .await;
    load.judge(&world).await;
    servers.stop().await;
}

#[tokio::test]
async fn while_postgres_is_started_anew_every_submission_is_answered_and_every_accepted_one_ends() {
    let servers = private::postgres().await;
    let store = Store::open(&servers.database_url.clone().into(), "tests", 1).expect("an address of ours");
    store.migrate().await.expect("an empty database");
    let world = World::at(&servers.valkey_url, &servers.database_url, Wire::REVIEW).await;
    let producer = Producer::start(&world, None).await;
    let load = Load::on(&producer);
    load.under(async {
        servers.kill_postgres().await.expect("it is ours");
        load.is_missed().await;
        servers.restart_postgres().await.expect("it comes back");
    })
    .await;
    load.judge(&world).await;
    servers.stop().await;
}
