//! Feeds the producer over HTTP, as a client would: always a little more than the workers can take.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use millstream::store::Store;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::diffs;
use super::fleet::{Fleet, http_client};
use crate::failure::Failure;

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The producer may refuse so many in a row before the demo gives up.
const REFUSALS: u32 = 20;

/// Submissions of a burst that are on the way at once.
const AT_ONCE: usize = 8;

/// The feeding of one producer.
pub struct Feed {
    client: reqwest::Client,
    address: String,
    /// What the producer asks for, if anything.
    token: Option<String>,
    store: Store,
    queue: String,
    fleet: Arc<Fleet>,
    diffs: Vec<String>,
    next: AtomicUsize,
}

impl Feed {
    /// Gathers the diffs.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub async fn new(
        fleet: Arc<Fleet>,
        token: Option<String>,
        store: Store,
        queue: String,
    ) -> Result<Self, Failure> {
        let diffs = diffs::gather(Path::new(".")).await;
        let address = format!("{}/api/reviews", fleet.web_url());
        Ok(Self {
            client: http_client()?,
            address,
            token,
            store,
            queue,
            fleet,
            diffs,
            next: AtomicUsize::new(0),
        })
    }

    /// Feeds until the producer refuses for good.
    pub async fn run(&self) -> Failure {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refused = 0;
        loop {
            ticks.tick().await;
            // One job waits for each slot: enough that no worker idles, few enough to watch.
            let waiting = match self.store.counts(&self.queue).await {
                Ok(counts) => usize::try_from(counts.waiting).unwrap_or(usize::MAX),
                Err(_) => continue,
            };
            for _ in waiting..self.fleet.slots() {
                match self.submit_next().await {
                    Ok(()) => refused = 0,
                    Err(why) if refused >= REFUSALS => {
                        return Failure::Demo(format!("the producer takes no diffs: {why}"));
                    }
                    Err(_) => {
                        refused += 1;
                        break;
                    }
                }
            }
        }
    }

    /// Submits so many diffs at once; answers how many were taken, and why the last other one was not.
    pub async fn burst(&self, diffs: u32) -> (u32, Option<String>) {
        let outcomes: Vec<Result<(), String>> = stream::iter(0..diffs)
            .map(|_| self.submit_next())
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let why = outcomes.into_iter().filter_map(Result::err).next_back();
        (u32::try_from(taken).unwrap_or(u32::MAX), why)
    }

    async fn submit_next(&self) -> Result<(), String> {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        self.submit(&self.diffs[nth % self.diffs.len()]).await
    }

    async fn submit(&self, patch: &str) -> Result<(), String> {
        let mut request = self.client.post(&self.address).json(&json!({ "patch": patch }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let status = request.send().await.map_err(|error| error.to_string())?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}
