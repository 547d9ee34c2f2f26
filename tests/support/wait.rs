//! Waiting for something to become true, without guessing how long it takes.

use std::time::Duration;

/// Long enough for the slowest machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is something; panics with `what` when patience runs out.
pub async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(PATIENCE, &mut ask)
        .await
        .unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Asks again and again until the answer is something; nothing when that takes longer than it may.
pub async fn within<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        // The interval is how often a server is asked, not how long anything takes.
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(patience, asking).await.ok()
}
