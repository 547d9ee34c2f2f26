//! How many deliveries one receiver has at a time: one that hangs holds its own places, and leaves the others' free.
//!
//! Who finds no place is told when to come back: as if all who found none stood in one line, which moves as fast as
//! the receiver has answered lately. So a thousand webhooks for one receiver are not started again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a call is expected to take by whom nothing is known of yet.
const USUAL: Duration = Duration::from_secs(1);
/// The shortest pause that is worth to be told of, and the longest: what waits longer is held elsewhere.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));

/// The places of all receivers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    each: usize,
    receivers: Arc<Mutex<HashMap<String, Receiver>>>,
}

/// A receiver that is being called. Who is called by nobody is forgotten, so there are no more of them than calls.
#[derive(Debug)]
struct Receiver {
    taken: usize,
    /// How long its calls took lately.
    usual: Duration,
    /// When the last of those who stand in line is to come back.
    booked: Instant,
}

/// A place with one receiver, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    origin: String,
    since: Instant,
}

impl Places {
    /// So many for each receiver.
    #[must_use]
    pub fn new(each: usize) -> Self {
        Self {
            each,
            receivers: Arc::default(),
        }
    }

    /// How many each receiver has.
    #[must_use]
    pub const fn each(&self) -> usize {
        self.each
    }

    /// Takes a place with a receiver.
    ///
    /// # Errors
    /// When all are taken: how long to stay away.
    pub fn take(&self, origin: &str) -> Result<Place, Duration> {
        self.take_at(origin, Instant::now())
    }

    fn take_at(&self, origin: &str, now: Instant) -> Result<Place, Duration> {
        let mut receivers = self.receivers();
        let receiver = receivers.entry(origin.to_owned()).or_insert(Receiver {
            taken: 0,
            usual: USUAL,
            booked: now,
        });
        if receiver.taken >= self.each {
            let step = receiver.usual / u32::try_from(self.each).unwrap_or(u32::MAX);
            let (shortest, longest) = PAUSES;
            receiver.booked = (receiver.booked.max(now) + step).min(now + longest);
            return Err((receiver.booked - now).max(shortest));
        }
        receiver.taken += 1;
        Ok(Place {
            places: self.clone(),
            origin: origin.to_owned(),
            since: now,
        })
    }

    /// Gives a place back that was taken so long ago.
    fn give_back(&self, origin: &str, took: Duration) {
        let mut receivers = self.receivers();
        if let Some(receiver) = receivers.get_mut(origin) {
            receiver.taken -= 1;
            receiver.usual = (receiver.usual * 3 + took) / 4;
            if receiver.taken == 0 {
                receivers.remove(origin);
            }
        }
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<String, Receiver>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.origin, self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "https://one.example";

    #[test]
    fn a_receiver_has_so_many_places_and_no_other_goes_without_for_it() {
        let places = Places::new(2);
        let held = (places.take(ONE).expect("free"), places.take(ONE).expect("free"));
        assert!(places.take(ONE).is_err());
        let other = places.take("https://two.example").expect("its own");
        drop(held.0);
        let again = places.take(ONE).expect("it is free again");
        assert!(places.take(ONE).is_err());
        drop((held.1, other, again));
        assert!(places.receivers().is_empty(), "nobody is remembered");
    }

    #[test]
    fn who_finds_no_place_comes_back_behind_those_before_and_as_late_as_the_receiver_is_slow() {
        let (places, start) = (Places::new(2), Instant::now());
        let take = |seconds| places.take_at(ONE, start + Duration::from_secs(seconds));
        let (first, _second) = (take(0).expect("free"), take(0).expect("free"));
        let pause = |seconds| take(seconds).expect_err("all are taken").as_millis();
        assert_eq!([pause(0), pause(0), pause(0)], [500, 1_000, 1_500]);
        assert_eq!(pause(20), 500, "the line has moved on");
        // Its usual time is five seconds by now: each of two places moves the line on every 2.5 s.
        places.give_back(ONE, Duration::from_secs(17));
        // It was given back already.
        std::mem::forget(first);
        let _third = take(40).expect("free");
        assert_eq!([pause(40), pause(40)], [2_500, 5_000]);
        let most = (0..1_000).map(|_| pause(40)).max();
        assert_eq!(most, Some(300_000));
    }
}
