//! Work that keeps a processor busy, done where it cannot hold up a heartbeat.

use millstream::domain::{Failure, FailureClass};

/// Runs the work on a thread of its own kind: scanning a diff of 8 MiB takes longer than the engine's
/// beat may be late. Work that was begun is finished even if nobody waits for it any more; it has
/// no effect but its answer.
///
/// # Errors
/// When the work panics.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::passing(
            FailureClass::Panic,
            format!("a step of the review broke off: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_failure() {
        let failure = aside(|| assert_eq!(1, 2)).await.expect_err("it panics");
        assert_eq!(failure.class, FailureClass::Panic);
    }
}
