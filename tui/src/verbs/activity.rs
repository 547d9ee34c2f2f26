//! `millstream activity`: what operators did, when, to which jobs, and what came of it.

use std::time::Duration;

use clap::Args;
use millstream::clock;
use millstream::reports::{self, ActionReport};
use millstream::store::actions::Wanted;

use crate::cli::duration;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Which actions are listed.
#[derive(Debug, Args)]
pub struct ActivityArgs {
    /// Only those of the last so long, as 15m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// Only those that have all of these words in who, what, why or of what
    #[arg(long = "match", value_name = "WORDS")]
    matching: Option<String>,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Lists them.
///
/// # Errors
/// When Postgres is away.
pub async fn run(args: &ActivityArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let words = args.matching.as_deref().unwrap_or_default();
    let words: Vec<String> = words.split_whitespace().map(ToOwned::to_owned).collect();
    let wanted = Wanted {
        queue: Some(&reach.settings.name),
        since: args.since.map(|since| clock::now() - since),
        words: &words,
        ..Wanted::default()
    };
    let rows = reports::activity(&reach.store, &wanted, args.limit).await?;
    output::answer(args.json, &rows, |rows| in_columns(rows))?;
    Ok(0)
}

fn in_columns(rows: &[ActionReport]) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(
        &["ID", "AT", "WHO", "DID", "TO", "REASON", "RESULT", "UNDO"],
        &cells,
    )
}

fn cells(one: &ActionReport) -> Vec<String> {
    let dash = || "-".to_owned();
    let to = match (&one.run, &one.filter, one.ids) {
        (Some(run), Some(filter), _) => format!("{run}: {filter}"),
        (Some(run), None, ids) => format!("{run}: {} jobs", ids.unwrap_or(0)),
        (None, Some(filter), _) => filter.clone(),
        (None, None, Some(1)) => one.detail["ids"][0].as_str().unwrap_or("1 job").to_owned(),
        (None, None, Some(ids)) => format!("{ids} jobs"),
        (None, None, None) => text(&one.detail, &["input", "run", "queue", "action"]).unwrap_or_else(dash),
    };
    let undo = match one.undone_by {
        Some(by) => format!("by {by}"),
        None if one.left > 0 => one.left.to_string(),
        None => dash(),
    };
    vec![
        one.id.to_string(),
        one.at.clone(),
        one.who.clone(),
        one.verb.clone(),
        to.chars().take(60).collect(),
        one.reason
            .as_deref()
            .map_or_else(dash, |reason| reason.chars().take(40).collect()),
        came_of(one),
        undo,
    ]
}

fn text(detail: &serde_json::Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match &detail[*name] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn came_of(one: &ActionReport) -> String {
    let Some(outcome) = &one.outcome else {
        return "-".to_owned();
    };
    let count = |name: &str| {
        let found = one.result.as_ref().and_then(|result| result[name].as_array());
        found.map_or(0, Vec::len)
    };
    match (count("ids"), count("refused")) {
        (0, 0) => outcome.clone(),
        (done, 0) => format!("{outcome}, {done}"),
        (done, refused) => format!("{outcome}, {done}, {refused} refused"),
    }
}
