//! What comes of a request that was not answered as it should be: whether, and when, trying again can help.

use std::time::Duration;

use millstream::domain::{Failure, PrUrl};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::agent::trace;
use crate::fault::Fault;
use crate::http;

/// The longest pause that a server can ask for; its limits are by the hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// The pause when a server limits the rate and does not say until when: GitHub's own advice.
const USUAL_PAUSE: Duration = Duration::from_secs(60);

/// The failure of a request that got no answer.
pub(super) fn unreachable(error: &reqwest::Error) -> Failure {
    let message = if error.is_timeout() {
        "GitHub did not answer in time".to_owned()
    } else {
        format!("cannot reach GitHub: {}", http::cause(error))
    };
    Fault::GithubAway.failure(message, None)
}

/// What an answer of an error comes to.
pub(super) async fn refusal(pull: &PrUrl, response: Response) -> Failure {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = http::beginning(response).await;
    if status == StatusCode::NOT_FOUND {
        let message = format!("no such pull request (or the token may not see it): {pull}");
        return Fault::PullMissing.failure(message, None);
    }
    let told = if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    };
    let message = format!("GitHub answered {} for {}{told}", status.as_u16(), pull.short());
    if let Some(pause) = pause(status, &headers, &body) {
        return Fault::GithubLimited.failure(message, Some(pause));
    }
    let fault = match status.as_u16() {
        408 | 425 | 500..=599 => Fault::GithubAway,
        410 | 451 => Fault::PullMissing,
        _ => Fault::GithubRefused,
    };
    fault.failure(message, None)
}

/// How long to wait where the answer is about the rate of requests. GitHub sends its rate headers
/// with every answer, so their presence alone says nothing.
fn pause(status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Duration> {
    if !matches!(status.as_u16(), 401 | 403 | 429 | 503) {
        return None;
    }
    let retry_after = http::number(headers, RETRY_AFTER.as_str());
    let reset = (http::number(headers, "x-ratelimit-remaining") == Some(0))
        .then(|| http::number(headers, "x-ratelimit-reset").map(|at| at - trace::now().timestamp()))
        .flatten();
    let limited = status == StatusCode::TOO_MANY_REQUESTS || body.to_lowercase().contains("rate limit");
    let seconds = match retry_after.or(reset) {
        Some(seconds) => u64::try_from(seconds).unwrap_or(0),
        None if limited => USUAL_PAUSE.as_secs(),
        None => return None,
    };
    // One second more than asked: the server's clock and ours are not the same.
    Some(Duration::from_secs(seconds.saturating_add(1)).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use millstream::domain::{FailureClass, Retry};
    use wiremock::ResponseTemplate;

    use super::super::tests::{client, pull, serve};
    use super::super::{Github, GithubSettings};
    use super::*;

    #[tokio::test]
    async fn a_missing_pull_request_is_final() {
        let server = serve(
            ResponseTemplate::new(404)
                .set_body_string("{}")
                .insert_header("x-ratelimit-remaining", "0"),
        )
        .await;
        let failure = client(&server, |_| ()).files(&pull()).await.expect_err("404");
        assert_eq!(
            (failure.class, failure.retry),
            (FailureClass::Input, Retry::Never)
        );
        assert_eq!(
            failure.message,
            "no such pull request (or the token may not see it): https://github.com/acme/ledger/pull/7"
        );
    }

    #[tokio::test]
    async fn limits_of_the_rate_say_when_to_come_back() {
        let reset = (trace::now().timestamp() + 100).to_string();
        for (answer, least, most) in [
            (
                ResponseTemplate::new(429).insert_header("retry-after", "60"),
                61,
                61,
            ),
            (
                ResponseTemplate::new(403).insert_header("retry-after", "99999"),
                3_600,
                3_600,
            ),
            (
                ResponseTemplate::new(403)
                    .insert_header("x-ratelimit-remaining", "0")
                    .insert_header("x-ratelimit-reset", reset.as_str()),
                90,
                101,
            ),
            (ResponseTemplate::new(429), 61, 61),
            (
                ResponseTemplate::new(403).set_body_string("You have exceeded a secondary rate limit"),
                61,
                61,
            ),
        ] {
            let server = serve(answer).await;
            let failure = client(&server, |_| ()).files(&pull()).await.expect_err("limited");
            let Retry::Wait(pause) = failure.retry else {
                panic!("no pause: {failure:?}")
            };
            assert!(
                (least..=most).contains(&pause.as_secs()),
                "{pause:?} for {failure}"
            );
            assert_eq!(failure.class, FailureClass::Github);
        }
    }

    #[tokio::test]
    async fn other_answers_pass_or_last_and_repeat_little_of_the_body() {
        for (status, retry) in [
            (500, Retry::Later),
            (502, Retry::Later),
            (401, Retry::Never),
            (403, Retry::Never),
            (422, Retry::Never),
            (302, Retry::Never),
        ] {
            let body = format!("no\u{1b}[31m\nway {}", "x".repeat(2_000));
            let answer = ResponseTemplate::new(status)
                .set_body_string(body)
                .insert_header("x-ratelimit-remaining", "59")
                .insert_header("location", "https://evil.example/");
            let failure = client(&serve(answer).await, |_| ())
                .files(&pull())
                .await
                .expect_err("no list");
            assert_eq!(
                (failure.class, failure.retry),
                (FailureClass::Github, retry),
                "{failure}"
            );
            assert!(failure.message.starts_with(&format!(
                "GitHub answered {status} for acme/ledger#7: no [31m way x"
            )));
            assert!(failure.message.len() < 350 && !failure.message.contains(char::is_control));
        }
    }

    #[tokio::test]
    async fn silence_and_nonsense_pass() {
        let server = serve(ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
        let hasty = client(&server, |settings| {
            settings.request_timeout = Duration::from_millis(50);
        });
        let failure = hasty.files(&pull()).await.expect_err("no answer");
        assert_eq!(
            failure,
            Fault::GithubAway.failure("GitHub did not answer in time", None)
        );

        let server = serve(ResponseTemplate::new(200).set_body_string("<html>")).await;
        let failure = client(&server, |_| ()).files(&pull()).await.expect_err("no list");
        assert_eq!(
            (failure.class, failure.retry),
            (FailureClass::Github, Retry::Later)
        );

        let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
        for nonsense in [
            ResponseTemplate::new(200).set_body_json(&key),
            ResponseTemplate::new(403).set_body_string(format!("no:\n{key}")),
        ] {
            let server = serve(nonsense).await;
            let failure = client(&server, |_| ()).files(&pull()).await.expect_err("no list");
            let told = failure.message;
            assert!(told.contains("AKIA…(masked)") && !told.contains(&key), "{told}");
        }

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let gone = format!("http://{}", listener.local_addr().expect("its address"));
        drop(listener);
        let github =
            Github::new(GithubSettings::at(gone.parse().expect("an address"))).expect("settings that work");
        let failure = github.files(&pull()).await.expect_err("nobody there");
        assert!(failure.message.starts_with("cannot reach GitHub: "), "{failure}");
    }
}
