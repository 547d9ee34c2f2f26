//! Reviews through the real engine on real servers, with a model that the test holds at a gate.

mod mcp;
mod otlp;
mod posting;
mod provider;

use std::collections::HashMap;

use millstream::domain::{Failure, FailureClass, JobId, JobState};
use millstream::queue::Wire;
use millstream::store::reviews::SpanRecord;
use millstream_worker::model::Offline;
use millstream_worker::model::stub::{self, Stub};
use serde_json::json;

use crate::support::reviews::{CLEAN, COMMITTED_KEY, KEY};
use crate::support::{World, until};

/// What one turn of the stub costs: read, written.
const TURN: (i32, i32) = (100, 20);

/// Waits until these steps are kept, and their spans are written.
async fn until_kept(world: &World, id: JobId, steps: &[&str]) {
    until(&format!("{steps:?} are kept"), || async {
        let kept: Vec<String> =
            sqlx::query_scalar("select step from millstream.checkpoints where job_id = $1 order by 1")
                .bind(id.0)
                .fetch_all(&world.sql)
                .await
                .expect("postgres is there");
        let spans = world.store.spans_of(id).await.expect("postgres is there");
        let ended = spans
            .iter()
            .filter(|span| span.kind == "llm" && span.ended_at.is_some());
        (kept == steps && ended.count() == steps.len()).then_some(())
    })
    .await;
}

/// The tokens in the review's row.
async fn tokens(world: &World, id: JobId) -> (i32, i32) {
    let review = world
        .store
        .find_review(id)
        .await
        .expect("postgres is there")
        .expect("it is known");
    (review.input_tokens, review.output_tokens)
}

/// The spans with their parents.
fn with_parents(spans: &[SpanRecord]) -> Vec<(&SpanRecord, Option<&SpanRecord>)> {
    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.span_id, span)).collect();
    let parent = |span: &SpanRecord| {
        span.parent_span_id
            .map(|id| *by_id.get(&id).unwrap_or_else(|| panic!("{span:?} is an orphan")))
    };
    spans.iter().map(|span| (span, parent(span))).collect()
}

/// Every span has ended, as `ok` or as `error` with its reason, and began after its parent did.
fn check_spans(spans: &[SpanRecord]) {
    for (span, parent) in with_parents(spans) {
        let ended = span
            .ended_at
            .unwrap_or_else(|| panic!("{} {} has not ended", span.kind, span.name));
        assert_eq!(span.error.is_some(), span.status == "error", "{span:?}");
        assert!(matches!(span.status.as_str(), "ok" | "error"), "{span:?}");
        assert!(span.started_at <= ended, "{span:?}");
        let over = match span.kind.as_str() {
            "llm" => "agent",
            "tool" => "llm",
            _ => "",
        };
        assert_eq!(parent.map_or("", |parent| parent.kind.as_str()), over, "{span:?}");
        if let Some(parent) = parent {
            assert!(
                parent.started_at <= span.started_at,
                "{span:?} began before {parent:?}"
            );
            assert_eq!(parent.attempt, span.attempt, "{span:?}");
        }
    }
}

#[tokio::test]
async fn a_turn_lies_inside_its_agent_and_a_tool_follows_its_turn() {
    let world = World::with(Wire::REVIEW).await;
    let worker = world.reviewer(Offline::new(std::time::Duration::ZERO, 0.0), World::engine());
    let id = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(id, JobState::Done).await;
    let spans = world.store.spans_of(id).await.expect("postgres is there");
    check_spans(&spans);
    for (span, parent) in with_parents(&spans) {
        match (span.kind.as_str(), parent) {
            ("llm", Some(agent)) => assert!(span.ended_at <= agent.ended_at, "{span:?} in {agent:?}"),
            // A turn measures the model alone; the tool that it asks for runs after it.
            ("tool", Some(turn)) => {
                assert!(Some(span.started_at) >= turn.ended_at, "{span:?} after {turn:?}");
            }
            _ => {}
        }
    }
    worker.drain().await;
}

/// A review whose worker was killed between two turns of `security`, and that another has finished.
async fn killed_between_two_turns() -> (World, Stub, JobId) {
    let world = World::with(Wire::REVIEW).await;
    let stub = Stub::new();
    stub.answer("security", stub::asks(&[("scan_for_secrets", json!({}))]));
    let gate = stub.gate("security", 1);
    let victim = world.reviewer(stub.clone(), World::engine());
    let id = world.submit_patch(CLEAN).await;
    gate.reached().await;
    until_kept(&world, id, &["performance/0", "security/0"]).await;
    victim.kill().await;
    gate.open();
    let heir = world.reviewer(stub.clone(), World::engine());
    world.until_state(id, JobState::Done).await;
    heir.drain().await;
    (world, stub, id)
}

