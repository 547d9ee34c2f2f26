//! A world of its own for each test: a queue by name, a database from the template.

use std::collections::HashMap;
use std::time::Duration;

use millstream::backoff::Backoff;
use millstream::domain::{EntryId, JobId, JobState, Lane, WorkerId};
use millstream::engine::{Handler, Identity, Job, Stop, Worker};
use millstream::queue::{NewEntry, Parking, Queue, Wire};
use millstream::settings::{EngineSettings, QueueSettings};
use millstream::store::Store;
use millstream::store::jobs::{JobRow, NewJob};
use redis::aio::MultiplexedConnection;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinHandle;

use super::gated::{Gated, TestJob};
use super::line::Line;
use super::servers::shared;

/// Everything that one test touches.
pub struct World {
    pub queue: Queue,
    pub store: Store,
    pub settings: QueueSettings,
    pub sql: PgPool,
    pub valkey: MultiplexedConnection,
    pub valkey_url: String,
    pub database_url: String,
}

/// A worker that runs in the test's process.
pub struct Running {
    pub id: WorkerId,
    pub stop: Stop,
    ended: JoinHandle<()>,
}

impl Running {
    /// Drains it.
    pub async fn drain(self) {
        self.stop.ask();
        self.ended.await.expect("the worker does not panic");
    }

    /// Ends it as `kill -9` would: nothing it had in hand is written, nothing is let go of.
    pub async fn kill(self) {
        self.ended.abort();
        let ended = self.ended.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it ran until now");
    }
}

impl World {
    /// A world for test jobs.
    pub async fn new() -> Self {
        Self::with(TestJob::WIRE).await
    }

    /// A world whose entries carry these fields.
    pub async fn with(wire: Wire) -> Self {
        Self::on_valkey(shared().valkey_url(), wire).await
    }

    /// A world on a Valkey of the test's own.
    pub async fn on_valkey(valkey_url: &str, wire: Wire) -> Self {
        let database_url = create_database(&fresh_name()).await;
        Self::at(valkey_url, &database_url, wire).await
    }

    /// A world on these servers.
    pub async fn at(valkey_url: &str, database_url: &str, wire: Wire) -> Self {
        let settings = QueueSettings {
            name: format!("{}:queue", fresh_name()),
            group: "reviewers".to_owned(),
            limit: 10_000,
        };
        let queue = Queue::open(&valkey_url.into(), &settings, wire).expect("an address of ours");
        let store = Store::open_for_worker(&database_url.into(), "tests", 6).expect("an address of ours");
        let sql = PgPool::connect(database_url)
            .await
            .expect("the database is there");
        let client = redis::Client::open(valkey_url).expect("an address of ours");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        let valkey = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("valkey is there");
        Self {
            queue,
            store,
            settings,
            sql,
            valkey,
            valkey_url: valkey_url.to_owned(),
            database_url: database_url.to_owned(),
        }
    }

    /// Engine settings for a fast test: short waits, nothing else out of the ordinary.
    pub fn engine() -> EngineSettings {
        EngineSettings {
            backoff: Backoff {
                first: Duration::from_millis(1),
                most: Duration::from_millis(5),
            },
            grace: Duration::from_secs(5),
            ..EngineSettings::default()
        }
    }

    /// Starts a worker.
    pub fn worker(&self, handler: &Gated, settings: EngineSettings) -> Running {
        self.run::<TestJob, _>(handler.clone(), settings)
    }

    /// Starts a worker for any job type.
    pub fn run<J: Job, H: Handler<J>>(&self, handler: H, settings: EngineSettings) -> Running {
        Self::run_on::<J, H>(self.queue.clone(), self.store.clone(), handler, settings)
    }

    /// The same servers by other lines.
    pub fn by_lines(&self, valkey: &Line, postgres: &Line) -> (Queue, Store) {
        let valkey = valkey.through(&self.valkey_url);
        let queue =
            Queue::open(&valkey.into(), &self.settings, self.queue.wire()).expect("an address of ours");
        let postgres = postgres.through(&self.database_url);
        let store = Store::open_for_worker(&postgres.into(), "tests", 4).expect("an address of ours");
        (queue, store)
    }

