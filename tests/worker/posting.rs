//! Verdicts posted on pull requests: once for each head commit, whatever gets lost on the way.

use std::sync::Arc;
use std::time::Duration;

use millstream::domain::{JobId, JobState, PrUrl, ReviewResult, Usage, Verdict, WorkerId};
use millstream::ops::submit::{Source, Submission};
use millstream::queue::Holder;
use millstream::store::Lease;
use millstream_worker::agent::Limits;
use millstream_worker::github::Github;
use millstream_worker::job::{ReviewHandler, ReviewJob};
use millstream_worker::model::Offline;
use millstream_worker::posting::Poster;
use millstream_worker::review::Reviewer;
use millstream_worker::review::letter::{Votes, marker};
use serde_json::json;

use crate::support::hub::{self, Hub, PULL, Post, Step, Way, commit};
use crate::support::{PATIENCE, Running, World, until};

impl Hub {
    /// A worker that reviews and posts.
    fn worker(&self, world: &World, patience: Duration) -> Running {
        let github = self.client(patience);
        let model = Offline::new(Duration::ZERO, 0.0);
        let reviewer = Reviewer::new(Arc::new(model), github.clone(), Limits::default());
        let handler = ReviewHandler::new(reviewer).posting(poster(world, github));
        world.run::<ReviewJob, _>(handler, World::engine())
    }
}

fn poster(world: &World, github: Github) -> Poster {
    Poster::new(github, world.store.clone(), world.queue.clone(), Votes::Both)
}

async fn submit(world: &World) -> JobId {
    let pull: PrUrl = PULL.parse().expect("an address");
    world
        .submit_review(Submission::now(Source::PullRequest(pull)))
        .await
}

/// One review in a world of its own, done by a worker that has left.
async fn reviewed(hub: &Hub, patience: Duration) -> (World, JobId) {
    let world = World::new().await;
    let worker = hub.worker(&world, patience);
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    (world, id)
}

/// The remarks about posting in the result.
async fn remarks(world: &World, id: JobId) -> Vec<String> {
    sqlx::query_scalar("select note from millstream.findings where job_id = $1 and agent = 'post'")
        .bind(id.0)
        .fetch_all(&world.sql)
        .await
        .expect("postgres is there")
}

/// The row of a posting: its state and GitHub's number.
async fn row(world: &World) -> (String, Option<i64>) {
    sqlx::query_as("select state, github_id from millstream.postings")
        .fetch_one(&world.sql)
        .await
        .expect("one row")
}

#[tokio::test]
async fn a_verdict_is_posted_once_for_a_commit_with_remarks_on_its_lines() {
    let (world, hub) = (World::new().await, Hub::start(Post::Answered, '1').await);
    let worker = hub.worker(&world, PATIENCE);
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    let sent = hub.seen();
    assert_eq!(
        (&sent[0]["state"], &sent[0]["commit_id"]),
        (&json!("REQUEST_CHANGES"), &json!(commit('1')))
    );
    let comment = &sent[0]["comments"][0];
    assert_eq!(
        (&comment["path"], &comment["line"], &comment["side"]),
        (&json!("src/a.py"), &json!(1), &json!("RIGHT"))
    );
    let body = sent[0]["body"].as_str().expect("words");
    assert!(body.ends_with(&marker(id, &commit('1'))), "{body}");
    assert!(
        !sent[0].to_string().contains("Q7FAKE2DEMO4"),
        "the key has leaked"
    );
    assert_eq!(row(&world).await, ("posted".to_owned(), Some(42)));
    assert!(remarks(&world, id).await.is_empty());

    let again = submit(&world).await;
    world.until_state(again, JobState::Done).await;
    worker.drain().await;
    assert_eq!(hub.posts(), 1);
    assert_eq!(
        remarks(&world, again).await,
        ["Not posted on the pull request: another review is the one for commit 1111111."]
    );
}

#[tokio::test]
async fn a_change_that_only_removes_files_is_posted_on_its_head() {
    let files = json!([{
        "filename": "src/a.py", "status": "removed", "changes": 1, "patch": "@@ -1 +0,0 @@\n-a",
        "contents_url": format!("https://api.github.com/repos/acme/ledger/contents/src/a.py?ref={}", commit('9')),
    }]);
    let hub = Hub::with_files(Post::Answered, files, '1').await;
    let (world, id) = reviewed(&hub, PATIENCE).await;
    let sent = hub.seen();
    assert_eq!(
        (sent.len(), &sent[0]["state"], &sent[0]["commit_id"]),
        (1, &json!("APPROVE"), &json!(commit('1')))
    );
    assert_eq!(remarks(&world, id).await, [] as [String; 0]);
}

