//! A file of a repository at a commit.

use millstream::domain::{Failure, PrUrl};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderValue};

use super::{Github, body, refusal, unreachable};

/// The largest file that is read.
const LARGEST: usize = 1024 * 1024;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text(String),
    /// Nothing.
    Missing,
    /// No text: a binary file.
    Binary,
    /// More than is read.
    TooLarge,
}

impl Github {
    /// Fetches a file of the pull request's repository as it is at a commit; the path is in parts.
    ///
    /// # Errors
    /// When GitHub refuses, limits the rate or is away.
    pub async fn content(&self, pull: &PrUrl, commit: &str, path: &[&str]) -> Result<Content, Failure> {
        let mut address = self.api.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["repos", pull.owner(), pull.repo(), "contents"])
                .extend(path);
        }
        address.query_pairs_mut().append_pair("ref", commit);
        let raw = HeaderValue::from_static("application/vnd.github.raw+json");
        let request = self.client.get(address).header(ACCEPT, raw);
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Content::Missing);
        }
        if !response.status().is_success() {
            return Err(refusal(pull, response).await);
        }
        let mut left = LARGEST;
        let Some(bytes) = body(response, &mut left).await? else {
            return Ok(Content::TooLarge);
        };
        Ok(match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Content::Text(text),
            _ => Content::Binary,
        })
    }
}
