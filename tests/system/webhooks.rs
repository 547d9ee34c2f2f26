//! Webhooks from end to end: `millstream submit --callback`, worker processes that are killed, and the verbs that show
//! and move webhooks.

use rustix::process::Signal;
use serde_json::Value;
use standardwebhooks::Webhook;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{Lab, patch, rows};
use crate::support::until;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A worker that delivers to this machine.
const DELIVERS: [(&str, &str); 2] = [("WEBHOOK_SECRET", SECRET), ("WEBHOOK_ALLOW_PRIVATE", "1")];

/// A receiver that answers its first call like this, and takes all others.
async fn receiver(first: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let post = || Mock::given(method("POST"));
    post()
        .respond_with(first)
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&server)
        .await;
    post()
        .respond_with(ResponseTemplate::new(204))
        .with_priority(2)
        .mount(&server)
        .await;
    server
}

async fn until_got(receiver: &MockServer, count: usize) -> Vec<Request> {
    until(&format!("{count} webhooks have come"), || async {
        let calls = receiver.received_requests().await.expect("they are recorded");
        (calls.len() >= count).then_some(calls)
    })
    .await
}

/// Checks a call as a receiver does, and answers its id and what it says.
fn verified(call: &Request) -> (String, Value) {
    let receiver = Webhook::new(SECRET).expect("a secret");
    receiver
        .verify(&call.body, &call.headers)
        .expect("a signature of ours");
    let id = call.headers["webhook-id"].to_str().expect("text").to_owned();
    (id, serde_json::from_slice(&call.body).expect("JSON"))
}

impl Lab {
    /// Runs a verb on the queue of webhooks, as an operator does.
    async fn ask_hooks(&self, args: &[&str]) -> Value {
        let queue = format!("{}:webhooks", self.world.settings.name);
        let vars = [("QUEUE", queue.as_str()), ("QUEUE_GROUP", "reviewers")];
        let ran = self.home.run_with(&vars, args, b"").await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// Submits a diff that is told to this address; answers its id.
    async fn submit_to(&self, callback: &str) -> String {
        let args = ["submit", &patch("clean-rust"), "--callback", callback, "--json"];
        let ran = self.home.run_with(&DELIVERS[1..], &args, b"").await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until a webhook is in a state, and answers it as `jobs` lists it.
    async fn until_hook(&self, state: &str) -> Value {
        until(&format!("the webhook is {state}"), || async {
            let jobs = self.ask_hooks(&["jobs", "--json"]).await;
            let jobs = jobs.as_array().expect("a list").clone();
            jobs.into_iter().find(|job| job["status"] == state)
        })
        .await
    }
}

#[tokio::test]
async fn a_result_is_told_to_its_callback_and_no_secret_is_logged() {
    let lab = Lab::new().await;
    let ready = receiver(ResponseTemplate::new(200)).await;
    let vars = [DELIVERS[0], DELIVERS[1], ("LOG", "trace")];
    let worker = lab.home.start("worker", &vars, &["worker"]);
    let review = lab.submit_to(&format!("{}/hooks/t0ken", ready.uri())).await;
    let calls = until_got(&ready, 1).await;
    let (id, body) = verified(&calls[0]);
    assert_eq!(
        (&body["type"], &body["data"]["id"]),
        (&"review.done".into(), &review.as_str().into())
    );
    let listed = lab.until_hook("done").await;
    assert_eq!(listed["id"], id.as_str());
    assert_eq!(listed["input"], format!("review.done {review}"));
    let status = lab.ask_hooks(&["status", "--json"]).await;
    assert_eq!((&status["done"], &status["accepted"]), (&1.into(), &1.into()));
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0, "both of its workers drain");
    for secret in [SECRET, &SECRET["whsec_".len()..], "t0ken"] {
        assert!(!worker.stderr().contains(secret), "{secret} is in the log");
    }
    assert_eq!(until_got(&ready, 1).await.len(), 1);
}

#[tokio::test]
async fn a_worker_process_that_is_killed_before_its_webhook_arrived_loses_and_doubles_none() {
    let lab = Lab::new().await;
    let hanging = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(600));
    let silent = receiver(hanging).await;
    let patient = [DELIVERS[0], DELIVERS[1], ("WEBHOOK_TIMEOUT", "2m")];
    let victim = lab.worker("victim", &patient).await;
    let review = lab.submit_to(&silent.uri()).await;
    until_got(&silent, 1).await;
    victim.signal(Signal::KILL);
    victim.until_ended().await;
    let heir = lab.worker("heir", &patient).await;
    let calls = until_got(&silent, 2).await;
    lab.until_hook("done").await;
    let (first, second) = (verified(&calls[0]), verified(&calls[1]));
    assert_eq!(first, second, "the same webhook");
    assert_eq!(first.1["data"]["id"], review.as_str());
    let status = lab.ask_hooks(&["status", "--json"]).await;
    assert_eq!(status["accepted"], 1, "{status}");
    heir.signal(Signal::TERM);
    assert_eq!(heir.until_ended().await, 0);
}