#[tokio::test]
async fn a_post_whose_answer_is_lost_is_found_and_not_repeated() {
    let hub = Hub::start(Post::Unheard(9), '1').await;
    let (world, id) = reviewed(&hub, Duration::from_secs(1)).await;
    let outcomes = world.outcomes(id).await.join(" ");
    // A machine that is slow enough loses other answers too.
    assert!(
        outcomes.starts_with("failed ") && outcomes.ends_with(" done"),
        "{outcomes}"
    );
    assert_eq!(hub.posts(), 1);
    assert_eq!(row(&world).await, ("posted".to_owned(), Some(42)));
}

#[tokio::test]
async fn a_worker_killed_between_post_and_record_leaves_one_review() {
    let (world, hub) = (World::new().await, Hub::start(Post::Unheard(9), '1').await);
    let victim = hub.worker(&world, Duration::from_secs(3_600));
    let id = submit(&world).await;
    until("the post has arrived", || async {
        (hub.posts() == 1).then_some(())
    })
    .await;
    assert_eq!(row(&world).await, ("intended".to_owned(), Some(42)));
    victim.kill().await;
    let heir = hub.worker(&world, PATIENCE);
    world.until_state(id, JobState::Done).await;
    heir.drain().await;
    assert_eq!(
        (hub.posts(), row(&world).await),
        (1, ("posted".to_owned(), Some(42)))
    );
}

#[tokio::test]
async fn who_takes_the_place_of_a_review_that_waits_looks_for_its_letter_too() {
    let (world, hub) = (World::new().await, Hub::start(Post::DoneAndLimited, '1').await);
    let worker = hub.worker(&world, PATIENCE);
    let first = submit(&world).await;
    world.until_state(first, JobState::Retrying).await;
    assert_eq!(
        (hub.posts(), row(&world).await),
        (1, ("intended".to_owned(), Some(42)))
    );
    // A row of an earlier version names no draft; somebody who took the place there and died before it could look hides
    // the first one from it.
    let gone = JobId::fresh();
    for place_of_a_dead_one in [false, true] {
        if place_of_a_dead_one {
            sqlx::query("update millstream.postings set job_id = $1, state = 'intended', github_id = null")
                .bind(gone.0)
                .execute(&world.sql)
                .await
                .expect("postgres is there");
        }
        let next = submit(&world).await;
        world.until_state(next, JobState::Done).await;
        assert_eq!(
            (hub.posts(), row(&world).await),
            (1, ("posted".to_owned(), Some(42)))
        );
        assert_eq!(
            remarks(&world, next).await,
            ["Not posted on the pull request: another review is the one for commit 1111111."]
        );
        let author: uuid::Uuid = sqlx::query_scalar("select job_id from millstream.postings")
            .fetch_one(&world.sql)
            .await
            .expect("one row");
        assert_eq!(JobId(author), first, "the letter is the first one's");
    }
    worker.drain().await;
}

#[tokio::test]
async fn an_attempt_after_the_one_that_posted_has_nothing_to_add() {
    let (world, hub) = (World::new().await, Hub::start(Post::Answered, '1').await);
    let id = submit(&world).await;
    // An earlier attempt has posted, and was killed before it could end.
    sqlx::query(
        "insert into millstream.postings (pull, head, job_id, state, github_id)
         values ('https://github.com/acme/ledger/pull/7', $1, $2, 'posted', 42)",
    )
    .bind(commit('1'))
    .bind(id.0)
    .execute(&world.sql)
    .await
    .expect("postgres is there");
    let worker = hub.worker(&world, PATIENCE);
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    assert_eq!((hub.posts(), remarks(&world, id).await), (0, Vec::new()));
    assert_eq!(row(&world).await, ("posted".to_owned(), Some(42)));
}

#[tokio::test]
async fn a_newer_head_keeps_an_older_verdict_to_itself() {
    let hub = Hub::start(Post::Answered, '2').await;
    let (world, id) = reviewed(&hub, PATIENCE).await;
    assert_eq!(hub.posts(), 0);
    assert_eq!(
        remarks(&world, id).await,
        [
            "Not posted on the pull request: its newest commit is 2222222 by now, and this review is of 1111111."
        ]
    );
}

