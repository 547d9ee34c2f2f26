//! What a pull request is at this moment: its newest commit, and how many files it changes.

use millstream::domain::{Failure, PrUrl};
use serde::Deserialize;
use url::Url;

use super::{Github, body, read};
use crate::fault::Fault;

/// The description of a pull request is a few dozen kilobytes; its text alone may have 65,536 characters.
const LARGEST: usize = 1024 * 1024;

/// A pull request at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullHead {
    /// Its newest commit, in hexadecimal digits.
    pub commit: String,
    /// How many files it changes.
    pub changed_files: u64,
}

/// The parts of GitHub's description that are read.
#[derive(Deserialize)]
struct Described {
    head: Head,
    #[serde(default)]
    changed_files: u64,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

impl Github {
    /// Asks for the pull request itself.
    ///
    /// # Errors
    /// When GitHub does not describe it.
    pub async fn head(&self, pull: &PrUrl) -> Result<PullHead, Failure> {
        let response = self
            .answered(pull, self.client.get(self.place(pull, &[])))
            .await?;
        let mut left = LARGEST;
        let bytes = body(response, &mut left).await?.unwrap_or_default();
        let Described { head, changed_files } = read(pull, "description", &bytes)?;
        if !is_commit(&head.sha) {
            let message = format!("GitHub names no commit as the head of {}", pull.short());
            return Err(Fault::GithubGarbled.failure(message, None));
        }
        Ok(PullHead {
            commit: head.sha,
            changed_files,
        })
    }
}

/// The commit that the address of a file's text names.
pub(super) fn commit_of(contents_url: &str) -> Option<String> {
    let address = Url::parse(contents_url).ok()?;
    let (_, commit) = address.query_pairs().find(|(name, _)| name == "ref")?;
    is_commit(&commit).then(|| commit.into_owned())
}

/// Whether a text is the whole name of a commit.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
