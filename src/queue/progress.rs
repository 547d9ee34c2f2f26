//! Pub/sub: progress of jobs for whoever listens, and the wake-up for idle workers.

use futures_util::{Stream, StreamExt};

use super::connect::Queue;
use super::error::QueueError;
use super::keys::progress_channel;
use crate::domain::JobId;

impl Queue {
    /// Tells progress of jobs, in order, in one round trip. Nobody listening is fine.
    ///
    /// # Errors
    /// When the server is away; what was not told is stored elsewhere.
    pub async fn publish(&self, events: &[(JobId, String)]) -> Result<(), QueueError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for (job, text) in events {
            pipe.cmd("PUBLISH").arg(progress_channel(*job)).arg(text).ignore();
        }
        let () = pipe.query_async(&mut self.connection()).await?;
        Ok(())
    }

    /// Wakes idle workers: something is due now.
    ///
    /// # Errors
    /// When the server is away; the workers look for themselves every second.
    pub async fn wake_workers(&self) -> Result<(), QueueError> {
        let () = redis::cmd("PUBLISH")
            .arg(&self.keys().wake)
            .arg("due")
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// Listens for wake-ups until the connection ends.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn wake_ups(&self) -> Result<impl Stream<Item = ()> + Send + use<>, QueueError> {
        let mut pubsub = self.client().get_async_pubsub().await?;
        pubsub.subscribe(&self.keys().wake).await?;
        Ok(pubsub.into_on_message().map(|_| ()))
    }

    /// Listens for the progress of a job until the connection ends.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn progress_of(
        &self,
        job: JobId,
    ) -> Result<impl Stream<Item = String> + Send + use<>, QueueError> {
        let mut pubsub = self.client().get_async_pubsub().await?;
        pubsub.subscribe(progress_channel(job)).await?;
        Ok(pubsub
            .into_on_message()
            .filter_map(|message| async move { message.get_payload().ok() }))
    }
}
