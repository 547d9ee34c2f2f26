//! How much more a queue takes, and how soon a full one has room again.
//!
//! Counting the waiting jobs for each submission costs more than the submission, so the room that was counted is
//! used up first. Several producers may each use up what they counted: together they overshoot the limit by what
//! comes in within [`COUNTED_FOR`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Store, StoreError};

/// How long a count holds. Short enough that nobody is refused for long once workers have made room.
const COUNTED_FOR: Duration = Duration::from_millis(100);
/// What a refused client is told to wait while nothing drains, so no rate is known.
const NO_RATE: Duration = Duration::from_secs(30);
/// Nobody is sent away for longer: the rate may be a better one by then.
const LONGEST: Duration = Duration::from_secs(300);
/// A client that comes back finds room for a share of the limit, not for one job that somebody else takes.
const SHARE: u64 = 20;

/// The room of one queue. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Headroom(Arc<Mutex<Counted>>);

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    at: Option<Instant>,
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
        if let Some(told) = self.told() {
            return Ok(told);
        }
        let waiting = store.bounded(store.waiting_up_to(queue, limit)).await?;
        let room = limit.saturating_sub(waiting);
        let pause = if room == 0 {
            Some(pause(limit, store.bounded(store.ended_per_minute(queue)).await?))
        } else {
            None
        };
        let mut counted = self.lock();
        *counted = Counted {
            at: Some(Instant::now()),
            room: room.saturating_sub(1),
            pause,
        };
        Ok(pause.map_or(Room::Taken, Room::Full))
    }

    /// The answer that the last count still gives.
    fn told(&self) -> Option<Room> {
        let mut counted = self.lock();
        if counted.at?.elapsed() > COUNTED_FOR {
            return None;
        }
        if let Some(pause) = counted.pause {
            return Some(Room::Full(pause));
        }
        // What was counted is used up: count again.
        counted.room = counted.room.checked_sub(1)?;
        Some(Room::Taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let headroom = Headroom::default();
        assert_eq!(headroom.told(), None, "nothing was counted yet");
        *headroom.lock() = Counted {
            at: Some(Instant::now()),
            room: 2,
            pause: None,
        };
        let told: Vec<_> = (0..3).map(|_| headroom.clone().told()).collect();
        assert_eq!(told, [Some(Room::Taken), Some(Room::Taken), None]);
        let (long_ago, pause) = (
            Instant::now().checked_sub(COUNTED_FOR * 2),
            Duration::from_secs(7),
        );
        headroom.lock().pause = Some(pause);
        assert_eq!(headroom.told(), Some(Room::Full(pause)));
        headroom.lock().at = long_ago;
        assert_eq!(headroom.told(), None, "a count does not hold for long");
    }
}
