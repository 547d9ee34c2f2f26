//! Events and spans of running attempts, on their way to Valkey and Postgres.
//!
//! A handler never waits for them: they go through a bounded channel to one writer, which keeps
//! their order and writes in batches. What does not fit is counted and said in the log. Before the
//! end of an attempt is taken down, [`Telemetry::flush`] waits for what it has told so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::ledger::Ledger;
use crate::queue::Queue;
use crate::store::telemetry::{EventRow, SpanRow};

/// What one worker can have on the way: a burst of many jobs, a few megabytes.
const CAPACITY: usize = 8_192;
/// Rows of one statement.
const BATCH: usize = 256;
/// How long a batch is retried while Postgres is away. Telemetry must not fill the memory.
const KEEP_TRYING: Duration = Duration::from_secs(30);
/// How long the end of an attempt waits for its telemetry.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

enum Item {
    Event(EventRow),
    Span(SpanRow),
    Flush(oneshot::Sender<()>),
}

/// Where attempts hand in what they have to tell. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    items: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

impl Telemetry {
    /// The handing-in side and the writer's side.
    pub fn channel() -> (Self, Writer) {
        let (items, inbox) = mpsc::channel(CAPACITY);
        let dropped = Arc::new(AtomicU64::new(0));
        (
            Self {
                items,
                dropped: dropped.clone(),
            },
            Writer { inbox, dropped },
        )
    }

    /// Hands in an event.
    pub fn event(&self, row: EventRow) {
        self.hand_in(Item::Event(row));
    }

    /// Hands in something about a span.
    pub fn span(&self, row: SpanRow) {
        self.hand_in(Item::Span(row));
    }

    fn hand_in(&self, item: Item) {
        if self.items.try_send(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything handed in before is written or given up.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self.items.send(Item::Flush(done)).await.is_ok() {
                // The writer dropping it means that it is gone, which is as good as written.
                let _gone = written.await;
            }
        };
        if tokio::time::timeout(FLUSH_WITHIN, flush).await.is_err() {
            warn!("telemetry is behind: the end of an attempt is recorded before its last events");
        }
    }
}

/// The writer's side.
pub struct Writer {
    inbox: mpsc::Receiver<Item>,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    /// Writes until every handing-in side is gone.
    pub async fn run<L: Ledger>(mut self, queue: Queue, ledger: L) {
        let mut items = Vec::with_capacity(BATCH);
        while self.inbox.recv_many(&mut items, BATCH).await > 0 {
            let (mut events, mut spans, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
            for item in items.drain(..) {
                match item {
                    Item::Event(row) => events.push(row),
                    Item::Span(row) => spans.push(row),
                    Item::Flush(done) => flushes.push(done),
                }
            }
            publish(&queue, &events).await;
            write(&ledger, &events, &spans).await;
            for done in flushes {
                // Nobody waits any more: fine.
                let _gone = done.send(());
            }
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                warn!(
                    dropped,
                    "telemetry is behind: {dropped} events and spans were dropped"
                );
            }
        }
    }
}

/// Tells whoever listens now; the stored events serve everybody else.
pub async fn publish(queue: &Queue, events: impl IntoIterator<Item = &EventRow>) {
    let told: Vec<_> = events
        .into_iter()
        .map(|event| (event.lease.job, event.body.to_string()))
        .collect();
    if let Err(error) = queue.publish(&told).await {
        tracing::debug!("failed to {error}; {} events were not published", told.len());
    }
}

async fn write<L: Ledger>(ledger: &L, events: &[EventRow], spans: &[SpanRow]) {
    let mut pause = Duration::from_millis(100);
    let give_up = tokio::time::Instant::now() + KEEP_TRYING;
    let (mut events_left, mut spans_left) = (!events.is_empty(), !spans.is_empty());
    while events_left || spans_left {
        let mut failed = None;
        if spans_left {
            match ledger.add_spans(spans).await {
                Ok(()) => spans_left = false,
                Err(error) => failed = Some(error),
            }
        }
        if events_left {
            match ledger.add_events(events).await {
                Ok(()) => events_left = false,
                Err(error) => failed = Some(error),
            }
        }
        let Some(error) = failed else { return };
        if !error.is_passing() || tokio::time::Instant::now() + pause > give_up {
            warn!(
                "failed to {error}; up to {} events and spans were dropped",
                events.len() + spans.len()
            );
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
