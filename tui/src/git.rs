//! Diffs out of a local git repository, by the `git` command.

use std::path::Path;
use std::process::Stdio;

use millstream::untrusted::one_line;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::failure::Failure;

/// A diff with the name under which it is reviewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// `git:<repo>@<range>`.
    pub label: String,
    /// The unified diff.
    pub text: String,
}

/// Reads the diff of a range, `A..B` or `A...B`, or of one commit. At most `limit` bytes and one more are
/// read, so that a diff over the limit is known as such and not held whole.
///
/// # Errors
/// When there is no git, no repository, or no such range.
pub async fn diff(repo: &Path, range: &str, limit: usize) -> Result<Diff, Failure> {
    if range.is_empty() || range.starts_with('-') || range.contains(char::is_whitespace) {
        return Err(Failure::Usage(format!(
            "`{}` is no range of commits, like HEAD~3..HEAD",
            one_line(range, 60)
        )));
    }
    let top = output(repo, &["rev-parse", "--show-toplevel"], usize::MAX).await?;
    let name = Path::new(top.trim_end())
        .file_name()
        .map_or_else(|| "repository".into(), |n| n.to_string_lossy());
    let name: String = name
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .take(60)
        .collect();
    let (shown, text) = if range.contains("..") {
        let (from, to) = ends(repo, range).await?;
        let dots = if range.contains("...") { "..." } else { ".." };
        let asked = format!("{from}{dots}{to}");
        let text = read_diff(repo, &["diff", &asked], limit).await?;
        (format!("{}{dots}{}", short(&from), short(&to)), text)
    } else {
        let commit = commit(repo, range).await?;
        let text = read_diff(repo, &["show", "--format=", "--first-parent", &commit], limit).await?;
        (short(&commit).to_owned(), text)
    };
    Ok(Diff {
        label: format!("git:{name}@{shown}"),
        text,
    })
}

/// The newest commits that are no merges, newest first.
///
/// # Errors
/// When there is no git, no repository, or no commit.
pub async fn commits(repo: &Path, count: usize) -> Result<Vec<String>, Failure> {
    let count = format!("-n{count}");
    let list = output(repo, &["log", "--no-merges", "--format=%H", &count], usize::MAX).await?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Both ends of a range, as commits. An end that is left out is `HEAD`, as git has it.
async fn ends(repo: &Path, range: &str) -> Result<(String, String), Failure> {
    let (from, to) = range
        .split_once("...")
        .or_else(|| range.split_once(".."))
        .unwrap_or((range, ""));
    let or_head = |end: &str| {
        if end.is_empty() {
            "HEAD".to_owned()
        } else {
            end.to_owned()
        }
    };
    Ok((
        commit(repo, &or_head(from)).await?,
        commit(repo, &or_head(to)).await?,
    ))
}

async fn commit(repo: &Path, name: &str) -> Result<String, Failure> {
    let asked = format!("{name}^{{commit}}");
    let found = output(
        repo,
        &["rev-parse", "--verify", "--quiet", "--end-of-options", &asked],
        200,
    )
    .await;
    match found {
        Ok(found) => Ok(found.trim().to_owned()),
        Err(Failure::Refused(_)) => Err(Failure::Refused(format!(
            "there is no commit `{}` in {}",
            one_line(name, 60),
            repo.display()
        ))),
        Err(other) => Err(other),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Runs a command that prints a diff: no colours, no external programs, no settings of the user.
async fn read_diff(repo: &Path, arguments: &[&str], limit: usize) -> Result<String, Failure> {
    let (command, rest) = arguments.split_first().unwrap_or((&"diff", &[]));
    let mut all = vec![
        "-c",
        "core.quotePath=true",
        "-c",
        "diff.mnemonicPrefix=false",
        "-c",
        "diff.noprefix=false",
    ];
    all.push(command);
    all.extend(["--no-color", "--no-ext-diff", "--no-textconv", "--find-renames"]);
    all.extend(rest);
    all.push("--");
    output(repo, &all, limit.saturating_add(1)).await
}

/// What a git command prints, at most `limit` bytes of it.
async fn output(repo: &Path, arguments: &[&str], limit: usize) -> Result<String, Failure> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repo)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::Refused(format!("git cannot be run: {error}")))?;
    let (mut out, mut complaint) = (Vec::new(), Vec::new());
    let stdout = child.stdout.take().map(|pipe| pipe.take(limit as u64));
    let stderr = child.stderr.take().map(|pipe| pipe.take(4_096));
    let failed = |error: std::io::Error| Failure::Refused(format!("git cannot be read: {error}"));
    let (read, _) = tokio::join!(
        async {
            match stdout {
                Some(mut pipe) => pipe.read_to_end(&mut out).await,
                None => Ok(0),
            }
        },
        async {
            match stderr {
                Some(mut pipe) => pipe.read_to_end(&mut complaint).await,
                None => Ok(0),
            }
        },
    );
    read.map_err(failed)?;
    if out.len() < limit {
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let text = String::from_utf8_lossy(&complaint);
            let first = text.lines().next().unwrap_or("it says nothing");
            return Err(Failure::Refused(format!(
                "git in {}: {}",
                repo.display(),
                one_line(first, 200)
            )));
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
