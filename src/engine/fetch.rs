//! Fetching entries: a task of its own, never an arm of a `select!`.
//!
//! With free slots it asks for as many entries as there are slots, without blocking. When there is
//! nothing, the blocking reader waits; it has its own task and is never dropped half way, since a
//! blocked read whose future is gone still takes the entry. What the reader takes beyond the free
//! slots, or from a paused queue, is given back at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::asking::{Asked, Asker};
use super::runtime::Message;
use crate::domain::WorkerId;
use crate::queue::fetch::Want;
use crate::queue::reader::{Read, Waker};
use crate::queue::{Entry, Parking, Queue, QueueError};

/// How often a paused or unreachable queue is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a wake-up of the blocking read has to work.
const WAKE_AGAIN: Duration = Duration::from_millis(50);

/// What the fetching task needs.
pub struct Fetcher {
    /// The queue.
    pub queue: Queue,
    /// Who fetches.
    pub worker: WorkerId,
    /// How many slots are free.
    pub free: watch::Receiver<usize>,
    /// Something parked is due.
    pub due: Arc<Notify>,
    /// Where entries go.
    pub inbox: mpsc::Sender<Message>,
    /// Stop fetching.
    pub stop: CancellationToken,
}

/// The blocking reader's task: one read for each request.
struct ReaderTask {
    requests: mpsc::Sender<oneshot::Sender<Result<Read, QueueError>>>,
    waker: watch::Receiver<Option<Waker>>,
}

impl Fetcher {
    /// Fetches until it is told to stop; entries that arrive in that moment are still handed over.
    pub async fn run(mut self) {
        let (requests, inbox) = mpsc::channel(1);
        let (waker_out, waker) = watch::channel(None);
        let reading = read_on_request(self.queue.clone(), self.worker, inbox, waker_out);
        let reader = ReaderTask { requests, waker };
        // Ends together: the reader's loop ends when the request side is dropped.
        tokio::join!(reading, async move {
            let mut idle = IdleRead::default();
            let mut asker = Asker::new(self.queue.clone(), self.worker);
            while self.step(&reader, &mut idle, &mut asker).await {}
            idle.finish(&mut self, &reader).await;
            // The loop is gone only after the worker has left.
            let _gone = self.inbox.send(Message::FetchEnded).await;
        });
    }

    /// One round; answers whether to go on.
    async fn step(&mut self, reader: &ReaderTask, idle: &mut IdleRead, asker: &mut Asker) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        let free = *self.free.borrow_and_update();
        if free == 0 {
            return self.wait_for_slots(idle).await;
        }
        // While the reader blocks it takes what is new; only what is due must be asked for.
        let want = if idle.is_reading() {
            Want::DueOnly
        } else {
            Want::Anything
        };
        let inbox = &self.inbox;
        let asking = asker.ask(free, &mut self.free, want, |entries| hand_over(inbox, entries));
        match asking.await {
            Asked { is_over: true, .. } => false,
            Asked {
                failed: Some(error), ..
            } => self.recover(&error, idle).await,
            Asked {
                has_entries: true, ..
            } => true,
            Asked { is_paused: true, .. } => self.pause(idle).await,
            Asked { next_due, .. } => {
                if !idle.is_reading() {
                    idle.start(reader).await;
                }
                self.wait_idle(reader, idle, next_due).await
            }
        }
    }

    /// Waits until a slot is free. A read that is still blocking may bring an entry meanwhile.
    async fn wait_for_slots(&mut self, idle: &mut IdleRead) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            changed = self.free.changed() => changed.is_ok(),
            read = idle.arrived() => self.take(read, idle).await,
        }
    }

    /// Waits for whatever comes first: an entry, something due, another slot, or the stop.
    async fn wait_idle(
        &mut self,
        reader: &ReaderTask,
        idle: &mut IdleRead,
        next_due: Option<Duration>,
    ) -> bool {
        // The heartbeat looks every second as well; this only makes short delays exact.
        let until_due = next_due
            .unwrap_or(Duration::from_secs(60))
            .max(Duration::from_millis(1));
        let due = tokio::time::sleep(until_due);
        tokio::pin!(due);
        loop {
            return tokio::select! {
                () = self.stop.cancelled() => false,
                read = idle.arrived() => match read {
                    // Nothing came: the next read needs no look at what is due, which has waits of its own.
                    Ok(read) if read.is_nothing() => {
                        idle.start(reader).await;
                        continue;
                    }
                    read => self.take(read, idle).await,
                },
                () = self.due.notified() => true,
                () = &mut due => true,
            };
        }
    }

    async fn take(&mut self, read: Result<Read, QueueError>, idle: &mut IdleRead) -> bool {
        match read {
            Ok(read) => self.accept(read).await,
            Err(error) => self.recover(&error, idle).await,
        }
    }

    async fn accept(&mut self, read: Read) -> bool {
        if read.paused {
            self.give_back(&read.entries).await;
            true
        } else if read.entries.is_empty() {
            true
        } else {
            hand_over(&self.inbox, read.entries).await
        }
    }

    /// Parks what a paused queue has delivered all the same, due at once when it goes on.
    async fn give_back(&self, entries: &[Entry]) {
        for entry in entries {
            let parked = [Parking {
                entry: entry.id,
                delivery: entry.deliveries,
                delay: Duration::ZERO,
            }];
            if let Err(error) = self.queue.park(entry.lane, self.worker, &parked).await {
                // Nobody renews it, so the next look for unknown entries parks it.
                warn!("failed to {error}; entry {} is given back later", entry.id);
            }
        }
    }

    /// Waits a moment. An entry that a blocking read brings meanwhile is not left lying.
    async fn pause(&mut self, idle: &mut IdleRead) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(ASK_AGAIN) => true,
            () = self.due.notified() => true,
            read = idle.arrived() => match read {
                Ok(read) => self.accept(read).await,
                Err(_) => true,
            },
        }
    }

    async fn recover(&mut self, error: &QueueError, idle: &mut IdleRead) -> bool {
        if matches!(error, QueueError::NoGroup(_)) {
            info!("the consumer group is gone; making it again");
            if self.queue.ensure_groups().await.is_ok() {
                return true;
            }
        }
        // The server may have given us something all the same.
        if self.inbox.send(Message::ReadFailed).await.is_err() {
            return false;
        }
        warn!("failed to {error}; asking again in {} s", ASK_AGAIN.as_secs());
        self.pause(idle).await
    }
}

