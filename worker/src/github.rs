//! GitHub's API: the client, and where its requests go.
//!
//! The address of every request is built here, from a parsed [`PrUrl`] and numbers: a server can say that there is a
//! next page, not where. The token goes to the configured host and nowhere else. Sizes, times and the number of pages
//! are bounded, and every answer that is not what was asked for becomes a failure that says whether, and when, trying
//! again can help.
//!
//! `files` lists what a pull request changes, with `raw` for lines that the list does not show; `head` says what it is at
//! this moment, [`contents`] reads a file of its repository, [`reviews`] posts on it; `refusal` reads the answers that are
//! none.

pub mod contents;
mod files;
mod head;
mod raw;
mod refusal;
pub mod reviews;

use std::time::Duration;

use millstream::domain::{Failure, PrUrl};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

pub use files::{Cut, PullFile, PullFiles};
use refusal::{refusal, unreachable};

use crate::fault::Fault;
use crate::http;

/// The largest page that GitHub serves.
const PER_PAGE: u32 = 100;

/// Redirects that are followed: a renamed repository answers with one.
const REDIRECTS: usize = 3;

/// How GitHub is reached.
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// The API's address, as `https://api.github.com` or `https://ghe.example/api/v3`.
    pub api: Url,
    /// The token that is sent, if there is one.
    pub token: Option<SecretString>,
    /// The most bytes that the pages together may have, and a raw diff (`MAX_PATCH`).
    pub max_bytes: usize,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request may take, with its body.
    pub request_timeout: Duration,
}

impl GithubSettings {
    /// The usual times and 8 MiB, for this address, without a token.
    #[must_use]
    pub const fn at(api: Url) -> Self {
        Self {
            api,
            token: None,
            max_bytes: 8 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The address is none that a request can be sent to.
    #[error("GITHUB_API_URL must be an http or https address, not `{0}`")]
    Address(String),
    /// The token holds what no header may hold.
    #[error("GITHUB_TOKEN holds characters that cannot be sent")]
    Token,
    /// TLS or the client itself.
    #[error("set up the client for GitHub: {0}")]
    Client(String),
}

/// A client for GitHub. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Github {
    client: Client,
    api: Url,
    max_bytes: usize,
}

impl Github {
    /// A client of these settings.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn new(settings: GithubSettings) -> Result<Self, GithubError> {
        let GithubSettings {
            api,
            token,
            max_bytes,
            connect_timeout,
            request_timeout,
        } = settings;
        if !matches!(api.scheme(), "http" | "https") || api.cannot_be_a_base() {
            return Err(GithubError::Address(api.to_string()));
        }
        let mut builder = http::builder()
            .map_err(|error| GithubError::Client(error.to_string()))?
            .default_headers(headers(token.as_ref())?)
            .redirect(same_host(&api))
            .connect_timeout(connect_timeout)
            .timeout(request_timeout)
            .gzip(true);
        if http::is_loopback(&api) {
            // A proxy cannot reach a server on this machine.
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| GithubError::Client(error.to_string()))?;
        Ok(Self {
            client,
            api,
            max_bytes,
        })
    }

    /// Sends a request about a pull request and has an answer that is none of an error.
    async fn answered(&self, pull: &PrUrl, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(refusal(pull, response).await)
        }
    }

    /// Where a pull request is, or a part of it.
    fn place(&self, pull: &PrUrl, part: &[&str]) -> Url {
        let mut address = self.api.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty()
                .extend(["repos", pull.owner(), pull.repo(), "pulls"])
                .push(&pull.number().to_string())
                .extend(part);
        }
        address
    }
}

/// Reads a body as long as there is room for it; none if there is not. It is counted after unpacking.
async fn body(mut response: Response, left: &mut usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        let Some(rest) = left.checked_sub(chunk.len()) else {
            return Ok(None);
        };
        *left = rest;
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Reads an answer's JSON.
fn read<T: DeserializeOwned>(pull: &PrUrl, what: &str, body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        // It may repeat what it cannot read.
        let why = http::one_line(&error.to_string());
        let message = format!("GitHub's {what} for {} cannot be read: {why}", pull.short());
        Fault::GithubGarbled.failure(message, None)
    })
}

/// What every request says beside its address.
fn headers(token: Option<&SecretString>) -> Result<HeaderMap, GithubError> {
    const AGENT: &str = concat!("millstream/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(
        HeaderName::from_static("x-github-api-version"),
        HeaderValue::from_static("2022-11-28"),
    );
    if let Some(token) = token {
        let bearer = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::from_str(&bearer).map_err(|_| GithubError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Follows a redirect only to where the request went anyway.
fn same_host(api: &Url) -> redirect::Policy {
    let origin = api.origin();
    redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS || attempt.url().origin() != origin {
            attempt.stop()
        } else {
            attempt.follow()
        }
    })
}

/// Whether a `Link` header announces a next page. Its address is not looked at.
fn has_next(headers: &HeaderMap) -> bool {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .flat_map(|link| link.split(';').skip(1))
        .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    pub(super) const FILES: &str = "/repos/acme/ledger/pulls/7/files";

    pub(super) fn pull() -> PrUrl {
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address")
    }

    pub(super) fn client(server: &MockServer, change: impl FnOnce(&mut GithubSettings)) -> Github {
        let mut settings = GithubSettings::at(server.uri().parse().expect("an address"));
        change(&mut settings);
        Github::new(settings).expect("settings that work")
    }

    pub(super) fn page(from: usize, count: usize) -> Value {
        (from..from + count)
            .map(|n| json!({"filename": format!("f{n}.rs"), "status": "modified", "changes": 1, "patch": "@@ -1 +1 @@\n-a\n+b"}))
            .collect()
    }

    pub(super) async fn serve(answer: impl wiremock::Respond + 'static) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(answer)
            .mount(&server)
            .await;
        server
    }

    #[tokio::test]
    async fn a_renamed_repository_is_found_on_the_same_host() {
        let server = MockServer::start().await;
        let moved =
            ResponseTemplate::new(301).insert_header("location", "/repositories/1/pulls/7/files?page=1");
        Mock::given(path(FILES)).respond_with(moved).mount(&server).await;
        let answer = ResponseTemplate::new(200).set_body_json(page(0, 2));
        Mock::given(path("/repositories/1/pulls/7/files"))
            .respond_with(answer)
            .mount(&server)
            .await;
        assert_eq!(
            client(&server, |_| ())
                .files(&pull())
                .await
                .map(|l| l.files.len()),
            Ok(2)
        );
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let settings = GithubSettings::at("file:///etc".parse().expect("an address"));
        assert!(matches!(Github::new(settings), Err(GithubError::Address(_))));
        let mut settings = GithubSettings::at("https://api.github.com".parse().expect("an address"));
        settings.token = Some("a\nb".to_owned().into());
        assert!(matches!(Github::new(settings), Err(GithubError::Token)));
    }
}
