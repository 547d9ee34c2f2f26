//! Verdicts posted on pull requests: once for each head commit, whatever gets lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream::domain::{JobId, JobState, PrUrl};
use millstream::ops::Submitter;
use millstream::ops::submit::{Source, Submission};
use millstream::queue::Holder;
use millstream::store::Lease;
use millstream_worker::agent::Limits;
use millstream_worker::github::{Github, GithubSettings};
use millstream_worker::job::{ReviewHandler, ReviewJob};
use millstream_worker::model::Offline;
use millstream_worker::posting::Poster;
use millstream_worker::review::Reviewer;
use millstream_worker::review::letter::{Votes, marker};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::world::Running;
use crate::support::{World, until};

const PULL: &str = "/repos/acme/ledger/pulls/7";

/// A GitHub with one pull request, that keeps what is posted.
struct Hub {
    server: MockServer,
    /// Posts that were answered with success, whether the answer was heard or not.
    posts: Arc<AtomicUsize>,
}

/// What becomes of a post.
#[derive(Clone, Copy)]
enum Post {
    Answered,
    /// It is done, and the answer comes when nobody listens any more: the first so many times.
    Unheard(usize),
    /// It is refused as it stands; without remarks on lines and without a vote it is taken.
    OnlyPlain,
    Forbidden,
    /// GitHub's limit is used up, for longer than a test and not too long for a parked entry.
    Limited,
    /// The first is done, and the answer says that the limit is used up.
    DoneAndLimited,
}

fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// What GitHub answers to a post, and whether it keeps it.
fn answer(post: Post, body: &Value, count: usize) -> (ResponseTemplate, bool) {
    let done = ResponseTemplate::new(200).set_body_json(json!({"id": 41 + count}));
    let limit = ResponseTemplate::new(429).insert_header("retry-after", "200");
    let is_plain = body["event"] == "COMMENT" && body["comments"] == json!([]);
    match post {
        Post::Unheard(times) if count <= times => (done.set_delay(Duration::from_secs(3_600)), true),
        Post::OnlyPlain if !is_plain => (ResponseTemplate::new(422), false),
        Post::Forbidden => (
            ResponseTemplate::new(403).set_body_string("Resource not accessible"),
            false,
        ),
        Post::Limited => (limit, false),
        Post::DoneAndLimited if count == 1 => (limit, true),
        _ => (done, true),
    }
}

impl Hub {
    /// The files are of commit 1; the head by the time of the post is another if it has moved.
    async fn start(post: Post, head: char) -> Self {
        Self::with_files_of(post, '1', head).await
    }

    async fn with_files_of(post: Post, listed: char, head: char) -> Self {
        let server = MockServer::start().await;
        let posts = Arc::new(AtomicUsize::new(0));
        let files = json!([{
            "filename": "src/a.py", "status": "modified", "changes": 1,
            "contents_url": format!("https://api.github.com/repos/acme/ledger/contents/src/a.py?ref={}", commit(listed)),
            "patch": format!("@@ -1,0 +1 @@\n+k = \"AKIA{}\"", "Q7FAKE2DEMO4KEY5"),
        }]);
        let get = |place: &str| Mock::given(method("GET")).and(path(format!("{PULL}{place}")));
        let listed = ResponseTemplate::new(200).set_body_json(files);
        get("/files").respond_with(listed).mount(&server).await;
        let described = json!({"head": {"sha": commit(head)}, "changed_files": 1});
        let described = ResponseTemplate::new(200).set_body_json(described);
        get("").respond_with(described).mount(&server).await;

        let kept: Arc<std::sync::Mutex<Vec<Value>>> = Arc::default();
        let (keeping, counting) = (kept.clone(), posts.clone());
        let posting = move |request: &Request| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let count = counting.load(Ordering::SeqCst) + 1;
            let (answer, is_kept) = answer(post, &body, count);
            if is_kept {
                counting.store(count, Ordering::SeqCst);
                let mut kept = keeping.lock().expect("nobody panics with it");
                kept.push(json!({"id": 41 + count, "body": body["body"]}));
            }
            answer
        };
        Mock::given(method("POST"))
            .and(path(format!("{PULL}/reviews")))
            .respond_with(posting)
            .mount(&server)
            .await;
        let listing = move |_: &Request| {
            let kept = kept.lock().expect("nobody panics with it").clone();
            ResponseTemplate::new(200).set_body_json(kept)
        };
        get("/reviews").respond_with(listing).mount(&server).await;
        Self { server, posts }
    }

    /// A worker that reviews and posts.
    fn worker(&self, world: &World, patience: Duration) -> Running {
        let mut settings = GithubSettings::at(self.server.uri().parse().expect("an address"));
        settings.request_timeout = patience;
        let github = Github::new(settings).expect("settings that work");
        let model = Offline::new(Duration::ZERO, 0.0);
        let reviewer = Reviewer::new(Arc::new(model), github.clone(), Limits::default());
        let poster = Poster::new(github, world.store.clone(), world.queue.clone(), Votes::Both);
        let handler = ReviewHandler::new(reviewer).posting(poster);
        world.run::<ReviewJob, _>(handler, World::engine())
    }

    fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }

    /// What was sent to be posted, in order.
    async fn sent(&self) -> Vec<Value> {
        let requests = self.server.received_requests().await.unwrap_or_default();
        let posts = requests
            .iter()
            .filter(|request| request.method.as_str() == "POST");
        posts
            .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
            .collect()
    }
}

