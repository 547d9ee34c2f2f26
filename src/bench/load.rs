//! A queue of a measurement's own, filled beforehand and taken away afterwards.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::cell::Text;
use super::{BenchError, Plan};
use crate::domain::{EntryId, JobId, Lane};
use crate::engine::Job;
use crate::queue::{NewEntry, Queue, QueueError, Wire};
use crate::settings::QueueSettings;
use crate::store::Store;
use crate::store::jobs::NewJob;

/// What a job carries: about as much as the address of a pull request and its context.
pub const PAYLOAD: &str = "\"https://github.com/acme/ledger/pull/2234 and some sixty more bytes that nobody \
                           ever reads again\"";
/// Entries in one trip.
const BATCH: usize = 500;
/// No answer of a private server takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A queue that nobody else knows.
pub struct Load {
    /// The queue.
    pub queue: Queue,
    /// Its settings.
    pub settings: QueueSettings,
    /// A connection for what is no part of the measurement.
    pub aside: MultiplexedConnection,
}

impl Load {
    /// An empty queue.
    pub async fn new(plan: &Plan) -> Result<Self, BenchError> {
        let settings = QueueSettings {
            name: format!("bench:{}", JobId::fresh()),
            group: "bench".to_owned(),
            limit: u64::MAX,
        };
        let queue = Queue::open(&plan.valkey(), &settings, Wire::JOB)?;
        let aside = connect(plan).await?;
        Ok(Self {
            queue,
            settings,
            aside,
        })
    }

    /// Puts entries on a stream, in batches; answers them in order.
    pub async fn fill(&self, jobs: &[JobId]) -> Result<Vec<EntryId>, BenchError> {
        let mut ids = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(BATCH) {
            ids.extend(self.queue.enqueue(&entries(batch)).await?);
        }
        Ok(ids)
    }

    /// Accepts jobs and puts their entries on the stream, as producers do; answers both.
    pub async fn submit(&self, store: &Store, count: usize) -> Result<Vec<(JobId, EntryId)>, BenchError> {
        let mut submitted = Vec::with_capacity(count);
        let mut left = count;
        while left > 0 {
            let part = left.min(BATCH);
            let new: Vec<NewJob> = (0..part).map(|_| job(self)).collect();
            store.accept_many(&new).await?;
            let jobs: Vec<JobId> = new.iter().map(|job| job.id).collect();
            let entries = self.fill(&jobs).await?;
            let noted: Vec<(JobId, EntryId)> = jobs.into_iter().zip(entries).collect();
            store.enqueued(&noted).await?;
            submitted.extend(noted);
            left -= part;
        }
        Ok(submitted)
    }

    /// Takes everything of the queue away.
    pub async fn clear(mut self) -> Result<(), BenchError> {
        let keys = self.queue.keys();
        let cards = self.queue.workers().await?;
        let mut delete = redis::cmd("UNLINK");
        for lane in Lane::ALL {
            delete.arg(keys.stream(lane)).arg(keys.due(lane));
        }
        delete
            .arg(&[&keys.dead, &keys.letters, &keys.sweeper, &keys.steady])
            .arg(&[&keys.epoch, &keys.owner, &keys.workers])
            .arg(
                cards
                    .iter()
                    .map(|seen| keys.card(&seen.worker))
                    .collect::<Vec<_>>(),
            );
        let () = delete
            .query_async(&mut self.aside)
            .await
            .map_err(QueueError::from)?;
        Ok(())
    }
}

/// A job of this queue.
pub fn job(load: &Load) -> NewJob {
    NewJob {
        id: JobId::fresh(),
        queue: load.settings.name.clone(),
        kind: Text::KIND.to_owned(),
        lane: Lane::Own,
        payload: PAYLOAD.to_owned(),
        run_at: None,
        traceparent: None,
        input: None,
        idempotency: None,
        callback: None,
    }
}

/// The entries of some jobs.
pub fn entries(jobs: &[JobId]) -> Vec<NewEntry> {
    let entry = |job: &JobId| NewEntry {
        lane: Lane::Own,
        job: *job,
        payload: PAYLOAD.to_owned(),
        traceparent: None,
    };
    jobs.iter().map(entry).collect()
}

/// The beginning of a word of a command: a digest or a script is not told whole.
pub fn short(word: &str) -> String {
    crate::untrusted::one_line(word, 40)
}

/// A connection as anybody would open it.
pub async fn connect(plan: &Plan) -> Result<MultiplexedConnection, QueueError> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
    let client = redis::Client::open(plan.valkey.as_str())?;
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}