#[tokio::test]
async fn what_github_refuses_is_posted_plain_or_said() {
    let hub = Hub::start(Post::OnlyPlain, '1').await;
    let (world, id) = reviewed(&hub, PATIENCE).await;
    let seen = hub.seen();
    assert_eq!((hub.asked().len(), seen.len()), (2, 1));
    let words = seen[0]["body"].as_str().expect("words");
    assert!(words.contains("`src/a.py:1`") && remarks(&world, id).await.is_empty());
    assert_eq!(seen[0]["state"], "COMMENT");

    for refused in [Post::Forbidden, Post::OnlyDrafts] {
        let hub = Hub::start(refused, '1').await;
        let (world, id) = reviewed(&hub, PATIENCE).await;
        assert_eq!(
            (hub.posts(), hub.drafts(), world.outcomes(id).await.join(" ")),
            (0, 0, "done".to_owned())
        );
        assert_eq!(
            remarks(&world, id).await,
            [
                "Not posted on the pull request: GitHub answered 403 for acme/ledger#7: Resource not accessible."
            ]
        );
    }
}

#[tokio::test]
async fn a_draft_of_ours_that_was_left_makes_room_and_one_of_somebody_else_stays() {
    let left = format!("Half a letter.\n\n{}", marker(JobId::fresh(), &commit('9')));
    let hub = Hub::start(Post::Answered, '1').await;
    hub.leave_draft(&left);
    let (world, id) = reviewed(&hub, PATIENCE).await;
    assert_eq!((hub.posts(), hub.drafts()), (1, 0));
    assert!(remarks(&world, id).await.is_empty());

    let hub = Hub::start(Post::Answered, '1').await;
    hub.leave_draft("What I think of it:");
    let (world, id) = reviewed(&hub, PATIENCE).await;
    assert_eq!((hub.posts(), hub.drafts()), (0, 1));
    let remarks = remarks(&world, id).await;
    assert!(remarks[0].contains("one pending review"), "{remarks:?}");
}

/// Who takes over from an attempt that stands still.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Heir {
    /// The next attempt of the same review.
    Attempt,
    /// Another review of the commit, while the first one waits.
    Review,
}

/// Starts an attempt, as a worker does that takes a job over.
async fn start(world: &World, job: JobId, attempt: i32) -> Lease {
    let worker = WorkerId::fresh();
    sqlx::query("update millstream.jobs set state = 'running', attempt = $2, worker = $3 where id = $1")
        .bind(job.0)
        .bind(attempt)
        .bind(worker.to_string())
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    Lease { job, attempt, worker }
}

/// Lets an attempt stand still in a step of its post while the heir does all of its own, and then go on.
async fn stand_still(world: &World, hub: &Hub, head: char, step: Step, way: Way, heir: Heir) {
    let what = format!("{step:?} {way:?}, {heir:?}");
    let (server, gate) = hub.gated(head, step, way).await;
    let pull: PrUrl = PULL.parse().expect("an address");
    let (slow, quick) = (
        poster(world, hub::client(&server, 3 * PATIENCE)),
        poster(world, hub.client(PATIENCE)),
    );
    let result = || ReviewResult {
        verdict: Verdict::Approve,
        reason: "Nothing found.".to_owned(),
        findings: Vec::new(),
        notes: Vec::new(),
        usage: Usage::default(),
        cost_usd: 0.0,
    };
    let (job, commit) = (submit(world).await, commit(head));
    let first = start(world, job, 1).await;
    let mut late = result();
    let standing = slow.post(&first, &pull, Some(&commit), &mut late);
    let overtaking = async {
        gate.reached().await;
        let second = match heir {
            Heir::Attempt => start(world, job, 2).await,
            Heir::Review => {
                sqlx::query("update millstream.jobs set state = 'retrying', worker = null where id = $1")
                    .bind(job.0)
                    .execute(&world.sql)
                    .await
                    .expect("postgres is there");
                start(world, submit(world).await, 1).await
            }
        };
        let posted = quick.post(&second, &pull, Some(&commit), &mut result()).await;
        assert_eq!((posted, hub.posts()), (Ok(()), 1), "{what}");
        gate.open();
    };
    let (woken, ()) = tokio::join!(standing, overtaking);
    assert_eq!((hub.posts(), hub.drafts()), (1, 0), "{what}: {woken:?}");
    let was_sent = (step, way) == (Step::Send, Way::Back);
    assert_eq!(woken.is_ok(), was_sent, "{what}: {woken:?}");
    let row: (String, Option<i64>) =
        sqlx::query_as("select state, github_id from millstream.postings where head = $1")
            .bind(&commit)
            .fetch_one(&world.sql)
            .await
            .expect("one row");
    assert_eq!(row, ("posted".to_owned(), hub.seen()[0]["id"].as_i64()), "{what}");
}

