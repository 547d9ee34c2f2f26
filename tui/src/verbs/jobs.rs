//! `millstream jobs`: the newest jobs.

use millstream::reports::{self, JobReport};

use crate::cli::JobsArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Prints the list.
///
/// # Errors
/// When Postgres is away.
pub async fn run(args: &JobsArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    let jobs = reports::jobs(&reach.store, &reach.settings.name, args.state, args.limit).await?;
    output::answer(args.json, &jobs, |jobs| in_columns(jobs))?;
    Ok(0)
}

fn in_columns(jobs: &[JobReport]) -> Vec<String> {
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    output::table(
        &["ID", "STATUS", "INPUT", "TRY", "WORKER", "VERDICT", "WAIT", "RUN"],
        &rows,
    )
}

fn row(job: &JobReport) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        job.id.clone(),
        job.status.clone(),
        job.input
            .trim_start_matches("https://github.com/")
            .chars()
            .take(60)
            .collect(),
        job.attempt.to_string(),
        job.worker
            .as_ref()
            .map_or_else(dash, |worker| worker.chars().take(6).collect()),
        job.verdict.clone().unwrap_or_else(dash),
        output::seconds_or_dash(job.wait_s),
        output::seconds_or_dash(job.run_s),
    ]
}
