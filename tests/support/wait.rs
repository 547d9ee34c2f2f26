//! Waiting for something to become true, without guessing how long it takes.

use std::time::Duration;

/// Long enough for the slowest machine, and for what the product takes to put something right by itself: what nobody
/// noted down is owed after 30 s, and looked for every 10. Only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often is asked.
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// Asks again and again until the answer is something; panics with `what` when patience runs out.
pub async fn until<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    until_within(PATIENCE, LOOKS_EVERY, what, ask).await
}

/// The same with another patience. The interval is how often a server is asked, not how long anything takes.
pub async fn until_within<T, F>(
    patience: Duration,
    interval: Duration,
    what: &str,
    ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    asked_every(patience, interval, ask)
        .await
        .unwrap_or_else(|| panic!("waited in vain until {what}"))
}

/// Asks again and again until the answer is something; nothing when that takes longer than it may.
pub async fn within<T, F>(patience: Duration, ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    asked_every(patience, LOOKS_EVERY, ask).await
}

async fn asked_every<T, F>(patience: Duration, interval: Duration, mut ask: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(patience, asking).await.ok()
}
