//! The sweeper: takes over what dead and silent consumers hold, keeps parked entries parked, and clears away
//! what everybody is through with.
//!
//! * A worker of ours is dead when its last heartbeat is three seconds old *and* its named
//!   connection is gone. Its entries are due again at once.
//! * One that is silent but still connected (frozen, or cut off) keeps its entries until they have
//!   been idle for the visibility timeout. So does every suspect when the server does not show its
//!   connections.
//! * A foreign consumer has no heartbeat; what it left idle for 30 seconds, the reference's own
//!   figure, is taken over.
//!
//! The fence in Postgres is closed right after, so what the loser still writes is refused.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ledger::Ledger;
use crate::domain::{EntryId, Lane, WorkerId};
use crate::queue::lease::{SUSPECT_AFTER, Suspect};
use crate::queue::{Entry, Queue, QueueError};
use crate::store::Taken;

/// Parked entries must be touched well within the 30 s after which a foreign worker takes them.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// Cards of workers that are gone come down after this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// What a foreign worker may leave idle.
const FOREIGN_IDLE: Duration = Duration::from_secs(30);
/// How often finished entries that nobody deleted are looked for.
const CLEAR_EVERY: Duration = Duration::from_secs(60);
/// Slices of one walk; a longer one goes on in the next second.
const SLICES: usize = 20;
/// The same of a takeover, whose slices are half as long: jobs wait for it.
const TAKEOVER_SLICES: usize = 60;
/// Lost entries that wait to be taken down; what is beyond is found by the next full pass.
const GONE_KEPT: usize = 10_000;

/// What the heartbeat has told the elected sweeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// Consumers that may be dead.
    pub suspects: Vec<Suspect>,
    /// Parked entries.
    pub parked: u64,
    /// The server's clock, in milliseconds.
    pub server_ms: u64,
}

/// What the sweeper needs.
pub struct Sweeper<L> {
    /// The queue.
    pub queue: Queue,
    /// The ledger whose fence is closed behind a loser.
    pub ledger: L,
    /// How long a silent worker keeps its entries.
    pub visibility_timeout: Duration,
    /// What there is to do, while this worker is elected.
    pub duty: watch::Receiver<Option<Duty>>,
    /// The worker leaves.
    pub stop: CancellationToken,
    /// Entries whose payload is gone and whose jobs have not heard of it yet.
    pub gone: VecDeque<(Lane, EntryId)>,
}

/// Where a walk over the streams stands.
type Place = Option<(usize, Option<String>)>;

