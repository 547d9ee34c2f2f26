//! `millstream retry`, `cancel`, `bury` and `claim`: what an operator does to jobs by their names.

use clap::Args;
use millstream::ops::Consent;
use millstream::ops::jobs::LONGEST_REASON;

use super::moved::{self, Words};
use super::names::{self, May, Names, operator};
use super::pause::GlassArgs;
use crate::failure::Failure;
use crate::reach::{Needs, Reach};

/// Jobs, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct MoveArgs {
    #[command(flatten)]
    names: Names,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// The same, with the reason why they are given up.
#[derive(Debug, Args)]
pub struct BuryArgs {
    /// Why; it becomes the error of the dead job
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    what: MoveArgs,
}

/// Entries, and what is done while Postgres is away.
#[derive(Debug, Args)]
pub struct ClaimArgs {
    /// Why, for the book
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    glass: GlassArgs,
    #[command(flatten)]
    what: MoveArgs,
}

/// A text that says why.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=LONGEST_REASON).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(format!("1 to {LONGEST_REASON} characters are wanted"))
    }
}

/// What is said when no name led anywhere; each name says why before.
const NOTHING: &str = "nothing was done";

/// Runs retrying and scheduled jobs now.
///
/// # Errors
/// When a name is none, or Postgres is away.
pub async fn retry(args: &MoveArgs) -> Result<u8, Failure> {
    let names = names::read(&args.names.ids, May::BeJob)?;
    let reach = Reach::find(Needs::Postgres).await?;
    let mode = moved::mode(args.dry_run);
    let outcome = operator(&reach).retry(&names, mode).await?;
    let words = Words {
        verb: "retry",
        done: "retried",
        nothing: NOTHING,
    };
    moved::print(args.json, mode, words, &outcome)
}

/// Calls jobs off.
///
/// # Errors
/// When a name is none, or Postgres is away.
pub async fn cancel(args: &MoveArgs) -> Result<u8, Failure> {
    let names = names::read(&args.names.ids, May::BeJob)?;
    let reach = Reach::find(Needs::Postgres).await?;
    let mode = moved::mode(args.dry_run);
    let outcome = operator(&reach).cancel(&names, mode).await?;
    let words = Words {
        verb: "cancel",
        done: "cancelled",
        nothing: NOTHING,
    };
    moved::print(args.json, mode, words, &outcome)
}

/// Gives jobs up.
///
/// # Errors
/// When a name is none, or Postgres is away.
pub async fn bury(args: &BuryArgs) -> Result<u8, Failure> {
    let what = &args.what;
    let names = names::read(&what.names.ids, May::BeJob)?;
    let reach = Reach::find(Needs::Postgres).await?;
    let mode = moved::mode(what.dry_run);
    let outcome = operator(&reach).bury(&names, &args.reason, mode).await?;
    let words = Words {
        verb: "bury",
        done: "buried",
        nothing: NOTHING,
    };
    moved::print(what.json, mode, words, &outcome)
}

/// Takes entries from who holds them.
///
/// # Errors
/// When a name is none, or a server is away.
pub async fn claim(args: &ClaimArgs) -> Result<u8, Failure> {
    let names = names::read(&args.what.names.ids, May::BeEntry)?;
    let (needs, glass) = match args.glass.read() {
        (Needs::Postgres, glass) => (Needs::Both, glass),
        broken => broken,
    };
    let reach = Reach::find(needs).await?;
    let mode = moved::mode(args.what.dry_run);
    let consent = Consent {
        reason: args.reason.clone(),
        ..Consent::default()
    };
    let operator = operator(&reach).breaking_glass(glass).with(consent);
    let outcome = operator.claim(&names, mode).await?;
    let words = Words {
        verb: "claim",
        done: "claimed",
        nothing: NOTHING,
    };
    moved::print(args.what.json, mode, words, &outcome)
}
