//! A Postgres that falls silent in the middle of a statement: whoever waits for it is told, and streams go on.

use std::time::Duration;

use millstream::domain::{JobId, JobState, Scope, Scopes};
use millstream::ops::tokens::WantedToken;
use millstream::ops::{Operator, Rights};
use millstream::queue::Wire;
use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};

use super::{Answer, Producer, ask};
use crate::support::reviews::CLEAN;
use crate::support::servers::shared;
use crate::support::{Line, World, until};

/// How long the producer of these tests waits for Postgres: a program that runs waits for twelve seconds.
const WAITS: Duration = Duration::from_secs(3);

/// A world, a producer that reaches its Postgres by a line, and the line.
async fn behind_a_line(token: Option<&str>) -> (World, Line, Producer) {
    let world = World::with(Wire::REVIEW).await;
    let (valkey, postgres) = (
        Line::to(shared().valkey_url()).await,
        Line::to(&world.database_url).await,
    );
    let (_, store) = world.by_lines(&valkey, &postgres);
    let mut behind = World::at(&world.valkey_url, &world.database_url, Wire::REVIEW).await;
    behind.queue = world.queue.clone();
    behind.store = store.answering_within(WAITS);
    behind.settings = world.settings.clone();
    let producer = Producer::start(&behind, token).await;
    (world, postgres, producer)
}

/// Holds up every statement that reads a table.
async fn hold_up(world: &World, table: &str) -> Transaction<'static, Postgres> {
    let mut holding = world.sql.begin().await.expect("postgres is there");
    let statement = format!("lock table {table} in access exclusive mode");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut *holding as &mut PgConnection)
        .await
        .expect("postgres is there");
    holding
}

/// Lets a statement begin that is held up, and its answer get lost.
async fn fall_silent(world: &World, line: &Line, holding: Transaction<'static, Postgres>) {
    world.until_held_up().await;
    line.silence();
    holding.rollback().await.expect("postgres is there");
}

async fn submit(producer: &Producer, token: &str) -> JobId {
    let body = json!({ "patch": CLEAN }).to_string();
    let answer = ask(producer.post(body).bearer_auth(token)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id")
}

#[tokio::test]
async fn a_stream_and_an_answer_that_waits_end_although_postgres_fell_silent_while_it_was_asked() {
    let (world, line, producer) = behind_a_line(None).await;
    let id = producer.submit(CLEAN).await;
    let path = format!("/api/reviews/{id}");
    let stream = producer.get(&format!("{path}/stream")).send().await;
    let stream = stream.expect("an answer");
    assert_eq!(stream.status(), 200);
    // Nobody tells anything, so what is held up is the look for what was missed.
    let holding = hold_up(&world, "reviews").await;
    fall_silent(&world, &line, holding).await;
    sqlx::query("update millstream.jobs set state = 'done', finished_at = now() where id = $1")
        .bind(id.0)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let told = tokio::time::timeout(crate::support::PATIENCE, stream.text());
    let told = told.await.expect("it ends").expect("text");
    assert!(told.contains("event: end"), "{told}");
    assert_eq!(world.job(id).await.status, JobState::Done.word());
}

#[tokio::test]
async fn who_reads_is_told_that_postgres_is_away_when_it_falls_silent_in_the_middle_of_a_statement() {
    let (world, line, producer) = behind_a_line(Some("s3cret")).await;
    let id = submit(&producer, "s3cret").await;
    let operator = Operator::new(world.store.clone(), world.queue.clone(), "test", Rights::Explicit);
    let wanted = WantedToken {
        name: "ada".to_owned(),
        scopes: Scopes::of(&[Scope::Read]),
        expires_at: None,
    };
    let made = operator.create_token(wanted).await.expect("postgres is there");
    let token = made.expect("the name is free").text;
    let run = format!("/api/reviews/{id}");
    for (path, token, table) in [
        ("/api/reviews", "s3cret", "reviews"),
        (run.as_str(), "s3cret", "reviews"),
        (&format!("{run}/stream"), "s3cret", "reviews"),
        ("/", "s3cret", "reviews"),
        (&format!("/reviews/{id}"), "s3cret", "millstream.attempts"),
        ("/api/reviews", &token, "millstream.tokens"),
    ] {
        let request = || producer.get(path).bearer_auth(token);
        // Held before it is asked: an answer could come first, and then nobody would ever be held up.
        let holding = hold_up(&world, table).await;
        let (answer, ()) = tokio::join!(ask(request()), fall_silent(&world, &line, holding));
        is_away(&answer, path);
        let ask_again =
            || async { (request().send().await.expect("an answer").status() == 200).then_some(()) };
        until("it answers again", ask_again).await;
    }
}

fn is_away(answer: &Answer, path: &str) {
    assert_eq!(answer.status, 503, "{path}: {answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{path}: {answer:?}");
    // The time limit of the request itself says something else, and comes too late for who waits.
    assert!(answer.body.contains("Postgres is away"), "{path}: {answer:?}");
}
