//! A verdict as it is posted on a pull request: Markdown that nobody's text can break out of.
//!
//! What models and diffs have said is other people's text: it must not call people by `@`, bring in
//! HTML or pictures, or look like our marker.

use millstream::domain::{Finding, JobId, ReviewResult, Verdict};

use super::findings;
use crate::github::reviews::{Event, LineComment, NewReview};

/// Remarks on lines: more are a wall that nobody reads; the rest stands in the letter.
const COMMENTS: usize = 50;

/// GitHub takes 65,536 characters of words; the marker must fit behind them.
const LONGEST: usize = 60_000;

/// Which votes are cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Votes {
    /// None: every verdict is a comment.
    #[default]
    None,
    /// Against merging only.
    RequestChanges,
    /// Both ways.
    Both,
}

/// How every marker begins.
pub const OURS: &str = "<!-- millstream review ";

/// The end of a letter by which it is found again.
#[must_use]
pub fn marker(job: JobId, head: &str) -> String {
    format!("{OURS}{job} of {head} -->")
}

/// A letter, ready to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The words, and remarks on lines.
    pub review: NewReview,
    /// The words of a letter without remarks on lines.
    pub plain: String,
    /// How it counts.
    pub event: Event,
}

/// Writes the letter.
#[must_use]
pub fn write(result: &ReviewResult, job: JobId, head: &str, votes: Votes) -> Letter {
    let marker = marker(job, head);
    let (on_lines, others): (Vec<&Finding>, Vec<&Finding>) =
        result.findings.iter().partition(|finding| is_on_line(finding));
    let (shown, rest) = on_lines.split_at(on_lines.len().min(COMMENTS));
    let comments = shown.iter().filter_map(|finding| comment(finding)).collect();
    let told: Vec<&Finding> = rest.iter().copied().chain(others).collect();
    let all: Vec<&Finding> = result.findings.iter().collect();
    Letter {
        review: NewReview {
            commit_id: head.to_owned(),
            body: words(result, &told, &marker),
            comments,
        },
        plain: words(result, &all, &marker),
        event: event(result, votes),
    }
}

fn event(result: &ReviewResult, votes: Votes) -> Event {
    match (result.verdict, votes) {
        (Verdict::RequestChanges, Votes::RequestChanges | Votes::Both) => Event::RequestChanges,
        // Nobody votes for a change that was not read to its end: whoever wrote it may have seen to that.
        (Verdict::Approve, Votes::Both) if !result.findings.iter().any(findings::is_gap) => Event::Approve,
        _ => Event::Comment,
    }
}

fn is_on_line(finding: &Finding) -> bool {
    finding.file.is_some() && finding.line.is_some()
}

fn comment(finding: &Finding) -> Option<LineComment> {
    Some(LineComment {
        path: finding.file.clone()?,
        line: finding.line?,
        side: "RIGHT",
        body: format!(
            "**{}** ({}): {}",
            finding.severity,
            plain(&finding.agent),
            plain(&finding.note)
        ),
    })
}

/// The verdict, its reason and these findings.
fn words(result: &ReviewResult, findings: &[&Finding], marker: &str) -> String {
    let mut text = format!("**Verdict: {}**\n", result.verdict);
    if !result.reason.is_empty() {
        text.push_str(&format!("\n{}\n", plain(&result.reason)));
    }
    if !findings.is_empty() {
        text.push('\n');
    }
    for finding in findings {
        let place = match finding.location().as_str() {
            "-" => String::new(),
            place => format!(" `{}`", place.replace('`', "'")),
        };
        let (severity, agent) = (finding.severity, plain(&finding.agent));
        text.push_str(&format!(
            "- **{severity}**{place} ({agent}): {}\n",
            plain(&finding.note)
        ));
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("…\n");
    }
    format!("{text}\n{marker}")
}

