//! Every end of a review that has a callback is told once, whoever ends it; nothing else is.

use std::time::Duration;

use chrono::DateTime;
use millstream::domain::{CallbackReach, JobId, JobState, ReviewResult, Usage, Verdict};
use millstream::ops::submit::Source;
use millstream::ops::{Mode, Selection, Submission};
use millstream::store::actions::ActionId;
use millstream::store::dead::Exported;
use millstream::store::{Asked, Fence, Lease, Start};
use millstream_worker::model::Offline;
use serde_json::{Value, json};

use super::{Yard, got, operator, settings, until_delivered, until_got, verified, willing};
use crate::support::World;
use crate::support::reviews::{CLEAN, COMMITTED_KEY};

/// The only webhook of a review, as it says.
async fn told(yard: &Yard, review: JobId) -> Value {
    let hooks = yard.hooks_of(review).await;
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    hooks[0].1.clone()
}

#[tokio::test]
async fn a_finished_review_is_told_with_its_result_and_signed() {
    let (yard, receiver) = (Yard::new().await, willing().await);
    let address = format!("{}/hooks?key=t0ken", receiver.uri());
    let review = yard.submit(&address, CallbackReach::Anywhere).await;
    let deliverer = yard.deliver(&settings());
    let reviewer = yard
        .reviews
        .reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let calls = until_got(&receiver, 1).await;
    let asked = (calls[0].url.path(), calls[0].url.query());
    assert_eq!(asked, ("/hooks", Some("key=t0ken")));
    let body = verified(&calls[0]);
    assert_eq!(body["type"], "review.done");
    DateTime::parse_from_rfc3339(body["timestamp"].as_str().expect("a time")).expect("RFC 3339");
    let data = &body["data"];
    let row = yard
        .reviews
        .store
        .find_review(review)
        .await
        .expect("postgres")
        .expect("its row");
    assert_eq!(
        (&data["id"], &data["pr_url"], &data["state"], &data["status"]),
        (&json!(review), &json!(row.pr_url), &json!("done"), &json!("done"))
    );
    assert_eq!(
        (&data["verdict"], &data["reason"]),
        (&json!(row.verdict), &json!(row.reason))
    );
    assert_eq!(data["verdict"], "approve");
    assert_eq!(
        (&data["attempt"], &data["error_class"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(data["input_tokens"], row.input_tokens);
    // Its id is the id of a job, by which an operator finds it.
    let hook = yard.hook_of(review).await;
    assert_eq!(super::header(&calls[0], "webhook-id"), hook.to_string());
    assert_eq!(super::header(&calls[0], "content-type"), "application/json");
    assert_eq!(until_delivered(&yard, hook).await, 1);
    let listed = yard.hooks.job(hook).await;
    assert_eq!(listed.input, format!("review.done {review}"));
    yard.hooks.until_empty().await;
    reviewer.drain().await;
    deliverer.drain().await;
    assert_eq!(got(&receiver).await.len(), 1, "once");
}

#[tokio::test]
async fn findings_are_told_as_the_api_has_them() {
    let (yard, receiver) = (Yard::new().await, willing().await);
    let review = yard
        .submit_text(COMMITTED_KEY, &receiver.uri(), CallbackReach::Anywhere)
        .await;
    let reviewer = yard
        .reviews
        .reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    yard.reviews.until_state(review, JobState::Done).await;
    reviewer.drain().await;
    let data = told(&yard, review).await["data"].clone();
    let findings = yard.reviews.store.findings_of(review).await.expect("postgres");
    let first = &findings[0];
    assert_eq!(data["findings_total"], findings.len());
    assert_eq!(data["findings"].as_array().map(Vec::len), Some(findings.len()));
    assert_eq!(
        data["findings"][0],
        json!({ "agent": first.agent, "severity": first.severity, "file": first.file, "line": first.line, "note": first.note })
    );
}

#[tokio::test]
async fn a_result_of_any_size_is_told_in_moderation() {
    let yard = Yard::new().await;
    let review = yard.submit("http://127.0.0.1:1/", CallbackReach::Anywhere).await;
    let long = "\u{1f600}\"\\".repeat(5_000);
    for ord in 0..50 {
        sqlx::query("insert into millstream.findings (job_id, ord, agent, severity, note) values ($1, $2, 'ux', 'info', $3)")
            .bind(review.0)
            .bind(ord)
            .bind(&long)
            .execute(&yard.reviews.sql)
            .await
            .expect("a finding");
    }
    let bury = operator(&yard.reviews)
        .bury(&[review.into()], &long, Mode::Real)
        .await;
    assert!(bury.expect("both servers").refused.is_empty());
    let data = told(&yard, review).await["data"].clone();
    assert_eq!(
        (&data["findings_total"], data["findings"].as_array().map(Vec::len)),
        (&json!(50), Some(20))
    );
    assert_eq!(
        data["findings"][0]["note"]
            .as_str()
            .map(|note| note.chars().count()),
        Some(500)
    );
    assert!(
        data["reason"]
            .as_str()
            .is_some_and(|reason| reason.chars().count() <= 2_000)
    );
}

#[tokio::test]
async fn a_review_that_dies_is_told_and_told_again_when_it_succeeds_after_all() {
    let (yard, receiver) = (Yard::new().await, willing().await);
    let review = yard.submit(&receiver.uri(), CallbackReach::Anywhere).await;
    let mut engine = World::engine();
    engine.max_attempts = 1;
    let failing = yard.reviews.reviewer(Offline::new(Duration::ZERO, 1.0), engine);
    yard.reviews.until_state(review, JobState::Dead).await;
    failing.drain().await;
    let dead = told(&yard, review).await;
    assert_eq!(
        (&dead["type"], &dead["data"]["state"]),
        (&json!("review.dead"), &json!("dead"))
    );
    assert_eq!(
        (
            &dead["data"]["status"],
            &dead["data"]["error_class"],
            &dead["data"]["verdict"]
        ),
        (&json!("error"), &json!("model"), &Value::Null)
    );
    assert!(
        dead["data"]["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    operator(&yard.reviews)
        .requeue_dead(&[review.into()], Mode::Real)
        .await
        .expect("both servers");
    let reviewer = yard
        .reviews
        .reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    yard.reviews.until_state(review, JobState::Done).await;
    reviewer.drain().await;
    let hooks = yard.hooks_of(review).await;
    let types: Vec<&Value> = hooks.iter().map(|(_, body)| &body["type"]).collect();
    assert_eq!(types, ["review.dead", "review.done"]);
    // What was told of the death stays what it was.
    assert_eq!(hooks[0].1, dead);
    assert_ne!(hooks[0].0, hooks[1].0);
    let deliverer = yard.deliver(&settings());
    let calls = until_got(&receiver, 2).await;
    let mut types: Vec<String> = calls
        .iter()
        .map(|call| verified(call)["type"].to_string())
        .collect();
    types.sort();
    assert_eq!(types, ["\"review.dead\"", "\"review.done\""]);
    deliverer.drain().await;
}

#[tokio::test]
async fn an_operator_who_ends_a_review_is_told_of_like_a_worker() {
    let yard = Yard::new().await;
    for (verb, kind, class) in [
        ("cancel", "review.cancelled", Value::Null),
        ("bury", "review.dead", json!("operator")),
    ] {
        let review = yard.submit("http://127.0.0.1:1/", CallbackReach::Anywhere).await;
        let ada = operator(&yard.reviews);
        let outcome = match verb {
            "cancel" => ada.cancel(&[review.into()], Mode::Real).await,
            _ => ada.bury(&[review.into()], "given up", Mode::Real).await,
        };
        assert!(outcome.expect("both servers").refused.is_empty());
        let body = told(&yard, review).await;
        assert_eq!(
            (&body["type"], &body["data"]["error_class"]),
            (&json!(kind), &class)
        );
        // Neither is an undo that brings it back among the dead, nor that it is thrown away.
        if verb == "bury" {
            ada.requeue_dead(&[review.into()], Mode::Real)
                .await
                .expect("both servers");
            let undoing = ada.undoing(None).await.expect("something");
            let undone = ada.undo(ActionId(undoing.action)).await.expect("both servers");
            assert!(undone.is_complete(), "{undone:?}");
            assert_eq!(told(&yard, review).await, body);
            let named = Selection::Named(vec![review.into()]);
            ada.drop_dead(&named, None, Exported::Waived, Mode::Real)
                .await
                .expect("both servers");
            assert_eq!(told(&yard, review).await, body);
        }
    }
}

#[tokio::test]
async fn a_result_that_a_reference_worker_recorded_is_told_too() {
    let yard = Yard::new().await;
    let review = yard.submit("http://127.0.0.1:1/", CallbackReach::Anywhere).await;
    sqlx::query("update reviews set status = 'done', verdict = 'approve', reason = 'fine' where id = $1")
        .bind(review.0)
        .execute(&yard.reviews.sql)
        .await
        .expect("its row");
    sqlx::query("insert into findings (review_id, agent, note) values ($1, 'security', '- a key')")
        .bind(review.0)
        .execute(&yard.reviews.sql)
        .await
        .expect("its review");
    let adopted = yard
        .reviews
        .store
        .adopt_foreign_results(&yard.reviews.settings.name)
        .await;
    assert_eq!(adopted.expect("postgres"), 1);
    let body = told(&yard, review).await;
    assert_eq!(
        (&body["type"], &body["data"]["verdict"]),
        (&json!("review.done"), &json!("approve"))
    );
    let data = &body["data"];
    assert_eq!(
        (&data["findings"][0]["note"], &data["findings_total"]),
        (&json!("- a key"), &json!(1))
    );
}

/// A first attempt of a review, started by a worker that is only a name.
async fn started(world: &World, review: JobId) -> Lease {
    world.queue.ensure_groups().await.expect("groups");
    let worker = millstream::domain::WorkerId::fresh();
    let want = millstream::queue::fetch::Want::Anything;
    let fetched = world.queue.fetch(worker, 1, want).await.expect("valkey");
    let entry = fetched.entries.first().expect("its entry");
    let asked = Asked {
        job: review,
        entry: entry.id,
        lane: entry.lane,
        payload: "p".to_owned(),
        delivery: 1,
    };
    let starts = world.store.start(&world.settings.name, worker, &[asked]).await;
    assert!(matches!(starts.expect("postgres")[0], Start::Begin(_)));
    Lease {
        job: review,
        attempt: 1,
        worker,
    }
}

#[tokio::test]
async fn an_end_that_is_taken_back_or_repeated_or_fenced_off_is_told_once_or_not_at_all() {
    let yard = Yard::new().await;
    let review = yard.submit("http://127.0.0.1:1/", CallbackReach::Anywhere).await;
    let lease = started(&yard.reviews, review).await;
    // The end and its webhook are one transaction.
    let mut transaction = yard.reviews.sql.begin().await.expect("postgres");
    sqlx::query("update millstream.jobs set state = 'done', finished_at = now() where id = $1")
        .bind(review.0)
        .execute(&mut *transaction)
        .await
        .expect("its row");
    transaction.rollback().await.expect("postgres");
    assert_eq!(yard.count_hooks().await, 0);
    let stranger = Lease { attempt: 2, ..lease };
    let result = ReviewResult {
        verdict: Verdict::Approve,
        reason: "fine".to_owned(),
        findings: Vec::new(),
        notes: Vec::new(),
        usage: Usage::default(),
        cost_usd: 0.0,
    };
    for (lease, fence, count) in [
        (stranger, Fence::Closed, 0),
        (lease, Fence::Open, 1),
        (lease, Fence::Open, 1),
    ] {
        let ended = yard.reviews.store.finish(&lease, &result, None).await;
        assert_eq!(
            (ended.expect("postgres"), yard.count_hooks().await),
            (fence, count)
        );
    }
    yard.cancel_in_vain(review).await;
    assert_eq!(yard.count_hooks().await, 1);
}

#[tokio::test]
async fn a_review_without_a_callback_is_told_to_nobody() {
    let yard = Yard::new().await;
    let review = yard.reviews.submit_patch(CLEAN).await;
    let reviewer = yard
        .reviews
        .reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    yard.reviews.until_state(review, JobState::Done).await;
    reviewer.drain().await;
    let called_off = yard.reviews.submit_patch(CLEAN).await;
    yard.cancel(called_off).await;
    assert_eq!(yard.count_hooks().await, 0);
}

impl Yard {
    /// Calling off what has ended is refused, and no end.
    async fn cancel_in_vain(&self, review: JobId) {
        let outcome = operator(&self.reviews).cancel(&[review.into()], Mode::Real).await;
        assert_eq!(outcome.expect("both servers").refused.len(), 1);
    }
}

#[tokio::test]
async fn a_review_that_takes_the_place_of_a_dead_one_is_told_to_the_same_receiver() {
    let yard = Yard::new().await;
    let dead = yard
        .submit("http://127.0.0.1:1/hooks", CallbackReach::Anywhere)
        .await;
    let ada = operator(&yard.reviews);
    ada.bury(&[dead.into()], "a wrong diff", Mode::Real)
        .await
        .expect("both servers");
    let submitter = yard.reviews.submitter();
    let source = Source::Diff {
        label: None,
        text: COMMITTED_KEY.to_owned(),
    };
    let edited = ada
        .edit_dead(&submitter, &dead.into(), Submission::now(source), Mode::Real)
        .await
        .expect("both servers");
    let heir = edited.job.expect("a job in its place");
    yard.cancel(heir).await;
    assert_eq!(told(&yard, heir).await["type"], "review.cancelled");
    assert_eq!(told(&yard, dead).await["type"], "review.dead");
}
