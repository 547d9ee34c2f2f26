//! Webhooks on real servers, with real receivers that listen: who is told of which end, and what becomes of a
//! delivery that is not taken.

mod delivery;
mod ends;
mod reach;
mod tls;

use millstream::domain::{CallbackReach, JobId, JobState};
use millstream::ops::submit::Source;
use millstream::ops::{Callbacks, Operator, Rights, Submission};
use millstream::queue::{Queue, Wire};
use millstream_worker::webhook::resolve::{Lookup, SystemLookup};
use millstream_worker::webhook::settings::WebhookSettings;
use millstream_worker::webhook::sign::SigningKey;
use millstream_worker::webhook::{WebhookHandler, WebhookJob};
use serde_json::Value;
use standardwebhooks::Webhook;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

use crate::support::reviews::CLEAN;
use crate::support::{Running, World, until};

/// What webhooks are signed with; the second is about to take the place of the first.
const SECRETS: [&str; 2] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_QmFzZTY0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz",
];

/// A queue of reviews, and the queue of its webhooks.
struct Yard {
    reviews: World,
    hooks: World,
}

/// The usual settings, with short waits.
fn settings() -> WebhookSettings {
    let keys = SECRETS.map(|secret| SigningKey::parse(secret).expect("a secret"));
    let mut settings = WebhookSettings::with(keys.to_vec(), CallbackReach::Anywhere);
    settings.engine.backoff = World::engine().backoff;
    settings.engine.grace = World::engine().grace;
    settings
}

impl Yard {
    async fn new() -> Self {
        let reviews = World::with(Wire::REVIEW).await;
        let settings = reviews.settings.webhooks();
        let queue = Queue::open(
            &reviews.valkey_url.as_str().into(),
            &settings,
            Wire::of(&settings),
        );
        let hooks = World {
            queue: queue.expect("an address of ours"),
            store: reviews.store.clone(),
            settings,
            sql: reviews.sql.clone(),
            valkey: reviews.valkey.clone(),
            valkey_url: reviews.valkey_url.clone(),
            database_url: reviews.database_url.clone(),
        };
        Self { reviews, hooks }
    }

    /// Starts a worker that delivers webhooks.
    fn deliver(&self, settings: &WebhookSettings) -> Running {
        self.deliver_by(settings, SystemLookup)
    }

    /// The same, with names that lead elsewhere.
    fn deliver_by(&self, settings: &WebhookSettings, lookup: impl Lookup) -> Running {
        let handler = WebhookHandler::new(self.hooks.store.clone(), settings, lookup).expect("a client");
        self.hooks.run::<WebhookJob, _>(handler, settings.engine.clone())
    }

    /// Submits a diff whose end is told to this address.
    async fn submit(&self, callback: &str, reach: CallbackReach) -> JobId {
        self.submit_text(CLEAN, callback, reach).await
    }

    async fn submit_text(&self, text: &str, callback: &str, reach: CallbackReach) -> JobId {
        let submitter = self.reviews.submitter().with_callbacks(Callbacks::Taken(reach));
        let source = Source::Diff {
            label: None,
            text: text.to_owned(),
        };
        let submission = Submission {
            callback: Some(callback.to_owned()),
            ..Submission::now(source)
        };
        submitter.submit(submission).await.expect("accepted").id
    }

    /// A review that was called off, and its webhook; nobody has delivered it yet.
    async fn cancelled(&self, callback: &str) -> JobId {
        let review = self.submit(callback, CallbackReach::Anywhere).await;
        self.cancel(review).await;
        self.hook_of(review).await
    }

    async fn cancel(&self, review: JobId) {
        let outcome = operator(&self.reviews)
            .cancel(&[review.into()], millstream::ops::Mode::Real)
            .await;
        assert!(outcome.expect("both servers are there").refused.is_empty());
    }

    /// The webhooks of a review with what they say, oldest first.
    async fn hooks_of(&self, review: JobId) -> Vec<(JobId, Value)> {
        let rows: Vec<(uuid::Uuid, String)> = sqlx::query_as(
            "select job_id, body from millstream.webhooks where review_id = $1 order by created_at",
        )
        .bind(review.0)
        .fetch_all(&self.hooks.sql)
        .await
        .expect("postgres is there");
        let read = |(id, body): (uuid::Uuid, String)| (JobId(id), serde_json::from_str(&body).expect("JSON"));
        rows.into_iter().map(read).collect()
    }

    /// The only webhook of a review.
    async fn hook_of(&self, review: JobId) -> JobId {
        let hooks = self.hooks_of(review).await;
        assert_eq!(hooks.len(), 1, "{hooks:?}");
        hooks[0].0
    }

    async fn count_hooks(&self) -> i64 {
        sqlx::query_scalar("select count(*) from millstream.jobs where kind = 'webhook'")
            .fetch_one(&self.hooks.sql)
            .await
            .expect("postgres is there")
    }

    /// Why the attempts of a webhook failed, first one first.
    async fn errors(&self, hook: JobId) -> Vec<String> {
        let attempts = self
            .hooks
            .store
            .attempts_of(hook)
            .await
            .expect("postgres is there");
        attempts.into_iter().filter_map(|attempt| attempt.error).collect()
    }
}

fn operator(world: &World) -> Operator {
    Operator::new(
        world.store.clone(),
        world.queue.clone(),
        "cli:ada",
        Rights::Explicit,
    )
}

/// A receiver that answers with this for so many times, and then takes everything.
async fn receiver(first: ResponseTemplate, times: u64) -> MockServer {
    let server = MockServer::start().await;
    let post = || Mock::given(matchers::method("POST"));
    if times > 0 {
        post()
            .respond_with(first)
            .up_to_n_times(times)
            .with_priority(1)
            .mount(&server)
            .await;
    }
    let taken = ResponseTemplate::new(204);
    post().respond_with(taken).with_priority(2).mount(&server).await;
    server
}

/// A receiver that takes everything.
async fn willing() -> MockServer {
    receiver(ResponseTemplate::new(204), 0).await
}

/// What a receiver has got so far.
async fn got(receiver: &MockServer) -> Vec<Request> {
    receiver.received_requests().await.expect("they are recorded")
}

/// Waits until a receiver has got so many calls.
async fn until_got(receiver: &MockServer, count: usize) -> Vec<Request> {
    until(&format!("{count} webhooks have come"), || async {
        let calls = got(receiver).await;
        (calls.len() >= count).then_some(calls)
    })
    .await
}

/// Checks a call as a receiver does, with each secret it may know, and answers its body.
fn verified(call: &Request) -> Value {
    for secret in SECRETS {
        let receiver = Webhook::new(secret).expect("a secret");
        receiver
            .verify(&call.body, &call.headers)
            .expect("a signature of ours");
    }
    let stranger = Webhook::new("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBpcyB0aGlz").expect("a secret");
    stranger
        .verify(&call.body, &call.headers)
        .expect_err("another secret");
    let mut forged = call.body.clone();
    forged.push(b' ');
    let receiver = Webhook::new(SECRETS[0]).expect("a secret");
    receiver.verify(&forged, &call.headers).expect_err("another body");
    serde_json::from_slice(&call.body).expect("JSON")
}

fn header<'a>(call: &'a Request, name: &str) -> &'a str {
    call.headers
        .get(name)
        .map_or("", |value| value.to_str().expect("text"))
}

/// Waits until a webhook is delivered.
async fn until_delivered(yard: &Yard, hook: JobId) -> i32 {
    yard.hooks.until_state(hook, JobState::Done).await.attempt
}
