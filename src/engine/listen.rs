//! Hears the calls of other processes, so that nobody has to wait for the next heartbeat.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::runtime::Message;
use crate::queue::{Call, Queue};

/// How long after a lost connection it listens again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// What the listener needs.
pub struct Listener {
    /// The queue.
    pub queue: Queue,
    /// Something parked is due, or the queue goes on.
    pub due: Arc<Notify>,
    /// Where the time to renew is told.
    pub inbox: mpsc::Sender<Message>,
    /// The worker has left.
    pub stop: CancellationToken,
}

impl Listener {
    /// Listens until the stop; its connection comes back by itself.
    pub async fn run(self) {
        let mut replacements = self.queue.replacements();
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.listen() => {}
                // A line that fell silent is heard of by the heartbeat only.
                Ok(()) = replacements.changed() => {}
            }
        }
    }

    async fn listen(&self) {
        match self.queue.calls().await {
            Ok(calls) => {
                let mut calls = std::pin::pin!(calls);
                while let Some(call) = calls.next().await {
                    self.pass_on(call).await;
                }
            }
            Err(error) => debug!(
                "failed to {error}; listening again in {} s",
                LISTEN_AGAIN.as_secs()
            ),
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }

    async fn pass_on(&self, call: Call) {
        match call {
            // A paused queue answers the next fetch so; an idle worker asks at once.
            Call::Due | Call::Pause | Call::Resume => self.due.notify_one(),
            Call::Renew => {
                // The loop is gone only after the worker has left.
                let _gone = self.inbox.send(Message::RenewDue).await;
            }
        }
    }
}
