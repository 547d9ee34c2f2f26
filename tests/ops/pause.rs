//! A paused queue.

use futures_util::StreamExt;
use millstream::domain::{JobState, WorkerId};
use millstream::ops::Mode;
use millstream::queue::fetch::Want;

use super::{ada, last_action, refusals};
use crate::support::{Gated, World};

async fn is_stopped(world: &World) -> bool {
    let fetched = world
        .queue
        .fetch(WorkerId::fresh(), 1, Want::Anything)
        .await
        .expect("fetch");
    assert!(fetched.entries.is_empty());
    fetched.paused
}

#[tokio::test]
async fn a_pause_stands_in_postgres_and_in_valkey_until_it_is_taken_back() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let (ada, queue) = (ada(&world), &world.settings.name);
    assert!(!is_stopped(&world).await);
    let outcome = ada
        .pause(Some("GitHub is down"), Mode::Real)
        .await
        .expect("pause");
    assert_eq!(outcome.done, [queue.as_str()]);
    assert!(is_stopped(&world).await);
    let row = world.store.paused(queue).await.expect("postgres").expect("a row");
    assert_eq!(
        (row.by.as_str(), row.reason.as_deref()),
        ("cli:ada", Some("GitHub is down"))
    );
    let text = world.queue.pause_text().await.expect("valkey").expect("a key");
    assert_eq!(text, row.key_text());

    // Valkey loses everything: the row stays, and a second pause makes the key again.
    assert!(world.queue.clear_pause().await.expect("del"));
    assert_eq!(
        world.store.paused(queue).await.expect("postgres"),
        Some(row.clone())
    );
    let again = ada.pause(None, Mode::Real).await.expect("pause");
    assert!(
        refusals(&again)[0]
            .1
            .starts_with("it was paused before, by cli:ada at 20"),
        "{again:?}"
    );
    assert_eq!(
        world.queue.pause_text().await.expect("valkey"),
        Some(row.key_text())
    );

    let outcome = ada.resume(Mode::Real).await.expect("resume");
    assert_eq!(outcome.done, [queue.as_str()]);
    assert!(!is_stopped(&world).await);
    assert_eq!(world.store.paused(queue).await.expect("postgres"), None);
    let again = ada.resume(Mode::Real).await.expect("resume");
    assert_eq!(refusals(&again), [(queue.clone(), "it is not paused".to_owned())]);
    let (_, verb, word, _) = last_action(&world).await;
    assert_eq!((verb.as_str(), word.as_deref()), ("resume", Some("refused")));
}

#[tokio::test]
async fn the_workers_are_told_and_what_waited_runs_after_the_pause() {
    let world = World::new().await;
    let client = redis::Client::open(world.valkey_url.as_str()).expect("an address");
    let mut pubsub = client.get_async_pubsub().await.expect("valkey");
    pubsub
        .subscribe(&world.queue.keys().wake)
        .await
        .expect("subscribe");
    let mut told = pubsub.into_on_message();
    let ada = ada(&world);
    ada.pause(None, Mode::Real).await.expect("pause");
    let job = world.submit("one").await;
    ada.resume(Mode::Real).await.expect("resume");
    let mut words: Vec<String> = Vec::new();
    for _ in 0..2 {
        let message = told.next().await.expect("a message");
        words.push(message.get_payload().expect("text"));
    }
    assert_eq!(words, ["pause", "resume"]);
    let worker = world.worker(&Gated::open(), World::engine());
    world.until_state(job, JobState::Done).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_key_that_stands_alone_is_taken_away_by_a_resume() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    world.queue.set_pause("by hand").await.expect("set");
    assert!(is_stopped(&world).await);
    let outcome = ada(&world).resume(Mode::Real).await.expect("resume");
    assert_eq!(outcome.done, [world.settings.name.as_str()]);
    assert!(!is_stopped(&world).await);
}
