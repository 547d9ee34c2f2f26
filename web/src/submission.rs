//! What the body of a submission asks for. Pure: bytes in, a source and a time out.
//!
//! The answers to what names nothing to review are the reference's; what it took by mistake (numbers,
//! objects, arrays that became stream fields) is refused. Members that are not known are ignored, as
//! the reference ignores them, and cost no memory.

use std::fmt;

use chrono::{DateTime, Utc};
use millstream::domain::job::NotAPriority;
use millstream::domain::pr_url::NotAPullRequest;
use millstream::domain::{PrUrl, Priority};
use millstream::ops::submit::Source;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::problem::Problem;

/// What a client wants to have reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub source: Source,
    /// Not before this time.
    pub not_before: Option<DateTime<Utc>>,
    /// How urgent it is.
    pub priority: Priority,
    /// The address that is told of the end, as it came.
    pub callback_url: Option<String>,
}

/// What a submission may hold, for the document: `prUrl` or `patch`, one of them.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({ "prUrl": "https://github.com/octocat/hello-world/pull/1" }))]
#[expect(
    dead_code,
    reason = "it stands for the members in the document; they are read one by one"
)]
pub struct SubmissionBody {
    /// The address of a pull request: `https://github.com/OWNER/REPO/pull/NUMBER`.
    #[schema(
        rename = "prUrl",
        required = false,
        nullable = true,
        pattern = r"^https://github\.com/[A-Za-z0-9]([A-Za-z0-9-]{0,37}[A-Za-z0-9])?/[A-Za-z0-9_-]{1,100}/pull/[1-9][0-9]{0,8}([/?#]\S*)?$"
    )]
    pr_url: Option<String>,
    /// A unified diff, of at most `MAX_PATCH` bytes.
    #[schema(required = false, nullable = true)]
    patch: Option<String>,
    /// Not before this time, in RFC 3339.
    #[schema(rename = "notBefore", required = false, nullable = true, format = DateTime)]
    not_before: Option<String>,
    /// `normal` or `high`.
    #[schema(required = false, nullable = true, value_type = Option<PriorityWord>)]
    priority: Option<String>,
    /// The address that is told of the end: a public one, by HTTPS. Refused where `WEBHOOK_SECRET` is not set.
    #[schema(
        rename = "callbackUrl",
        required = false,
        nullable = true,
        pattern = r"^https://"
    )]
    callback_url: Option<String>,
}

/// How urgent it is.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for the words in the document")]
enum PriorityWord {
    Normal,
    High,
}

/// The members that are read. `null` is as good as absent.
#[derive(Debug, Default, Deserialize)]
struct Members {
    #[serde(rename = "prUrl", default)]
    pr_url: Option<Member>,
    #[serde(default)]
    patch: Option<Member>,
    #[serde(rename = "notBefore", default)]
    not_before: Option<Member>,
    #[serde(default)]
    priority: Option<Member>,
    #[serde(rename = "callbackUrl", default)]
    callback_url: Option<Member>,
}

/// The value of a member: a text, or the name of what it is instead.
#[derive(Debug)]
enum Member {
    Text(String),
    Other(&'static str),
}

/// Reads the body of a submission.
///
/// # Errors
/// A 400 that says what is wrong with it.
pub fn parse(body: &[u8]) -> Result<Wanted, Problem> {
    let members = members(body)?;
    let not_before = members.not_before.map(time).transpose()?;
    let priority = members.priority.map(priority).transpose()?.unwrap_or_default();
    let callback_url = members
        .callback_url
        .map(|member| text("callbackUrl", member))
        .transpose()?;
    let source = match (members.pr_url, members.patch) {
        (Some(_), Some(_)) => return Err(Problem::invalid("send prUrl or patch, not both")),
        (Some(url), None) => pull_request(&text("prUrl", url)?)?,
        (None, Some(patch)) => diff(patch)?,
        (None, None) => {
            return Err(Problem::nothing_to_review(
                "the body must have prUrl, the address of a pull request, or patch, a unified diff",
            ));
        }
    };
    Ok(Wanted {
        source,
        not_before,
        priority,
        callback_url,
    })
}

fn members(body: &[u8]) -> Result<Members, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => return Err(Problem::nothing_to_review("the body is empty")),
        // serde would read the members of a struct from an array by their places.
        Some(b'{') => {}
        Some(_) => return Err(Problem::nothing_to_review("the body must be a JSON object")),
    }
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is not a JSON object that can be read: {error}");
        Problem::nothing_to_review(&detail)
    })
}

