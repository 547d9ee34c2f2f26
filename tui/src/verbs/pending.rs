//! `millstream pending`: who holds which entry.

use clap::Args;
use millstream::reports::{self, PendingReport};

use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// How much of the list is shown.
#[derive(Debug, Args)]
pub struct PendingArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Prints the list.
///
/// # Errors
/// When Valkey is away.
pub async fn run(args: &PendingArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Valkey).await?;
    let list = reports::pending(&reach.store, &reach.queue, args.limit as usize).await?;
    output::answer(args.json, &list.rows, |rows| in_columns(rows))?;
    if let Some(error) = list.without_attempts {
        output::say(format_args!("failed to {error}; the attempts are not known"));
    }
    Ok(0)
}

fn in_columns(rows: &[PendingReport]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    output::table(
        &[
            "ENTRY",
            "ID",
            "WORKER",
            "IDLE",
            "DELIVERED",
            "TRY",
            "DUE",
            "PAYLOAD",
        ],
        &rows,
    )
}

fn row(one: &PendingReport) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        one.entry.clone(),
        one.id.clone().unwrap_or_else(dash),
        one.worker.clone().unwrap_or_else(|| "parked".to_owned()),
        output::seconds(one.idle_s),
        one.deliveries.to_string(),
        one.attempt.map_or_else(dash, |attempt| attempt.to_string()),
        one.due.clone().unwrap_or_else(dash),
        if one.payload { "yes" } else { "gone" }.to_owned(),
    ]
}
