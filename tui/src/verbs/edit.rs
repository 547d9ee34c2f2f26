//! `millstream dead edit ID`: a dead review gets another input, and a new one takes its place.

use clap::Args;
use millstream::exit::Exit;
use millstream::ops::submit::Submission;
use millstream::ops::{Consent, Refusal, Submitter};
use millstream::untrusted::visible;
use serde::Serialize;

use super::moved;
use super::names::{self, May, operator};
use super::operate::reason;
use super::submit::source;
use crate::cli::InputArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Which dead job, and what is to be reviewed in its place.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The dead job: its whole id, or the first 6 digits or more
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    input: InputArgs,
    /// Why, for the book
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    verb: &'static str,
    dry_run: bool,
    done: &'a [String],
    refused: &'a [Refusal],
    /// The job in the place of the dead one.
    id: Option<String>,
}

/// Accepts the new input.
///
/// # Errors
/// When it cannot be reviewed, or Postgres is away.
pub async fn run(args: &EditArgs) -> Result<u8, Failure> {
    let name = names::read(std::slice::from_ref(&args.id), May::BeJob)?;
    let reach = Reach::find(Needs::Postgres).await?;
    let source = source(&args.input, reach.max_patch).await?;
    let (store, queue) = (reach.store.clone(), reach.queue.clone());
    let submitter = Submitter::new(store, queue, reach.settings.clone(), reach.max_patch);
    let operator = operator(&reach).with(Consent {
        reason: args.reason.clone(),
        ..Consent::default()
    });
    let mode = moved::mode(args.dry_run);
    let edited = operator
        .edit_dead(&submitter, &name[0], Submission::now(source), mode)
        .await?;
    let answer = Answer {
        verb: "dead edit",
        dry_run: args.dry_run,
        done: &edited.outcome.done,
        refused: &edited.outcome.refused,
        id: edited.job.map(|job| job.to_string()),
    };
    output::answer(args.json, &answer, |answer| {
        let line = |old: &String| match &answer.id {
            Some(new) => format!("edited  {old}  {new}"),
            None => format!("would be edited  {old}"),
        };
        answer.done.iter().map(line).collect()
    })?;
    if !args.json {
        for Refusal { id, why } in &edited.outcome.refused {
            eprintln!("millstream: {}: {}", visible(id), visible(&why.to_string()));
        }
    }
    Ok(if edited.outcome.is_complete() {
        0
    } else {
        Exit::Refused.code()
    })
}
