//! The blocking read that wakes an idle worker the moment something arrives.
//!
//! It has a connection of its own and is never dropped half way: a blocked `XREADGROUP` whose future
//! is gone still takes the entry. To end it early, [`Waker::wake`] unblocks it on the server.

use std::pin::pin;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::fetch::read_entry;
use crate::domain::{Lane, WorkerId};

/// How long a read that was ended on the server has to come back. An answer takes milliseconds.
const WAKES_WITHIN: Duration = Duration::from_secs(2);

/// The name under which a worker's blocking connection stands in `CLIENT LIST`.
#[must_use]
pub fn connection_name(worker: &str) -> String {
    format!("millstream:{worker}")
}

/// The blocking connection.
pub struct Reader {
    connection: MultiplexedConnection,
    queue: Queue,
    worker: WorkerId,
    client_id: i64,
    /// Tells when the connection beside this one was given up, which may have gone the same way.
    replaced: watch::Receiver<u64>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// Ends a blocked read from elsewhere.
#[derive(Clone)]
pub struct Waker {
    client_id: i64,
    queue: Queue,
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waker")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What a blocking read brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// Entries that are this worker's now, at most one of each stream.
    pub entries: Vec<Entry>,
    /// Whether the queue was paused in the moment they came: then they are not to be run.
    pub paused: bool,
}

impl Read {
    /// Whether the time of the read passed and nothing came of it.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.entries.is_empty() && !self.paused
    }
}

/// The answer of `XREADGROUP`: nothing, or streams of (id, fields).
type Answer = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;

impl Reader {
    pub(super) async fn connect(queue: &Queue, worker: WorkerId) -> Result<Self, QueueError> {
        let patience = queue.patience();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            // Longer than the block, or an idle queue looks like a dead server.
            .set_response_timeout(Some(patience.block + patience.answer));
        let mut connection = queue
            .client()
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        // The name lets others see that this process still holds its connection.
        let (client_id,): (i64,) = redis::pipe()
            .cmd("CLIENT")
            .arg("SETNAME")
            .arg(connection_name(&worker.to_string()))
            .ignore()
            .cmd("CLIENT")
            .arg("ID")
            .query_async(&mut connection)
            .await?;
        Ok(Self {
            connection,
            queue: queue.clone(),
            worker,
            client_id,
            replaced: queue.replacements(),
        })
    }

    /// What ends a read of this connection early.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker {
            client_id: self.client_id,
            queue: self.queue.clone(),
        }
    }

    /// Waits for new entries on any stream and takes at most one of each.
    ///
    /// # Errors
    /// When the server is away (then this reader is useless), or the group is gone.
    pub async fn read(&mut self) -> Result<Read, QueueError> {
        let waker = self.waker();
        let mut reading = pin!(read_once(&mut self.connection, &self.queue, self.worker));
        tokio::select! {
            // Asked first: a replacement of long ago must not end a read that is not even sent.
            biased;
            outcome = &mut reading => return outcome,
            Ok(()) = self.replaced.changed() => {}
        }
        // The heartbeat was not answered. Whether this line fell silent too is seen when the read is ended: it is not
        // dropped before, since what it takes meanwhile would be nobody's.
        if let Err(error) = waker.wake().await {
            debug!("failed to {error}; the blocking read cannot be ended");
        }
        let silent = |_elapsed| QueueError::Unreachable("the blocking read fell silent".to_owned());
        timeout(WAKES_WITHIN, reading).await.map_err(silent)?
    }
}

async fn read_once(
    connection: &mut MultiplexedConnection,
    queue: &Queue,
    worker: WorkerId,
) -> Result<Read, QueueError> {
    let (keys, block) = (queue.keys(), queue.patience().block);
    let mut pipe = redis::pipe();
    let read = pipe.cmd("XREADGROUP").arg("GROUP").arg(&keys.group);
    read.arg(worker.to_string()).arg("COUNT").arg(1);
    read.arg("BLOCK").arg(block.as_millis() as u64).arg("STREAMS");
    for lane in Lane::ALL {
        read.arg(keys.stream(lane));
    }
    for _ in Lane::ALL {
        read.arg(">");
    }
    // A blocking read does not know the pause: it is asked for in the same trip, right behind it.
    pipe.cmd("EXISTS").arg(&keys.pause);
    let (answer, paused): (Answer, bool) = pipe.query_async(connection).await?;
    let mut entries = Vec::new();
    for (stream, rows) in answer.unwrap_or_default() {
        let lane = Lane::ALL.into_iter().find(|lane| stream == keys.stream(*lane));
        let lane = lane.ok_or_else(|| QueueError::Answer(format!("an entry of {stream}")))?;
        for (id, flat) in rows {
            entries.push(read_entry(lane, &id, flat, 1)?);
        }
    }
    Ok(Read { entries, paused })
}

impl Waker {
    /// Ends the read that blocks now, as if its time were over: nothing is taken by it.
    ///
    /// # Errors
    /// When the server is away or does not allow it; then the read ends by itself within its time.
    pub async fn wake(&self) -> Result<(), QueueError> {
        let () = redis::cmd("CLIENT")
            .arg("UNBLOCK")
            .arg(self.client_id)
            .query_async(&mut self.queue.connection())
            .await?;
        Ok(())
    }
}
