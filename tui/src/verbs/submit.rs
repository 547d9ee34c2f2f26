//! `millstream submit`: a pull request, a patch, or a range of a repository, for review.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use millstream::domain::{JobId, JobState, PrUrl, diff};
use millstream::exit::Exit;
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Callbacks, OpsError, Submitter};
use millstream::reports::{self, ReviewReport};
use millstream::untrusted::visible;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cli::{InputArgs, SubmitArgs};
use crate::failure::Failure;
use crate::reach::{Needs, Reach};
use crate::verbs::names::operator;
use crate::{git, output};

/// The review does not approve.
const REQUEST_CHANGES: u8 = 3;
/// The job is dead or cancelled.
const NOT_REVIEWED: u8 = 4;
/// The wait was too long; the job goes on.
const TIMED_OUT: u8 = 5;

/// Submits, and waits if asked to.
///
/// # Errors
/// When the input is no change that can be reviewed, or a server is away.
pub async fn run(args: SubmitArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let source = source(&args.input, reach.max_patch).await?;
    let idempotency = args.idempotency_key.clone().map(|key| ("cli".to_owned(), key));
    let submission = Submission {
        source,
        run_at: args.at,
        priority: args.priority,
        callback: args.callback.clone(),
        idempotency,
        traceparent: None,
    };
    let submitter = Submitter::new(
        reach.store.clone(),
        reach.queue.clone(),
        reach.settings.clone(),
        reach.max_patch,
    )
    // Whether the workers can sign is not known here; what they cannot deliver waits for those that can.
    .with_callbacks(Callbacks::Taken(reach.callbacks));
    let submitted = submitter.submit_as(&operator(&reach), submission).await?;
    let (report, code) = if args.wait {
        wait(&reach, submitted.id, args.timeout).await?
    } else {
        (load(&reach, submitted.id).await?, 0)
    };
    output::answer(args.json, &report, |report| in_words(report, args.wait))?;
    if code == TIMED_OUT {
        let time = humantime::format_duration(args.timeout);
        output::say(format_args!("no result within {time}; the review goes on"));
    }
    Ok(code)
}

/// Reads what is to be reviewed, and refuses what cannot be before anything is written.
pub async fn source(input: &InputArgs, limit: usize) -> Result<Source, Failure> {
    let (label, text) = match (&input.git, input.target.as_deref()) {
        (Some(range), _) => {
            let diff = git::diff(&input.repo, range, limit).await?;
            (Some(diff.label), diff.text)
        }
        (None, Some("-")) => (None, read_text("standard input", std::io::stdin().lock(), limit)?),
        (None, Some(target)) => return source_of(target, limit),
        (None, None) => return Err(Failure::Usage("nothing to submit".to_owned())),
    };
    diff_of(label, text, "standard input", limit)
}

/// What an address or the path of a patch stands for.
///
/// # Errors
/// When it is neither, or no change that can be reviewed.
pub fn source_of(target: &str, limit: usize) -> Result<Source, Failure> {
    if looks_like_address(target) {
        let pr: PrUrl = target
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        return Ok(Source::PullRequest(pr));
    }
    diff_of(None, read_file(Path::new(target), limit)?, target, limit)
}

fn diff_of(label: Option<String>, text: String, named: &str, limit: usize) -> Result<Source, Failure> {
    if text.len() > limit {
        return Err(OpsError::TooLarge {
            bytes: text.len(),
            limit,
        }
        .into());
    }
    let what = label.as_deref().unwrap_or(named);
    // Submitting asks again; asked here the answer can name the file.
    diff::parse(&text).map_err(|error| Failure::Refused(format!("{}: {error}", visible(what))))?;
    Ok(Source::Diff { label, text })
}

/// Whether a person meant an address and no file.
fn looks_like_address(target: &str) -> bool {
    target.contains("://")
        || ["github.com/", "www.github.com/"]
            .iter()
            .any(|start| target.starts_with(start))
}

