//! Entries that ours have parked until their next attempt: out of the reference's reach while one of ours lives,
//! and within it when none does.

use std::time::Duration;

use millstream::domain::{EntryId, Failure, FailureClass, JobId, JobState};
use millstream::queue::keys::PARKED;
use millstream_worker::model::stub::Stub;

use super::Yard;
use crate::support::reference::REASON;
use crate::support::{Running, until};

/// A review that has failed once with ours, and waits for a minute.
async fn with_parked() -> (Yard, Running, Stub, JobId, EntryId) {
    let yard = Yard::new().await;
    let stub = Stub::new();
    let busy = Failure::passing(FailureClass::Model, "busy").not_before(Duration::from_secs(60));
    stub.fail("judge", busy);
    let ours = yard.ours(stub.clone());
    let id = yard.submit_pull(1).await;
    yard.world.until_state(id, JobState::Retrying).await;
    let entry = until("the entry is parked", || async {
        let (entry, holder) = yard.only_pending().await;
        (holder == PARKED).then_some(entry)
    })
    .await;
    (yard, ours, stub, id, entry)
}

/// The minute is over.
async fn make_due(yard: &Yard, entry: EntryId) {
    redis::cmd("ZADD")
        .arg(&yard.world.queue.keys().due)
        .arg(1)
        .arg(format!("2:{entry}"))
        .query_async::<u64>(&mut yard.world.valkey.clone())
        .await
        .expect("valkey is there");
}

#[tokio::test]
async fn a_reference_worker_takes_nothing_that_ours_has_parked() {
    let (yard, ours, _, _, entry) = with_parked().await;
    let mut theirs = yard.theirs(4711).await;
    yard.world
        .age_shared(entry, PARKED, Duration::from_secs(29))
        .await;
    until("it is tended", || async {
        let rows = yard.world.pending_shared().await;
        (rows[0].2 < Duration::from_secs(20)).then_some(())
    })
    .await;
    assert!(theirs.reclaim().await.is_empty());
    make_due(&yard, entry).await;
    yard.until_done(1).await;
    yard.check_done_once(1).await;
    yard.world.until_empty().await;
    ours.drain().await;
}

#[tokio::test]
async fn what_ours_had_parked_is_finished_by_a_reference_worker_when_ours_are_gone() {
    let (yard, ours, stub, id, entry) = with_parked().await;
    ours.drain().await;
    yard.world
        .age_shared(entry, PARKED, Duration::from_secs(31))
        .await;
    let mut theirs = yard.theirs(4711).await;
    theirs.turn().await;
    assert_eq!(theirs.finished(), 1);
    let review = yard.world.store.find_review(id).await.expect("postgres is there");
    let review = review.expect("it is known");
    assert_eq!(
        (
            review.status.as_str(),
            review.reason.as_deref(),
            review.state.as_deref()
        ),
        ("done", Some(REASON), Some("retrying")),
        "ours does not know yet"
    );
    let heir = yard.ours(stub.clone());
    yard.check_done_once(1).await;
    yard.world.until_empty().await;
    assert_eq!(stub.count("judge", 0), 1, "the failed one alone");
    assert_eq!(yard.world.outcomes(id).await, ["failed"]);
    make_due(&yard, entry).await;
    until("its due time is gone", || async {
        let depth = yard.world.queue.depth().await.expect("depth");
        (depth.parked == 0).then_some(())
    })
    .await;
    heir.drain().await;
}
