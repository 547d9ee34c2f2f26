//! `millstream runs`, and `millstream run show|pause|abort|resume ID`: plans that put dead jobs back.

use std::time::Duration;

use clap::{Args, Subcommand};
use millstream::domain::RunId;
use millstream::ops::{OpsError, Refused};
use millstream::reports::{self, RunDetail, RunReport};
use millstream::store::runs::RunRow;
use millstream::untrusted::visible;
use tokio::time::{Instant, sleep};

use super::names::operator;
use super::requeue::drive;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// A run whose driver was killed is nobody's after five seconds.
const DRIVER_GONE_WITHIN: Duration = Duration::from_secs(8);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Which runs are listed.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// What is done about a run.
#[derive(Debug, Subcommand)]
pub enum RunVerb {
    /// Show how far it got, and what became of each job
    Show(RunArgs),
    /// Let nothing more move until it is resumed
    Pause(RunArgs),
    /// End it; what was put back stays so
    Abort(RunArgs),
    /// Go on with it, here, to its end
    Resume(RunArgs),
}

/// Which run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The run, as r-41
    #[arg(value_name = "ID")]
    id: RunId,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Lists the runs.
///
/// # Errors
/// When Postgres is away.
pub async fn list(args: &RunsArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let rows = reports::runs(&reach.store, &reach.settings.name, args.limit).await?;
    output::answer(args.json, &rows, |rows| in_columns(rows))?;
    Ok(0)
}

/// Runs the verb.
///
/// # Errors
/// When there is no such run, when its state does not allow it, or when Postgres is away.
pub async fn run(verb: &RunVerb) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let operator = operator(&reach);
    match verb {
        RunVerb::Show(args) => show(&reach, args).await,
        RunVerb::Pause(args) => print(&operator.pause_run(args.id).await?, args.json).map(|()| 0),
        RunVerb::Abort(args) => print(&operator.abort_run(args.id).await?, args.json).map(|()| 0),
        RunVerb::Resume(args) => {
            let until = Instant::now() + DRIVER_GONE_WITHIN;
            loop {
                match operator.resume_run(args.id).await {
                    Ok(_) => break,
                    // It may have been killed a moment ago.
                    Err(OpsError::Refused(Refused::Driven(..))) if Instant::now() < until => {
                        sleep(LOOK_EVERY).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            drive(&operator, args.id, args.json, None).await
        }
    }
}

async fn show(reach: &Reach, args: &RunArgs) -> Result<u8, Failure> {
    let detail = reports::run(&reach.store, &reach.settings.name, args.id).await?;
    let detail = detail.ok_or_else(|| Failure::Refused(format!("there is no run {}", args.id)))?;
    output::answer(args.json, &detail, in_words)?;
    Ok(0)
}

/// Prints where a run stands.
///
/// # Errors
/// When standard output fails.
pub fn print(row: &RunRow, as_json: bool) -> Result<(), Failure> {
    output::answer(as_json, &reports::run_report(row), |report| {
        in_columns(std::slice::from_ref(report))
    })
}

fn in_columns(rows: &[RunReport]) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(
        &[
            "RUN", "STATE", "MOVED", "DONE", "FAILED", "SKIPPED", "WHO", "BEGUN", "REASON", "WHY",
        ],
        &cells,
    )
}

fn cells(one: &RunReport) -> Vec<String> {
    let counts = &one.counts;
    let state = match &one.driver {
        None if one.state == millstream::domain::RunState::Running => "left".to_owned(),
        _ => one.state.to_string(),
    };
    vec![
        one.id.to_string(),
        state,
        format!("{} of {}", counts.requeued, counts.total),
        counts.done.to_string(),
        counts.failed.to_string(),
        counts.skipped.to_string(),
        one.who.clone(),
        one.created_at.clone(),
        one.reason.chars().take(60).collect(),
        one.why.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn in_words(detail: &RunDetail) -> Vec<String> {
    let mut lines = in_columns(std::slice::from_ref(&detail.run));
    lines.push(String::new());
    let rows: Vec<Vec<String>> = detail
        .items
        .iter()
        .map(|item| {
            let dash = || "-".to_owned();
            vec![
                item.id.clone(),
                item.state.clone(),
                item.result.clone().unwrap_or_else(dash),
                item.at.clone().unwrap_or_else(dash),
                item.why.as_deref().map_or_else(dash, visible),
            ]
        })
        .collect();
    lines.extend(output::table(&["ID", "STATE", "RESULT", "AT", "WHY"], &rows));
    lines
}
