//! Reviews on a pull request: finding one of ours, and posting one in two steps.
//!
//! A review begins as a draft, which nobody but its author sees, and has a number; sending that number in is what others
//! get to see, and it is done once, however often it is asked for. A draft can be taken back, and then it can never be
//! sent in. GitHub keeps at most one draft of an account for a pull request.

use std::ops::ControlFlow;

use millstream::domain::{Failure, JobId, PrUrl};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Github, PER_PAGE, body, has_next, read, refusal, unreachable};
use crate::fault::Fault;

/// Pages of reviews that are searched.
const PAGES: u32 = 30;

/// What an answer about one review may have; it repeats what was posted.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// How often a draft that GitHub does not let go of is looked at.
const LOOKS: usize = 3;

/// How a review counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Event {
    /// Words alone.
    Comment,
    /// A vote against merging.
    RequestChanges,
    /// A vote for merging.
    Approve,
}

/// A remark on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineComment {
    /// The file.
    pub path: String,
    /// The line in its new version.
    pub line: u32,
    /// The side of the diff: the new version's.
    pub side: &'static str,
    /// The words, as Markdown.
    pub body: String,
}

/// A review to be posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewReview {
    /// The commit that was reviewed.
    pub commit_id: String,
    /// The words, as Markdown.
    pub body: String,
    /// Remarks on lines that the diff shows.
    pub comments: Vec<LineComment>,
}

/// A draft on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// GitHub's number for it.
    pub id: i64,
    /// Its words.
    pub body: String,
}

/// The parts of GitHub's description of a review that are read.
#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    state: String,
}

impl Described {
    fn is_draft(&self) -> bool {
        self.state == "PENDING"
    }

    fn words(&self) -> &str {
        self.body.as_deref().unwrap_or_default().trim_end()
    }
}

impl Github {
    /// The first review that others see and whose words end in one of these markers: whose marker it is, and the
    /// review's number.
    ///
    /// # Errors
    /// When GitHub does not list the reviews, or lists more than are searched.
    pub async fn find_review(
        &self,
        pull: &PrUrl,
        markers: &[(JobId, String)],
    ) -> Result<Option<(JobId, Option<i64>)>, Failure> {
        let mut found = None;
        self.each_review(pull, |review| {
            let ours = markers
                .iter()
                .find(|(_, marker)| !review.is_draft() && review.words().ends_with(marker));
            found = ours.map(|(job, _)| (*job, review.id));
            match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })
        .await?;
        Ok(found)
    }