    /// Starts a worker that reaches its servers like this.
    pub fn run_on<J: Job, H: Handler<J>>(
        queue: Queue,
        store: Store,
        handler: H,
        settings: EngineSettings,
    ) -> Running {
        let worker: Worker<J, H, Store> = Worker::new(queue, store, handler, settings, Identity::default());
        let (id, stop) = (worker.id(), Stop::new());
        let asked = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "the handle is held by the test")]
        let ended = tokio::spawn(async move { worker.run(asked).await.expect("the worker runs") });
        Running { id, stop, ended }
    }

    /// Accepts a job, without an entry.
    pub async fn accept(&self, word: &str) -> JobId {
        let job = TestJob {
            word: word.to_owned(),
        };
        let new = NewJob {
            id: JobId::fresh(),
            queue: self.settings.name.clone(),
            kind: TestJob::KIND.to_owned(),
            lane: Lane::Own,
            payload: job.to_payload(),
            run_at: None,
            traceparent: None,
            input: None,
            idempotency: None,
            callback: None,
        };
        self.store.accept(&new).await.expect("postgres is there");
        new.id
    }

    /// Accepts a job and puts its entry on the stream.
    pub async fn submit(&self, word: &str) -> JobId {
        let id = self.accept(word).await;
        self.enqueue(id, word).await;
        id
    }

    /// Puts an entry on the stream.
    pub async fn enqueue(&self, id: JobId, word: &str) -> EntryId {
        let payload = TestJob {
            word: word.to_owned(),
        }
        .to_payload();
        let entry = NewEntry {
            lane: Lane::Own,
            job: id,
            payload,
            traceparent: None,
        };
        let ids = self.queue.enqueue(&[entry]).await.expect("valkey is there");
        self.store
            .enqueued(&[(id, ids[0])])
            .await
            .expect("postgres is there");
        ids[0]
    }

    /// A job's row.
    pub async fn job(&self, id: JobId) -> JobRow {
        let row = self
            .store
            .find_job(&self.settings.name, id)
            .await
            .expect("postgres is there");
        row.expect("the job is known")
    }

    /// Waits until a job is in a state.
    pub async fn until_state(&self, id: JobId, state: JobState) -> JobRow {
        let reached = super::within(super::PATIENCE, || async {
            Some(self.job(id).await).filter(|row| row.status == state.word())
        });
        match reached.await {
            Some(row) => row,
            None => panic!(
                "waited in vain until the job is {state}; it is {:?}",
                self.job(id).await
            ),
        }
    }

    /// Waits until a statement waits for a lock.
    pub async fn until_held_up(&self) {
        super::until("a statement is held up", || async {
            let held: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(&self.sql)
            .await
            .expect("postgres is there");
            (held > 0).then_some(())
        })
        .await;
    }

    /// Waits until nothing is pending and nothing is left on the streams.
    pub async fn until_empty(&self) {
        super::until("the streams are empty", || async {
            let depth = self.queue.depth().await.expect("valkey is there");
            (depth.entries == 0 && depth.pending == 0).then_some(())
        })
        .await;
    }

    /// Who holds an entry, and how often it was delivered.
    pub async fn holder(&self, entry: EntryId) -> Option<(String, u64)> {
        let rows: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
            .arg(&self.queue.keys().own)
            .arg(&self.settings.group)
            .arg(entry.to_string())
            .arg(entry.to_string())
            .arg(1)
            .query_async(&mut self.valkey.clone())
            .await
            .expect("the group is there");
        rows.into_iter()
            .next()
            .map(|(_, holder, _, deliveries)| (holder, deliveries))
    }
}

/// An entry that is parked in its first delivery.
pub const fn first_parking(entry: EntryId, delay: Duration) -> Parking {
    Parking {
        entry,
        delivery: 1,
        delay,
    }
}

/// A name that no other test has.
fn fresh_name() -> String {
    format!("t{}", JobId::fresh().0.simple())
}

/// A database like the one that was migrated at the start of the run.
async fn create_database(name: &str) -> String {
    // Two copies of one template at a time would wait for each other anyway.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut server = PgConnection::connect(&shared().database_url("postgres"))
        .await
        .expect("postgres is there");
    let statement = format!("create database {name} template millstream");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut server)
        .await
        .expect("a fresh name");
    shared().database_url(name)
}

impl World {
    /// Makes an entry look as if its consumer had left it alone for this long: the clock of leases.
    pub async fn age(&self, entry: EntryId, consumer: &str, idle: Duration) {
        let () = redis::cmd("XCLAIM")
            .arg(&self.queue.keys().own)
            .arg(&self.settings.group)
            .arg(consumer)
            .arg(0)
            .arg(entry.to_string())
            .arg("IDLE")
            .arg(idle.as_millis() as u64)
            .arg("JUSTID")
            .query_async::<redis::Value>(&mut self.valkey.clone())
            .await
            .map(|_| ())
            .expect("the group is there");
    }
}

impl World {
    /// How long an entry has been idle in a consumer's hands; nothing when it is not there.
    pub async fn idle(&self, entry: EntryId, consumer: &str) -> Option<Duration> {
        let rows: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
            .arg(&self.queue.keys().own)
            .arg(&self.settings.group)
            .arg(entry.to_string())
            .arg(entry.to_string())
            .arg(1)
            .arg(consumer)
            .query_async(&mut self.valkey.clone())
            .await
            .expect("the group is there");
        rows.first().map(|(_, _, idle, _)| Duration::from_millis(*idle))
    }
}

impl World {
    /// How the attempts of a job ended, first one first.
    pub async fn outcomes(&self, id: JobId) -> Vec<String> {
        let attempts = self.store.attempts_of(id).await.expect("postgres is there");
        attempts
            .into_iter()
            .map(|row| row.outcome.unwrap_or_else(|| "running".to_owned()))
            .collect()
    }

    /// The dead letters, oldest first.
    pub async fn dead_letters(&self) -> Vec<HashMap<String, String>> {
        self.entries_of(&self.queue.keys().dead).await
    }

    /// The entries of a stream, oldest first.
    pub async fn entries_of(&self, stream: &str) -> Vec<HashMap<String, String>> {
        let rows: Vec<(String, HashMap<String, String>)> = redis::cmd("XRANGE")
            .arg(&[stream, "-", "+"])
            .query_async(&mut self.valkey.clone())
            .await
            .expect("valkey is there");
        rows.into_iter().map(|(_, entry)| entry).collect()
    }
}
