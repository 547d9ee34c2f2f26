//! The files of a pull request, page by page. A list that ends before the pull request does says so.

use std::collections::HashSet;

use millstream::domain::{Failure, PrUrl};
use serde::Deserialize;
use url::Url;

use super::{Github, PER_PAGE, body, has_next, head, read};
use crate::fault::Fault;

/// GitHub lists no more than 3,000 files of a pull request, and says nothing about the others.
const LISTED_AT_MOST: usize = 3_000;

/// Thirty pages of a hundred hold them all.
const PAGES: u32 = 30;

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
    /// Fetches the list of a pull request's files, page by page, and says which commit it is of.
    ///
    /// # Errors
    /// When GitHub does not list them, the first page alone is larger than the limit, or somebody pushed meanwhile.
    pub async fn files(&self, pull: &PrUrl) -> Result<PullFiles, Failure> {
        let listed = self.list(pull).await?;
        let names_none = |file: &PullFile| file.status == "removed";
        if listed.head.is_some() || listed.files.is_empty() || !listed.files.iter().all(names_none) {
            return Ok(listed);
        }
        // Nothing is left of these files that could name the commit. It is asked for, and stands for the list only if
        // that is still the same behind it.
        let head = self.head(pull).await?.commit;
        if self.list(pull).await? != listed {
            return Err(moved());
        }
        Ok(PullFiles {
            head: Some(head),
            ..listed
        })
    }

    async fn list(&self, pull: &PrUrl) -> Result<PullFiles, Failure> {
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

    fn too_large(&self) -> Failure {
        let message = format!(
            "the pull request's diff is larger than {} bytes (MAX_PATCH)",
            self.max_bytes
        );
        Fault::PullTooLarge.failure(message, None)
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

/// The pages of a list are of two commits: somebody pushed in between. The next attempt reads it anew.
fn moved() -> Failure {
    Fault::PullMoved.failure("the pull request changed while its files were listed", None)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use millstream::domain::{FailureClass, Retry};
    use serde_json::{Value, json};
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::tests::{FILES, client, page, pull, serve};
    use super::super::{Github, GithubSettings};
    use super::*;

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
        let answer = move |request: &wiremock::Request| {
            let number = request.url.query_pairs().find(|(name, _)| name == "page");
            let number = number.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
            ResponseTemplate::new(200)
                .set_body_json(page(number))
                .insert_header("link", "<https://evil.example/?page=1>; rel=\"next\"")
        };
        serve(answer).await
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
    async fn a_list_of_removed_files_is_of_the_commit_that_github_names_unless_it_changes() {
        for (changes, head) in [(false, Some("c".repeat(40))), (true, None)] {
            let listed = AtomicUsize::new(0);
            let server = serve(move |request: &wiremock::Request| {
                if !request.url.path().ends_with("/files") {
                    let described = json!({"head": {"sha": "c".repeat(40)}, "changed_files": 1});
                    return ResponseTemplate::new(200).set_body_json(described);
                }
                let nth = listed.fetch_add(1, Ordering::Relaxed);
                let base = "b".repeat(40);
                ResponseTemplate::new(200).set_body_json(json!([{
                    "filename": format!("gone{}.rs", if changes { nth } else { 0 }), "status": "removed", "changes": 1,
                    "patch": "@@ -1 +0,0 @@\n-a", "contents_url": format!("https://x/contents/f?ref={base}"),
                }]))
            })
            .await;
            match client(&server, |_| ()).files(&pull()).await {
                Ok(listed) => assert_eq!(listed.head, head),
                Err(failure) => assert_eq!((failure.retry, head), (Retry::Later, None)),
            }
        }
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