#[tokio::test]
async fn a_webhook_that_is_dead_is_listed_and_sent_again_by_the_usual_verbs() {
    let lab = Lab::new().await;
    let broken = receiver(ResponseTemplate::new(500).set_body_string("no")).await;
    let once = [DELIVERS[0], DELIVERS[1], ("WEBHOOK_MAX_ATTEMPTS", "1")];
    let worker = lab.worker("worker", &once).await;
    lab.submit_to(&broken.uri()).await;
    lab.until_hook("dead").await;
    let dead = lab.ask_hooks(&["dead", "list", "--json"]).await;
    let dead = &dead.as_array().expect("a list")[0];
    assert_eq!(
        (&dead["class"], &dead["attempts"]),
        (&"webhook".into(), &1.into())
    );
    assert_eq!(dead["error"], format!("{} answered 500: no", broken.uri()));
    let id = dead["id"].as_str().expect("an id").to_owned();
    lab.ask_hooks(&["dead", "requeue", &id, "--json"]).await;
    lab.until_hook("done").await;
    let calls = until_got(&broken, 2).await;
    assert_eq!(verified(&calls[0]), verified(&calls[1]));
    worker.signal(Signal::TERM);
    assert_eq!(worker.until_ended().await, 0);
}

#[tokio::test]
async fn a_callback_that_may_not_be_called_is_refused_at_the_command_line() {
    let lab = Lab::new().await;
    let before = rows(&lab.world.sql).await;
    for (callback, told) in [
        ("http://127.0.0.1:9/t0ken", "must start with https://"),
        ("https://127.0.0.1:9000/t0ken", "this one is loopback"),
        ("https://u:t0ken@example.com/", "no name and no password"),
    ] {
        let ran = lab
            .home
            .run(&["submit", &patch("clean-rust"), "--callback", callback])
            .await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(
            ran.stderr.contains(told) && !ran.stderr.contains("t0ken"),
            "{ran:?}"
        );
    }
    let queue = format!("{}:webhooks", lab.world.settings.name);
    let ran = lab
        .home
        .run_with(&[("QUEUE", &queue)], &["submit", &patch("clean-rust")], b"")
        .await;
    assert_eq!(ran.code, 64, "{ran:?}");
    for service in ["worker", "web"] {
        let ran = lab.home.run_with(&[("QUEUE", &queue)], &[service], b"").await;
        assert!(ran.code == 64 && ran.stderr.contains("QUEUE"), "{ran:?}");
    }
    let wrong = [("WEBHOOK_SECRET", "hunter2"), ("LOG", "error")];
    let ran = lab.home.run_with(&wrong, &["worker"], b"").await;
    assert!(ran.code == 64 && ran.stderr.contains("WEBHOOK_SECRET"), "{ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    assert_eq!(rows(&lab.world.sql).await, before);
}
