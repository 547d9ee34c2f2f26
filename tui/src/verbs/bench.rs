//! `millstream bench`: the engine beside the raw limit of the same server.
//!
//! On private servers. One whose address is set takes the place of a private one: there the bench has queues of its own,
//! and such a database is migrated.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use millstream::bench::{self, Mode, Part, Plan, Report};
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
    /// Which parts: throughput, pickup (how long an entry waits for an idle worker), memory, backlog (a long pending list)
    #[arg(long, value_name = "PART,..", value_delimiter = ',', default_value = "throughput", value_parser = part)]
    pub part: Vec<Part>,
    /// Measure each cell of the throughput once more with the servers this round trip further away
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub distance: Option<Duration>,
    /// Entries of the pickup, a hundred a second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub pickups: u32,
    /// How long everybody is idle before the pickup
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub idle: Duration,
    /// Jobs over which memory is read
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub memory_jobs: u32,
    /// Entries of the long pending list
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(20_000..=10_000_000))]
    pub pending: u32,
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

fn part(text: &str) -> Result<Part, String> {
    let found = Part::ALL.into_iter().find(|part| part.word() == text);
    found.ok_or_else(|| "a part is throughput, pickup, memory or backlog".to_owned())
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
    if named("DATABASE_URL").is_none() {
        say("the private postgres has fsync=off: one that syncs takes longer with the ledger and with rows");
    }
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
        parts: args.part.clone(),
        distance: args.distance,
        pickups: args.pickups as usize,
        idle: args.idle,
        memory_jobs: args.memory_jobs as usize,
        pending: args.pending as usize,
    };
    Ok(bench::run(&plan, &say).await?)
}

fn say(line: &str) {
    // A terminal that was closed hears nothing, and the servers still have to end in order.
    let _unheard = writeln!(std::io::stderr(), "bench: {line}");
}

fn in_words(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.results.is_empty() {
        lines.extend(throughput(report));
    }
    if let Some(pickup) = &report.pickup {
        let waits = [
            ("raw", pickup.raw),
            ("queue", pickup.queue),
            ("ledger", pickup.ledger),
        ];
        for (name, waits) in waits {
            let (p50, p99) = (waits.p50_ms, waits.p99_ms);
            lines.push(format!("pickup, {name}: median {p50:.2} ms, p99 {p99:.2} ms"));
        }
        lines.push(format!(
            "pickup of {} entries, a hundred a second, after {} s of idleness: the queue's p99 is {:.2} of raw",
            pickup.entries, pickup.idle_s, pickup.queue_p99_ratio
        ));
    }
    if let Some(memory) = &report.memory {
        let readings: Vec<String> = memory
            .resident_mib
            .iter()
            .map(|mib| format!("{mib:.1}"))
            .collect();
        lines.push(format!(
            "memory over {} jobs: {} MiB resident",
            memory.jobs,
            readings.join(", ")
        ));
    }
    if let Some(backlog) = &report.backlog {
        lines.push(format!(
            "backlog of {} pending entries with {} consumers: {} of a dead one were taken over {:.1} s after its last beat",
            backlog.pending, backlog.consumers, backlog.dead_entries, backlog.taken_over_s
        ));
        let slow = backlog.slow.iter().map(|(name, us)| format!("  {name}: {us} us"));
        lines.push(format!("commands of more than 5 ms: {}", backlog.slow.len()));
        lines.extend(slow);
    }
    lines
}

fn throughput(report: &Report) -> Vec<String> {
    let mut headings = vec!["MODE", "SLOTS", "JOBS/S", "OF RAW", "VALKEY CPU", "TRIPS/JOB"];
    let is_distant = report.results.iter().any(|cell| cell.distant_ratio.is_some());
    if is_distant {
        headings.push("AT A DISTANCE");
    }
    let empty = String::new;
    let mut raw = vec![
        "raw".to_owned(),
        empty(),
        format!("{:.0}", report.raw_jobs_per_s),
        "1".to_owned(),
    ];
    raw.resize_with(headings.len(), empty);
    let mut rows = vec![raw];
    rows.extend(report.results.iter().map(|cell| {
        let mut row = vec![
            cell.mode.to_owned(),
            cell.concurrency.to_string(),
            format!("{:.0}", cell.engine_jobs_per_s),
            format!("{:.3}", cell.ratio),
            format!("{:.1} us", cell.server_cpu_us_per_job),
            format!("{:.3}", cell.round_trips_per_job),
        ];
        row.extend(cell.distant_ratio.map(|ratio| format!("{ratio:.2}")));
        row
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