fn read_file(path: &Path, limit: usize) -> Result<String, Failure> {
    let shown = visible(&path.display().to_string());
    let unreadable = |error: std::io::Error| Failure::Refused(format!("{shown}: {error}"));
    if path.is_dir() {
        return Err(Failure::Refused(format!(
            "{shown} is a folder; name a patch file, or use --git RANGE --repo {shown}"
        )));
    }
    read_text(&shown, std::fs::File::open(path).map_err(unreadable)?, limit)
}

/// Reads a text, one byte further than the limit at the most.
fn read_text(name: &str, from: impl Read, limit: usize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Refused(format!("{name}: {error}")))?;
    if bytes.len() > limit {
        let text = format!("{name} is larger than the {limit} bytes that MAX_PATCH allows");
        return Err(Failure::Refused(text));
    }
    if bytes.contains(&0) {
        return Err(Failure::Refused(format!("{name} is a binary file, not a patch")));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::Refused(format!("{name} is not UTF-8 text, so not a patch")))
}

async fn load(reach: &Reach, id: JobId) -> Result<ReviewReport, Failure> {
    let report = reports::review(&reach.store, id).await?;
    report.ok_or_else(|| Failure::Refused(format!("review {id} was accepted and is gone")))
}

/// Asks until the review has ended. A server that goes away for a while is waited for.
async fn wait(reach: &Reach, id: JobId, timeout: Duration) -> Result<(ReviewReport, u8), Failure> {
    let until = Instant::now() + timeout;
    let mut ticks = interval(Duration::from_millis(200));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let late = Instant::now() >= until;
        match load(reach, id).await {
            Ok(report) => match ended(&report) {
                Some(code) => return Ok((report, code)),
                None if late => return Ok((report, TIMED_OUT)),
                None => {}
            },
            Err(failure) if failure.exit() == Exit::Unreachable && !late => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// The exit code of a review that has ended.
fn ended(report: &ReviewReport) -> Option<u8> {
    match report.status.parse::<JobState>().ok()? {
        JobState::Done if report.verdict.as_deref() == Some("approve") => Some(0),
        // A verdict that nobody can read is no approval.
        JobState::Done => Some(REQUEST_CHANGES),
        JobState::Dead | JobState::Dropped | JobState::Cancelled => Some(NOT_REVIEWED),
        JobState::Scheduled | JobState::Waiting | JobState::Running | JobState::Retrying => None,
    }
}

fn in_words(report: &ReviewReport, waited: bool) -> Vec<String> {
    if !waited {
        return vec![format!("{}  {}", report.id, report.status)];
    }
    let verdict = report.verdict.as_deref().unwrap_or(&report.status);
    let mut lines = vec![format!("{verdict}  {}  attempt {}", report.id, report.attempt)];
    lines.extend(report.reason.as_deref().map(visible));
    if !report.findings.is_empty() {
        let rows: Vec<Vec<String>> = report
            .findings
            .iter()
            .map(|f| {
                vec![
                    f.severity.clone(),
                    f.agent.clone(),
                    f.location.clone(),
                    f.note.clone(),
                ]
            })
            .collect();
        lines.push(String::new());
        lines.extend(output::table(&["SEVERITY", "AGENT", "LOCATION", "NOTE"], &rows));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_files_are_told_apart() {
        for address in ["https://github.com/a/b/pull/1", "http://x", "github.com/a/b"] {
            assert!(looks_like_address(address), "{address}");
        }
        for file in ["fix.patch", "./github.com", "dir/github.com/x"] {
            assert!(!looks_like_address(file), "{file}");
        }
    }

    #[test]
    fn what_is_no_text_or_too_long_is_refused() {
        let why = |bytes: &[u8]| read_text("f", bytes, 4).expect_err("refused").to_string();
        assert_eq!(why(b"a\0b"), "f is a binary file, not a patch");
        assert_eq!(why(b"\xff\xfe"), "f is not UTF-8 text, so not a patch");
        assert_eq!(
            why(b"12345"),
            "f is larger than the 4 bytes that MAX_PATCH allows"
        );
        assert_eq!(read_text("f", &b"1234"[..], 4).expect("at the limit"), "1234");
    }
}
