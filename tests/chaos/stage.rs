//! Where a run takes place: servers of its own, lines to them that can be cut, and a home with everybody's notes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::queue::{Queue, Wire};
use millstream::settings::QueueSettings;
use millstream::store::Store;
use millstream_tui::servers::Servers;
use sqlx::PgPool;

use super::plan::{PRODUCERS, Plan, VISIBILITY};
use super::receiver::{Receiver, SECRET};
use super::report::Report;
use crate::support::{Home, Line, Started, private, within};

/// What a handler leaves behind, without a key that would keep a second one out.
const EFFECTS: &str = "create table chaos_effects (
    job_id uuid not null, attempt integer not null, worker text not null, at timestamptz not null default now())";
/// How long a process of ours may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Servers, lines and a home.
pub struct Stage {
    /// Both servers, ours to hurt.
    pub servers: Servers,
    /// The way of producers and workers to Valkey.
    pub valkey: Line,
    /// Their way to Postgres.
    pub postgres: Line,
    /// Where their logs and notes lie.
    pub home: Home,
    /// Looks at the queue, by no line.
    pub queue: Queue,
    /// Looks at the queue of its webhooks, by no line.
    pub webhooks: Queue,
    /// Who is told of ends.
    pub receiver: Receiver,
    /// Looks at the rows, by no line.
    pub sql: PgPool,
    /// The same.
    pub store: Store,
    /// Which queue.
    pub settings: QueueSettings,
}

impl Stage {
    /// Starts servers and lays lines.
    pub async fn set() -> Self {
        let servers = private::both().await;
        let store =
            Store::open(&servers.database_url.as_str().into(), "chaos", 4).expect("an address of ours");
        store.migrate().await.expect("an empty database can be migrated");
        let sql = PgPool::connect(&servers.database_url)
            .await
            .expect("postgres is there");
        sqlx::query(EFFECTS)
            .execute(&sql)
            .await
            .expect("a table can be made");
        let settings = QueueSettings {
            name: "chaos:queue".to_owned(),
            group: "chaos".to_owned(),
            limit: 100_000,
        };
        let queue = Queue::open(&servers.valkey_url.as_str().into(), &settings, Wire::JOB)
            .expect("an address of ours");
        let webhooks = Queue::open(
            &servers.valkey_url.as_str().into(),
            &settings.webhooks(),
            Wire::of(&settings.webhooks()),
        );
        let webhooks = webhooks.expect("an address of ours");
        let receiver = Receiver::listen().await;
        let valkey = Line::to(&servers.valkey_url).await;
        let postgres = Line::to(&servers.database_url).await;
        let visibility = format!("{}s", VISIBILITY.as_secs());
        let home = Home::new()
            .with_binary(PathBuf::from(env!("CARGO_BIN_EXE_millstream-chaos")))
            .with("VALKEY_URL", &valkey.through(&servers.valkey_url))
            .with("DATABASE_URL", &postgres.through(&servers.database_url))
            .with("QUEUE", &settings.name)
            .with("QUEUE_GROUP", &settings.group)
            .with("VISIBILITY_TIMEOUT", &visibility)
            .with("RETRY_BACKOFF", "100ms")
            .with("WEBHOOK_SECRET", SECRET)
            .with("WEBHOOK_ALLOW_PRIVATE", "1")
            .with("WEBHOOK_VISIBILITY_TIMEOUT", &visibility)
            .with("WEBHOOK_RETRY_BACKOFF", "100ms")
            .with("WEBHOOK_RETRY_BACKOFF_MAX", "2s")
            .with("CHAOS_CALLBACK", &receiver.address())
            // A job that is unlucky five times in a row would be buried, which is another test's.
            .with("MAX_CRASHES", "1000");
        fs::create_dir(notes_of(&home)).expect("a fresh folder");
        Self {
            servers,
            valkey,
            postgres,
            home,
            queue,
            webhooks,
            receiver,
            sql,
            store,
            settings,
        }
    }

    /// The folder of everybody's notes.
    pub fn notes(&self) -> PathBuf {
        notes_of(&self.home)
    }

    /// Starts a process that takes notes under its name.
    pub fn start(&self, name: &str, verb: &str, vars: &[(&str, &str)]) -> Started {
        let notes = self.notes().join(name).display().to_string();
        let vars = [&[("CHAOS_NOTES", notes.as_str()), ("CHAOS_NAME", name)], vars].concat();
        self.home.start(name, &vars, &[verb])
    }

    /// Starts the producers.
    pub fn producers(&self, plan: &Plan, seed: u64) -> Vec<Started> {
        let one = |nth: u64| {
            let vars = [
                ("CHAOS_SEED", (seed + nth).to_string()),
                ("CHAOS_JOBS", plan.jobs_each.to_string()),
                ("CHAOS_EVERY_MS", plan.submit_every.as_millis().to_string()),
            ];
            let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.start(&format!("p-{nth}"), "producer", &vars)
        };
        (1..=PRODUCERS).map(one).collect()
    }

    /// Ends everything. Nothing may be left of it but, after a run that failed, the logs.
    pub async fn strike(self, report: &mut Report) {
        let data = self.servers.data_dir.clone();
        self.sql.close().await;
        self.store.close().await;
        self.servers.stop().await;
        let none_left = || async { self.home.processes(&data).is_empty().then_some(()) };
        if within(GONE_WITHIN, none_left).await.is_none() {
            let left = self.home.processes(&data);
            report.complain(format!("{} processes are left: {left:?}", left.len()));
        }
        if report.complaints.is_empty() {
            // Whoever sweeps the run's folder sweeps what cannot be removed now.
            let _swept_later = fs::remove_dir_all(&data);
        } else {
            report.evidence = Some((self.home.keep(), data));
        }
    }
}

fn notes_of(home: &Home) -> PathBuf {
    let folder: &Path = home.path();
    folder.join("notes")
}
