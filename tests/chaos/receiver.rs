//! Who is told how jobs ended: a receiver in the test's own process, which nothing happens to, and which is not always
//! willing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use standardwebhooks::Webhook;
use uuid::Uuid;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers};

/// What webhooks are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// One call of so many is refused.
const REFUSES: usize = 9;
/// One call of so many is answered late: whoever is killed meanwhile does not know that it was taken.
const LINGERS: usize = 4;
/// How late.
const LATE: Duration = Duration::from_millis(400);

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// The `webhook-id`; nothing for one that is none of ours.
    pub webhook: Option<Uuid>,
    pub body: Vec<u8>,
    /// Its signature is right, by the library that receivers use.
    pub is_signed: bool,
    /// It was answered with a 2xx.
    pub is_taken: bool,
}

/// The receiver.
pub struct Receiver {
    server: MockServer,
    calls: Calls,
}

/// What has come.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// Listens on this machine.
    pub async fn listen() -> Self {
        let (server, calls) = (MockServer::start().await, Calls::default());
        let post = Mock::given(matchers::method("POST"));
        post.respond_with(calls.clone()).mount(&server).await;
        Self { server, calls }
    }

    /// Where it is called.
    pub fn address(&self) -> String {
        format!("{}/hooks", self.server.uri())
    }

    /// What has come so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }
}

impl Respond for Calls {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let receiver = Webhook::new(SECRET).expect("a secret");
        let webhook = request
            .headers
            .get("webhook-id")
            .and_then(|id| id.to_str().ok()?.parse().ok());
        let mut calls = self.lock();
        let nth = calls.len() + 1;
        let is_taken = !nth.is_multiple_of(REFUSES);
        calls.push(Call {
            webhook,
            body: request.body.clone(),
            is_signed: receiver.verify(&request.body, &request.headers).is_ok(),
            is_taken,
        });
        match is_taken {
            false => ResponseTemplate::new(500),
            true if nth.is_multiple_of(LINGERS) => ResponseTemplate::new(204).set_delay(LATE),
            true => ResponseTemplate::new(204),
        }
    }
}
