//! `millstream eval`: the reviewers on labelled changes, with what they find, miss and cost.
//!
//! It needs no server. Which model answers is told by the settings of the worker; the offline reviewer answers at
//! once, whatever `OFFLINE_LATENCY` and `OFFLINE_FAILURE_RATE` say, since it is measured and not shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use millstream::exit::Exit;
use millstream::settings::process_environment;
use millstream_worker::eval::{self, Report, cases};
use millstream_worker::github::Github;
use millstream_worker::model::{Model, Offline};
use millstream_worker::review::Reviewer;
use millstream_worker::service::WorkerError;
use millstream_worker::settings::WorkerSettings;

use crate::failure::Failure;
use crate::output;

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// A folder with labels.json and a patch for each of its cases; without one the set that is compiled in
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

/// Reviews every case and prints the figures; exits with 1 when a review failed.
///
/// # Errors
/// When the settings or the set are wrong.
pub async fn run(args: &EvalArgs) -> Result<u8, Failure> {
    let settings = WorkerSettings::read(&process_environment).map_err(WorkerError::from)?;
    let cases = match &args.folder {
        Some(folder) => cases::in_folder(folder),
        None => cases::built_in(),
    };
    let cases = cases.map_err(|error| Failure::Refused(format!("failed to {error}")))?;
    let review = &settings.review;
    let model: Arc<dyn Model> = match review.model.open().map_err(WorkerError::from)? {
        Some((hosted, said)) => {
            for line in said {
                eprintln!("eval: {line}");
            }
            Arc::new(hosted)
        }
        None => Arc::new(Offline::new(Duration::ZERO, 0.0)),
    };
    let name = model.name().to_owned();
    eprintln!("eval: {} changes, {name} answers", cases.len());
    let github = Github::new(review.github()).map_err(WorkerError::from)?;
    let report = eval::run(&Reviewer::new(model, github, review.limits), &name, cases).await;
    output::answer(args.json, &report, in_words)?;
    Ok(if report.failed.is_empty() {
        0
    } else {
        Exit::Ours.code()
    })
}

/// A time as a person reads it; the offline reviewer takes milliseconds.
fn short(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else {
        output::seconds(seconds)
    }
}

fn in_words(report: &Report) -> Vec<String> {
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.2}"));
    let kinds: Vec<Vec<String>> = report
        .recall
        .iter()
        .map(|(kind, recall)| {
            let precision = report.precision.get(kind).copied().flatten();
            vec![kind.clone(), share(Some(*recall)), share(precision)]
        })
        .collect();
    let agents: Vec<Vec<String>> = report
        .agents
        .iter()
        .map(|(name, agent)| {
            vec![
                name.clone(),
                share(agent.recall),
                share(agent.precision),
                agent.findings.to_string(),
                agent.tokens.to_string(),
                format!("{:.4}", agent.cost_usd),
                short(agent.p50_s),
                short(agent.max_s),
            ]
        })
        .collect();
    let mut lines = output::table(&["kind", "recall", "precision"], &kinds);
    lines.push(String::new());
    let headings = [
        "agent",
        "recall",
        "precision",
        "findings",
        "tokens",
        "usd",
        "p50",
        "max",
    ];
    lines.extend(output::table(&headings, &agents));
    lines.push(String::new());
    let missed = report.missed.iter();
    lines.extend(missed.map(|miss| format!("missed      {} {} {}", miss.case, miss.kind, miss.location)));
    let extra = report.unlabelled.iter();
    lines.extend(extra.map(|one| {
        format!(
            "unlabelled  {} {} {} {}",
            one.case, one.agent, one.location, one.note
        )
    }));
    let failed = report.failed.iter();
    lines.extend(failed.map(|one| format!("failed      {} {}", one.case, one.error)));
    lines.push(format!(
        "{}: {} changes in {}, {:.4} USD; {} clean ones to be changed, {} faulty ones approved",
        report.model,
        report.cases,
        short(report.wall_s),
        report.cost_usd,
        report.false_request_changes,
        report.missed_request_changes
    ));
    lines
        .iter()
        .map(|line| millstream::untrusted::visible(line))
        .collect()
}
