//! Feeds the producer over HTTP, as a client would: always a little more than the workers can take.

use std::path::Path;
use std::time::Duration;

use millstream::store::Store;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::diffs;
use super::fleet::http_client;
use crate::failure::Failure;

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The producer may refuse so many in a row before the demo gives up.
const REFUSALS: u32 = 20;

/// The feeding of one producer.
pub struct Feed {
    client: reqwest::Client,
    address: String,
    /// What the producer asks for, if anything.
    token: Option<String>,
    store: Store,
    queue: String,
    slots: usize,
    diffs: Vec<String>,
}

impl Feed {
    /// Gathers the diffs.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub async fn new(
        web_url: &str,
        token: Option<String>,
        store: Store,
        queue: String,
        slots: usize,
    ) -> Result<Self, Failure> {
        let diffs = diffs::gather(Path::new(".")).await;
        let address = format!("{web_url}/api/reviews");
        Ok(Self {
            client: http_client()?,
            address,
            token,
            store,
            queue,
            slots,
            diffs,
        })
    }

    /// Feeds until the producer refuses for good.
    pub async fn run(self) -> Failure {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next, mut refused) = (0, 0);
        loop {
            ticks.tick().await;
            // One job waits for each slot: enough that no worker idles, few enough to watch.
            let waiting = match self.store.counts(&self.queue).await {
                Ok(counts) => usize::try_from(counts.waiting).unwrap_or(usize::MAX),
                Err(_) => continue,
            };
            for _ in waiting..self.slots {
                let diff = &self.diffs[next % self.diffs.len()];
                match self.submit(diff).await {
                    Ok(()) => (next, refused) = (next + 1, 0),
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
