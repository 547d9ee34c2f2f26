//! The demo has as many workers as somebody asks for: `millstream scale` writes it to Postgres, and this follows.

use std::collections::HashSet;
use std::time::Duration;

use millstream::ops::scale::MOST_IN_DEMO;
use millstream::store::Store;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::fleet::Fleet;
use crate::failure::Failure;

/// How often it is looked, and told how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Follows until it is dropped. With Postgres away nothing is asked for.
///
/// # Errors
/// Never; the type fits beside what can fail.
pub async fn follow(store: &Store, queue: &str, fleet: &Fleet) -> Result<(), Failure> {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut draining, mut known) = (HashSet::new(), None);
    loop {
        ticks.tick().await;
        if let Ok(Some(row)) = store.fleet(queue).await {
            // What was asked of an earlier demo on the same data is over.
            if known.is_some_and(|known| known != row.asked_at) {
                let wanted = row.wanted.unsigned_abs().min(MOST_IN_DEMO);
                resize(fleet, wanted as usize, &mut draining);
            }
            known = Some(row.asked_at);
        }
        let running = stay(fleet, &draining).len();
        // Whoever asks finds nobody who answers, and says so.
        let _unheard = store
            .answer_fleet(queue, u32::try_from(running).unwrap_or(u32::MAX))
            .await;
    }
}

/// The processes that were not asked to leave.
fn stay(fleet: &Fleet, draining: &HashSet<u32>) -> Vec<u32> {
    let alive = fleet.alive();
    let pids = alive.iter().map(|worker| worker.pid());
    pids.filter(|pid| !draining.contains(pid)).collect()
}

fn resize(fleet: &Fleet, wanted: usize, draining: &mut HashSet<u32>) {
    let stay = stay(fleet, draining);
    // The screen may be the console's: what is told goes to its log.
    info!("{} workers, {wanted} are asked for", stay.len());
    for _ in stay.len()..wanted {
        if let Err(failure) = fleet.add_worker() {
            warn!("{failure}");
            return;
        }
    }
    // The newest go first.
    for pid in stay.iter().skip(wanted).rev() {
        if fleet
            .worker(*pid)
            .is_some_and(|worker| worker.terminate().is_ok())
        {
            draining.insert(*pid);
        }
    }
}
