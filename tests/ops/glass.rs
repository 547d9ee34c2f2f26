//! With Postgres away nothing is done, unless the glass is broken: then the intent is noted in Valkey, and comes into
//! the book once.

use millstream::domain::glass::{GlassHalf, GlassNote};
use millstream::domain::{JobRef, JobState};
use millstream::ops::{Consent, Glass, Mode, Operator, OpsError, Refused, Rights};
use millstream::store::Store;
use serde_json::json;

use super::{ada, held, last_action, refusals};
use crate::support::{Gated, World, until};

/// Ada, for whom Postgres is away.
fn cut_off(world: &World, rights: Rights, reason: Option<&str>) -> Operator {
    let store = Store::open(&"postgres://127.0.0.1:1/none".into(), "tests", 1).expect("an address");
    let consent = Consent {
        reason: reason.map(ToOwned::to_owned),
        ..Consent::default()
    };
    Operator::new(store, world.queue.clone(), "cli:ada", rights).with(consent)
}

async fn noted(world: &World) -> usize {
    world.queue.glass_page().await.expect("valkey is there").len()
}

#[tokio::test]
async fn with_postgres_away_nothing_is_done_and_a_broken_glass_wants_a_reason() {
    let world = World::new().await;
    let whole = cut_off(&world, Rights::Explicit, Some("an outage"));
    let answer = whole.pause(None, Mode::Real).await;
    assert!(
        matches!(answer, Err(OpsError::Store(ref error)) if error.is_passing()),
        "{answer:?}"
    );
    let silent = cut_off(&world, Rights::Explicit, None).breaking_glass(Glass::Broken);
    let answer = silent.pause(None, Mode::Real).await;
    assert!(
        matches!(answer, Err(OpsError::Refused(Refused::NoGlassReason))),
        "{answer:?}"
    );
    let reader = cut_off(&world, Rights::ReadOnly, Some("an outage")).breaking_glass(Glass::Broken);
    let answer = reader.pause(None, Mode::Real).await;
    assert!(
        matches!(answer, Err(OpsError::Refused(Refused::ReadOnly))),
        "{answer:?}"
    );
    let wrong = cut_off(&world, Rights::Explicit, Some("an outage")).breaking_glass(Glass::Broken);
    let answer = wrong
        .cancel(&[JobRef::Id(millstream::domain::JobId::fresh())], Mode::Real)
        .await;
    assert!(
        matches!(answer, Err(OpsError::Store(_))),
        "only what Valkey can do: {answer:?}"
    );
    assert!(world.queue.pause_text().await.expect("valkey is there").is_none());
    assert_eq!(noted(&world).await, 0);
}

#[tokio::test]
async fn what_was_done_behind_a_broken_glass_comes_into_the_book_once() {
    let world = World::new().await;
    let held = held(&world, "one").await;
    let operator = cut_off(&world, Rights::Explicit, Some("an outage")).breaking_glass(Glass::Broken);
    let outcome = operator.pause(None, Mode::Real).await.expect("a pause");
    assert_eq!((outcome.done.len(), outcome.notes.len()), (1, 1));
    assert!(world.queue.pause_text().await.expect("valkey is there").is_some());
    let names = [JobRef::Entry(held.entry), JobRef::Id(held.job)];
    let outcome = operator.claim(&names, Mode::Real).await.expect("a claim");
    assert_eq!(outcome.done, [held.entry.to_string()]);
    assert_eq!(
        refusals(&outcome)[0].1,
        "with Postgres away only entries can be claimed, by their ids"
    );
    assert_eq!(noted(&world).await, 4, "two intents with their outcomes");
    let page = world.queue.glass_page().await.expect("the notes");

    // Postgres is back: the next move brings them along, however often they are found.
    for _ in 0..2 {
        for (id, note) in &page {
            let note = note.as_ref().expect("it can be read");
            world
                .store
                .copy_glass(note, id.time())
                .await
                .expect("postgres is there");
        }
    }
    ada(&world).cancel(&[], Mode::Real).await.expect("a move");
    assert_eq!(noted(&world).await, 0);
    let book: Vec<(String, String, Option<String>, Option<String>)> = sqlx::query_as(
        "select actor, verb, reason, outcome from millstream.actions where glass is not null order by id",
    )
    .fetch_all(&world.sql)
    .await
    .expect("the book");
    let line = |verb: &str, outcome: &str| {
        let some = |text: &str| Some(text.to_owned());
        (
            "cli:ada".to_owned(),
            verb.to_owned(),
            some("an outage"),
            some(outcome),
        )
    };
    assert_eq!(book, [line("pause", "ok"), line("claim", "partly")]);
    let paused = world
        .store
        .paused(&world.settings.name)
        .await
        .expect("postgres is there")
        .expect("it is paused");
    assert_eq!(
        (paused.by.as_str(), paused.reason.as_deref()),
        ("cli:ada", Some("an outage"))
    );
    // A resume in the same way, and whoever leads brings it into the book.
    operator.resume(Mode::Real).await.expect("a resume");
    let worker = world.worker(&Gated::open(), World::engine());
    until("the row is resumed", || async {
        let paused = world
            .store
            .paused(&world.settings.name)
            .await
            .expect("postgres is there");
        paused.is_none().then_some(())
    })
    .await;
    world.until_state(held.job, JobState::Done).await;
    worker.drain().await;
    assert_eq!(noted(&world).await, 0);
    assert_eq!(last_action(&world).await.1, "resume");
}

