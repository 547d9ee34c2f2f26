//! Reviews on a pull request: finding one of ours, and posting one.

use millstream::domain::{Failure, JobId, PrUrl};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

use super::{Github, PER_PAGE, body, has_next, read, refusal, unreachable};

/// Pages of reviews that are searched.
const PAGES: u32 = 30;

/// What an answer to a post may have; it repeats what was posted.
const LARGEST_ANSWER: usize = 1024 * 1024;

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
    /// How it counts.
    pub event: Event,
    /// The words, as Markdown.
    pub body: String,
    /// Remarks on lines that the diff shows.
    pub comments: Vec<LineComment>,
}

#[derive(Deserialize)]
struct Posted {
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    body: Option<String>,
}

impl Github {
    /// The first review whose words end in one of these markers: whose marker it is, and the review's number.
    ///
    /// # Errors
    /// When GitHub does not list the reviews, or lists more than are searched.
    pub async fn find_review(
        &self,
        pull: &PrUrl,
        markers: &[(JobId, String)],
    ) -> Result<Option<(JobId, Option<i64>)>, Failure> {
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
            let reviews: Vec<Posted> = read(pull, "list of reviews", &bytes)?;
            let author = |review: &Posted| {
                let words = review.body.as_deref().unwrap_or_default().trim_end();
                let ours = markers.iter().find(|(_, marker)| words.ends_with(marker));
                ours.map(|(job, _)| (*job, review.id))
            };
            if let Some(found) = reviews.iter().find_map(author) {
                return Ok(Some(found));
            }
            if !more {
                return Ok(None);
            }
        }
        let message = format!("{} has more reviews than can be searched", pull.short());
        Err(Fault::GithubRefused.failure(message, None))
    }

    /// Posts a review, and answers GitHub's number for it if the answer can be read.
    ///
    /// What GitHub does not let stand as it is, a line that it does not show or a vote on one's own pull
    /// request, is posted as a comment without lines: `plain` has its words.
    ///
    /// # Errors
    /// When GitHub refuses. After one that may pass it is not known whether the review is there.
    pub async fn post_review(
        &self,
        pull: &PrUrl,
        review: &NewReview,
        plain: &str,
    ) -> Result<Option<i64>, Failure> {
        let address = self.place(pull, &["reviews"]);
        let post = |review: &NewReview| self.client.post(address.clone()).json(review).send();
        let mut response = post(review).await.map_err(|error| unreachable(&error))?;
        if response.status().as_u16() == 422 {
            let plain = NewReview {
                event: Event::Comment,
                body: plain.to_owned(),
                comments: Vec::new(),
                ..review.clone()
            };
            response = post(&plain).await.map_err(|error| unreachable(&error))?;
        }
        if !response.status().is_success() {
            return Err(refusal(pull, response).await);
        }
        let mut left = LARGEST_ANSWER;
        // The review is there, whatever can be read of the answer.
        let answer = body(response, &mut left).await.ok().flatten().unwrap_or_default();
        let posted: Option<Posted> = serde_json::from_slice(&answer).ok();
        Ok(posted.and_then(|posted| posted.id))
    }
}
