//! Beside the reference: its worker and its producer on the same queue and the same tables as ours, swapped for
//! each other while jobs flow.

mod claims;
mod parked;
mod results;
mod tables;

use std::time::Duration;

use millstream::domain::{EntryId, JobId};
use millstream::ops::Submitter;
use millstream::ops::submit::{Source, Submission};
use millstream::queue::Wire;
use millstream::settings::EngineSettings;
use millstream_worker::model::{Model, Offline};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::reference::{AGENTS, RECLAIM};
use crate::support::reviews::CLEAN;
use crate::support::{ReferenceWorker, Running, World, until};

/// A queue on which both kinds of workers can work: pull requests, and the GitHub that ours ask.
struct Yard {
    world: World,
    github: MockServer,
}

impl Yard {
    async fn new() -> Self {
        let github = MockServer::start().await;
        let patch = "@@ -0,0 +1 @@\n+let waited = true;";
        let files = json!([{ "filename": "src/a.rs", "status": "added", "changes": 1, "patch": patch }]);
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_json(files))
            .mount(&github)
            .await;
        let world = World::with(Wire::REVIEW).await;
        Self { world, github }
    }

    /// Starts a worker of ours.
    fn ours(&self, model: impl Model + 'static) -> Running {
        self.ours_with(model, World::engine())
    }

    fn ours_with(&self, model: impl Model + 'static, settings: EngineSettings) -> Running {
        self.world.reviewer_at(&self.github.uri(), model, settings)
    }

    /// A worker of the reference.
    async fn theirs(&self, pid: u32) -> ReferenceWorker {
        ReferenceWorker::start(&self.world, pid, RECLAIM).await
    }

    /// Accepts something as our producers do.
    async fn submit(&self, submission: Submission) -> JobId {
        let world = &self.world;
        let (store, queue) = (world.store.clone(), world.queue.clone());
        let submitter = Submitter::new(store, queue, world.settings.clone(), 1 << 20);
        submitter.submit(submission).await.expect("accepted").id
    }

    /// Accepts a pull request as our producers do.
    async fn submit_pull(&self, number: u32) -> JobId {
        let pull = pull(number).parse().expect("a pull request");
        self.submit(Submission::now(Source::PullRequest(pull))).await
    }

    /// One number.
    async fn count(&self, query: &'static str) -> i64 {
        let count = sqlx::query_scalar(query).fetch_one(&self.world.sql);
        count.await.expect("postgres is there")
    }

    /// Waits until so many reviews are done.
    async fn until_done(&self, reviews: i64) {
        until(&format!("{reviews} reviews are done"), || async {
            let done = self.count("select count(*) from reviews where status = 'done'");
            (done.await >= reviews).then_some(())
        })
        .await;
    }

    /// The findings that stand twice and the attempts of their jobs, for a test that fails.
    async fn doubled(&self) -> Vec<String> {
        let rows = sqlx::query_scalar(
            "select format('%s: %s; %s', f.review_id, string_agg(f.agent || ' ' || f.created_at, ', '),
                    (select string_agg(format('attempt %s of %s from %s to %s: %s', attempt, worker, started_at,
                                              ended_at, outcome), ', ')
                     from millstream.all_attempts a where a.job_id = f.review_id))
             from findings f group by f.review_id having count(*) > count(distinct f.agent)",
        );
        rows.fetch_all(&self.world.sql).await.expect("postgres is there")
    }

    /// Waits until ours have taken in what the reference has recorded.
    async fn until_adopted(&self) {
        until("every job is done", || async {
            let open = self.count("select count(*) from millstream.jobs where state <> 'done'");
            (open.await == 0).then_some(())
        })
        .await;
    }

    /// The only entry that is pending on the reference's stream, with its holder.
    async fn only_pending(&self) -> (EntryId, String) {
        until("one entry is pending", || async {
            let rows = self.world.pending_shared().await;
            let [(entry, holder, _)] = &rows[..] else {
                return None;
            };
            Some((*entry, holder.clone()))
        })
        .await
    }

    /// Everything is done once, nothing is pending, and the counts add up.
    async fn check_done_once(&self, reviews: usize) {
        let world = &self.world;
        self.until_adopted().await;
        let done = self
            .count("select count(*) from reviews where status = 'done'")
            .await;
        let all = self.count("select count(*) from reviews").await;
        assert_eq!((done, all), (reviews as i64, reviews as i64));
        let found = self.count("select count(*) from findings").await;
        let distinct = self
            .count("select count(*) from (select distinct review_id, agent from findings) f")
            .await;
        let wanted = (reviews * AGENTS.len()) as i64;
        assert_eq!(
            (found, distinct),
            (wanted, wanted),
            "each agent's finding, once: {:?}",
            self.doubled().await
        );
        let twice = self
            .count(
                "select count(*) from (select job_id from millstream.all_attempts where outcome = 'done'
                 group by job_id having count(*) > 1) t",
            )
            .await;
        assert_eq!(twice, 0, "recorded twice");
        let counts = world.store.counts(&world.settings.name).await.expect("counts");
        assert!(counts.add_up() && counts.accepted == counts.done, "{counts:?}");
        assert_eq!(world.pending_shared().await, []);
    }

    /// What the reference acknowledged and left lying goes, once one of ours begins to sweep.
    async fn check_cleared(&self) {
        // The sweeper walks once a minute, and for the first time when it is elected.
        let sweeper = self.ours(Offline::new(Duration::ZERO, 0.0));
        self.world.until_empty().await;
        sweeper.drain().await;
    }
}