async fn submit(world: &World) -> JobId {
    let submitter = Submitter::new(
        world.store.clone(),
        world.queue.clone(),
        world.settings.clone(),
        1 << 20,
    );
    let pull: PrUrl = "https://github.com/acme/ledger/pull/7"
        .parse()
        .expect("an address");
    let submission = Submission::now(Source::PullRequest(pull));
    submitter.submit(submission).await.expect("accepted").id
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
    let worker = hub.worker(&world, Duration::from_secs(30));
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    let sent = hub.sent().await;
    assert_eq!(
        (&sent[0]["event"], &sent[0]["commit_id"]),
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
async fn a_post_whose_answer_is_lost_is_found_and_not_repeated() {
    let (world, hub) = (World::new().await, Hub::start(Post::Unheard(9), '1').await);
    let worker = hub.worker(&world, Duration::from_millis(500));
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    assert_eq!(
        (hub.posts(), world.outcomes(id).await.join(" ")),
        (1, "failed done".to_owned())
    );
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
    assert_eq!(row(&world).await, ("intended".to_owned(), None));
    victim.kill().await;
    let heir = hub.worker(&world, Duration::from_secs(30));
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
    let worker = hub.worker(&world, Duration::from_secs(30));
    let first = submit(&world).await;
    world.until_state(first, JobState::Retrying).await;
    assert_eq!(
        (hub.posts(), row(&world).await),
        (1, ("intended".to_owned(), None))
    );
    // Somebody who took the place and died before it could look hides the first one from the row.
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
    let worker = hub.worker(&world, Duration::from_secs(30));
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    assert_eq!((hub.posts(), remarks(&world, id).await), (0, Vec::new()));
    assert_eq!(row(&world).await, ("posted".to_owned(), Some(42)));
}

#[tokio::test]
async fn a_newer_head_keeps_an_older_verdict_to_itself() {
    let (world, hub) = (World::new().await, Hub::start(Post::Answered, '2').await);
    let worker = hub.worker(&world, Duration::from_secs(30));
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
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
    let (world, hub) = (World::new().await, Hub::start(Post::OnlyPlain, '1').await);
    let worker = hub.worker(&world, Duration::from_secs(30));
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    let sent = hub.sent().await;
    assert_eq!((sent.len(), hub.posts()), (2, 1));
    let words = sent[1]["body"].as_str().expect("words");
    assert!(words.contains("`src/a.py:1`") && remarks(&world, id).await.is_empty());

    let (world, hub) = (World::new().await, Hub::start(Post::Forbidden, '1').await);
    let worker = hub.worker(&world, Duration::from_secs(30));
    let id = submit(&world).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    assert_eq!(
        (hub.posts(), world.outcomes(id).await.join(" ")),
        (0, "done".to_owned())
    );
    assert_eq!(
        remarks(&world, id).await,
        ["Not posted on the pull request: GitHub answered 403 for acme/ledger#7: Resource not accessible."]
    );
}

/// A review of commit 1 that has been started, and waits until GitHub's limit is over.
async fn limited(world: &World) -> JobId {
    let hub = Hub::start(Post::Limited, '1').await;
    let worker = hub.worker(world, Duration::from_secs(30));
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
    let worker = hub.worker(&world, Duration::from_secs(30));
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
    let worker = hub.worker(&world, Duration::from_secs(30));
    let newer = submit(&world).await;
    world.until_state(newer, JobState::Done).await;
    let lost = Lease {
        job: newer,
        attempt: 1,
        worker: worker.id,
    };
    worker.drain().await;
    let pull = "https://github.com/acme/ledger/pull/7";
    let ended = world.store.supersede(&lost, pull, &commit('2'), "late").await;
    assert!(ended.expect("postgres is there").is_empty());
    assert_eq!(world.job(older).await.status, "retrying");
}
