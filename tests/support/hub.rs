//! A GitHub with one pull request, that keeps the reviews which are posted on it as the real one does: a review begins
//! as a draft, of which an account has one at most, and is sent in once or taken back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_worker::github::{Github, GithubSettings};
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::wait::{PATIENCE, until};

/// Where the pull request is.
pub const PULL: &str = "https://github.com/acme/ledger/pull/7";
const PLACE: &str = "/repos/acme/ledger/pulls/7";

/// What becomes of a letter.
#[derive(Clone, Copy)]
pub enum Post {
    Answered,
    /// It is sent in, and the answer comes when nobody listens any more: the first so many times.
    Unheard(usize),
    /// Remarks on lines are refused, and votes; a plain comment is taken.
    OnlyPlain,
    Forbidden,
    /// A draft is taken, and sending it in is refused.
    OnlyDrafts,
    /// GitHub's limit is used up, for longer than a test and not too long for a parked entry.
    Limited,
    /// The first is sent in, and the answer says that the limit is used up.
    DoneAndLimited,
}

/// A step of posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Draft,
    Send,
}

/// Where a request stands still: on its way, or when it is done and its answer on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    There,
    Back,
}

/// Holds the first request of a step until the test lets it go on.
pub struct Gate {
    step: Step,
    way: Way,
    state: Mutex<At>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Nobody,
    Somebody,
    Open,
}

impl Gate {
    /// Waits until a request stands at it.
    pub async fn reached(&self) {
        until("a request stands at the gate", || async {
            (*locked(&self.state) != At::Nobody).then_some(())
        })
        .await;
    }

    /// Lets it go on.
    pub fn open(&self) {
        *locked(&self.state) = At::Open;
        self.changed.notify_all();
    }

    /// Stands at it. The server has a thread of its own, so it may.
    fn pass(&self, step: Step, way: Way) {
        if (step, way) != (self.step, self.way) {
            return;
        }
        let mut at = locked(&self.state);
        if *at == At::Nobody {
            *at = At::Somebody;
        }
        let shut = |at: &mut At| *at != At::Open;
        drop(self.changed.wait_timeout_while(at, 2 * PATIENCE, shut));
    }
}

/// The reviews.
#[derive(Default)]
struct Kept {
    reviews: Vec<Value>,
    /// What was asked to be drafted, in order.
    asked: Vec<Value>,
    /// Letters that were sent in, whether the answer was heard or not.
    sent: usize,
    /// Lists show none of them yet.
    unlisted: bool,
}

impl Kept {
    fn find(&mut self, id: i64) -> Option<&mut Value> {
        self.reviews.iter_mut().find(|review| review["id"] == id)
    }
}

/// The GitHub.
pub struct Hub {
    server: MockServer,
    post: Post,
    kept: Arc<Mutex<Kept>>,
}

impl Hub {
    /// The files are of commit 1; the head by the time of the post is another if it has moved.
    pub async fn start(post: Post, head: char) -> Self {
        Self::with_files_of(post, '1', head).await
    }

    pub async fn with_files_of(post: Post, listed: char, head: char) -> Self {
        let files = json!([{
            "filename": "src/a.py", "status": "modified", "changes": 1,
            "contents_url": format!("https://api.github.com/repos/acme/ledger/contents/src/a.py?ref={}", commit(listed)),
            "patch": format!("@@ -1,0 +1 @@\n+k = \"AKIA{}\"", "Q7FAKE2DEMO4KEY5"),
        }]);
        Self::with_files(post, files, head).await
    }

    pub async fn with_files(post: Post, files: Value, head: char) -> Self {
        let server = MockServer::start().await;
        let listed = ResponseTemplate::new(200).set_body_json(files);
        let place = path(format!("{PLACE}/files"));
        Mock::given(method("GET"))
            .and(place)
            .respond_with(listed)
            .mount(&server)
            .await;
        let hub = Self {
            server,
            post,
            kept: Arc::default(),
        };
        hub.describe(&hub.server, head, None).await;
        hub
    }

    /// Another way to the same GitHub, at whose gate requests stand still.
    pub async fn gated(&self, head: char, step: Step, way: Way) -> (MockServer, Arc<Gate>) {
        let gate = Arc::new(Gate {
            step,
            way,
            state: Mutex::new(At::Nobody),
            changed: Condvar::new(),
        });
        let server = MockServer::start().await;
        self.describe(&server, head, Some(Arc::clone(&gate))).await;
        (server, gate)
    }

    async fn describe(&self, server: &MockServer, head: char, gate: Option<Arc<Gate>>) {
        let described = json!({"head": {"sha": commit(head)}, "changed_files": 1});
        Mock::given(method("GET"))
            .and(path(PLACE))
            .respond_with(ResponseTemplate::new(200).set_body_json(described))
            .mount(server)
            .await;
        let desk = Desk {
            post: self.post,
            kept: Arc::clone(&self.kept),
            gate,
        };
        Mock::given(path_regex(format!("^{PLACE}/reviews")))
            .respond_with(desk)
            .mount(server)
            .await;
    }

    /// A client of it that waits so long for an answer.
    pub fn client(&self, patience: Duration) -> Github {
        client(&self.server, patience)
    }

    /// Reviews that others see.
    pub fn posts(&self) -> usize {
        self.seen().len()
    }

