//! No callback is a way into the network that we stand in.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream::domain::{CallbackReach, JobId, JobState};
use millstream::ops::submit::Source;
use millstream::ops::{Callbacks, OpsError, Submission};
use millstream_worker::webhook::resolve::Lookup;
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;

use super::{Yard, got, receiver, settings, until_delivered, willing};
use crate::support::reviews::CLEAN;

/// A name server that answers what it is told to, one answer after the other, and counts the questions.
#[derive(Clone, Default)]
pub(super) struct Fickle(Arc<Mutex<Book>>);

/// What it is going to answer, and what it was asked.
#[derive(Default)]
struct Book {
    answers: VecDeque<Vec<IpAddr>>,
    asked: Vec<String>,
}

impl Fickle {
    pub(super) fn answering(answers: &[&[&str]]) -> Self {
        let read = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().map(|one| one.iter().map(read).collect());
        Self(Arc::new(Mutex::new(Book {
            answers: answers.collect(),
            asked: Vec::new(),
        })))
    }

    /// The names that were asked for.
    fn asked(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").asked.clone()
    }
}

impl Lookup for Fickle {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut book = self.0.lock().expect("not poisoned");
        book.asked.push(host);
        let answer = book.answers.pop_front();
        async move { answer.ok_or_else(|| io::Error::other("no such name")) }.boxed()
    }
}

/// Delivers a webhook to a name that leads somewhere inside, and answers why it is dead.
async fn refused_by_name(answers: &[&[&str]]) -> String {
    let yard = Yard::new().await;
    let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let port = inside.local_addr().expect("it listens").port();
    let address = format!("https://hooks.example.com:{port}/t0ken");
    let review = yard.submit(&address, CallbackReach::Public).await;
    yard.cancel(review).await;
    let hook = yard.hook_of(review).await;
    let names = Fickle::answering(answers);
    let mut settings = settings();
    settings.reach = CallbackReach::Public;
    let deliverer = yard.deliver_by(&settings, names.clone());
    let row = yard.hooks.until_state(hook, JobState::Dead).await;
    deliverer.drain().await;
    assert_eq!(names.asked(), ["hooks.example.com"]);
    assert_eq!(row.attempt, 1);
    assert!(inside.accept().now_or_never().is_none(), "somebody was called");
    row.error.expect("why")
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    for (answer, told) in [
        (&["127.0.0.1"][..], "127.0.0.1, which is loopback"),
        (&["::ffff:127.0.0.1"], "::ffff:127.0.0.1, which is loopback"),
        (&["169.254.169.254"], "169.254.169.254, which is link-local"),
        (&["1.1.1.1", "127.0.0.1"], "127.0.0.1, which is loopback"),
        (&["fd00::1"], "fd00::1, which is unique-local"),
    ] {
        let error = refused_by_name(&[answer, &["1.1.1.1"]]).await;
        assert!(
            error.starts_with("https://hooks.example.com:") && error.ends_with(told),
            "{error}"
        );
        assert!(
            error.contains("is not called") && !error.contains("t0ken"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_once_for_a_call_and_checked_each_time() {
    // The second question would be answered with an address that nobody listens at.
    let (yard, ready) = (Yard::new().await, receiver(ResponseTemplate::new(500), 1).await);
    let address = format!("http://hooks.example.com:{}/", ready.address().port());
    let hook = yard.cancelled(&address).await;
    let names = Fickle::answering(&[&["127.0.0.1"], &["127.0.0.1"], &["192.0.2.1"]]);
    let deliverer = yard.deliver_by(&settings(), names.clone());
    assert_eq!(until_delivered(&yard, hook).await, 2);
    deliverer.drain().await;
    assert_eq!(names.asked(), ["hooks.example.com"; 2], "once for each call");
    let calls = got(&ready).await;
    assert!(calls.iter().all(|call| {
        call.headers["host"]
            .to_str()
            .is_ok_and(|host| host.starts_with("hooks.example.com:"))
    }));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_asked_for_again() {
    let (yard, ready) = (Yard::new().await, willing().await);
    let hook = yard
        .cancelled(&format!(
            "http://hooks.example.com:{}/t0ken",
            ready.address().port()
        ))
        .await;
    let mut settings = settings();
    settings.engine.max_attempts = 2;
    let deliverer = yard.deliver_by(&settings, Fickle::default());
    let row = yard.hooks.until_state(hook, JobState::Dead).await;
    let error = row.error.expect("why");
    assert!(
        error.starts_with("cannot reach http://hooks.example.com:") && error.ends_with("no such name"),
        "{error}"
    );
    assert!(!error.contains("t0ken"), "{error}");
    assert_eq!(row.attempt, 2);
    deliverer.drain().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (yard, inside) = (Yard::new().await, willing().await);
    let elsewhere = ResponseTemplate::new(307).insert_header("location", inside.uri());
    let sly = receiver(elsewhere, 1).await;
    let hook = yard.cancelled(&sly.uri()).await;
    let deliverer = yard.deliver(&settings());
    assert_eq!(until_delivered(&yard, hook).await, 2);
    deliverer.drain().await;
    assert_eq!((got(&sly).await.len(), got(&inside).await.len()), (2, 0));
    let errors = yard.errors(hook).await;
    assert_eq!(
        errors,
        [format!("{} answered 307: redirects are not followed", sly.uri())]
    );
}

#[tokio::test]
async fn what_was_allowed_when_it_was_submitted_is_not_called_when_it_no_longer_is() {
    let (yard, inside) = (Yard::new().await, willing().await);
    let plain = yard.cancelled(&inside.uri()).await;
    let literal = yard.cancelled(&inside.uri().replace("http:", "https:")).await;
    let mut settings = settings();
    settings.reach = CallbackReach::Public;
    let deliverer = yard.deliver(&settings);
    for (hook, why) in [
        (plain, "must start with https://"),
        (literal, "this one is loopback"),
    ] {
        let row = yard.hooks.until_state(hook, JobState::Dead).await;
        assert!(
            row.error.as_deref().is_some_and(|error| error.contains(why)),
            "{row:?}"
        );
    }
    deliverer.drain().await;
    assert!(got(&inside).await.is_empty());
}

#[tokio::test]
async fn a_submission_with_a_callback_that_leads_inside_leaves_nothing_behind() {
    let yard = Yard::new().await;
    let submit = |callbacks: Callbacks, callback: &str| {
        let submitter = yard.reviews.submitter().with_callbacks(callbacks);
        let source = Source::Diff {
            label: None,
            text: CLEAN.to_owned(),
        };
        let submission = Submission {
            callback: Some(callback.to_owned()),
            ..Submission::now(source)
        };
        async move { submitter.submit(submission).await }
    };
    let public = Callbacks::Taken(CallbackReach::Public);
    for inside in [
        "https://10.0.0.7/",
        "http://example.com/",
        "https://[::1]:8443/",
        "nowhere",
    ] {
        let refused = submit(public, inside).await;
        assert!(matches!(refused, Err(OpsError::Callback(_))), "{inside}");
    }
    let refused = submit(Callbacks::Refused, "https://example.com/").await;
    assert!(matches!(refused, Err(OpsError::NoCallbacks)));
    let jobs = yard
        .reviews
        .store
        .list_jobs(&yard.reviews.settings.name, None, 10)
        .await;
    assert!(jobs.expect("postgres").is_empty());
    let taken: JobId = submit(public, "https://example.com/hooks")
        .await
        .expect("accepted")
        .id;
    yard.cancel(taken).await;
    yard.hook_of(taken).await;
}