#[tokio::test]
async fn a_review_goes_on_after_its_last_finished_turn_when_its_worker_is_killed() {
    let (world, stub, id) = killed_between_two_turns().await;
    assert_eq!(world.outcomes(id).await, ["crashed", "done"]);
    // What had ended is paid once; the turn in flight is asked for again.
    let count = |agent, turn| stub.count(agent, turn);
    assert_eq!(
        (count("security", 0), count("performance", 0), count("judge", 0)),
        (1, 1, 1)
    );
    assert_eq!(count("security", 1), 2);
    let resumed = stub.calls().into_iter().rfind(|call| call.agent == "security");
    let resumed = resumed.expect("a call");
    assert_eq!(
        (resumed.run.attempt, resumed.messages.len()),
        (2, 3),
        "it has the tool's answer"
    );
    check_spans(&world.store.spans_of(id).await.expect("postgres is there"));
}

#[tokio::test]
async fn the_tokens_of_a_killed_attempt_are_counted() {
    let (world, _stub, id) = killed_between_two_turns().await;
    // Two turns before the end of the first worker, two after it.
    assert_eq!(tokens(&world, id).await, (4 * TURN.0, 4 * TURN.1));
}

#[tokio::test]
async fn the_tokens_of_failed_attempts_are_counted_and_what_was_paid_is_kept() {
    let world = World::with(Wire::REVIEW).await;
    let stub = Stub::new();
    for _ in 0..2 {
        stub.fail("judge", Failure::passing(FailureClass::Model, "overloaded"));
    }
    let worker = world.reviewer(stub.clone(), World::engine());
    let id = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["failed", "failed", "done"]);
    assert_eq!(
        (
            stub.count("security", 0),
            stub.count("performance", 0),
            stub.count("judge", 0)
        ),
        (1, 1, 3)
    );
    assert_eq!(tokens(&world, id).await, (3 * TURN.0, 3 * TURN.1));
    let attempts = world.store.attempts_of(id).await.expect("postgres is there");
    let paid: Vec<i64> = attempts.iter().map(|attempt| attempt.tokens).collect();
    assert_eq!(paid, [240, 0, 120]);
    let spans = world.store.spans_of(id).await.expect("postgres is there");
    check_spans(&spans);
    let failed = spans
        .iter()
        .filter(|span| span.error.as_deref() == Some("overloaded"));
    assert_eq!(failed.count(), 4, "the judge's agent and its turn, twice");
    worker.drain().await;
}

#[tokio::test]
async fn a_review_that_dies_keeps_what_it_has_paid() {
    let world = World::with(Wire::REVIEW).await;
    let stub = Stub::new();
    stub.fail("judge", Failure::lasting(FailureClass::Model, "no such model"));
    let worker = world.reviewer(stub, World::engine());
    let id = world.submit_patch(CLEAN).await;
    world.until_state(id, JobState::Dead).await;
    assert_eq!(tokens(&world, id).await, (2 * TURN.0, 2 * TURN.1));
    let review = world
        .store
        .find_review(id)
        .await
        .expect("postgres is there")
        .expect("it is known");
    assert_eq!(
        (review.status.as_str(), review.reason.as_deref()),
        ("error", Some("no such model"))
    );
    check_spans(&world.store.spans_of(id).await.expect("postgres is there"));
    world.until_empty().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_review_that_is_handed_back_is_finished_by_another_and_paid_once() {
    let world = World::with(Wire::REVIEW).await;
    let stub = Stub::new();
    let gate = stub.gate("judge", 0);
    // Far more than it takes: a share of the grace is all that handing back has.
    let settings = millstream::settings::EngineSettings {
        grace: std::time::Duration::from_secs(60),
        ..World::engine()
    };
    let first = world.reviewer(stub.clone(), settings);
    let id = world.submit_patch(CLEAN).await;
    gate.reached().await;
    // Asked twice, it waits for nothing.
    first.stop.ask();
    first.drain().await;
    gate.open();
    let second = world.reviewer(stub.clone(), World::engine());
    world.until_state(id, JobState::Done).await;
    assert_eq!(world.outcomes(id).await, ["handed_back", "done"]);
    assert_eq!((stub.count("security", 0), stub.count("performance", 0)), (1, 1));
    assert_eq!(tokens(&world, id).await, (3 * TURN.0, 3 * TURN.1));
    check_spans(&world.store.spans_of(id).await.expect("postgres is there"));
    second.drain().await;
}

#[tokio::test]
async fn what_the_database_refuses_is_cleaned_and_the_result_is_recorded_once() {
    let world = World::with(Wire::REVIEW).await;
    let stub = Stub::new();
    let remark =
        format!(r#"[{{"severity":"warn","file":"src/backoff.rs","line":8,"note":"a\u0000b {KEY}"}}]"#);
    stub.answer("security", stub::says(&remark));
    let worker = world.reviewer(stub, World::engine());
    let id = world.submit_patch(CLEAN).await;
    world.until_state(id, JobState::Done).await;
    let notes = world.store.notes_of(id).await.expect("postgres is there");
    let agents: Vec<&str> = notes.iter().map(|note| note.agent.as_str()).collect();
    assert_eq!(agents, ["security", "performance", "judge"]);
    assert!(
        notes
            .iter()
            .all(|note| !note.note.contains(KEY) && !note.note.contains('\0'))
    );
    let findings = world.store.findings_of(id).await.expect("postgres is there");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].location(), "src/backoff.rs:8");
    worker.drain().await;
}
