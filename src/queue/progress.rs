//! Pub/sub: progress of jobs for whoever listens, and the wake-up for idle workers.

use futures_util::{Stream, StreamExt};

use super::connect::Queue;
use super::error::QueueError;
use super::keys::progress_channel;
use crate::domain::JobId;

/// What workers are called for. A call only saves time: what it tells they would find out by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Something is due now.
    Due,
    /// An entry was taken away from its worker: ask for all leases at once.
    Renew,
    /// The queue is paused.
    Pause,
    /// The queue runs again.
    Resume,
}

impl Call {
    const fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Renew => "renew",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// A call of a version that knows more is a reason to look.
    fn of(word: &[u8]) -> Self {
        match word {
            b"renew" => Self::Renew,
            b"pause" => Self::Pause,
            b"resume" => Self::Resume,
            _ => Self::Due,
        }
    }
}

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
        self.call_workers(Call::Due).await
    }

    /// Calls all workers of the queue.
    ///
    /// # Errors
    /// When the server is away; the workers find out for themselves, later.
    pub async fn call_workers(&self, call: Call) -> Result<(), QueueError> {
        let () = redis::cmd("PUBLISH")
            .arg(&self.keys().wake)
            .arg(call.word())
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// Listens for calls until the connection ends.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn calls(&self) -> Result<impl Stream<Item = Call> + Send + use<>, QueueError> {
        let mut pubsub = self.client().get_async_pubsub().await?;
        pubsub.subscribe(&self.keys().wake).await?;
        let heard = |message: redis::Msg| async move { Some(Call::of(message.get_payload_bytes())) };
        Ok(pubsub.into_on_message().filter_map(heard))
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
