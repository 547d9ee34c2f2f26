//! What happens to servers and lines, one after the other in the order of the dice.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::interval;

use super::plan::{CUT, Plan};
use super::stage::Stage;
use crate::support::{Line, until};

/// How long a server that was killed stays away.
const AWAY: Duration = Duration::from_secs(1);
/// What `appendfsync everysec` may lose with its machine: the writes of the last second.
const UNFLUSHED: Duration = Duration::from_secs(1);

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Valkey dies with its machine: the last second of its append-only file was never flushed.
    ValkeyCrash,
    /// Valkey is stopped and started.
    ValkeyRestart,
    /// Postgres is killed and recovers.
    PostgresCrash,
    /// Postgres is stopped fast and started.
    PostgresRestart,
    /// Nobody reaches Valkey.
    ValkeyCut,
    /// Nobody reaches Postgres.
    PostgresCut,
    /// Valkey forgets everything.
    Flush,
}

impl Fault {
    /// In the order of the report.
    pub const ALL: [Self; 7] = [
        Self::ValkeyCrash,
        Self::ValkeyRestart,
        Self::PostgresCrash,
        Self::PostgresRestart,
        Self::ValkeyCut,
        Self::PostgresCut,
        Self::Flush,
    ];

    /// What the report calls it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ValkeyCrash => "Valkey crash",
            Self::ValkeyRestart => "Valkey restart",
            Self::PostgresCrash => "Postgres crash",
            Self::PostgresRestart => "Postgres restart",
            Self::ValkeyCut => "line to Valkey",
            Self::PostgresCut => "line to Postgres",
            Self::Flush => "`FLUSHALL`",
        }
    }
}

/// A fault that is over.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    pub fault: Fault,
    /// When everything was there again.
    pub over: DateTime<Utc>,
}

/// Lets everything happen that was planned.
pub async fn pass(stage: &Stage, plan: &Plan, seed: u64) -> Vec<Passed> {
    let mut passed = Vec::new();
    for fault in order(plan, seed) {
        wait(plan.breath).await;
        strike(stage, fault).await;
        let over = millstream::clock::now();
        passed.push(Passed { fault, over });
    }
    wait(plan.breath).await;
    passed
}

/// The planned faults as the dice have them, with everything forgotten once in the middle.
fn order(plan: &Plan, seed: u64) -> Vec<Fault> {
    // Other dice than those of the fleet.
    let mut dice = StdRng::seed_from_u64(!seed);
    let mut left = plan.faults.clone();
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.remove(dice.random_range(0..left.len())));
    }
    order.insert(order.len() / 2, Fault::Flush);
    order
}

async fn strike(stage: &Stage, fault: Fault) {
    let servers = &stage.servers;
    match fault {
        Fault::ValkeyCrash => {
            let flushed = append_only_files(stage);
            wait(UNFLUSHED).await;
            servers.kill_valkey().await.expect("it is ours");
            for (path, length) in flushed {
                let file = File::options().write(true).open(&path).expect("its file");
                file.set_len(length).expect("its file can be cut");
            }
            wait(AWAY).await;
            until("valkey is back", || async { servers.restart_valkey().await.ok() }).await;
        }
        Fault::ValkeyRestart => {
            until("valkey is back", || async { servers.restart_valkey().await.ok() }).await;
        }
        Fault::PostgresCrash => {
            servers.kill_postgres().await.expect("it is ours");
            wait(AWAY).await;
            // Its orphans may hold on for a moment.
            until("postgres is back", || async {
                servers.restart_postgres().await.ok()
            })
            .await;
        }
        Fault::PostgresRestart => {
            until("postgres is back", || async {
                servers.restart_postgres().await.ok()
            })
            .await;
        }
        Fault::ValkeyCut => cut(&stage.valkey).await,
        Fault::PostgresCut => cut(&stage.postgres).await,
        Fault::Flush => flush(stage).await,
    }
}

async fn cut(line: &Line) {
    line.cut();
    wait(CUT).await;
    line.mend();
}

async fn flush(stage: &Stage) {
    let client = redis::Client::open(stage.servers.valkey_url.as_str()).expect("an address of ours");
    // On a machine that is as busy as this one a line takes its time.
    until("everything is flushed", || async {
        let mut valkey = client.get_multiplexed_async_connection().await.ok()?;
        let flushed: redis::RedisResult<()> = redis::cmd("FLUSHALL").query_async(&mut valkey).await;
        flushed.ok()
    })
    .await;
}

/// Valkey's append-only files, with as much of each as is written now.
fn append_only_files(stage: &Stage) -> Vec<(PathBuf, u64)> {
    let folder = stage.servers.data_dir.join("valkey").join("appendonlydir");
    let entries = fs::read_dir(folder)
        .expect("it keeps an append-only file")
        .flatten();
    let files: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".incr.aof"))
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .collect();
    assert!(!files.is_empty(), "it keeps an append-only file");
    files
}

/// Lets time pass: what a run measures is real time.
async fn wait(time: Duration) {
    let mut metronome = interval(time);
    metronome.tick().await;
    metronome.tick().await;
}