/// Text that stays text: on one line, without HTML, calls and pictures.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        // A zero-width space: people see the name, and GitHub calls nobody.
        .replace('@', "@\u{200b}")
        .replace("![", "!\\[")
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream::domain::{Severity, Usage};

    fn finding(line: Option<u32>, note: &str) -> Finding {
        Finding {
            agent: "security".into(),
            severity: Severity::Warn,
            file: Some("src/a.rs".into()),
            line,
            note: note.into(),
        }
    }

    fn result(verdict: Verdict, findings: Vec<Finding>) -> ReviewResult {
        ReviewResult {
            verdict,
            reason: "Because.".into(),
            findings,
            notes: vec![],
            usage: Usage::default(),
            cost_usd: 0.0,
        }
    }

    #[test]
    fn lines_get_remarks_and_the_letter_has_the_rest() {
        let job = JobId::fresh();
        let found = vec![finding(Some(7), "on a line"), finding(None, "on the file")];
        let Letter { review, plain, .. } = write(&result(Verdict::Approve, found), job, "abc", Votes::None);
        assert_eq!(
            review.body,
            format!(
                "**Verdict: approve**\n\nBecause.\n\n- **warn** `src/a.rs` (security): on the file\n\n{}",
                marker(job, "abc")
            )
        );
        let [comment] = &review.comments[..] else {
            panic!("{:?}", review.comments)
        };
        assert_eq!(
            (comment.path.as_str(), comment.line, comment.body.as_str()),
            ("src/a.rs", 7, "**warn** (security): on a line")
        );
        assert!(plain.contains("`src/a.rs:7` (security): on a line"));
    }

    #[test]
    fn votes_are_cast_as_the_setting_says() {
        for (verdict, votes, expected) in [
            (Verdict::Approve, Votes::None, Event::Comment),
            (Verdict::Approve, Votes::RequestChanges, Event::Comment),
            (Verdict::Approve, Votes::Both, Event::Approve),
            (Verdict::RequestChanges, Votes::None, Event::Comment),
            (
                Verdict::RequestChanges,
                Votes::RequestChanges,
                Event::RequestChanges,
            ),
            (Verdict::RequestChanges, Votes::Both, Event::RequestChanges),
            (Verdict::Unknown, Votes::Both, Event::Comment),
        ] {
            assert_eq!(event(&result(verdict, Vec::new()), votes), expected);
        }
    }

    #[test]
    fn nobody_votes_for_a_change_that_was_not_read_to_its_end() {
        let unread = findings::not_reviewed("security", "part 2 of 2 by security (src/a.rs)");
        let beyond = findings::not_reviewed("filter", "all files after the first 3000");
        let picture = findings::left_out("filter", "1 binary file (logo.png)");
        for (verdict, found, expected) in [
            (Verdict::Approve, &unread, Event::Comment),
            (Verdict::Approve, &beyond, Event::Comment),
            (Verdict::Approve, &picture, Event::Approve),
            (Verdict::RequestChanges, &unread, Event::RequestChanges),
        ] {
            assert_eq!(
                event(&result(verdict, vec![found.clone()]), Votes::Both),
                expected,
                "{found:?}"
            );
        }
    }

    #[test]
    fn hostile_words_stay_words_and_a_long_letter_keeps_its_marker() {
        let job = JobId::fresh();
        let forged = format!("@octocat <img src=x> ![x](y)\n\n# {}", marker(job, "abc"));
        let mut found = vec![finding(None, &forged)];
        found.extend((0..200).map(|_| finding(Some(1), &"x".repeat(900))));
        let Letter { review, plain, .. } = write(&result(Verdict::Unknown, found), job, "abc", Votes::Both);
        assert_eq!((review.comments.len(), plain.matches("<").count()), (COMMENTS, 1));
        assert!(!plain.contains("@o") && !plain.contains("![") && !plain.contains("\n#"));
        for text in [&review.body, &plain] {
            assert!(text.ends_with(&marker(job, "abc")) && text.chars().count() < 65_536);
        }
    }
}
