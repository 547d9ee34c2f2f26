//! `millstream bench`: the engine beside the raw limit of the same server.
//!
//! On private servers, unless both addresses are set: then on those, on queues of its own.

use std::io::Write;

use clap::Args;
use millstream::bench::{self, Mode, Plan, Report};
use millstream::settings::process_environment;
use millstream::store::Store;

use crate::demo::Folder;
use crate::failure::Failure;
use crate::output;
use crate::servers::{Machine, Need, Options, Servers};

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Slots of the worker, cell by cell
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "10,64,256", value_parser = slots)]
    pub concurrency: Vec<usize>,
    /// queue (without Postgres), ledger (with it), or both
    #[arg(long, value_name = "MODE,..", value_delimiter = ',', default_value = "queue,ledger", value_parser = mode)]
    pub mode: Vec<Mode>,
    /// Jobs in a cell without the ledger; a cell with it has a quarter of them
    #[arg(long, value_name = "N", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub jobs: u32,
    /// How often each cell is measured; the medians are told
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Print JSON on one line
    #[arg(long)]
    pub json: bool,
}

fn slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=4_096) => Ok(slots),
        _ => Err("a worker has 1 to 4096 slots".to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let found = Mode::ALL.into_iter().find(|mode| mode.word() == text);
    found.ok_or_else(|| "a mode is queue or ledger".to_owned())
}

/// Measures, and prints what came out.
///
/// # Errors
/// When the servers cannot be had, or a cell does not come to its end.
pub async fn run(args: &BenchArgs) -> Result<u8, Failure> {
    let machine = Machine::read(&process_environment)?;
    let folder = Folder::make(machine.data_root(), None)?;
    let named = |name: &str| process_environment(name).filter(|url| !url.trim().is_empty());
    let mut options = Options::new(folder.path(), machine);
    options.valkey = Need::from_url(named("VALKEY_URL").or_else(|| named("REDIS_URL")));
    options.postgres = Need::from_url(named("DATABASE_URL"));
    let servers = Servers::start(options, &say).await?;
    let measured = measure(args, &servers).await;
    servers.stop().await;
    folder.remove();
    output::answer(args.json, &measured?, in_words)?;
    Ok(0)
}

async fn measure(args: &BenchArgs, servers: &Servers) -> Result<Report, Failure> {
    let store = Store::open(&servers.database_url.as_str().into(), "millstream bench", 1)?;
    store.migrate().await?;
    store.close().await;
    let plan = Plan {
        valkey: servers.valkey_url.clone(),
        database: servers.database_url.clone(),
        concurrency: args.concurrency.clone(),
        modes: args.mode.clone(),
        jobs: args.jobs as usize,
        rounds: args.rounds as usize,
    };
    Ok(bench::run(&plan, &say).await?)
}

fn say(line: &str) {
    // A terminal that was closed hears nothing, and the servers still have to end in order.
    let _unheard = writeln!(std::io::stderr(), "bench: {line}");
}

fn in_words(report: &Report) -> Vec<String> {
    let headings = ["MODE", "SLOTS", "JOBS/S", "OF RAW", "VALKEY CPU", "TRIPS/JOB"];
    let mut rows = vec![vec![
        "raw".to_owned(),
        String::new(),
        format!("{:.0}", report.raw_jobs_per_s),
        "1".to_owned(),
    ]];
    rows.extend(report.results.iter().map(|cell| {
        vec![
            cell.mode.to_owned(),
            cell.concurrency.to_string(),
            format!("{:.0}", cell.engine_jobs_per_s),
            format!("{:.3}", cell.ratio),
            format!("{:.1} us", cell.server_cpu_us_per_job),
            format!("{:.3}", cell.round_trips_per_job),
        ]
    }));
    let mut lines = output::table(&headings, &rows);
    let accepted = &report.enqueue;
    lines.push(String::new());
    lines.push(format!(
        "enqueue, a hundred at a time: {:.0} jobs/s, {:.3} of raw; with their rows {:.0} jobs/s, {:.3} of raw",
        accepted.queue_jobs_per_s, accepted.queue_ratio, accepted.ledger_jobs_per_s, accepted.ledger_ratio
    ));
    lines
}
