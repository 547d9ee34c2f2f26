//! How much more a queue takes, and how soon a full one has room again.
//!
//! Counting the waiting jobs for each submission costs more than the submission, so the room that was counted is
//! used up first, and one submission counts for all that come meanwhile. Several producers may each use up what they
//! counted: together they overshoot the limit by what comes in within [`COUNTED_FOR`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

use crate::store::{Store, StoreError};

/// How long a count holds. Short enough that nobody is refused for long once workers have made room.
const COUNTED_FOR: Duration = Duration::from_millis(100);
/// Counting takes a tenth of Postgres' time for us at most: a slow count holds ten times as long as it took, up to this.
const COUNTED_FOR_AT_MOST: Duration = Duration::from_secs(1);
/// What a refused client is told to wait while nothing drains, so no rate is known.
const NO_RATE: Duration = Duration::from_secs(30);
/// Nobody is sent away for longer: the rate may be a better one by then.
const LONGEST: Duration = Duration::from_secs(300);
/// A client that comes back finds room for a share of the limit, not for one job that somebody else takes.
const SHARE: u64 = 20;

/// The room of one queue. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Headroom(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counted: Mutex<Counted>,
    /// Whose turn it is to count.
    turn: Turn<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Until when it holds.
    until: Option<Instant>,
    room: u64,
    /// When to come back, as far as it was asked.
    pause: Option<Duration>,
}

/// What a submission is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It takes one place.
    Taken,
    /// There is none; room is expected after this time.
    Full(Duration),
}

impl Headroom {
    /// Takes a place.
    ///
    /// # Errors
    /// When Postgres is away.
    pub(super) async fn take(&self, store: &Store, queue: &str, limit: u64) -> Result<Room, StoreError> {
        if let Some(told) = self.told(Instant::now()) {
            return Ok(told);
        }
        let turn = self.0.turn.try_lock();
        if turn.is_err() {
            // Somebody counts: what is left of the last count is as good meanwhile.
            if let Some(told) = self.left() {
                return Ok(told);
            }
            // Nobody keeps the turn who has waited for it: should Postgres be away, all are to learn that at once.
            drop(self.0.turn.lock().await);
            if let Some(told) = self.told(Instant::now()) {
                return Ok(told);
            }
        }
        let begun = Instant::now();
        let waiting = store.bounded(store.waiting_up_to(queue, limit)).await?;
        let room = limit.saturating_sub(waiting);
        let pause = if room == 0 {
            Some(pause(limit, store.bounded(store.ended_per_minute(queue)).await?))
        } else {
            None
        };
        let now = Instant::now();
        let holds = (now - begun) * 10;
        *self.lock() = Counted {
            until: Some(now + holds.clamp(COUNTED_FOR, COUNTED_FOR_AT_MOST)),
            room: room.saturating_sub(1),
            pause,
        };
        Ok(pause.map_or(Room::Taken, Room::Full))
    }

    /// The answer that the last count still gives at this time.
    fn told(&self, now: Instant) -> Option<Room> {
        let holds = self.lock().until.is_some_and(|until| now < until);
        if holds { self.left() } else { None }
    }

    /// What is left of the last count, whether it holds still or not.
    fn left(&self) -> Option<Room> {
        let mut counted = self.lock();
        counted.until?;
        if let Some(pause) = counted.pause {
            return Some(Room::Full(pause));
        }
        // What was counted is used up: count again.
        counted.room = counted.room.checked_sub(1)?;
        Some(Room::Taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the workers need for a share of the limit at their present rate.
fn pause(limit: u64, ended_per_minute: u64) -> Duration {
    if ended_per_minute == 0 {
        return NO_RATE;
    }
    let share = limit.div_ceil(SHARE).max(1);
    let ms = u128::from(share) * 60_000 / u128::from(ended_per_minute);
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    Duration::from_millis(ms).clamp(Duration::from_secs(1), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_client_comes_back_when_a_share_of_the_queue_has_drained() {
        for (limit, per_minute, seconds) in [
            (10_000, 0, 30),
            (10_000, 600, 50),
            (10_000, 60_000, 1),
            (10_000, 1, 300),
            (1, 60, 1),
            (u64::MAX, 1, 300),
        ] {
            let told = pause(limit, per_minute);
            assert_eq!(
                told,
                Duration::from_secs(seconds),
                "{limit} at {per_minute} a minute"
            );
        }
    }

    #[test]
    fn what_was_counted_is_used_up_before_it_is_counted_again() {
        let (headroom, now) = (Headroom::default(), Instant::now());
        assert_eq!(headroom.told(now), None, "nothing was counted yet");
        assert_eq!(headroom.left(), None);
        *headroom.lock() = Counted {
            until: Some(now + COUNTED_FOR),
            room: 2,
            pause: None,
        };
        let told: Vec<_> = (0..3).map(|_| headroom.clone().told(now)).collect();
        assert_eq!(told, [Some(Room::Taken), Some(Room::Taken), None]);
        let pause = Duration::from_secs(7);
        headroom.lock().pause = Some(pause);
        assert_eq!(headroom.told(now), Some(Room::Full(pause)));
        let later = now + COUNTED_FOR;
        assert_eq!(headroom.told(later), None, "a count does not hold for long");
        assert_eq!(
            headroom.left(),
            Some(Room::Full(pause)),
            "while somebody counts it is all that is known"
        );
    }

    #[tokio::test]
    async fn one_counts_for_all_that_come_meanwhile() {
        let url = "postgres://127.0.0.1:1/none".into();
        let store = Store::open(&url, "tests", 1).expect("an address");
        let headroom = Headroom::default();
        *headroom.lock() = Counted {
            until: Some(Instant::now()),
            room: 1,
            pause: None,
        };
        let counting = headroom.0.turn.lock().await;
        // Nobody listens there: whoever asked would fail.
        let told = headroom.take(&store, "queue", 10).await;
        assert_eq!(told.expect("what was left"), Room::Taken);
        let (queue, waiter) = ("queue".to_owned(), headroom.clone());
        let mut waiting = std::pin::pin!(waiter.take(&store, &queue, 10));
        assert!(
            futures_util::poll!(&mut waiting).is_pending(),
            "it waits for the count"
        );
        *headroom.lock() = Counted {
            until: Some(Instant::now() + COUNTED_FOR_AT_MOST),
            room: 5,
            pause: None,
        };
        drop(counting);
        assert_eq!(waiting.await.expect("what was counted"), Room::Taken);
        assert_eq!(headroom.lock().room, 4);
    }
}
