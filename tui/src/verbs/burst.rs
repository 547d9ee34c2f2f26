//! `millstream burst N`: many of the demo's diffs are submitted at once.

use std::path::Path;

use clap::Args;
use millstream::ops::submit::{Source, Submission};
use millstream::ops::{Mode, Submitter};

use super::moved::{self, Words};
use super::names::operator;
use crate::demo::diffs;
use crate::failure::Failure;
use crate::reach::{Needs, Reach};

/// How many, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct BurstArgs {
    /// So many diffs: those that the demo brings, and the commits of the repository here
    #[arg(value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Submits them.
///
/// # Errors
/// When Postgres is away.
pub async fn run(args: &BurstArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let Reach {
        store,
        queue,
        settings,
        max_patch,
        ..
    } = &reach;
    let submitter = Submitter::new(store.clone(), queue.clone(), settings.clone(), *max_patch);
    let diffs = diffs::gather(Path::new(".")).await;
    let submissions = diffs.iter().cycle().take(usize::from(args.count));
    let submissions = submissions.map(|text| {
        Submission::now(Source::Diff {
            label: None,
            text: text.clone(),
        })
    });
    let outcome = operator(&reach).burst(&submitter, submissions.collect()).await?;
    let words = Words {
        verb: "burst",
        done: "submitted",
        nothing: "nothing was submitted",
    };
    moved::print(args.json, Mode::Real, words, &outcome)
}
