//! Servers that come and go under load: every submission is answered, and every accepted one comes to its end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use millstream::domain::{JobId, JobState};
use millstream::queue::Wire;
use serde_json::json;

use super::{Producer, ask, offline};
use crate::support::reviews::CLEAN;
use crate::support::servers::shared;
use crate::support::{Line, World, until};

/// At a time.
const CLIENTS: usize = 12;
/// What the producer gives itself for an answer, and some.
const ANSWERED_WITHIN: Duration = Duration::from_secs(35);

#[tokio::test]
async fn while_servers_come_and_go_every_submission_is_answered_and_every_accepted_one_ends() {
    let world = World::with(Wire::REVIEW).await;
    let valkey = Line::to(shared().valkey_url()).await;
    let postgres = Line::to(&world.database_url).await;
    let (queue, store) = world.by_lines(&valkey, &postgres);
    let mut behind = World::at(&world.valkey_url, &world.database_url, Wire::REVIEW).await;
    (behind.queue, behind.store, behind.settings) = (queue, store, world.settings.clone());
    let producer = Producer::start(&behind, None).await;
    let (over, accepted) = (AtomicBool::new(false), Mutex::new(Vec::<JobId>::new()));
    let submit = async |key: String| {
        let request = producer.post(json!({ "patch": CLEAN }).to_string());
        let asked = Instant::now();
        let answer = ask(request.header("idempotency-key", key)).await;
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
        match answer.status.as_u16() {
            202 => {
                let id = answer.json()["id"]
                    .as_str()
                    .expect("an id")
                    .parse()
                    .expect("an id");
                accepted.lock().expect("nobody panicked").push(id);
            }
            503 => assert!(answer.header("retry-after").is_some(), "{}", answer.problem(503)),
            _ => panic!("{answer:?}"),
        }
    };
    let sending = join_all((0..CLIENTS).map(|client| {
        let (over, submit) = (&over, &submit);
        async move {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                submit(format!("{client}-{number}")).await;
                number += 1;
            }
        }
    }));
    let so_many = async |more: usize| {
        let count = || accepted.lock().expect("nobody panicked").len();
        let wanted = count() + more;
        until("the producer accepts again", || async {
            (count() >= wanted).then_some(())
        })
        .await;
    };
    let weather = async {
        so_many(20).await;
        for line in [&valkey, &postgres, &valkey] {
            line.cut();
            // While Valkey is away it accepts all the same; while Postgres is away somebody is told so.
            if std::ptr::eq(line, &valkey) {
                so_many(20).await;
            } else {
                until("Postgres is missed", || async {
                    (ask(producer.get("/api/reviews")).await.status == 503).then_some(())
                })
                .await;
            }
            line.mend();
            so_many(20).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(sending, weather);
    // The time passes in which what is owed is the producer's own business.
    sqlx::query("update millstream.jobs set updated_at = now() - interval '31 s' where entry_id is null")
        .execute(&world.sql)
        .await
        .expect("the clock moves");
    let worker = world.reviewer(offline(), World::engine());
    let accepted = accepted.into_inner().expect("nobody panicked");
    for id in &accepted {
        world.until_state(*id, JobState::Done).await;
    }
    // What was answered with 503 and accepted all the same ends too.
    until("nothing is left over", || async {
        let live: i64 = sqlx::query_scalar("select count(*) from millstream.jobs where live")
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
        (live == 0).then_some(())
    })
    .await;
    worker.drain().await;
}
