//! The names of everything that a queue keeps in Valkey.
//!
//! The tag in braces equals the name of the reference's stream, so on a cluster all keys share its
//! slot although that stream's own name has no braces.

use crate::domain::Lane;

/// The consumer that parked entries belong to: pending, but nobody's to run until they are due.
pub const PARKED: &str = "millstream-parked";

/// The keys of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The reference's stream.
    pub shared: String,
    /// The second stream: what a reference worker cannot run or honour.
    pub own: String,
    /// The consumer group, the same name on both streams.
    pub group: String,
    /// Sorted set: parked entries by the time they are due, in milliseconds.
    pub due: String,
    /// Stream of dead letters: a projection, the rows in Postgres are the truth.
    pub dead: String,
    /// While this key exists, nothing new starts.
    pub pause: String,
    /// Who sweeps: one worker of the fleet.
    pub sweeper: String,
    /// Random text that a loss of all data takes with it.
    pub epoch: String,
    /// Sorted set: workers by their last heartbeat, in milliseconds.
    pub workers: String,
    /// Pub/sub channel that wakes idle workers.
    pub wake: String,
    card_prefix: String,
}

impl Keys {
    /// The keys beside a stream.
    #[must_use]
    pub fn new(queue: &str, group: &str) -> Self {
        let beside = |name: &str| format!("{{{queue}}}:{name}");
        Self {
            shared: queue.to_owned(),
            own: beside("own"),
            group: group.to_owned(),
            due: beside("due"),
            dead: beside("dead"),
            pause: beside("pause"),
            sweeper: beside("sweeper"),
            epoch: beside("epoch"),
            workers: beside("workers"),
            wake: beside("wake"),
            card_prefix: beside("card:"),
        }
    }

    /// The stream of a lane.
    #[must_use]
    pub fn stream(&self, lane: Lane) -> &str {
        match lane {
            Lane::Own => &self.own,
            Lane::Shared => &self.shared,
        }
    }

    /// The card of a worker: who it is, refreshed with each heartbeat.
    #[must_use]
    pub fn card(&self, worker: &str) -> String {
        format!("{}{worker}", self.card_prefix)
    }
}

/// The number of a lane inside the due set.
#[must_use]
pub const fn lane_number(lane: Lane) -> usize {
    match lane {
        Lane::Own => 1,
        Lane::Shared => 2,
    }
}

/// The lane of a number inside the due set.
#[must_use]
pub const fn numbered_lane(number: usize) -> Lane {
    if number == 1 { Lane::Own } else { Lane::Shared }
}

/// The pub/sub channel on which a job tells its progress; the reference's name.
#[must_use]
pub fn progress_channel(job: crate::domain::JobId) -> String {
    format!("review:{job}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_keeps_its_name_and_ours_share_its_slot() {
        let keys = Keys::new("reviews:queue", "reviewers");
        assert_eq!(keys.shared, "reviews:queue");
        assert_eq!(keys.own, "{reviews:queue}:own");
        assert_eq!(keys.card("w-1"), "{reviews:queue}:card:w-1");
        for lane in Lane::ALL {
            assert_eq!(numbered_lane(lane_number(lane)), lane);
        }
    }
}
