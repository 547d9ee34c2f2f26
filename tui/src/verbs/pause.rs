//! `millstream pause` and `millstream resume`: a queue gives nothing out, or runs again.

use clap::Args;
use millstream::ops::{Consent, Glass};

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
    how: HowArgs,
}

/// What is done while Postgres is away.
#[derive(Debug, Args)]
pub struct GlassArgs {
    /// With Postgres away, do what Valkey alone can do; the intent is noted there and comes into the book later
    #[arg(long, requires = "reason")]
    break_glass: bool,
}

impl GlassArgs {
    /// What the verb cannot do without, and what it does without Postgres.
    pub const fn read(&self) -> (Needs, Glass) {
        if self.break_glass {
            (Needs::Valkey, Glass::Broken)
        } else {
            (Needs::Postgres, Glass::Whole)
        }
    }
}

/// Why the queue runs again, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Why, for the book
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    how: HowArgs,
}

/// How the answer is wanted.
#[derive(Debug, Args)]
struct HowArgs {
    #[command(flatten)]
    glass: GlassArgs,
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
    let (needs, glass) = args.how.glass.read();
    let reach = Reach::find(needs).await?;
    let mode = moved::mode(args.how.dry_run);
    let operator = operator(&reach).breaking_glass(glass);
    let outcome = operator.pause(args.reason.as_deref(), mode).await?;
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
    let (needs, glass) = args.how.glass.read();
    let reach = Reach::find(needs).await?;
    let mode = moved::mode(args.how.dry_run);
    let consent = Consent {
        reason: args.reason.clone(),
        ..Consent::default()
    };
    let operator = operator(&reach).breaking_glass(glass).with(consent);
    let outcome = operator.resume(mode).await?;
    let words = Words {
        verb: "resume",
        done: "resumed",
        nothing: "nothing was done",
    };
    moved::print(args.how.json, mode, words, &outcome)
}