    /// Reviews that others see, in order.
    pub fn seen(&self) -> Vec<Value> {
        let kept = locked(&self.kept);
        let seen = kept.reviews.iter().filter(|review| review["state"] != "PENDING");
        seen.cloned().collect()
    }

    /// Drafts that stand there.
    pub fn drafts(&self) -> usize {
        let kept = locked(&self.kept);
        kept.reviews
            .iter()
            .filter(|review| review["state"] == "PENDING")
            .count()
    }

    /// What was asked to be drafted, in order.
    pub fn asked(&self) -> Vec<Value> {
        locked(&self.kept).asked.clone()
    }

    /// Lists are late from now on: they show no review yet. Who asks for one by its number gets it.
    pub fn delay_lists(&self) {
        locked(&self.kept).unlisted = true;
    }

    /// Leaves a draft there, as an account may have one.
    pub fn leave_draft(&self, words: &str) {
        let mut kept = locked(&self.kept);
        kept.reviews
            .push(json!({"id": 7, "body": words, "state": "PENDING"}));
    }
}

/// A client of a server that waits so long for an answer.
pub fn client(server: &MockServer, patience: Duration) -> Github {
    let mut settings = GithubSettings::at(server.uri().parse().expect("an address"));
    settings.request_timeout = patience;
    Github::new(settings).expect("settings that work")
}

pub fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked with it has failed already.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers everything about reviews.
struct Desk {
    post: Post,
    kept: Arc<Mutex<Kept>>,
    gate: Option<Arc<Gate>>,
}

impl Respond for Desk {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let (_, part) = request.url.path().split_once("/reviews").expect("it is matched");
        let parts: Vec<&str> = part.split('/').filter(|part| !part.is_empty()).collect();
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), &parts[..]) {
            ("GET", []) => {
                let kept = locked(&self.kept);
                let listed = if kept.unlisted { &[] } else { &kept.reviews[..] };
                ResponseTemplate::new(200).set_body_json(listed)
            }
            ("POST", []) => self.standing(Step::Draft, || self.draft(&asked)),
            ("GET", [id]) => match locked(&self.kept).find(number(id)) {
                Some(review) => ResponseTemplate::new(200).set_body_json(review),
                None => ResponseTemplate::new(404),
            },
            ("POST", [id, "events"]) => self.standing(Step::Send, || self.send(number(id), &asked)),
            ("DELETE", [id]) => self.take_back(number(id)),
            _ => ResponseTemplate::new(405),
        }
    }
}

impl Desk {
    fn standing(&self, step: Step, act: impl FnOnce() -> ResponseTemplate) -> ResponseTemplate {
        let pass = |way| {
            if let Some(gate) = &self.gate {
                gate.pass(step, way);
            }
        };
        pass(Way::There);
        let answer = act();
        pass(Way::Back);
        answer
    }

    fn draft(&self, asked: &Value) -> ResponseTemplate {
        let mut kept = locked(&self.kept);
        kept.asked.push(asked.clone());
        let has_lines = asked["comments"] != json!([]);
        let is_taken = kept.reviews.iter().any(|review| review["state"] == "PENDING");
        match self.post {
            Post::OnlyPlain if has_lines => return ResponseTemplate::new(422),
            Post::Forbidden => return forbidden(),
            Post::Limited => return limit(),
            _ if is_taken => {
                let why = "User can only have one pending review per pull request";
                return ResponseTemplate::new(422).set_body_json(json!({ "errors": [why] }));
            }
            _ => {}
        }
        let mut review = asked.clone();
        review["id"] = json!(41 + kept.asked.len());
        review["state"] = json!("PENDING");
        kept.reviews.push(review.clone());
        ResponseTemplate::new(200).set_body_json(review)
    }

    fn send(&self, id: i64, asked: &Value) -> ResponseTemplate {
        let mut kept = locked(&self.kept);
        let Some(review) = kept.find(id) else {
            return ResponseTemplate::new(404);
        };
        let is_vote = asked["event"] != "COMMENT";
        match self.post {
            _ if review["state"] != "PENDING" => return ResponseTemplate::new(422),
            Post::OnlyPlain if is_vote => return ResponseTemplate::new(422),
            Post::OnlyDrafts => return forbidden(),
            _ => {}
        }
        review["state"] = asked["event"].clone();
        review["body"] = asked["body"].clone();
        let done = ResponseTemplate::new(200).set_body_json(&*review);
        kept.sent += 1;
        match self.post {
            Post::Unheard(times) if kept.sent <= times => done.set_delay(Duration::from_secs(3_600)),
            Post::DoneAndLimited if kept.sent == 1 => limit(),
            _ => done,
        }
    }

    fn take_back(&self, id: i64) -> ResponseTemplate {
        let mut kept = locked(&self.kept);
        match kept.find(id).map(|review| review["state"] == "PENDING") {
            None => return ResponseTemplate::new(404),
            Some(false) => return ResponseTemplate::new(422),
            Some(true) => {}
        }
        kept.reviews.retain(|review| review["id"] != id);
        ResponseTemplate::new(200)
    }
}

fn number(id: &str) -> i64 {
    id.parse().expect("a number")
}

fn limit() -> ResponseTemplate {
    ResponseTemplate::new(429).insert_header("retry-after", "200")
}

fn forbidden() -> ResponseTemplate {
    ResponseTemplate::new(403).set_body_string("Resource not accessible")
}