/// Hands entries over and waits until the free slots are counted anew; answers whether to go on.
async fn hand_over(inbox: &mpsc::Sender<Message>, entries: Vec<Entry>) -> bool {
    let (counted, wait) = oneshot::channel();
    if inbox.send(Message::Fetched(entries, counted)).await.is_err() {
        return false;
    }
    wait.await.is_ok()
}

/// The read that is blocking now, if one is.
#[derive(Default)]
struct IdleRead {
    pending: Option<oneshot::Receiver<Result<Read, QueueError>>>,
}

impl IdleRead {
    const fn is_reading(&self) -> bool {
        self.pending.is_some()
    }

    async fn start(&mut self, reader: &ReaderTask) {
        let (answer, pending) = oneshot::channel();
        if reader.requests.send(answer).await.is_ok() {
            self.pending = Some(pending);
        }
    }

    /// The outcome of the read; never, while none is blocking. Safe to drop and call again.
    async fn arrived(&mut self) -> Result<Read, QueueError> {
        let Some(pending) = &mut self.pending else {
            return std::future::pending().await;
        };
        let outcome = pending.await;
        self.pending = None;
        outcome.unwrap_or_else(|_| Ok(Read::default()))
    }

    /// Ends a blocking read early and hands over what it took all the same.
    async fn finish(&mut self, fetcher: &mut Fetcher, reader: &ReaderTask) {
        if !self.is_reading() {
            return;
        }
        let read = loop {
            // Read anew each time: the reader may just be connecting.
            let waker = reader.waker.borrow().clone();
            if let Some(waker) = waker
                && let Err(error) = waker.wake().await
            {
                debug!("failed to {error}; the read ends by itself");
            }
            // A wake-up that came before the read had begun to block was lost: it is repeated.
            tokio::select! {
                outcome = self.arrived() => break outcome.unwrap_or_default(),
                () = tokio::time::sleep(WAKE_AGAIN) => {}
            }
        };
        if !read.entries.is_empty() {
            hand_over(&fetcher.inbox, read.entries).await;
        }
    }
}

/// Serves one read for each request, on a connection that is made anew after every error.
async fn read_on_request(
    queue: Queue,
    worker: WorkerId,
    mut requests: mpsc::Receiver<oneshot::Sender<Result<Read, QueueError>>>,
    waker: watch::Sender<Option<Waker>>,
) {
    let mut reader = None;
    while let Some(answer) = requests.recv().await {
        let connected = match reader.take() {
            Some(reader) => Ok(reader),
            None => queue.reader(worker).await,
        };
        let outcome = match connected {
            Ok(mut fresh) => {
                waker.send_replace(Some(fresh.waker()));
                let outcome = fresh.read().await;
                // A missing group is no fault of the connection.
                if matches!(outcome, Ok(_) | Err(QueueError::NoGroup(_))) {
                    reader = Some(fresh);
                }
                outcome
            }
            Err(error) => Err(error),
        };
        // Nobody asks any more only after the worker has ended.
        let _gone = answer.send(outcome);
    }
}
