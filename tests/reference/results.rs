//! Whose result stands when both have had the same review: the first one that was recorded.

use std::time::Duration;

use millstream_worker::model::stub::Stub;

use super::{Yard, pull};
use crate::support::reference::{AGENTS, REASON};

const OVERDUE: Duration = Duration::from_secs(31);

impl Yard {
    /// Status, reason, and the agents of the findings of the only review.
    async fn recorded(&self) -> (String, String, Vec<String>) {
        let (status, reason) = sqlx::query_as("select status, coalesce(reason, '') from reviews")
            .fetch_one(&self.world.sql)
            .await
            .expect("one review");
        let agents = sqlx::query_scalar("select agent from findings order by id")
            .fetch_all(&self.world.sql)
            .await
            .expect("postgres is there");
        (status, reason, agents)
    }

    async fn check_theirs_stands(&self) {
        let (status, reason, agents) = self.recorded().await;
        assert_eq!((status.as_str(), reason.as_str()), ("done", REASON));
        assert_eq!(agents, AGENTS);
        let ours = self.count("select count(*) from millstream.findings").await;
        assert_eq!(ours, 0);
    }
}

#[tokio::test]
async fn what_a_reference_worker_records_while_ours_runs_stands() {
    let yard = Yard::new().await;
    let stub = Stub::new();
    let gate = stub.gate("judge", 0);
    let ours = yard.ours(stub.clone());
    let id = yard.submit_pull(1).await;
    gate.reached().await;
    let (entry, holder) = yard.only_pending().await;
    // As if ours had been frozen for half a minute.
    yard.world.age_shared(entry, &holder, OVERDUE).await;
    let mut theirs = yard.theirs(4711).await;
    theirs.turn().await;
    assert_eq!(theirs.finished(), 1);
    gate.open();
    yard.check_done_once(1).await;
    yard.check_theirs_stands().await;
    assert_eq!(yard.world.outcomes(id).await.len(), 1);
    ours.drain().await;
    yard.check_theirs_stands().await;
    yard.check_cleared().await;
}

/// A reference worker records a result and dies before it acknowledges; one of ours comes.
async fn recorded_and_died(posted_by_theirs: bool) {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    if posted_by_theirs {
        yard.world.post(&pull(1)).await;
    } else {
        yard.submit_pull(1).await;
    }
    let taken = theirs.read().await.expect("it is given the entry");
    theirs.record(taken.review()).await;
    yard.world.age_shared(taken.entry, theirs.name(), OVERDUE).await;
    drop(theirs);
    let stub = Stub::new();
    let ours = yard.ours(stub.clone());
    yard.world.until_empty().await;
    assert_eq!(stub.calls().len(), 0, "the model is not asked");
    yard.check_done_once(1).await;
    yard.check_theirs_stands().await;
    ours.drain().await;
}

#[tokio::test]
async fn what_a_reference_worker_recorded_before_it_died_is_only_acknowledged() {
    tokio::join!(recorded_and_died(true), recorded_and_died(false));
}

#[tokio::test]
async fn a_review_that_failed_with_a_reference_worker_is_finished_by_ours() {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    let id = yard.world.post(&pull(1)).await;
    theirs.fail_next("the model is busy");
    theirs.turn().await;
    let (status, reason, _) = yard.recorded().await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("queued", "the model is busy")
    );
    let (entry, holder) = yard.only_pending().await;
    assert_eq!(holder, theirs.name());
    yard.world.age_shared(entry, &holder, OVERDUE).await;
    let ours = yard.ours(Stub::new());
    yard.until_done(1).await;
    yard.check_done_once(1).await;
    let (_, reason, agents) = yard.recorded().await;
    assert_eq!(agents, AGENTS);
    assert!(reason != "the model is busy" && reason != REASON, "{reason}");
    assert_eq!(yard.world.outcomes(id).await, ["done"]);
    yard.world.until_empty().await;
    ours.drain().await;
}

#[tokio::test]
async fn what_a_reference_worker_left_half_written_is_replaced_by_ours() {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    let id = yard.world.post(&pull(1)).await;
    let taken = theirs.read().await.expect("it is given the entry");
    // It has written a finding, and died before it wrote the others and the row.
    sqlx::query("insert into findings (review_id, agent, note) values ($1, 'security', 'half')")
        .bind(id.0)
        .execute(&yard.world.sql)
        .await
        .expect("postgres is there");
    yard.world.age_shared(taken.entry, theirs.name(), OVERDUE).await;
    let ours = yard.ours(Stub::new());
    yard.until_done(1).await;
    yard.check_done_once(1).await;
    assert_eq!(yard.recorded().await.2, AGENTS);
    ours.drain().await;
}
