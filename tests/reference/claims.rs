//! What either worker may take from the other: a dead one's entries, and nothing that is alive.

use std::time::Duration;

use millstream::domain::Priority;
use millstream::ops::submit::{Source, Submission};
use millstream::settings::EngineSettings;
use millstream_worker::model::stub::Stub;

use super::{Yard, pull};
use crate::support::reviews::CLEAN;
use crate::support::{World, until};

/// So idle that a renewal has just not come too late.
const NEARLY: Duration = Duration::from_secs(29);
/// So idle that the reference takes it.
const OVERDUE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn a_reference_worker_takes_nothing_that_ours_runs() {
    let yard = Yard::new().await;
    let stub = Stub::new();
    let gate = stub.gate("judge", 0);
    // Renewed each second.
    let settings = EngineSettings {
        visibility_timeout: Duration::from_secs(3),
        ..World::engine()
    };
    let ours = yard.ours_with(stub.clone(), settings);
    let mut theirs = yard.theirs(4711).await;
    let id = yard.world.post(&pull(1)).await;
    gate.reached().await;
    let (entry, holder) = yard.only_pending().await;
    assert_eq!(holder, ours.id.to_string());
    for _ in 0..2 {
        yard.world.age_shared(entry, &holder, NEARLY).await;
        until("the lease is renewed", || async {
            let rows = yard.world.pending_shared().await;
            (rows[0].2 < Duration::from_secs(5)).then_some(())
        })
        .await;
        assert!(theirs.reclaim().await.is_empty());
    }
    gate.open();
    yard.until_done(1).await;
    yard.check_done_once(1).await;
    assert_eq!(yard.world.outcomes(id).await, ["done"]);
    ours.drain().await;
}

#[tokio::test]
async fn what_a_dead_reference_worker_held_is_finished_by_ours() {
    let yard = Yard::new().await;
    let mut dead = yard.theirs(4711).await;
    let id = yard.world.post(&pull(1)).await;
    let held = dead.read().await.expect("it is given the entry");
    assert_eq!(held.review(), id);
    let name = dead.name().to_owned();
    drop(dead);
    let stub = Stub::new();
    let ours = yard.ours(stub.clone());
    // The sweeper has looked at it, and left it alone: it may be at work.
    let other = yard.submit_pull(2).await;
    yard.until_done(1).await;
    assert_eq!(yard.world.outcomes(other).await, ["done"]);
    assert_eq!(yard.only_pending().await, (held.entry, name.clone()));
    yard.world.age_shared(held.entry, &name, OVERDUE).await;
    yard.until_done(2).await;
    yard.check_done_once(2).await;
    assert_eq!(yard.world.outcomes(id).await, ["done"]);
    yard.world.until_empty().await;
    ours.drain().await;
}

#[tokio::test]
async fn what_a_reference_worker_cannot_run_does_not_reach_it() {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    let request = || Source::PullRequest(pull(1).parse().expect("a pull request"));
    let diff = Source::Diff {
        label: None,
        text: CLEAN.to_owned(),
    };
    let urgent = Submission {
        priority: Priority::High,
        ..Submission::now(request())
    };
    let later = Submission {
        run_at: Some(millstream::clock::now() + Duration::from_secs(3_600)),
        ..Submission::now(request())
    };
    for submission in [Submission::now(diff), urgent, later] {
        yard.submit(submission).await;
    }
    assert!(theirs.read().await.is_none());
    let plain = yard.submit_pull(2).await;
    let taken = theirs.read().await.expect("this one is for everybody");
    assert_eq!(taken.review(), plain);
}

#[tokio::test]
async fn what_a_reference_worker_acknowledged_and_left_is_cleared_away() {
    let yard = Yard::new().await;
    let mut theirs = yard.theirs(4711).await;
    yard.world.post(&pull(1)).await;
    let mine = yard.submit_pull(2).await;
    // It acknowledges what it cannot read, and says nothing.
    yard.world.add_shared(&[("prUrl", &pull(3))]).await;
    let doubled = yard.submit_pull(4).await;
    for _ in 0..4 {
        theirs.turn().await;
    }
    assert_eq!(theirs.finished(), 3);
    assert_eq!(
        yard.world.queue.depth().await.expect("depth").entries,
        4,
        "all of them lie there"
    );
    yard.check_cleared().await;
    yard.check_done_once(3).await;
    for id in [mine, doubled] {
        assert_eq!(yard.world.outcomes(id).await, [""; 0], "ours had nothing to do");
    }
}
