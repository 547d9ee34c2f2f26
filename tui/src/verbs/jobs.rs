//! `millstream jobs`: the newest jobs.

use millstream::domain::JobState;
use millstream::reports::{self, JobReport};
use millstream::untrusted::one_line;

use crate::cli::JobsArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// The longest reason in a row; the rest is in `--json` and in `millstream trace`.
const LONGEST_WHY: usize = 60;

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
        &[
            "ID", "STATUS", "INPUT", "TRY", "WORKER", "VERDICT", "WAIT", "RUN", "WHY",
        ],
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
        why(job).unwrap_or_default(),
    ]
}

/// Why it waits or has ended without a result. A job that is done keeps the failure of an earlier attempt, which
/// explains nothing any more.
fn why(job: &JobReport) -> Option<String> {
    let error = job.error.as_deref()?;
    (job.status != JobState::Done.word()).then(|| one_line(error, LONGEST_WHY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_waits_says_why_and_one_that_is_done_does_not() {
        let mut job = JobReport {
            id: "j".into(),
            status: "retrying".into(),
            input: "acme/ledger#7".into(),
            attempt: 1,
            worker: None,
            verdict: None,
            wait_s: None,
            run_s: None,
            error: Some(format!("the limit is used up\nfor {}", "long ".repeat(40))),
            created_at: String::new(),
        };
        let shown = row(&job).pop().expect("the last column");
        assert!(
            shown.starts_with("the limit is used up") && !shown.contains('\n'),
            "{shown}"
        );
        assert!(shown.chars().count() <= LONGEST_WHY + 1, "{shown}");
        job.status = "done".into();
        assert_eq!(row(&job).pop().as_deref(), Some(""));
    }
}
