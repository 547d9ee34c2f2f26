//! A second job type on the engine: it makes thumbnails, or would. Nothing in it is a code review.
//!
//! Run it against a Valkey and a Postgres of yours:
//!
//! ```text
//! VALKEY_URL=redis://127.0.0.1:6379 DATABASE_URL=postgres://127.0.0.1/millstream \
//!     cargo run -p millstream --example thumbnails
//! ```
//!
//! It submits five jobs, one of which fails once, runs a worker until all are done, drains it, and
//! prints what the ledger has taken down.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, FailureClass, JobId, Lane, Progress};
use millstream::engine::job::{from_json_payload, json_payload};
use millstream::engine::{Handler, Identity, Job, JobContext, Stop, Worker};
use millstream::queue::{NewEntry, Queue};
use millstream::settings::{EngineSettings, LogFormat, LogSettings, QueueSettings, Reader, ServerSettings};
use millstream::store::jobs::NewJob;
use millstream::store::{Lease, Record, Store, StoreError};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// The job: which picture, and how wide.
#[derive(Debug, Serialize, Deserialize)]
struct Thumbnail {
    picture: String,
    width: u32,
}

impl Job for Thumbnail {
    const KIND: &'static str = "thumbnail";

    fn to_payload(&self) -> String {
        json_payload(self)
    }

    fn from_payload(_id: JobId, payload: &str) -> Result<Self, String> {
        from_json_payload(payload)
    }
}

/// The result: recorded in the transaction that ends the job, so it is there exactly if the job is done.
struct Made {
    picture: String,
    bytes: i32,
}

impl Record for Made {
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            sqlx::query("insert into thumbnails (job_id, picture, bytes) values ($1, $2, $3)")
                .bind(lease.job.0)
                .bind(&self.picture)
                .bind(self.bytes)
                .execute(transaction)
                .await?;
            Ok(())
        })
    }
}

/// What runs the jobs.
struct Studio;

impl Handler<Thumbnail> for Studio {
    type Output = Made;

    async fn run(&self, job: Thumbnail, context: JobContext) -> Result<Made, Failure> {
        context.progress(&Progress::AgentStart {
            agent: "studio".to_owned(),
        });
        // What is dear is kept: a later attempt, on any worker, starts after it.
        if context.load_checkpoint("decoded").await?.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            context
                .save_checkpoint("decoded", &serde_json::json!(true))
                .await?;
            if job.picture == "moth.png" {
                return Err(Failure::passing(
                    FailureClass::Other,
                    "the first try at a moth always fails",
                ));
            }
        }
        let bytes = i32::try_from(job.width * job.width / 8).unwrap_or(i32::MAX);
        Ok(Made {
            picture: job.picture,
            bytes,
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    millstream::logging::start(&LogSettings {
        filter: "info".to_owned(),
        format: LogFormat::Text,
    });
    let mut reader = Reader::new(&millstream::settings::process_environment);
    let servers = ServerSettings::read(&mut reader);
    let servers = reader.finish(servers)?;
    // A queue of its own: keys, group and counts have nothing to do with the reviews'.
    let settings = QueueSettings {
        name: "thumbnails:queue".to_owned(),
        group: "studio".to_owned(),
        limit: 10_000,
    };
    let queue = Queue::open(&servers.valkey_url, &settings, Thumbnail::WIRE)?;
    let store = Store::open(&servers.database_url, "thumbnails", 4)?;
    store.migrate().await?;
    let sql = sqlx::PgPool::connect(secrecy::ExposeSecret::expose_secret(&servers.database_url)).await?;
    sqlx::query(
        "create table if not exists thumbnails (job_id uuid primary key, picture text not null, bytes int not null)",
    )
    .execute(&sql)
    .await?;

    let mut ids = Vec::new();
    for picture in ["ant.png", "bee.png", "fly.png", "moth.png", "wasp.png"] {
        ids.push(
            submit(
                &store,
                &queue,
                &settings,
                Thumbnail {
                    picture: picture.to_owned(),
                    width: 320,
                },
            )
            .await?,
        );
    }

    let worker: Worker<Thumbnail, _, _> = Worker::new(
        queue,
        store.clone(),
        Studio,
        EngineSettings::default(),
        Identity::default(),
    );
    let stop = Stop::new();
    let (ended, all_done) = tokio::join!(worker.run(stop.clone()), async {
        let outcome = wait_for(&store, &settings.name, &ids).await;
        stop.ask();
        outcome
    });
    ended?;
    for (id, attempt) in all_done? {
        println!("{id} done in attempt {attempt}");
    }
    Ok(())
}

/// Accepts a job: the row first, then the entry.
async fn submit(
    store: &Store,
    queue: &Queue,
    settings: &QueueSettings,
    job: Thumbnail,
) -> Result<JobId, Box<dyn std::error::Error>> {
    let new = NewJob {
        id: JobId::fresh(),
        queue: settings.name.clone(),
        kind: Thumbnail::KIND.to_owned(),
        lane: Lane::Own,
        payload: job.to_payload(),
        run_at: None,
        traceparent: None,
        input: None,
        idempotency: None,
        callback: None,
    };
    store.accept(&new).await?;
    let entry = NewEntry {
        lane: new.lane,
        job: new.id,
        payload: new.payload,
        traceparent: None,
    };
    let entries = queue.enqueue(&[entry]).await?;
    store.enqueued(&[(new.id, entries[0])]).await?;
    Ok(new.id)
}

/// Waits until all of them are done; answers how many attempts each took.
async fn wait_for(store: &Store, queue: &str, ids: &[JobId]) -> Result<Vec<(JobId, i32)>, StoreError> {
    let mut attempts = Vec::new();
    for id in ids {
        loop {
            match store.find_job(queue, *id).await? {
                Some(row) if row.status == "done" => break attempts.push((*id, row.attempt)),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
    Ok(attempts)
}
