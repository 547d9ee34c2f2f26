//! `millstream workers`: who works.

use millstream::reports::{self, WorkerReport};

use crate::cli::JsonArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Prints the list.
///
/// # Errors
/// When a server is away.
pub async fn run(args: &JsonArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Both).await?;
    let workers = reports::workers(&reach.store, &reach.queue).await?;
    output::answer(args.json, &workers, |workers| in_columns(workers))?;
    Ok(0)
}

fn in_columns(workers: &[WorkerReport]) -> Vec<String> {
    let headings = [
        "ID",
        "PID",
        "HOST",
        "STATE",
        "SLOTS",
        "DONE",
        "FAILED",
        "P50",
        "P95",
        "HEARTBEAT",
    ];
    let rows: Vec<Vec<String>> = workers.iter().map(row).collect();
    output::table(&headings, &rows)
}

fn row(worker: &WorkerReport) -> Vec<String> {
    let state = serde_json::to_value(worker.state).ok();
    vec![
        worker.id.clone(),
        worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        worker.host.clone().unwrap_or_default(),
        state
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        format!("{}/{}", worker.running, worker.slots),
        worker.done.to_string(),
        worker.failed.to_string(),
        output::seconds_or_dash(worker.p50_s),
        output::seconds_or_dash(worker.p95_s),
        format!("{} ago", output::seconds(worker.heartbeat_age_s)),
    ]
}
