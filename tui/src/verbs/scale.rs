//! `millstream scale N`: how many workers there are, in a demo or on Render.

use std::sync::Arc;

use clap::Args;
use millstream::ops::{DemoFleet, Fleet, Operator, Scaled};
use millstream::settings::process_environment;
use serde::Serialize;

use super::moved;
use super::names::operator;
use super::operate::reason;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};
use crate::render_api::RenderFleet;

/// How many, and how the answer is wanted.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// So many workers
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    workers: u32,
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
struct Answer {
    verb: &'static str,
    dry_run: bool,
    #[serde(flatten)]
    scaled: Scaled,
}

/// An operator with the fleet in reach that the settings name, else that of the demo.
///
/// # Errors
/// When the settings make no sense.
pub fn with_fleet(operator: &Operator, reach: &Reach) -> Result<Operator, Failure> {
    let fleet: Arc<dyn Fleet> = match RenderFleet::read(&process_environment)? {
        Some(fleet) => Arc::new(fleet),
        // Whoever named the servers of a demo by hand reaches it too.
        None => Arc::new(DemoFleet::new(reach.store.clone(), reach.settings.name.clone())),
    };
    Ok(operator.with_fleet(fleet))
}

/// Scales the fleet.
///
/// # Errors
/// When there is none, when it refuses, or when Postgres is away.
pub async fn run(args: &ScaleArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let operator = with_fleet(&operator(&reach), &reach)?.with(millstream::ops::Consent {
        reason: args.reason.clone(),
        ..millstream::ops::Consent::default()
    });
    let scaled = operator.scale(args.workers, moved::mode(args.dry_run)).await?;
    let answer = Answer {
        verb: "scale",
        dry_run: args.dry_run,
        scaled,
    };
    let would = if args.dry_run { "would be scaled" } else { "scaled" };
    output::answer(args.json, &answer, |answer| {
        vec![format!(
            "{would}  {} > {} workers",
            answer.scaled.from, answer.scaled.to
        )]
    })?;
    Ok(0)
}