    /// Writes a draft.
    ///
    /// One of ours that an earlier attempt has left in its place is taken back: its words hold `ours`. What GitHub does
    /// not let stand as it is, a line that it does not show, is written without lines: `plain` has its words.
    ///
    /// # Errors
    /// When GitHub refuses, or does not say the draft's number.
    pub async fn draft_review(
        &self,
        pull: &PrUrl,
        review: &NewReview,
        plain: &str,
        ours: &str,
    ) -> Result<Draft, Failure> {
        let mut words = review.body.as_str();
        let mut response = self.create(pull, review).await?;
        if response.status() == StatusCode::UNPROCESSABLE_ENTITY && self.clear_drafts(pull, ours).await? {
            response = self.create(pull, review).await?;
        }
        if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
            let without_lines = NewReview {
                body: plain.to_owned(),
                comments: Vec::new(),
                commit_id: review.commit_id.clone(),
            };
            words = plain;
            response = self.create(pull, &without_lines).await?;
        }
        if !response.status().is_success() {
            return Err(refusal(pull, response).await);
        }
        let id = self.described(pull, response).await?.id.ok_or_else(|| {
            let message = format!("GitHub does not say the number of a review of {}", pull.short());
            Fault::GithubGarbled.failure(message, None)
        })?;
        let body = words.to_owned();
        Ok(Draft { id, body })
    }

    /// Sends a draft in; false if it is not there any more. One that was sent in before stays as it is.
    ///
    /// A vote that GitHub does not take, as on one's own pull request, is cast as a comment.
    ///
    /// # Errors
    /// When GitHub refuses. After a failure that may pass it is not known whether the review is seen.
    pub async fn send_review(&self, pull: &PrUrl, draft: &Draft, event: Event) -> Result<bool, Failure> {
        let mut response = self.submit(pull, draft, event).await?;
        if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
            match self.review(pull, draft.id).await? {
                None => return Ok(false),
                Some(review) if !review.is_draft() => return Ok(true),
                Some(_) if event == Event::Comment => return Err(refusal(pull, response).await),
                Some(_) => response = self.submit(pull, draft, Event::Comment).await?,
            }
        }
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(refusal(pull, response).await),
        }
    }

    /// Takes a draft back, so that nobody can send it in any more. One that was sent in cannot be taken back: these are
    /// its words.
    ///
    /// # Errors
    /// When GitHub refuses, or the draft stays where it is.
    pub async fn take_back(&self, pull: &PrUrl, id: i64) -> Result<Option<String>, Failure> {
        for _ in 0..LOOKS {
            match self.review(pull, id).await? {
                None => return Ok(None),
                Some(review) if !review.is_draft() => return Ok(Some(review.words().to_owned())),
                Some(_) => {}
            }
            let request = self.client.delete(self.place_of(pull, id, &[]));
            let response = request.send().await.map_err(|error| unreachable(&error))?;
            match response.status() {
                status if status.is_success() => return Ok(None),
                // It was sent in, or taken back, in between.
                StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {}
                _ => return Err(refusal(pull, response).await),
            }
        }
        let message = format!("GitHub does not let go of the draft {id} on {}", pull.short());
        Err(Fault::GithubAway.failure(message, None))
    }

    /// Takes back drafts whose words hold this; whether there was one.
    async fn clear_drafts(&self, pull: &PrUrl, ours: &str) -> Result<bool, Failure> {
        let mut drafts = Vec::new();
        self.each_review(pull, |review| {
            if review.is_draft() && review.words().contains(ours) {
                drafts.extend(review.id);
            }
            ControlFlow::Continue(())
        })
        .await?;
        for id in &drafts {
            self.take_back(pull, *id).await?;
        }
        Ok(!drafts.is_empty())
    }

    /// Shows every review of a pull request, oldest first, until enough is seen.
    async fn each_review(
        &self,
        pull: &PrUrl,
        mut see: impl FnMut(&Described) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut left = self.max_bytes;
        for page in 1..=PAGES {
            let mut address = self.place(pull, &["reviews"]);
            address
                .query_pairs_mut()
                .append_pair("per_page", &PER_PAGE.to_string())
                .append_pair("page", &page.to_string());
            let response = self.answered(pull, self.client.get(address)).await?;
            let more = has_next(response.headers());
            let Some(bytes) = body(response, &mut left).await? else {
                break;
            };
            let reviews: Vec<Described> = read(pull, "list of reviews", &bytes)?;
            if reviews.iter().any(|review| see(review).is_break()) || !more {
                return Ok(());
            }
        }
        let message = format!("{} has more reviews than can be searched", pull.short());
        Err(Fault::GithubRefused.failure(message, None))
    }

    /// A review as it is at this moment; none if there is none.
    async fn review(&self, pull: &PrUrl, id: i64) -> Result<Option<Described>, Failure> {
        let request = self.client.get(self.place_of(pull, id, &[]));
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => self.described(pull, response).await.map(Some),
            _ => Err(refusal(pull, response).await),
        }
    }

    async fn described(&self, pull: &PrUrl, response: Response) -> Result<Described, Failure> {
        let mut left = LARGEST_ANSWER;
        let bytes = body(response, &mut left).await?.unwrap_or_default();
        read(pull, "review", &bytes)
    }

    async fn create(&self, pull: &PrUrl, review: &NewReview) -> Result<Response, Failure> {
        let request = self.client.post(self.place(pull, &["reviews"])).json(review);
        request.send().await.map_err(|error| unreachable(&error))
    }

    async fn submit(&self, pull: &PrUrl, draft: &Draft, event: Event) -> Result<Response, Failure> {
        let said = json!({ "event": event, "body": draft.body });
        let address = self.place_of(pull, draft.id, &["events"]);
        let request = self.client.post(address).json(&said);
        request.send().await.map_err(|error| unreachable(&error))
    }

    /// Where a review is, or a part of it.
    fn place_of(&self, pull: &PrUrl, id: i64, part: &[&str]) -> url::Url {
        let id = id.to_string();
        let part: Vec<&str> = ["reviews", &id].into_iter().chain(part.iter().copied()).collect();
        self.place(pull, &part)
    }
}
