//! Progress as a client of the reference hears it, and as it is stored.

use futures_util::StreamExt;
use millstream::domain::{Failure, FailureClass, JobId, JobState};
use millstream_worker::model::{Model, Stub};
use serde_json::Value;

use super::{Producer, world_and_producer};
use crate::support::reviews::CLEAN;
use crate::support::{Running, World, until};

/// Submits a diff, listens, starts the worker, and answers what is heard up to `done`.
async fn heard(
    world: &World,
    producer: &Producer,
    model: impl Model + 'static,
    patch: &str,
) -> (JobId, Vec<Value>, Running) {
    let id = producer.submit(patch).await;
    let events = world.queue.progress_of(id).await.expect("valkey is there");
    let mut events = std::pin::pin!(events);
    let worker = world.reviewer(model, World::engine());
    let mut all: Vec<Value> = Vec::new();
    while all.last().is_none_or(|event| event["phase"] != "done") {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), events.next());
        let text = next.await.expect("in time").expect("the connection holds");
        all.push(serde_json::from_str(&text).expect("JSON"));
    }
    (id, all, worker)
}

/// An event in a few words.
fn words(event: &Value) -> String {
    let word = |name: &str| event[name].as_str().unwrap_or_default();
    format!("{} {}{}", word("type"), word("phase"), word("agent"))
}

/// Checks that what was heard is what is stored, in the same order and under rising numbers.
async fn check_stored(world: &World, id: JobId, heard: &[Value]) {
    world.until_state(id, JobState::Done).await;
    let stored = until("all events are stored", || async {
        let stored = world.store.events_after(id, -1).await.expect("postgres is there");
        (stored.len() >= heard.len()).then_some(stored)
    })
    .await;
    let bodies: Vec<&Value> = stored.iter().map(|event| &event.body).collect();
    assert_eq!(bodies, heard.iter().collect::<Vec<_>>());
    let seqs: Vec<i64> = stored.iter().map(|event| event.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    for event in &stored {
        assert_eq!(
            (&event.body["seq"], &event.body["attempt"]),
            (&event.seq.into(), &event.attempt.into())
        );
    }
}

#[tokio::test]
async fn a_review_tells_the_events_of_the_reference_in_its_order() {
    let (world, producer) = world_and_producer().await;
    let patch = include_str!("../../assets/demo/pale-styles.patch");
    let (id, events, worker) = heard(&world, &producer, super::offline(), patch).await;
    let mut told: Vec<String> = events.iter().map(words).collect();
    // The reviewers answer in any order.
    told[6..9].sort();
    assert_eq!(
        told,
        [
            "phase prepare",
            "phase filter",
            "phase review",
            "agent_start security",
            "agent_start performance",
            "agent_start ux",
            "agent_done performance",
            "agent_done security",
            "agent_done ux",
            "phase judge",
            "phase done",
        ]
    );
    assert_eq!(events[1]["detail"], "2 files (0 noise dropped)");
    assert_eq!(events[2]["detail"], "security, performance, ux");
    assert!(
        events[6..9]
            .iter()
            .all(|event| event["note"].as_str().is_some_and(|note| !note.is_empty()))
    );
    check_stored(&world, id, &events).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_failed_attempt_tells_its_error_and_the_numbers_go_on_rising() {
    let (world, producer) = world_and_producer().await;
    let stub = Stub::new();
    stub.fail("judge", Failure::passing(FailureClass::Model, "overloaded"));
    let (id, events, worker) = heard(&world, &producer, stub, CLEAN).await;
    let told: Vec<String> = events.iter().map(words).collect();
    let error = told
        .iter()
        .position(|event| event == "error ")
        .expect("an error is told");
    assert_eq!(events[error]["message"], "overloaded");
    assert_eq!(
        (told[error - 1].as_str(), told[error + 1].as_str()),
        ("phase judge", "phase prepare")
    );
    let attempts: Vec<&Value> = events.iter().map(|event| &event["attempt"]).collect();
    assert!(
        attempts[..=error].iter().all(|attempt| **attempt == 1),
        "{attempts:?}"
    );
    assert!(
        attempts[error + 1..].iter().all(|attempt| **attempt == 2),
        "{attempts:?}"
    );
    check_stored(&world, id, &events).await;
    worker.drain().await;
}
