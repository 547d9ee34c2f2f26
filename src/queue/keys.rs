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
    /// The third stream: what is to be run before everything else.
    pub high: String,
    /// The consumer group, the same name on all streams.
    pub group: String,
    /// Sorted set: parked entries by the time they are due, in milliseconds.
    pub due: String,
    /// The same for the stream with priority. Apart, since a version that does not know that stream cannot read
    /// its members.
    pub due_high: String,
    /// Stream of dead letters: a projection, the rows in Postgres are the truth.
    pub dead: String,
    /// While this key exists the letters are whole: it goes with the rest when the data is lost.
    pub letters: String,
    /// Stream of what operators noted while Postgres was away, until it is in the book.
    pub glass: String,
    /// While this key exists, nothing new starts.
    pub pause: String,
    /// Who sweeps: one worker of the fleet.
    pub sweeper: String,
    /// While this key exists some worker has been heard without a gap: who is silent now is so by itself.
    pub steady: String,
    /// Random text that a loss of all data takes with it.
    pub epoch: String,
    /// The group whose queue this is: everything beside the streams belongs to one group.
    pub owner: String,
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
            high: beside("high"),
            group: group.to_owned(),
            due: beside("due"),
            due_high: beside("due:high"),
            dead: beside("dead"),
            letters: beside("letters"),
            glass: beside("glass"),
            pause: beside("pause"),
            sweeper: beside("sweeper"),
            steady: beside("steady"),
            epoch: beside("epoch"),
            owner: beside("group"),
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
            Lane::High => &self.high,
        }
    }

    /// The due set of a lane.
    #[must_use]
    pub fn due(&self, lane: Lane) -> &str {
        match lane {
            Lane::Own | Lane::Shared => &self.due,
            Lane::High => &self.due_high,
        }
    }

    /// The card of a worker: who it is, refreshed with each heartbeat.
    #[must_use]
    pub fn card(&self, worker: &str) -> String {
        format!("{}{worker}", self.card_prefix)
    }
}

/// The number of a lane in scripts and in the due sets.
#[must_use]
pub const fn lane_number(lane: Lane) -> usize {
    match lane {
        Lane::Own => 1,
        Lane::Shared => 2,
        Lane::High => 3,
    }
}

/// The lane of a number in scripts and in the due sets.
#[must_use]
pub const fn numbered_lane(number: usize) -> Lane {
    match number {
        1 => Lane::Own,
        3 => Lane::High,
        _ => Lane::Shared,
    }
}

/// The pub/sub channel on which a job tells its progress; the reference's name.
#[must_use]
pub fn progress_channel(job: crate::domain::JobId) -> String {
    format!("review:{job}")
}

/// The job whose progress a channel carries.
#[must_use]
pub fn job_of_channel(channel: &str) -> Option<crate::domain::JobId> {
    channel.strip_prefix("review:")?.parse().ok()
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
        for (i, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(
                lane_number(lane),
                i + 1,
                "scripts count the streams in this order"
            );
            assert_eq!(numbered_lane(lane_number(lane)), lane);
        }
    }
}
