//! A producer of the chaos run: it repeats a submission, with the same key, until it is told that it is accepted.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use millstream::domain::{CallbackReach, CallbackUrl, JobId, Lane};
use millstream::engine::Job;
use millstream::queue::{NewEntry, Queue};
use millstream::settings::process_environment;
use millstream::store::Store;
use millstream::store::jobs::{Accepted, IdempotencyKey, NewJob};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use tokio::time::{interval, timeout};

use crate::Told;
use crate::job::{ChaosJob, Ending};
use crate::notes::Notes;

/// How long a client waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the entry's way to Valkey may take; then the enqueue is owed, as the product's producers have it.
const ENQUEUE_WITHIN: Duration = Duration::from_secs(1);
/// How often a submission is repeated while nobody answers.
const REPEAT_EVERY: Duration = Duration::from_millis(200);
/// A minute and a half: an outage that lasts longer is no part of the run.
const REPEATS: usize = 450;
/// One job of so many fails once, and one of so many is dead.
const FAILS: (u64, u64) = (40, 100);
/// One job of so many has priority.
const URGENT: u64 = 10;
/// The end of one job of so many is told to a receiver: of some that have priority, fail or are dead, too.
const TOLD: u64 = 5;

/// A producer.
struct Producer {
    name: String,
    store: Store,
    queue: Queue,
    queue_name: String,
    callback: CallbackUrl,
    notes: Notes,
}

/// Feeds as many jobs as it was told to, each noted once it is promised.
pub async fn feed(told: Told) -> Result<(), String> {
    let (seed, jobs): (u64, u64) = (number("CHAOS_SEED")?, number("CHAOS_JOBS")?);
    let every = Duration::from_millis(number("CHAOS_EVERY_MS")?);
    let producer = Producer {
        name: process_environment("CHAOS_NAME").ok_or("CHAOS_NAME is not set")?,
        store: Store::open(&told.servers.database_url, "chaos producer", 2)
            .map_err(|error| error.to_string())?,
        queue: Queue::open(&told.servers.valkey_url, &told.queue, ChaosJob::WIRE)
            .map_err(|error| error.to_string())?,
        queue_name: told.queue.name,
        callback: callback()?,
        notes: Notes::open()?,
    };
    let mut dice = StdRng::seed_from_u64(seed);
    // An outage does not make it less: what was due meanwhile comes right after.
    let mut ticks = interval(every);
    for nth in 1..=jobs {
        ticks.tick().await;
        let job = ChaosJob {
            work_ms: dice.random_range(5..=200),
            ending: ending(nth),
        };
        producer.submit(nth, &job).await?;
    }
    Ok(())
}

/// The address of the receiver, which is on this machine.
fn callback() -> Result<CallbackUrl, String> {
    let text = process_environment("CHAOS_CALLBACK").ok_or("CHAOS_CALLBACK is not set")?;
    CallbackUrl::parse(&text, CallbackReach::Anywhere).map_err(|error| error.to_string())
}

fn ending(nth: u64) -> Ending {
    match nth {
        nth if nth.is_multiple_of(FAILS.1) => Ending::Badly,
        nth if nth.is_multiple_of(FAILS.0) => Ending::SecondTime,
        _ => Ending::Well,
    }
}

/// How a job will have ended, and whether somebody will have been told.
fn promise(id: JobId, nth: u64, job: &ChaosJob) -> String {
    let state = match job.ending {
        Ending::Badly => "dead",
        Ending::Well | Ending::SecondTime => "done",
    };
    let told = if nth.is_multiple_of(TOLD) {
        "told"
    } else {
        "untold"
    };
    format!("{id} {state} {told}")
}

fn number<T: FromStr>(name: &str) -> Result<T, String> {
    let text = process_environment(name).unwrap_or_default();
    text.parse().map_err(|_| format!("{name} is no number: {text}"))
}

impl Producer {
    /// Repeats a submission until it is promised, then notes the promise.
    async fn submit(&self, nth: u64, job: &ChaosJob) -> Result<(), String> {
        let mut repeats = interval(REPEAT_EVERY);
        for _ in 0..REPEATS {
            repeats.tick().await;
            let new = self.job(nth, job);
            let accepted = match timeout(ANSWER_WITHIN, self.store.accept(&new)).await {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(error)) => {
                    eprintln!("job {nth}: failed to {error}; trying again");
                    continue;
                }
                Err(_elapsed) => continue,
            };
            return match accepted {
                Accepted::New => {
                    self.notes.add(&promise(new.id, nth, job))?;
                    self.enqueue(&new).await;
                    Ok(())
                }
                // The answer to an earlier one was lost.
                Accepted::Repeated(id) => self.notes.add(&promise(id, nth, job)),
                Accepted::KeyReused => Err(format!("the key of job {nth} is another job's")),
            };
        }
        Err(format!("nobody has accepted job {nth}"))
    }

    fn job(&self, nth: u64, job: &ChaosJob) -> NewJob {
        let payload = job.to_payload();
        let mut body_sha256 = String::new();
        for byte in Sha256::digest(payload.as_bytes()) {
            let _infallible = write!(body_sha256, "{byte:02x}");
        }
        NewJob {
            id: JobId::fresh(),
            queue: self.queue_name.clone(),
            kind: ChaosJob::KIND.to_owned(),
            lane: if nth.is_multiple_of(URGENT) {
                Lane::High
            } else {
                Lane::Own
            },
            payload,
            run_at: None,
            traceparent: None,
            input: None,
            callback: nth.is_multiple_of(TOLD).then(|| self.callback.clone()),
            idempotency: Some(IdempotencyKey {
                client: self.name.clone(),
                key: nth.to_string(),
                body_sha256,
            }),
        }
    }

    /// Puts the entry on its stream; what fails here is owed, and the reconciler pays it.
    async fn enqueue(&self, job: &NewJob) {
        let entry = NewEntry {
            lane: job.lane,
            job: job.id,
            payload: job.payload.clone(),
            traceparent: None,
        };
        let adding = async {
            let ids = self
                .queue
                .enqueue(&[entry])
                .await
                .map_err(|error| error.to_string())?;
            let noting = self.store.enqueued(&[(job.id, ids[0])]).await;
            noting.map_err(|error| error.to_string())
        };
        let added = timeout(ENQUEUE_WITHIN, adding).await;
        if let Err(why) = added.map_err(|elapsed| elapsed.to_string()).flatten() {
            eprintln!("job {}: failed to {why}; its enqueue is owed", job.id);
        }
    }
}