/// The address of a pull request.
fn pull(number: u32) -> String {
    format!("https://github.com/acme/ledger/pull/{number}")
}

/// A model that takes its time, so that others get something to do.
fn unhurried() -> Offline {
    Offline::new(Duration::from_millis(40), 0.0)
}

/// Lets one job at a time run, as the reference does.
fn one_at_a_time() -> EngineSettings {
    EngineSettings {
        concurrency: 1,
        ..World::engine()
    }
}

#[tokio::test]
async fn a_mixed_fleet_finishes_what_both_producers_accept_and_doubles_nothing() {
    let yard = Yard::new().await;
    let (stop, mut theirs) = (CancellationToken::new(), JoinSet::new());
    for pid in [4711, 4712] {
        theirs.spawn(yard.theirs(pid).await.work(stop.clone()));
    }
    let ours = [(); 2].map(|()| yard.ours_with(unhurried(), one_at_a_time()));
    for number in 1..=20 {
        yard.world.post(&pull(number)).await;
        yard.submit_pull(100 + number).await;
    }
    let diff = || Source::Diff {
        label: None,
        text: CLEAN.to_owned(),
    };
    for _ in 0..4 {
        yard.submit(Submission::now(diff())).await;
    }
    yard.until_done(44).await;
    stop.cancel();
    let finished: usize = theirs
        .join_all()
        .await
        .iter()
        .map(ReferenceWorker::finished)
        .sum();
    yard.check_done_once(44).await;
    for worker in ours {
        worker.drain().await;
    }
    let recorded = yard
        .count("select count(*) from millstream.all_attempts where outcome = 'done'")
        .await;
    assert_eq!(finished as i64 + recorded, 44, "each was finished by one of them");
    assert!(finished > 0 && recorded > 4, "{finished} theirs, {recorded} ours");
    yard.check_cleared().await;
}

#[tokio::test]
async fn ours_are_swapped_for_theirs_and_back_while_jobs_flow() {
    let yard = Yard::new().await;
    let first = yard.ours_with(unhurried(), one_at_a_time());
    let mut number = 0;
    for _ in 0..6 {
        number += 1;
        yard.submit_pull(number).await;
        yard.world.post(&pull(number)).await;
    }
    yard.until_done(3).await;
    first.drain().await;
    let so_far = yard
        .count("select count(*) from reviews where status = 'done'")
        .await;
    assert!(so_far < 12, "some are left for the next");
    let (stop, mut theirs) = (CancellationToken::new(), JoinSet::new());
    theirs.spawn(yard.theirs(4711).await.work(stop.clone()));
    for _ in 0..6 {
        number += 1;
        yard.submit_pull(number).await;
        yard.world.post(&pull(number)).await;
    }
    yard.until_done(so_far + 3).await;
    stop.cancel();
    let finished: usize = theirs
        .join_all()
        .await
        .iter()
        .map(ReferenceWorker::finished)
        .sum();
    assert!(finished >= 3, "{finished}");
    let second = yard.ours(unhurried());
    for _ in 0..6 {
        number += 1;
        yard.submit_pull(number).await;
        yard.world.post(&pull(number)).await;
    }
    yard.until_done(36).await;
    yard.check_done_once(36).await;
    second.drain().await;
    yard.check_cleared().await;
}
