//! The files of a pull request, from GitHub's API.
//!
//! The address of every request is built here, from a parsed [`PrUrl`] and a page number: a server
//! can say that there is a next page, not where. The token goes to the configured host and nowhere
//! else. Sizes, times and the number of pages are bounded, and every answer that is not a list of
//! files becomes a failure that says whether, and when, trying again can help. A list that ends
//! before the pull request does says so.

pub mod contents;
mod head;
mod raw;
pub mod reviews;

use std::collections::HashSet;
use std::time::Duration;

use millstream::domain::{Failure, PrUrl};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::agent::trace;
use crate::fault::Fault;
use crate::http;

/// GitHub lists no more than 3,000 files of a pull request, and says nothing about the others.
const LISTED_AT_MOST: usize = 3_000;

/// Thirty pages of a hundred hold them all.
const PAGES: u32 = 30;

/// The largest page that GitHub serves.
const PER_PAGE: u32 = 100;

/// Redirects that are followed: a renamed repository answers with one.
const REDIRECTS: usize = 3;

/// The longest pause that a server can ask for; its limits are by the hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// The pause when a server limits the rate and does not say until when: GitHub's own advice.
const USUAL_PAUSE: Duration = Duration::from_secs(60);

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

/// A file of a pull request, as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullFile {
    /// Its path.
    pub filename: String,
    /// Its path before it was renamed.
    #[serde(default)]
    pub previous_filename: Option<String>,
    /// `added`, `removed`, `modified`, `renamed`, `copied`, `changed` or `unchanged`.
    #[serde(default)]
    pub status: String,
    /// Lines added and removed.
    #[serde(default)]
    pub changes: u64,
    /// Its hunks; none for a binary file and for a change that GitHub finds too large.
    #[serde(default)]
    pub patch: Option<String>,
    /// Where its text is. Only the commit in it is read.
    #[serde(default)]
    pub contents_url: Option<String>,
}

/// Why a list ends before the pull request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// GitHub lists no more.
    Unlisted,
    /// More would be larger than `MAX_PATCH`.
    TooLarge,
}

/// The files of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullFiles {
    /// The files, in GitHub's order, each once.
    pub files: Vec<PullFile>,
    /// There are more, and why they are not here.
    pub cut: Option<Cut>,
    /// The commit whose files these are, if the list tells.
    pub head: Option<String>,
}

impl PullFiles {
    /// Adds a page.
    ///
    /// # Errors
    /// When it is of another commit than the pages before it.
    fn add(&mut self, page: Vec<PullFile>, seen: &mut HashSet<String>) -> Result<(), Failure> {
        for file in page {
            // The text of a file that is gone lies at another commit.
            let head = file.contents_url.as_deref().and_then(head::commit_of);
            if let Some(head) = head.filter(|_| file.status != "removed") {
                match &self.head {
                    None => self.head = Some(head),
                    Some(known) if *known == head => {}
                    Some(_) => return Err(moved()),
                }
            }
            if seen.insert(file.filename.clone()) {
                self.files.push(file);
            }
        }
        Ok(())
    }
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

    /// Fetches the list of a pull request's files, page by page.
    ///
    /// # Errors
    /// When GitHub does not list them, or the first page alone is larger than the limit.
    pub async fn files(&self, pull: &PrUrl) -> Result<PullFiles, Failure> {
        let (mut listed, mut left) = (PullFiles::default(), self.max_bytes);
        let mut seen = HashSet::new();
        for page in 1..=PAGES {
            let response = self
                .answered(pull, self.client.get(self.address(pull, page)))
                .await?;
            let more = has_next(response.headers());
            let Some(body) = body(response, &mut left).await? else {
                if listed.files.is_empty() {
                    return Err(self.too_large());
                }
                listed.cut = Some(Cut::TooLarge);
                return Ok(listed);
            };
            let before = listed.files.len();
            listed.add(read(pull, "list of files", &body)?, &mut seen)?;
            if !more {
                return self.whole(pull, listed).await;
            }
            if listed.files.len() == before {
                // The pages run in a circle, or are empty: there is nothing more to be had.
                break;
            }
        }
        listed.cut = Some(Cut::Unlisted);
        Ok(listed)
    }

