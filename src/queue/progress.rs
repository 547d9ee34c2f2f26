//! Pub/sub: progress of jobs for whoever listens, and the wake-up for idle workers.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use redis::aio::{PubSubSink, PubSubStream};

use super::connect::Queue;
use super::error::QueueError;
use super::keys::{job_of_channel, progress_channel};
use crate::domain::JobId;

/// How long the server has to answer a subscription before its connection counts as lost.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(5);

/// One connection on which the progress of any number of jobs is heard.
pub struct Feed {
    sink: PubSubSink,
    messages: PubSubStream,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Feed {
    /// Listens to these jobs too. What they tell from the moment of the answer on is heard.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn add(&mut self, jobs: &[JobId]) -> Result<(), QueueError> {
        if jobs.is_empty() {
            return Ok(());
        }
        answered(self.sink.subscribe(channels(jobs))).await
    }

    /// Listens to these jobs no longer.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn remove(&mut self, jobs: &[JobId]) -> Result<(), QueueError> {
        if jobs.is_empty() {
            return Ok(());
        }
        answered(self.sink.unsubscribe(channels(jobs))).await
    }

    /// The next thing that one of the jobs tells; nothing when the connection is lost. It is safe to drop.
    pub async fn next(&mut self) -> Option<(JobId, String)> {
        loop {
            let message = self.messages.next().await?;
            let job = job_of_channel(message.get_channel_name());
            // What is no text is no progress.
            if let (Some(job), Ok(text)) = (job, message.get_payload()) {
                return Some((job, text));
            }
        }
    }
}

fn channels(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(|job| progress_channel(*job)).collect()
}

async fn answered(call: impl Future<Output = Result<(), redis::RedisError>>) -> Result<(), QueueError> {
    match tokio::time::timeout(SUBSCRIBED_WITHIN, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => {
            let text = format!("no answer within {} s", SUBSCRIBED_WITHIN.as_secs());
            Err(QueueError::Unreachable(text))
        }
    }
}

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

    /// A connection on which the progress of many jobs can be heard.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn feed(&self) -> Result<Feed, QueueError> {
        let (sink, messages) = self.client().get_async_pubsub().await?.split();
        Ok(Feed { sink, messages })
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
