//! `millstream status`: the queue in figures.

use millstream::reports::{self, PauseReport, StatusReport};
use millstream::untrusted::visible;

use crate::cli::JsonArgs;
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// Prints the figures.
///
/// # Errors
/// When a server is away.
pub async fn run(args: &JsonArgs) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Both).await?;
    let web_url = reach.demo.as_ref().map(|demo| demo.web_url.clone());
    let report = reports::status(&reach.store, &reach.queue, web_url).await?;
    output::answer(args.json, &report, in_words)?;
    Ok(0)
}

fn in_words(report: &StatusReport) -> Vec<String> {
    let oldest = report
        .oldest_waiting_s
        .map(|age| format!("   oldest {}", output::seconds(age)));
    let stream = &report.stream;
    let mut lines = vec![format!("{} > {}", report.queue, report.group)];
    lines.extend(report.paused.as_ref().map(pause_line));
    lines.extend([
        format!("waiting    {}{}", report.waiting, oldest.unwrap_or_default()),
        format!("running    {}   on {} workers", report.running, report.workers),
        format!("retrying   {}", report.retrying),
        format!("scheduled  {}", report.scheduled),
        format!("dead       {}", report.dead),
        format!("dropped    {}", report.dropped),
        format!("cancelled  {}", report.cancelled),
        format!("done       {}", report.done),
        format!(
            "accepted   {}   {:.1}/s in, {:.1}/s out",
            report.accepted, report.in_per_s, report.out_per_s
        ),
        format!(
            "valkey     {} entries, {} pending, {} parked",
            stream.entries, stream.pending, stream.parked
        ),
    ]);
    lines.extend(report.web_url.as_ref().map(|url| format!("producer   {url}")));
    lines
}

fn pause_line(pause: &PauseReport) -> String {
    let reason = pause
        .reason
        .as_deref()
        .map(|reason| format!(": {}", visible(reason)));
    format!(
        "paused     by {} since {}{}",
        visible(&pause.by),
        pause.at,
        reason.unwrap_or_default()
    )
}
