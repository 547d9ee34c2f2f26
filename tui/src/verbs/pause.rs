//! `millstream pause` and `millstream resume`: a queue gives nothing out, or runs again.

use clap::Args;

use super::moved::{self, Words};
use super::names::operator;
use super::operate::reason;
use crate::failure::Failure;
use crate::reach::{Needs, Reach};

/// Why the queue is paused.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Why; whoever asks for the status is told
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    how: ResumeArgs,
}

/// How the answer is wanted.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Pauses the queue.
///
/// # Errors
/// When Postgres is away.
pub async fn pause(args: &PauseArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let mode = moved::mode(args.how.dry_run);
    let outcome = operator(&reach).pause(args.reason.as_deref(), mode).await?;
    let words = Words {
        verb: "pause",
        done: "paused",
        nothing: "nothing was done",
    };
    moved::print(args.how.json, mode, words, &outcome)
}

/// Lets it run again.
///
/// # Errors
/// When Postgres is away.
pub async fn resume(args: &ResumeArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let mode = moved::mode(args.dry_run);
    let outcome = operator(&reach).resume(mode).await?;
    let words = Words {
        verb: "resume",
        done: "resumed",
        nothing: "nothing was done",
    };
    moved::print(args.json, mode, words, &outcome)
}
