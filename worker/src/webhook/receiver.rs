//! The call of a receiver, and what its answer means.
//!
//! No redirect is followed, no proxy is used (it would look the name up itself), nothing is kept open for the next
//! call, times and the part of an answer that is read are bounded. What is told of a failure names the receiver by its
//! origin only: the rest of the address may hold a secret.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use millstream::domain::{CallbackReach, CallbackUrl, Failure, FailureClass};
use millstream::untrusted::one_line;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};

use super::resolve::{Checked, Lookup, NotPublic};
use super::settings::WebhookSettings;
use crate::agent::trace;
use crate::http;

/// How long the connection may take, with the lookup and TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How much of a refusal's body is read.
const MOST_READ: usize = 4 * 1_024;
/// How much of it is kept.
const MOST_KEPT: usize = 300;
/// The longest pause that a receiver can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// The pause when a receiver says that it is too much, and not until when.
const USUAL_PAUSE: Duration = Duration::from_secs(30);

/// Calls receivers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receivers {
    client: Client,
    timeout: Duration,
}

impl Receivers {
    /// Calls receivers as far as they may be called.
    ///
    /// # Errors
    /// When no client can be made; it says why.
    pub fn new(settings: &WebhookSettings, lookup: impl Lookup) -> Result<Self, String> {
        const AGENT: &str = concat!("millstream/", env!("CARGO_PKG_VERSION"));
        let (reach, timeout) = (settings.reach, settings.timeout);
        let client = http::builder_trusting(&settings.roots)
            .map_err(|error| error.to_string())?
            .dns_resolver(Arc::new(Checked::new(lookup, reach)))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .referer(false)
            .https_only(reach == CallbackReach::Public)
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_WITHIN.min(timeout))
            .timeout(timeout)
            .user_agent(AGENT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, timeout })
    }

    /// Sends a body with these headers; done when the receiver says so.
    ///
    /// # Errors
    /// When it is not taken: with what another attempt can do about it.
    pub async fn deliver(
        &self,
        url: &CallbackUrl,
        headers: [(&'static str, String); 3],
        body: String,
    ) -> Result<(), Failure> {
        let mut request = self
            .client
            .post(url.url().clone())
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| self.unreachable(url, &error))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refusal(url, response).await)
    }

    /// A call that got no answer.
    fn unreachable(&self, url: &CallbackUrl, error: &reqwest::Error) -> Failure {
        let origin = url.origin();
        if let Some(refused) = not_public(error) {
            return Failure::lasting(
                FailureClass::Webhook,
                format!("{origin} is not called: {refused}"),
            );
        }
        if error.is_timeout() {
            let text = format!("{origin} did not answer within {} s", self.timeout.as_secs_f64());
            return Failure::passing(FailureClass::Webhook, text);
        }
        // The innermost cause says most, and does not repeat the address.
        let mut cause: &dyn Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let why = if cause.is::<reqwest::Error>() {
            "the call failed".to_owned()
        } else {
            one_line(&cause.to_string(), MOST_KEPT)
        };
        Failure::passing(FailureClass::Webhook, format!("cannot reach {origin}: {why}"))
    }
}

/// Whether a call was refused by our own check.
fn not_public(error: &reqwest::Error) -> Option<NotPublic> {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(one) = cause {
        if let Some(refused) = one.downcast_ref::<NotPublic>() {
            return Some(refused.clone());
        }
        cause = one.source();
    }
    None
}

/// What an answer that is no success comes to.
async fn refusal(url: &CallbackUrl, response: Response) -> Failure {
    let (status, headers) = (response.status(), response.headers().clone());
    let said = beginning(response).await;
    let origin = url.origin();
    let told = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    if status == StatusCode::GONE {
        let text = format!("{origin} answered 410: it takes no more webhooks{told}");
        return Failure::lasting(FailureClass::Webhook, text);
    }
    if status.is_redirection() {
        let text = format!(
            "{origin} answered {}: redirects are not followed",
            status.as_u16()
        );
        return Failure::passing(FailureClass::Webhook, text);
    }
    let failure = Failure::passing(
        FailureClass::Webhook,
        format!("{origin} answered {}{told}", status.as_u16()),
    );
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            failure.not_before(pause(&headers, trace::now().into()).unwrap_or(USUAL_PAUSE))
        }
        _ => failure,
    }
}

/// How long a receiver wants to be left alone: seconds, or a date.
fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // One that has passed is no pause.
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// The beginning of an answer's body, as one line in which no secret stands.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    // A body that breaks off, or takes too long, has said what it could.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MOST_READ - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == MOST_READ {
            break;
        }
    }
    let text = trace::presentable(&String::from_utf8_lossy(&bytes));
    one_line(text.trim(), MOST_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<u64> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = [(RETRY_AFTER, text.parse().expect("a value"))];
        pause(&headers.into_iter().collect(), now).map(|pause| pause.as_secs())
    }

    #[test]
    fn a_pause_is_seconds_or_a_date_and_bounded() {
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("0"), Some(0));
        assert_eq!(asked("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(asked("99999999"), Some(86_400));
        for no_pause in ["", "-1", "soon", "1.5"] {
            assert_eq!(asked(no_pause), None, "{no_pause}");
        }
        assert_eq!(pause(&HeaderMap::new(), SystemTime::UNIX_EPOCH), None);
    }
}
