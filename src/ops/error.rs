//! Why something was not done, by what its caller answers.

use std::time::Duration;

use super::rights::Refused;
use super::scale::FleetError;
use crate::domain::NotACallback;
use crate::domain::diff::NotADiff;
use crate::queue::QueueError;
use crate::store::StoreError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The text is no diff that can be reviewed; nothing was written.
    #[error(transparent)]
    NotADiff(#[from] NotADiff),
    /// The diff is larger than allowed; nothing was written.
    #[error("the diff has {bytes} bytes, more than the {limit} that MAX_PATCH allows")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The address that is to be told of the end is none that may be called; nothing was written.
    #[error(transparent)]
    Callback(#[from] NotACallback),
    /// The queue carries webhooks; nothing was written.
    #[error("QUEUE names a queue of webhooks, which takes no reviews")]
    NoReviews,
    /// Webhooks cannot be signed here; nothing was written.
    #[error("callbacks are not taken here: WEBHOOK_SECRET is not set, so no webhook could be signed")]
    NoCallbacks,
    /// The same idempotency key came before with another submission; nothing was written.
    #[error("this idempotency key was used for another submission")]
    KeyReused,
    /// The queue is full; nothing was written.
    #[error("the queue is full: {limit} jobs wait")]
    QueueFull {
        /// The limit.
        limit: u64,
        /// When to come back.
        retry_after: Duration,
    },
    /// The ladder does not let it pass; nothing was written.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The fleet was not scaled.
    #[error("failed to scale: {0}")]
    Fleet(#[from] FleetError),
    /// Postgres failed; a submission may have been accepted all the same.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// Valkey failed.
    #[error("failed to {0}")]
    Queue(#[from] QueueError),
}