    /// Finds out whether a list that has ended is whole: GitHub ends one at its limit without a word.
    async fn whole(&self, pull: &PrUrl, mut listed: PullFiles) -> Result<PullFiles, Failure> {
        if listed.files.len() >= LISTED_AT_MOST {
            let count = usize::try_from(self.head(pull).await?.changed_files).unwrap_or(usize::MAX);
            listed.cut = (count > listed.files.len()).then_some(Cut::Unlisted);
        }
        Ok(listed)
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

    fn too_large(&self) -> Failure {
        let message = format!(
            "the pull request's diff is larger than {} bytes (MAX_PATCH)",
            self.max_bytes
        );
        Fault::PullTooLarge.failure(message, None)
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

    /// Where a page of the list is.
    fn address(&self, pull: &PrUrl, page: u32) -> Url {
        let mut address = self.place(pull, &["files"]);
        address
            .query_pairs_mut()
            .clear()
            .append_pair("per_page", &PER_PAGE.to_string())
            .append_pair("page", &page.to_string());
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
    serde_json::from_slice(body).map_err(|e| {
        let message = format!("GitHub's {what} for {} cannot be read: {e}", pull.short());
        Fault::GithubGarbled.failure(message, None)
    })
}

/// The pages of a list are of two commits: somebody pushed in between. The next attempt reads it anew.
fn moved() -> Failure {
    Fault::PullMoved.failure("the pull request changed while its files were listed", None)
}

/// TLS by rustls with ring and Mozilla's roots: what the rest of the product links already.
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

/// The failure of a request that got no answer.
fn unreachable(error: &reqwest::Error) -> Failure {
    let message = if error.is_timeout() {
        "GitHub did not answer in time".to_owned()
    } else {
        format!("cannot reach GitHub: {}", http::cause(error))
    };
    Fault::GithubAway.failure(message, None)
}

/// What an answer that is no list comes to.
async fn refusal(pull: &PrUrl, response: Response) -> Failure {
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
    use super::*;
    use millstream::domain::{FailureClass, Retry};
    use serde_json::{Value, json};
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    const FILES: &str = "/repos/acme/ledger/pulls/7/files";

    fn pull() -> PrUrl {
        "https://github.com/acme/ledger/pull/7"
            .parse()
            .expect("an address")
    }

    fn client(server: &MockServer, change: impl FnOnce(&mut GithubSettings)) -> Github {
        let mut settings = GithubSettings::at(server.uri().parse().expect("an address"));
        change(&mut settings);
        Github::new(settings).expect("settings that work")
    }

    fn page(from: usize, count: usize) -> Value {
        (from..from + count)
            .map(|n| json!({"filename": format!("f{n}.rs"), "status": "modified", "changes": 1, "patch": "@@ -1 +1 @@\n-a\n+b"}))
            .collect()
    }

    async fn serve(answer: ResponseTemplate) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(answer)
            .mount(&server)
            .await;
        server
    }

    #[tokio::test]
    async fn every_page_is_fetched_with_the_headers_and_never_from_another_host() {
        let server = MockServer::start().await;
        for number in 1..=4_usize {
            // The last page has no link; the others lead elsewhere, where nobody must follow.
            let mut answer = ResponseTemplate::new(200).set_body_json(page(number * 75, 75));
            if number < 4 {
                answer = answer.insert_header(
                    "link",
                    "<https://evil.example/?page=9>; rel=\"next\", <x>; rel=\"last\"",
                );
            }
            Mock::given(method("GET"))
                .and(path(FILES))
                .and(query_param("page", number.to_string()))
                .and(query_param("per_page", "100"))
                .and(header("authorization", "Bearer t0ken"))
                .and(header("accept", "application/vnd.github+json"))
                .and(header(
                    "user-agent",
                    concat!("millstream/", env!("CARGO_PKG_VERSION")),
                ))
                .and(header("x-github-api-version", "2022-11-28"))
                .respond_with(answer)
                .expect(1)
                .mount(&server)
                .await;
        }
        let github = client(&server, |settings| {
            settings.token = Some("t0ken".to_owned().into());
        });
        let listed = github.files(&pull()).await.expect("four pages");
        assert_eq!((listed.files.len(), listed.cut), (300, None));
        assert!(!format!("{github:?}").contains("t0ken"));
    }

    /// A server whose pages never end, each made of its number.
    async fn endless(page: impl Fn(usize) -> Value + Send + Sync + 'static) -> MockServer {
        let server = MockServer::start().await;
        let answer = move |request: &wiremock::Request| {
            let number = request.url.query_pairs().find(|(name, _)| name == "page");
            let number = number.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
            ResponseTemplate::new(200)
                .set_body_json(page(number))
                .insert_header("link", "<https://evil.example/?page=1>; rel=\"next\"")
        };
        Mock::given(method("GET"))
            .respond_with(answer)
            .mount(&server)
            .await;
        server
    }

    #[tokio::test]
    async fn a_list_without_end_is_cut_at_thirty_pages_and_says_so() {
        let server = endless(|number| page(number, 1)).await;
        let listed = client(&server, |_| ()).files(&pull()).await.expect("pages");
        assert_eq!((listed.files.len(), listed.cut), (30, Some(Cut::Unlisted)));
    }

    #[tokio::test]
    async fn pages_in_a_circle_are_left_and_no_file_counts_twice() {
        let server = endless(|number| page(number % 2, 2)).await;
        let listed = client(&server, |_| ()).files(&pull()).await.expect("pages");
        assert_eq!((listed.files.len(), listed.cut), (3, Some(Cut::Unlisted)));
        let asked = server.received_requests().await.unwrap_or_default().len();
        assert_eq!(asked, 3, "the third page brings nothing new");
    }

    #[tokio::test]
    async fn pages_of_two_commits_are_read_again_later() {
        fn file(number: usize, status: &str) -> Value {
            let commit = number.to_string().repeat(40);
            json!([{"filename": format!("f{number}"), "status": status,
                    "contents_url": format!("https://x/contents/f?ref={commit}")}])
        }
        let server = endless(move |number| file(number, "modified")).await;
        let failure = client(&server, |_| ())
            .files(&pull())
            .await
            .expect_err("two commits");
        assert_eq!(
            (failure.message.as_str(), failure.retry),
            (
                "the pull request changed while its files were listed",
                Retry::Later
            )
        );
        let server =
            endless(move |number| file(number.min(2), if number == 1 { "modified" } else { "removed" }))
                .await;
        let listed = client(&server, |_| ()).files(&pull()).await.expect("one commit");
        assert_eq!(listed.head, Some("1".repeat(40)));
    }

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

    #[tokio::test]
    async fn a_list_over_the_limit_is_cut_and_a_first_page_over_it_is_final() {
        let server = endless(|number| page(number * 10, 10)).await;
        let listed = client(&server, |settings| settings.max_bytes = 5_000)
            .files(&pull())
            .await
            .expect("some pages");
        assert_eq!(listed.cut, Some(Cut::TooLarge));
        assert_eq!(listed.files.len() % 10, 0, "whole pages");
        assert!((10..100).contains(&listed.files.len()));
        let failure = client(&server, |settings| settings.max_bytes = 500)
            .files(&pull())
            .await
            .expect_err("too large");
        assert_eq!(
            (failure.class, failure.retry),
            (FailureClass::Input, Retry::Never)
        );
        assert_eq!(
            failure.message,
            "the pull request's diff is larger than 500 bytes (MAX_PATCH)"
        );
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

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let gone = format!("http://{}", listener.local_addr().expect("its address"));
        drop(listener);
        let github =
            Github::new(GithubSettings::at(gone.parse().expect("an address"))).expect("settings that work");
        let failure = github.files(&pull()).await.expect_err("nobody there");
        assert!(failure.message.starts_with("cannot reach GitHub: "), "{failure}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let settings = GithubSettings::at("file:///etc".parse().expect("an address"));
        assert!(matches!(Github::new(settings), Err(GithubError::Address(_))));
        let mut settings = GithubSettings::at("https://api.github.com".parse().expect("an address"));
        settings.token = Some("a\nb".to_owned().into());
        assert!(matches!(Github::new(settings), Err(GithubError::Token)));
    }

    #[test]
    fn addresses_keep_the_path_of_an_enterprise_server() {
        let github = Github::new(GithubSettings::at(
            "https://ghe.example/api/v3/".parse().expect("an address"),
        ))
        .expect("fine");
        assert_eq!(
            github.address(&pull(), 2).as_str(),
            "https://ghe.example/api/v3/repos/acme/ledger/pulls/7/files?per_page=100&page=2"
        );
    }
}
