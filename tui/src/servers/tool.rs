//! Helper programs (`initdb`, `pip`, `apt-get`) that are run to their end, with a limit, and whose last line
//! is their excuse.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::process::log::last_line;

/// A helper did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    /// There is no such program, so the next way may be tried.
    #[error("not found")]
    Absent,
    /// It could not be run, took too long, or failed; the text is one line.
    #[error("{0}")]
    Failed(String),
}

/// Runs a helper and answers its standard output.
pub(super) async fn run(command: &mut Command, within: Duration) -> Result<String, ToolError> {
    run_with_input(command, "", within).await
}

/// Runs a helper with a text on its standard input and answers its standard output. It is killed when it
/// takes longer than `within`, and when nobody waits for it any more.
pub(super) async fn run_with_input(
    command: &mut Command,
    input: &str,
    within: Duration,
) -> Result<String, ToolError> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ToolError::Absent,
        _ => ToolError::Failed(error.to_string()),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input is no fault; what it makes of that shows in its status.
        let _unread = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
    }
    let output = tokio::time::timeout(within, child.wait_with_output())
        .await
        .map_err(|_| ToolError::Failed(format!("no end after {} s", within.as_secs())))?
        .map_err(|error| ToolError::Failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = last_line(&String::from_utf8_lossy(&output.stderr));
    let said = said.or_else(|| last_line(&String::from_utf8_lossy(&output.stdout)));
    Err(ToolError::Failed(
        said.unwrap_or_else(|| output.status.to_string()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_helper_answers_its_output_or_its_last_line() {
        assert_eq!(
            run_with_input(&mut sh("cat"), "hello", SHORT).await.unwrap(),
            "hello"
        );
        let failed = run(&mut sh("echo warming up >&2; echo no disk >&2; exit 3"), SHORT).await;
        assert_eq!(failed.unwrap_err().to_string(), "no disk");
        let silent = run(&mut sh("exit 3"), SHORT).await;
        assert_eq!(silent.unwrap_err().to_string(), "exit status: 3");
    }

    #[tokio::test]
    async fn an_absent_helper_is_told_from_a_failed_one() {
        assert!(matches!(
            run(&mut Command::new("/no/such/tool"), SHORT).await,
            Err(ToolError::Absent)
        ));
        let late = run(&mut sh("exec sleep 30"), Duration::from_millis(10)).await;
        assert_eq!(late.unwrap_err().to_string(), "no end after 0 s");
    }
}
