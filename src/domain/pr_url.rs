//! The address of a pull request, parsed and never searched for.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::untrusted::one_line;

/// A pull request on GitHub.
///
/// Owner and repository hold only what GitHub allows in them, so a path built from them cannot
/// leave the repository, whatever a client sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PrUrl {
    owner: String,
    repo: String,
    number: u32,
}

impl PrUrl {
    /// The account that owns the repository.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The number of the pull request.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// `owner/repo#number`, for people.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}/{}#{}", self.owner, self.repo, self.number)
    }
}

impl fmt::Display for PrUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "https://github.com/{}/{}/pull/{}",
            self.owner, self.repo, self.number
        )
    }
}

/// The text is not the address of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse PR URL: \"{0}\" (expected https://github.com/{{owner}}/{{repo}}/pull/{{number}})")]
pub struct NotAPullRequest(pub String);

impl FromStr for PrUrl {
    type Err = NotAPullRequest;

    /// Reads `https://github.com/OWNER/REPO/pull/N` with anything after it (`/files`, a query).
    /// `http://`, no scheme and `www.` are taken as a person may paste them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The message is shown and logged: it holds one line, whatever was sent.
        parse(text.trim()).ok_or_else(|| NotAPullRequest(one_line(text, 200)))
    }
}

fn parse(text: &str) -> Option<PrUrl> {
    // A URL parser repairs `..` and strips line ends; what needs repair is refused instead.
    if text.len() > 2_000 || text.contains("..") || text.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return None;
    }
    let absolute = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&absolute).ok()?;
    let plain = matches!(url.scheme(), "https" | "http")
        && matches!(url.host_str(), Some("github.com" | "www.github.com"))
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain {
        return None;
    }
    let mut segments = url.path_segments()?;
    let (owner, repo) = (segments.next()?, segments.next()?);
    if segments.next()? != "pull" {
        return None;
    }
    let number: u32 = segments
        .next()
        .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()?;
    (is_owner(owner) && is_repo(repo) && number > 0).then(|| PrUrl {
        owner: owner.to_owned(),
        repo: repo.to_owned(),
        number,
    })
}

fn is_owner(name: &str) -> bool {
    (1..=39).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_repo(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name != "."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_paste_is_read() {
        for text in [
            "https://github.com/acme/ledger/pull/7",
            "http://github.com/acme/ledger/pull/7",
            "github.com/acme/ledger/pull/7",
            "www.github.com/acme/ledger/pull/7",
            " https://github.com/acme/ledger/pull/7/files?w=1#diff ",
            "https://github.com/acme/ledger/pull/007",
            "https://GitHub.com/acme/ledger/pull/7",
        ] {
            let pr: PrUrl = text.parse().expect(text);
            assert_eq!(pr.to_string(), "https://github.com/acme/ledger/pull/7");
            assert_eq!(pr.short(), "acme/ledger#7");
        }
    }

    #[test]
    fn what_is_no_pull_request_is_refused() {
        for text in [
            "",
            " ",
            "not a url",
            "https://github.com/acme/ledger",
            "https://github.com/acme/ledger/pulls/7",
            "https://github.com/acme/ledger/pull/",
            "https://github.com/acme/ledger/pull/1abc",
            "https://github.com/acme/ledger/pull/0",
            "https://github.com/acme/ledger/pull/99999999999",
            "https://notgithub.com/acme/ledger/pull/7",
            "https://github.com.evil.example/acme/ledger/pull/7",
            "https://evil.example/?github.com/a/b/pull/2",
            "https://github.com/../user?x=/pull/1",
            "https://github.com/a/b?/pull/1",
            "https://github.com/a#/b/pull/1",
            "https://user:pass@github.com/a/b/pull/1",
            "https://github.com:8443/a/b/pull/1",
            "https://github.com/a%2fb/c/pull/1",
            "ftp://github.com/a/b/pull/1",
            "https://github.com/a/b\n/pull/1",
            "https://github.com/a/\u{1b}[31m/pull/1",
        ] {
            assert!(text.parse::<PrUrl>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_back_to_itself(text in ".{0,80}", tail in "[a-z0-9/._%-]{0,40}") {
            for candidate in [text, format!("https://github.com/{tail}")] {
                if let Ok(pr) = candidate.parse::<PrUrl>() {
                    prop_assert_eq!(pr.to_string().parse::<PrUrl>(), Ok(pr));
                }
            }
        }
    }
}
