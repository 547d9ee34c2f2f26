//! The envelope of every operator's move: the right is asked for, the intent is written, then it happens, then what
//! came of it is written. With Postgres away nothing happens.

use serde_json::{Value, json};
use tracing::warn;

use super::error::OpsError;
use crate::store::Store;
use crate::store::actions::{ActionId, Intent};

/// What the book says about a result.
pub(super) trait Told {
    /// The word of the outcome, and what there is to say about it.
    fn told(&self) -> (&'static str, Value);
}

/// Runs a move inside its two entries in the book.
///
/// # Errors
/// When the intent cannot be written, and then nothing has happened; or when the move fails.
pub(super) async fn recorded<T: Told, E: Future<Output = Result<T, OpsError>>>(
    store: &Store,
    intent: &Intent,
    effect: impl FnOnce(ActionId) -> E,
) -> Result<T, OpsError> {
    let action = store.bounded(store.intend(intent)).await?;
    let done = effect(action).await;
    let (word, result) = match &done {
        Ok(done) => done.told(),
        Err(error) => ("refused", json!({ "error": error.to_string() })),
    };
    if let Err(error) = store.bounded(store.conclude(action, word, result)).await {
        // What happened has happened: its caller is told that, and the book keeps an intent without an end.
        let Intent { verb, actor, .. } = intent;
        warn!("failed to {error}; the outcome of `{verb}` by {actor} is not in the book");
    }
    done
}