#[tokio::test]
async fn who_pauses_or_resumes_after_an_outage_has_the_last_word() {
    let world = World::new().await;
    let cut_off = cut_off(&world, Rights::Explicit, Some("an outage")).breaking_glass(Glass::Broken);
    let stands = async || {
        let row = world.store.paused(&world.settings.name).await;
        let key = world.queue.pause_text().await;
        (
            row.expect("postgres is there").is_some(),
            key.expect("valkey is there").is_some(),
        )
    };
    cut_off.pause(None, Mode::Real).await.expect("a pause");
    let resumed = ada(&world).resume(Mode::Real).await.expect("a resume");
    assert!(resumed.is_complete(), "{resumed:?}");
    assert_eq!((stands().await, noted(&world).await), ((false, false), 0));
    ada(&world).pause(None, Mode::Real).await.expect("a pause");
    cut_off.resume(Mode::Real).await.expect("a resume");
    let paused = ada(&world).pause(None, Mode::Real).await.expect("a pause");
    assert!(paused.is_complete(), "{paused:?}");
    assert_eq!((stands().await, noted(&world).await), ((true, true), 0));
}

#[tokio::test]
async fn a_note_that_the_book_refuses_holds_up_no_other() {
    let world = World::new().await;
    let intent = json!({ "queue": world.settings.name, "actor": "cli:ada", "verb": "pa\u{0}use", "ids": [] });
    let bad = GlassNote {
        token: uuid::Uuid::new_v4(),
        half: GlassHalf::Intent,
        body: intent,
    };
    world.queue.add_glass(&bad).await.expect("valkey is there");
    let cut_off = cut_off(&world, Rights::Explicit, Some("an outage")).breaking_glass(Glass::Broken);
    cut_off.pause(None, Mode::Real).await.expect("a pause");
    ada(&world).cancel(&[], Mode::Real).await.expect("a move");
    assert_eq!(noted(&world).await, 0);
    let paused = world.store.paused(&world.settings.name).await;
    assert!(paused.expect("postgres is there").is_some());
}

#[tokio::test]
async fn what_was_set_since_stands_and_a_full_book_refuses() {
    let world = World::new().await;
    let operator = cut_off(&world, Rights::Explicit, Some("an outage")).breaking_glass(Glass::Broken);
    operator.pause(None, Mode::Real).await.expect("a pause");
    let page = world.queue.glass_page().await.expect("the notes");
    // Somebody else was quicker, with Postgres back.
    world
        .store
        .pause(&world.settings.name, "cli:bob", None)
        .await
        .expect("postgres is there");
    world
        .store
        .resume(&world.settings.name)
        .await
        .expect("postgres is there");
    for (id, note) in page {
        world
            .store
            .copy_glass(&note.expect("a note"), id.time())
            .await
            .expect("postgres is there");
    }
    assert!(
        world
            .store
            .paused(&world.settings.name)
            .await
            .expect("postgres is there")
            .is_none()
    );
    let mut fill = redis::pipe();
    for _ in 0..millstream::queue::glass::MOST_NOTES {
        fill.cmd("XADD")
            .arg(&world.queue.keys().glass)
            .arg(&["*", "x", "y"])
            .ignore();
    }
    let () = fill
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    let note = GlassNote {
        token: millstream::domain::JobId::fresh().0,
        half: GlassHalf::Intent,
        body: json!({}),
    };
    let full = world.queue.add_glass(&note).await.expect_err("it is full");
    assert!(full.to_string().contains("10000 notes wait"), "{full}");
    assert!(operator.pause(None, Mode::Real).await.is_err());
}