impl<L: Ledger> Sweeper<L> {
    /// Sweeps until the stop.
    pub async fn run(mut self) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut tended, mut tidied): (Option<Instant>, Option<Instant>) = (None, None);
        let (mut cleared, mut place): (Option<Instant>, Place) = (None, None);
        let due = |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let Some(duty) = self.duty.borrow_and_update().clone() else {
                continue;
            };
            note(self.sweep(&duty.suspects).await, "sweeping");
            self.tell_gone().await;
            // Without a due time there should be nothing parked; now and then it is looked at all the same.
            let tend_every = if duty.parked > 0 { TEND_EVERY } else { FORGET_AFTER };
            if due(tended, tend_every) {
                tended = Some(Instant::now());
                note(self.tend().await, "tending parked entries");
            }
            if due(tidied, FORGET_AFTER / 2) {
                tidied = Some(Instant::now());
                note(self.tidy(duty.server_ms).await, "taking cards down");
            }
            if place.is_none() && due(cleared, CLEAR_EVERY) {
                cleared = Some(Instant::now());
                place = Some((0, None));
            }
            note(self.clear(&mut place).await, "clearing finished entries");
        }
    }

    /// Takes over what these suspects hold, as far as they have lost it.
    ///
    /// # Errors
    /// When Valkey is away or a group is gone; the next second goes on.
    pub async fn sweep(&mut self, suspects: &[Suspect]) -> Result<(), QueueError> {
        if suspects.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = suspects.iter().map(|suspect| suspect.consumer.clone()).collect();
        // Only workers of ours name their connection; for foreign ones the list need not be asked for.
        let ours = names.iter().any(|name| name.parse::<WorkerId>().is_ok());
        let connected = if ours {
            self.queue.connected(&names).await?
        } else {
            None
        };
        let mut is_heard = true;
        for (i, suspect) in suspects.iter().enumerate() {
            let connected = connected.as_ref().map(|all| all[i]);
            let idle = least_idle(suspect, connected, self.visibility_timeout);
            self.take_over(suspect, idle, &mut is_heard).await?;
        }
        Ok(())
    }

    async fn take_over(
        &mut self,
        suspect: &Suspect,
        idle: Duration,
        is_heard: &mut bool,
    ) -> Result<(), QueueError> {
        let mut from: Option<String> = None;
        for _ in 0..TAKEOVER_SLICES {
            let slice = self
                .queue
                .take_over(
                    suspect.lane,
                    &suspect.consumer,
                    idle,
                    SUSPECT_AFTER,
                    from.as_deref(),
                )
                .await?;
            self.hand_on(&suspect.consumer, &slice.found, is_heard).await;
            match slice.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// Closes the fence behind the loser of these entries, as long as the ledger hears, and tells whoever may run them.
    /// Each call to a Postgres that is away would hold up those that wait, and every other duty.
    async fn hand_on(&mut self, loser: &str, taken: &[Entry], is_heard: &mut bool) {
        if taken.is_empty() {
            return;
        }
        let (gone, there): (Vec<&Entry>, Vec<&Entry>) = taken.iter().partition(|entry| entry.is_gone());
        let wire = self.queue.wire();
        let jobs: Vec<_> = there
            .iter()
            .filter_map(|entry| {
                Some(Taken {
                    job: entry.carried(wire).ok()?.job,
                    entry: entry.id,
                    deliveries: entry.deliveries,
                })
            })
            .collect();
        info!(worker.id = %loser, "took over {} entries of {loser}", taken.len());
        if *is_heard && let Err(error) = self.ledger.lost(loser, &jobs).await {
            *is_heard = !error.is_passing();
            warn!("failed to {error}; the next start of each job that {loser} held closes the fence");
        }
        let room = GONE_KEPT.saturating_sub(self.gone.len());
        self.gone
            .extend(gone.iter().take(room).map(|entry| (entry.lane, entry.id)));
        // Best effort: idle workers look by themselves within a second.
        let _unheard = self.queue.wake_workers().await;
    }

    /// Tells the ledger which entries are gone, and keeps what it does not hear for the next second.
    pub async fn tell_gone(&mut self) {
        while let Some((lane, id)) = self.gone.front().copied() {
            match self.ledger.gone(&self.queue.keys().shared, lane, id).await {
                Ok(()) => drop(self.gone.pop_front()),
                Err(error) => return warn!("failed to {error}; {} lost entries wait", self.gone.len()),
            }
        }
    }

    /// Goes on with the walk that clears finished entries away, a few slices at a time.
    async fn clear(&self, place: &mut Place) -> Result<(), QueueError> {
        for _ in 0..SLICES {
            let Some((nth, from)) = place.take() else {
                return Ok(());
            };
            let Some(lane) = Lane::ALL.get(nth).copied() else {
                return Ok(());
            };
            let slice = self.queue.clear_finished(lane, from.as_deref()).await?;
            if slice.found > 0 {
                info!(
                    lane = lane.word(),
                    "cleared {} finished entries away", slice.found
                );
            }
            *place = Some(match slice.next {
                Some(next) => (nth, Some(next)),
                None => (nth + 1, None),
            });
        }
        Ok(())
    }

    /// Renews parked entries.
    ///
    /// # Errors
    /// When Valkey is away or a group is gone.
    pub async fn tend(&self) -> Result<(), QueueError> {
        for lane in Lane::ALL {
            let mut from: Option<String> = None;
            loop {
                let slice = self.queue.tend_parked(lane, from.as_deref()).await?;
                match slice.next {
                    Some(next) if !self.stop.is_cancelled() => from = Some(next),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Takes down the cards of workers that are long gone, and consumers that are nobody's.
    ///
    /// # Errors
    /// When Valkey is away or a group is gone.
    pub async fn tidy(&self, server_ms: u64) -> Result<(), QueueError> {
        for gone in self.queue.silent_workers(server_ms, FORGET_AFTER).await? {
            self.queue.leave(&gone).await?;
        }
        self.queue.forget_consumers().await?;
        Ok(())
    }
}

fn note(outcome: Result<(), QueueError>, what: &str) {
    if let Err(error) = outcome {
        warn!("failed to {error}; {what} goes on later");
    }
}

/// How long an entry of a suspect must have been idle to be taken over.
fn least_idle(suspect: &Suspect, connected: Option<bool>, visibility_timeout: Duration) -> Duration {
    let ours = suspect.consumer.parse::<WorkerId>().is_ok();
    match connected {
        _ if !ours => visibility_timeout.max(FOREIGN_IDLE),
        Some(false) => Duration::ZERO,
        Some(true) | None => visibility_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_of_ours_without_a_connection_loses_its_entries_at_once() {
        let suspect = |consumer: &str| Suspect {
            lane: Lane::Own,
            consumer: consumer.to_owned(),
            silence: None,
        };
        let ours = suspect(&WorkerId::fresh().to_string());
        let timeout = Duration::from_secs(15);
        assert_eq!(least_idle(&ours, Some(false), timeout), Duration::ZERO);
        assert_eq!(least_idle(&ours, Some(true), timeout), timeout);
        assert_eq!(least_idle(&ours, None, timeout), timeout);
        let foreign = suspect("worker-4711");
        assert_eq!(least_idle(&foreign, Some(false), timeout), FOREIGN_IDLE);
        assert_eq!(least_idle(&foreign, None, timeout * 4), timeout * 4);
    }
}