#[tokio::test]
async fn an_attempt_that_stands_still_wherever_it_is_posts_no_second_review_when_it_goes_on() {
    let world = World::new().await;
    let mut heads = '1'..='8';
    for heir in [Heir::Attempt, Heir::Review] {
        for step in [Step::Draft, Step::Send] {
            for way in [Way::There, Way::Back] {
                let head = heads.next().expect("a commit for each");
                let hub = Hub::start(Post::Answered, head).await;
                stand_still(&world, &hub, head, step, way, heir).await;
            }
        }
    }
}

#[tokio::test]
async fn a_draft_that_a_row_names_is_found_where_lists_are_late() {
    let world = World::new().await;
    for (head, way) in [('1', Way::There), ('2', Way::Back)] {
        let hub = Hub::start(Post::Answered, head).await;
        hub.delay_lists();
        stand_still(&world, &hub, head, Step::Send, way, Heir::Attempt).await;
    }
}

/// A review of commit 1 that has been started, and waits until GitHub's limit is over.
async fn limited(world: &World) -> JobId {
    let hub = Hub::start(Post::Limited, '1').await;
    let worker = hub.worker(world, PATIENCE);
    let id = submit(world).await;
    let job = world.until_state(id, JobState::Retrying).await;
    let why = job.error.unwrap_or_default();
    assert!(why.contains("GitHub"), "a job that waits says for what: {why}");
    worker.drain().await;
    id
}

#[tokio::test]
async fn a_review_that_reads_a_newer_commit_ends_the_one_that_waits_with_an_older() {
    let world = World::new().await;
    let older = limited(&world).await;
    let was = world.store.standing(&world.settings.name, &[older]).await;
    let was = was.expect("postgres is there").remove(0);
    let entry = was.entry.expect("it is parked");
    assert_eq!(
        world
            .queue
            .holder(was.lane, entry)
            .await
            .expect("valkey is there"),
        Holder::Parked
    );

    let hub = Hub::with_files_of(Post::Answered, '2', '2').await;
    let worker = hub.worker(&world, PATIENCE);
    let newer = submit(&world).await;
    world.until_state(newer, JobState::Done).await;
    worker.drain().await;
    let reason = format!("superseded by review {newer} of commit 2222222");
    let row: (String, Option<String>, String, Option<String>) = sqlx::query_as(
        "select j.state, j.error, r.status, r.reason from millstream.jobs j join reviews r on r.id = j.id
         where j.id = $1",
    )
    .bind(older.0)
    .fetch_one(&world.sql)
    .await
    .expect("a row");
    let expected = ("cancelled", Some(reason.as_str()), "error", Some(reason.as_str()));
    assert_eq!(
        (row.0.as_str(), row.1.as_deref(), row.2.as_str(), row.3.as_deref()),
        expected
    );
    let event: String = sqlx::query_scalar(
        "select body->>'message' from millstream.events where job_id = $1 order by seq desc limit 1",
    )
    .bind(older.0)
    .fetch_one(&world.sql)
    .await
    .expect("an event");
    assert_eq!(event, reason);
    assert_eq!(
        world
            .queue
            .holder(was.lane, entry)
            .await
            .expect("valkey is there"),
        Holder::Nobody
    );
    assert_eq!((hub.posts(), remarks(&world, newer).await), (1, vec![]));
}

#[tokio::test]
async fn nothing_is_superseded_by_the_same_commit_nor_by_an_attempt_that_has_lost_its_job() {
    let world = World::new().await;
    let older = limited(&world).await;
    let hub = Hub::start(Post::Answered, '1').await;
    let worker = hub.worker(&world, PATIENCE);
    let newer = submit(&world).await;
    world.until_state(newer, JobState::Done).await;
    let lost = Lease {
        job: newer,
        attempt: 1,
        worker: worker.id,
    };
    worker.drain().await;
    let ended = world.store.supersede(&lost, PULL, &commit('2'), "late").await;
    assert!(ended.expect("postgres is there").is_empty());
    assert_eq!(world.job(older).await.status, "retrying");
}