/// The pull request that a text names.
///
/// # Errors
/// A 400 for what names none.
pub fn pull_request(text: &str) -> Result<Source, Problem> {
    if text.is_empty() {
        return Err(Problem::nothing_to_review("prUrl is empty"));
    }
    let pr: PrUrl = text
        .parse()
        .map_err(|error: NotAPullRequest| Problem::invalid(&error.to_string()))?;
    Ok(Source::PullRequest(pr))
}

fn diff(patch: Member) -> Result<Source, Problem> {
    let text = text("patch", patch)?;
    if text.trim().is_empty() {
        return Err(Problem::invalid("patch is empty"));
    }
    Ok(Source::Diff { label: None, text })
}

fn time(not_before: Member) -> Result<DateTime<Utc>, Problem> {
    let text = text("notBefore", not_before)?;
    DateTime::parse_from_rfc3339(&text)
        .map(|time| time.to_utc())
        .map_err(|_| Problem::invalid("notBefore must be a time of RFC 3339, like 2026-11-22T03:52:45Z"))
}

fn priority(member: Member) -> Result<Priority, Problem> {
    text("priority", member)?
        .parse()
        .map_err(|error: NotAPriority| Problem::invalid(&error.to_string()))
}

fn text(name: &str, member: Member) -> Result<String, Problem> {
    match member {
        Member::Text(text) => Ok(text),
        Member::Other(kind) => Err(Problem::invalid(&format!("{name} must be a string, not {kind}"))),
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

/// Keeps a text and walks past anything else without building it.
struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Member, E> {
        Ok(Member::Text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
        Ok(Member::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Member, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::PR_URL_IS_REQUIRED;

    const URL: &str = "https://github.com/acme/ledger/pull/7";

    fn refused(body: &str) -> Problem {
        let problem = parse(body.as_bytes()).expect_err(body);
        assert_eq!(problem.status().as_u16(), 400, "{body}");
        problem
    }

    #[test]
    fn a_pull_request_is_read() {
        let expected = Source::PullRequest(URL.parse().expect("a pull request"));
        for body in [
            format!(r#"{{"prUrl":"{URL}"}}"#),
            format!(" \r\n\t{{ \"prUrl\" : \"{URL}/files\" }} \n"),
            format!(r#"{{"prUrl":"{URL}","patch":null,"notBefore":null}}"#),
            r#"{"prUrl":"https:\/\/github.com\/acme\/ledger\/pull\/7"}"#.to_owned(),
        ] {
            let wanted = parse(body.as_bytes()).expect(&body);
            assert_eq!(wanted.source, expected);
            assert_eq!(wanted.not_before, None);
        }
    }

    #[test]
    fn a_patch_is_read_as_it_came() {
        let wanted = parse(br#"{"patch":"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\u00e4\n+b\n","prUrl":null}"#);
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-ä\n+b\n".to_owned();
        assert_eq!(wanted.expect("right").source, Source::Diff { label: None, text });
    }

    #[test]
    fn members_that_are_not_known_are_ignored() {
        let body = format!(
            r#"{{"workflow":"x","source":[1,{{"a":[]}}],"id":null,"patches":9e9,"prUrl":"{URL}","":{{}}}}"#
        );
        assert!(parse(body.as_bytes()).is_ok());
    }

    #[test]
    fn what_names_nothing_to_review_gets_the_answer_of_the_reference() {
        for body in [
            "",
            " \n",
            "null",
            "[]",
            r#"["https://github.com/acme/ledger/pull/7"]"#,
            r#""x""#,
            "7",
            "true",
            "{}",
            r#"{"prUrl":null}"#,
            r#"{"prUrl":""}"#,
            r#"{"prurl":"https://github.com/acme/ledger/pull/7"}"#,
            r#"{"patch":null}"#,
            "{",
            r#"{"prUrl":}"#,
            r#"{"prUrl":"x"} trailing"#,
            "prUrl=https%3A%2F%2Fgithub.com",
            "\u{feff}{}",
            r#"{"prUrl":"\ud800"}"#,
            r#"{"prUrl":"a","prUrl":"b"}"#,
        ] {
            assert_eq!(refused(body).error(), PR_URL_IS_REQUIRED, "{body}");
        }
        assert_eq!(
            parse(b"{\"prUrl\":\"\xff\"}").expect_err("no text").error(),
            PR_URL_IS_REQUIRED
        );
        let deep = format!(r#"{{"prUrl":{}"#, "[".repeat(100_000));
        assert_eq!(refused(&deep).error(), PR_URL_IS_REQUIRED);
    }

    #[test]
    fn a_wrong_type_is_named() {
        for (value, kind) in [
            ("123", "a number"),
            ("-1", "a number"),
            ("1.5", "a number"),
            ("true", "a boolean"),
            (r#"{"a":1}"#, "an object"),
            (r#"["u","reviewId","victim"]"#, "an array"),
        ] {
            for name in ["prUrl", "patch"] {
                let problem = refused(&format!(r#"{{"{name}":{value}}}"#));
                assert_eq!(problem.detail(), format!("{name} must be a string, not {kind}"));
            }
            for name in ["notBefore", "priority", "callbackUrl"] {
                let problem = refused(&format!(r#"{{"prUrl":"{URL}","{name}":{value}}}"#));
                assert_eq!(problem.detail(), format!("{name} must be a string, not {kind}"));
            }
        }
    }

    #[test]
    fn what_is_no_pull_request_is_refused_before_it_can_cost_anything() {
        for url in [
            " ",
            "not a url",
            "https://github.com/../user?x=/pull/1",
            "https://github.com/a/b?/pull/1",
            "https://evil.example/a/b/pull/1",
            r"https://github.com/a/b/pull/1\u0000",
            r"https://github.com/a/b/pull/1\n[queue-agents:worker] forged",
            r"\u001b[31mred",
        ] {
            let problem = refused(&format!(r#"{{"prUrl":"{url}"}}"#));
            assert!(problem.detail().starts_with("cannot parse PR URL"), "{url}");
            assert!(!problem.detail().chars().any(char::is_control), "{url}");
        }
        let huge = format!(r#"{{"prUrl":"{}"}}"#, "x".repeat(1_000_000));
        assert!(refused(&huge).detail().len() < 1_000);
    }

    #[test]
    fn both_at_once_and_an_empty_patch_are_refused() {
        for body in [
            format!(r#"{{"prUrl":"{URL}","patch":"x"}}"#),
            r#"{"prUrl":"","patch":"x"}"#.to_owned(),
            r#"{"prUrl":1,"patch":2}"#.to_owned(),
        ] {
            assert_eq!(refused(&body).detail(), "send prUrl or patch, not both");
        }
        for patch in ["", r" \n\t"] {
            assert_eq!(
                refused(&format!(r#"{{"patch":"{patch}"}}"#)).detail(),
                "patch is empty"
            );
        }
    }

    #[test]
    fn a_later_time_is_read_with_its_offset() {
        let body = format!(r#"{{"prUrl":"{URL}","notBefore":"2026-11-22T05:52:45.5+02:00"}}"#);
        let time = parse(body.as_bytes()).expect("right").not_before.expect("a time");
        assert_eq!(time.to_rfc3339(), "2026-11-22T03:52:45.500+00:00");
        for wrong in [
            "",
            "soon",
            "2026-11-22",
            "2026-11-22T03:52:45",
            "1795321965",
            "2026-13-01T00:00:00Z",
        ] {
            let problem = refused(&format!(r#"{{"prUrl":"{URL}","notBefore":"{wrong}"}}"#));
            assert!(problem.detail().contains("RFC 3339"), "{wrong}");
        }
    }
}
