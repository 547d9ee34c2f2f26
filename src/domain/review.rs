//! What is reviewed, and what a review comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Verdict};
use super::pr_url::{NotAPullRequest, PrUrl};
use super::span::Usage;

/// What a review is asked about: the text in `reviews.pr_url` and in the stream's `prUrl`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewInput {
    /// A pull request, fetched from GitHub when the review runs.
    PullRequest(PrUrl),
    /// A diff whose text came with the submission and lies in Postgres; the label is
    /// `patch:<sha12>` or `git:<repo>@<range>`.
    Stored(String),
}

impl ReviewInput {
    /// Reads the text of a stream entry or a row.
    ///
    /// # Errors
    /// When it is neither a stored input's label nor the address of a pull request.
    pub fn parse(text: &str) -> Result<Self, NotAPullRequest> {
        if text.starts_with("patch:") || text.starts_with("git:") {
            return Ok(Self::Stored(text.to_owned()));
        }
        text.parse().map(Self::PullRequest)
    }

    /// A few words for a table: `acme/ledger#7`, `patch:0a1b2c3d4e5f`, `git:repo@a..b`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::PullRequest(pr) => pr.short(),
            Self::Stored(label) => label.clone(),
        }
    }
}

impl fmt::Display for ReviewInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest(pr) => pr.fmt(f),
            Self::Stored(label) => f.write_str(label),
        }
    }
}

/// A diff as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDiff {
    /// `patch:<sha12>` or `git:<repo>@<range>`.
    pub label: String,
    /// The unified diff.
    pub text: String,
}

/// What a finished review is recorded as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewResult {
    /// The judge's decision.
    pub verdict: Verdict,
    /// The judge's reason, for people.
    pub reason: String,
    /// Everything the reviewers found, gravest first.
    pub findings: Vec<Finding>,
    /// What each agent wrote, in the reference's order: security, performance, ux, judge.
    pub notes: Vec<AgentNote>,
    /// Tokens of this attempt.
    pub usage: Usage,
    /// What they cost, estimated.
    pub cost_usd: f64,
}

/// An agent's answer as the reference's `findings` table keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentNote {
    /// `security`, `performance`, `ux` or `judge`.
    pub agent: String,
    /// Its text.
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_a_pull_request_are_told_apart() {
        for text in [
            "patch:0a1b2c3d4e5f",
            "git:ledger@main~1..main",
            "https://github.com/acme/ledger/pull/7",
        ] {
            assert_eq!(ReviewInput::parse(text).expect(text).to_string(), text);
        }
        assert!(ReviewInput::parse("ledger#7").is_err());
    }
}
