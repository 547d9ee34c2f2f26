//! A webhook that is not taken comes again: with the same id and the same body, when the receiver wants it, until it
//! is taken or dead.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::domain::{JobId, JobState};
use millstream::ops::Mode;
use wiremock::{Request, ResponseTemplate};

use super::{Yard, got, header, operator, receiver, settings, until_delivered, until_got, verified, willing};
use crate::support::until;

/// When a webhook is due again.
async fn due(yard: &Yard, hook: JobId) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("select run_at from millstream.jobs where id = $1")
        .bind(hook.0)
        .fetch_one(&yard.hooks.sql)
        .await
        .expect("its row")
}

/// All calls are the same webhook.
fn is_one(calls: &[Request]) {
    for call in calls {
        verified(call);
        assert_eq!(header(call, "webhook-id"), header(&calls[0], "webhook-id"));
        assert_eq!(call.body, calls[0].body);
    }
}

#[tokio::test]
async fn a_receiver_that_fails_gets_the_same_webhook_again() {
    let (yard, broken) = (
        Yard::new().await,
        receiver(ResponseTemplate::new(500).set_body_string("try\nlater\u{7}"), 2).await,
    );
    let hook = yard.cancelled(&format!("{}/hooks/t0ken", broken.uri())).await;
    let deliverer = yard.deliver(&settings());
    assert_eq!(until_delivered(&yard, hook).await, 3);
    let calls = got(&broken).await;
    assert_eq!(calls.len(), 3);
    is_one(&calls);
    let errors = yard.errors(hook).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    for error in errors {
        assert!(
            error.starts_with(&format!("{} answered 500: try", broken.uri())),
            "{error}"
        );
        assert!(
            !error.contains("t0ken") && !error.chars().any(char::is_control),
            "{error}"
        );
    }
    deliverer.drain().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_is_left_alone_as_long() {
    let yard = Yard::new().await;
    let deliverer = yard.deliver(&settings());
    for (status, asked, least) in [
        (429, Some("3600"), 3_600),
        (503, Some("7200"), 7_200),
        (503, None, 30),
    ] {
        let plain = ResponseTemplate::new(status);
        let answer = asked.map_or(plain.clone(), |asked| plain.insert_header("retry-after", asked));
        let busy = receiver(answer, 1).await;
        let hook = yard.cancelled(&busy.uri()).await;
        // A pause of over five minutes is held in Postgres, a shorter one parked.
        let state = if least > 300 {
            JobState::Scheduled
        } else {
            JobState::Retrying
        };
        until("it failed once", || async {
            let row = yard.hooks.job(hook).await;
            (row.attempt == 1 && row.status == state.word()).then_some(())
        })
        .await;
        let due = due(&yard, hook).await.expect("a time");
        let pause = due - millstream::clock::now();
        assert!((least - 20..=least + 1).contains(&pause.num_seconds()), "{pause}");
        // Whoever cannot wait runs it now.
        let outcome = operator(&yard.hooks).retry(&[hook.into()], Mode::Real).await;
        assert!(outcome.expect("both servers").refused.is_empty());
        assert_eq!(until_delivered(&yard, hook).await, 2);
        is_one(&got(&busy).await);
    }
    deliverer.drain().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_called_again() {
    let (yard, gone) = (Yard::new().await, receiver(ResponseTemplate::new(410), 9).await);
    let hook = yard.cancelled(&gone.uri()).await;
    let deliverer = yard.deliver(&settings());
    let row = yard.hooks.until_state(hook, JobState::Dead).await;
    assert_eq!((row.attempt, got(&gone).await.len()), (1, 1));
    assert!(
        row.error
            .is_some_and(|error| error.contains("answered 410: it takes no more webhooks"))
    );
    deliverer.drain().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_and_holds_up_nobody_for_long() {
    let hanging = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    let (yard, silent, ready) = (Yard::new().await, receiver(hanging, 1).await, willing().await);
    let (slow, quick) = (
        yard.cancelled(&silent.uri()).await,
        yard.cancelled(&ready.uri()).await,
    );
    let mut settings = settings();
    settings.timeout = Duration::from_secs(3);
    settings.engine.concurrency = 1;
    let deliverer = yard.deliver(&settings);
    until_delivered(&yard, quick).await;
    assert_eq!(until_delivered(&yard, slow).await, 2);
    let errors = yard.errors(slow).await;
    assert_eq!(errors, [format!("{} did not answer within 3 s", silent.uri())]);
    is_one(&got(&silent).await);
    deliverer.drain().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_its_own_places_and_no_others() {
    let hanging = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    let (yard, silent, ready) = (Yard::new().await, receiver(hanging, 9).await, willing().await);
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(yard.cancelled(&silent.uri()).await);
    }
    let mut settings = settings();
    settings.timeout = Duration::from_secs(100);
    (settings.engine.concurrency, settings.per_receiver) = (2, 1);
    // Who comes back has not failed.
    settings.engine.max_attempts = 1;
    let deliverer = yard.deliver(&settings);
    until_got(&silent, 1).await;
    let quick = yard.cancelled(&ready.uri()).await;
    until_delivered(&yard, quick).await;
    let told = until("all others were told to come back", || async {
        let mut told = Vec::new();
        for hook in &slow {
            told.extend(yard.errors(*hook).await.pop());
        }
        (told.len() == 3).then_some(told)
    })
    .await;
    for error in told {
        assert!(
            error.starts_with(&silent.uri()) && error.contains("1 times already"),
            "{error}"
        );
    }
    assert_eq!(got(&silent).await.len(), 1);
    deliverer.drain().await;
    for hook in &slow {
        assert_ne!(yard.hooks.job(*hook).await.status, "dead");
    }
}

#[tokio::test]
async fn who_found_no_place_is_delivered_when_there_is_one() {
    let (yard, ready) = (Yard::new().await, willing().await);
    let mut hooks = Vec::new();
    for _ in 0..6 {
        hooks.push(yard.cancelled(&ready.uri()).await);
    }
    let mut settings = settings();
    (settings.engine.concurrency, settings.per_receiver) = (6, 1);
    settings.engine.max_attempts = 1;
    let deliverer = yard.deliver(&settings);
    for hook in hooks {
        until_delivered(&yard, hook).await;
    }
    deliverer.drain().await;
    assert_eq!(got(&ready).await.len(), 6, "each once");
}

#[tokio::test]
async fn an_answer_of_any_length_costs_a_few_kilobytes_and_shows_no_secret() {
    let body = format!(
        "AWS key {} {}",
        crate::support::reviews::KEY,
        "x".repeat(3_000_000)
    );
    let (yard, wordy) = (
        Yard::new().await,
        receiver(ResponseTemplate::new(400).set_body_string(body), 1).await,
    );
    let hook = yard.cancelled(&wordy.uri()).await;
    let deliverer = yard.deliver(&settings());
    assert_eq!(until_delivered(&yard, hook).await, 2);
    let errors = yard.errors(hook).await;
    assert!(
        errors[0].len() < 500 && errors[0].contains("answered 400: AWS key"),
        "{errors:?}"
    );
    assert!(!errors[0].contains(crate::support::reviews::KEY), "{errors:?}");
    deliverer.drain().await;
}

#[tokio::test]
async fn a_webhook_is_dead_after_its_last_attempt_and_an_operator_sends_it_again() {
    let (yard, broken) = (Yard::new().await, receiver(ResponseTemplate::new(502), 2).await);
    let hook = yard.cancelled(&broken.uri()).await;
    let mut settings = settings();
    settings.engine.max_attempts = 2;
    let deliverer = yard.deliver(&settings);
    let row = yard.hooks.until_state(hook, JobState::Dead).await;
    assert_eq!((row.attempt, got(&broken).await.len()), (2, 2));
    let letters = until("its letter is written", || async {
        let letters = yard.hooks.dead_letters().await;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!(letters[0].get("jobId"), Some(&hook.to_string()));
    assert_eq!(letters[0].get("class").map(String::as_str), Some("webhook"));
    let back = operator(&yard.hooks)
        .requeue_dead(&[hook.into()], Mode::Real)
        .await
        .expect("both servers");
    assert!(back.refused.is_empty(), "{back:?}");
    assert_eq!(until_delivered(&yard, hook).await, 3);
    is_one(&got(&broken).await);
    deliverer.drain().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_while_it_delivers_is_followed_by_another() {
    let hanging = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    let (yard, silent) = (Yard::new().await, receiver(hanging, 1).await);
    let hook = yard.cancelled(&silent.uri()).await;
    let mut patient = settings();
    patient.timeout = Duration::from_secs(100);
    patient.engine.visibility_timeout = Duration::from_secs(3);
    let victim = yard.deliver(&patient);
    until_got(&silent, 1).await;
    victim.kill().await;
    let other = yard.deliver(&patient);
    assert_eq!(until_delivered(&yard, hook).await, 2);
    let calls = got(&silent).await;
    assert_eq!(calls.len(), 2);
    is_one(&calls);
    assert_eq!(yard.hooks.outcomes(hook).await, ["crashed", "done"]);
    assert_eq!(yard.count_hooks().await, 1);
    other.drain().await;
}

#[tokio::test]
async fn what_ended_while_nobody_delivers_and_valkey_forgot_everything_is_delivered_later() {
    let (yard, ready) = (Yard::new().await, willing().await);
    let mut hooks = Vec::new();
    for _ in 0..5 {
        hooks.push(yard.cancelled(&ready.uri()).await);
    }
    let keys = yard.hooks.queue.keys();
    let forgotten = [&keys.own, &keys.shared, &keys.due, &keys.epoch];
    let () = redis::cmd("DEL")
        .arg(&forgotten[..])
        .query_async(&mut yard.hooks.valkey.clone())
        .await
        .expect("valkey is there");
    // Two workers: one of them reconciles, and none delivers what the other has.
    let mut settings = settings();
    settings.per_receiver = 5;
    let deliverers = [yard.deliver(&settings), yard.deliver(&settings)];
    for hook in &hooks {
        assert_eq!(until_delivered(&yard, *hook).await, 1);
    }
    for deliverer in deliverers {
        deliverer.drain().await;
    }
    let mut ids: Vec<String> = got(&ready)
        .await
        .iter()
        .map(|call| header(call, "webhook-id").to_owned())
        .collect();
    ids.sort();
    let mut expected: Vec<String> = hooks.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_webhook_can_be_called_off_like_any_job() {
    let (yard, ready) = (Yard::new().await, willing().await);
    let (unwanted, wanted) = (
        yard.cancelled(&ready.uri()).await,
        yard.cancelled(&ready.uri()).await,
    );
    let outcome = operator(&yard.hooks).cancel(&[unwanted.into()], Mode::Real).await;
    assert!(outcome.expect("both servers").refused.is_empty());
    let deliverer = yard.deliver(&settings());
    until_delivered(&yard, wanted).await;
    deliverer.drain().await;
    assert_eq!(got(&ready).await.len(), 1);
    assert_eq!(yard.hooks.job(unwanted).await.status, "cancelled");
    // The end of a webhook is told to nobody.
    assert_eq!(yard.count_hooks().await, 2);
}
