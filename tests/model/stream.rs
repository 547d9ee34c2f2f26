//! What Valkey must hold by now: streams, pending lists, due times, letters and cards, advanced script by script.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use millstream::domain::{EntryId, JobId, Lane};
use millstream::queue::fetch::Fetched;
use millstream::queue::keys::PARKED;

/// Who holds an entry, and how often it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub consumer: String,
    pub deliveries: u32,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// What the group was given last; nothing while there is no group.
    pub last: Option<EntryId>,
    /// The job that each entry carries, if it can be read.
    pub entries: BTreeMap<EntryId, Option<JobId>>,
    pub pending: BTreeMap<EntryId, Held>,
}

/// Everything of a queue.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    pub lanes: BTreeMap<Lane, Stream>,
    /// Parked entries, and whether they are due.
    pub due: BTreeMap<(Lane, EntryId), bool>,
    /// Entries that nobody has renewed for longer than any limit.
    pub idle: BTreeSet<(Lane, EntryId)>,
    /// Whom the dead letters are about.
    pub letters: Vec<Option<JobId>>,
    /// Whether the letters are noted to be whole.
    pub letters_noted: bool,
    pub paused: bool,
    pub epoch: Option<String>,
    /// Workers with a heartbeat, and whether it is fresh.
    pub cards: BTreeMap<String, bool>,
    pub sweeper: Option<String>,
    /// Whether some worker is known to be heard without a gap: only then anybody is elected.
    pub steady: bool,
}

impl Streams {
    pub fn new() -> Self {
        let lanes = Lane::ALL
            .into_iter()
            .map(|lane| (lane, Stream::default()))
            .collect();
        Self {
            lanes,
            ..Self::default()
        }
    }

    /// Of the letters about one job, the newest.
    pub fn leave_newest_letters(&mut self) {
        let mut about = BTreeSet::new();
        self.letters.reverse();
        self.letters
            .retain(|letter| letter.is_none_or(|job| about.insert(job)));
        self.letters.reverse();
    }

    pub fn lane(&self, lane: Lane) -> &Stream {
        &self.lanes[&lane]
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Stream {
        self.lanes.get_mut(&lane).expect("every lane has its stream")
    }

    pub fn has_groups(&self) -> bool {
        self.lanes.values().all(|stream| stream.last.is_some())
    }

    /// Makes the groups that are not there.
    pub fn ensure_groups(&mut self) {
        if !self.has_groups() {
            self.epoch = None;
        }
        for stream in self.lanes.values_mut() {
            stream.last.get_or_insert(EntryId { ms: 0, seq: 0 });
        }
    }

    pub fn add(&mut self, lane: Lane, entry: EntryId, job: Option<JobId>) {
        self.lane_mut(lane).entries.insert(entry, job);
    }

    pub fn holder(&self, lane: Lane, entry: EntryId) -> Option<&str> {
        self.lane(lane)
            .pending
            .get(&entry)
            .map(|held| held.consumer.as_str())
    }

    fn is_parked(&self, lane: Lane, entry: EntryId) -> bool {
        self.holder(lane, entry) == Some(PARKED)
    }

    /// `XCLAIM .. JUSTID`: moves an entry, or drops it from the list when its payload is gone.
    fn claim_for(&mut self, lane: Lane, entry: EntryId, consumer: &str) {
        self.idle.remove(&(lane, entry));
        let stream = self.lane_mut(lane);
        if !stream.entries.contains_key(&entry) {
            stream.pending.remove(&entry);
        } else if let Some(held) = stream.pending.get_mut(&entry) {
            consumer.clone_into(&mut held.consumer);
        }
    }

    fn acknowledge(&mut self, lane: Lane, entry: EntryId) {
        self.idle.remove(&(lane, entry));
        self.lane_mut(lane).pending.remove(&entry);
    }

    /// Whether a due time belongs to nobody: it does no harm, and goes when it is looked at.
    pub fn is_stale(&self, (lane, entry): (Lane, EntryId)) -> bool {
        !self.is_parked(lane, entry)
    }

    /// Holds what a fetch has brought against what there was, and takes it in.
    pub fn fetch(&mut self, worker: &str, slots: usize, fetched: &Fetched) -> Result<()> {
        ensure!(
            fetched.paused == self.paused,
            "paused is told as {}",
            fetched.paused
        );
        ensure!(
            !self.paused || fetched.entries.is_empty(),
            "a paused queue gave something out"
        );
        ensure!(
            fetched.entries.len() <= slots,
            "a fetch brought more than it was asked for"
        );
        let stale = self.due.keys().any(|member| self.is_stale(*member));
        for entry in &fetched.entries {
            let (lane, id) = (entry.lane, entry.id);
            if self.is_parked(lane, id) {
                ensure!(
                    self.due.remove(&(lane, id)) == Some(true),
                    "{id} was given out before it is due"
                );
                let there = self.lane(lane).entries.contains_key(&id);
                ensure!(
                    entry.is_gone() != there,
                    "{id} is there: {there}, and the fetch says else"
                );
                self.claim_for(lane, id, worker);
                if let Some(held) = self.lane_mut(lane).pending.get_mut(&id) {
                    held.deliveries += 1;
                    ensure!(
                        held.deliveries == entry.deliveries,
                        "{id} tells of {} deliveries",
                        entry.deliveries
                    );
                }
            } else {
                let next = self.undelivered(lane).next();
                ensure!(
                    next == Some(id),
                    "{id} was given out, and the next one is {next:?}"
                );
                ensure!(
                    entry.deliveries == 1,
                    "{id} is new, with {} deliveries",
                    entry.deliveries
                );
                let stream = self.lane_mut(lane);
                stream.last = Some(id);
                let held = Held {
                    consumer: worker.to_owned(),
                    deliveries: 1,
                };
                stream.pending.insert(id, held);
            }
        }
        // A due time of nobody's uses up room of the fetch that clears it away.
        if fetched.entries.len() < slots && !self.paused && !stale && self.has_groups() {
            let due = self.due.values().any(|due| *due);
            let new = Lane::ALL
                .into_iter()
                .any(|lane| self.undelivered(lane).next().is_some());
            ensure!(!due && !new, "a fetch with free slots left something behind");
        }
        Ok(())
    }

    /// Entries of a stream that the group was not given yet.
    pub fn undelivered(&self, lane: Lane) -> impl Iterator<Item = EntryId> {
        let stream = self.lane(lane);
        let last = stream.last.unwrap_or(EntryId { ms: 0, seq: 0 });
        stream.entries.keys().copied().filter(move |id| *id > last)
    }

    /// Renews leases; answers those that are lost.
    pub fn renew(&mut self, worker: &str, lane: Lane, entries: &[EntryId]) -> Vec<EntryId> {
        let is_lost = |id: &&EntryId| self.holder(lane, **id) != Some(worker);
        let lost: Vec<EntryId> = entries.iter().filter(is_lost).copied().collect();
        for id in entries.iter().filter(|id| !lost.contains(id)) {
            self.claim_for(lane, *id, worker);
        }
        lost
    }

    pub fn settle(&mut self, worker: &str, lane: Lane, entry: EntryId) {
        if self.holder(lane, entry) == Some(worker) {
            self.acknowledge(lane, entry);
            self.lane_mut(lane).entries.remove(&entry);
        }
    }

    /// Parks what is this worker's by this delivery; a later one to the same worker is another's affair.
    pub fn park(&mut self, worker: &str, (lane, entry): (Lane, EntryId), delivery: u32, due: bool) {
        let held = self.lane(lane).pending.get(&entry);
        let is_its = held.is_some_and(|held| held.consumer == worker && held.deliveries == delivery);
        if is_its {
            self.claim_for(lane, entry, PARKED);
            self.due.insert((lane, entry), due);
        }
    }

    pub fn bury(&mut self, worker: &str, lane: Lane, entry: EntryId, job: Option<JobId>) {
        if self.holder(lane, entry) == Some(worker) {
            self.settle(worker, lane, entry);
            self.letters.push(job);
        }
    }

    /// Takes from a consumer; answers each entry with whether its payload is there.
    pub fn take_over(&mut self, lane: Lane, loser: &str, idle_only: bool) -> Vec<(EntryId, bool)> {
        let of_loser = |(id, held): (&EntryId, &Held)| (held.consumer == loser).then_some(*id);
        let held: Vec<EntryId> = self.lane(lane).pending.iter().filter_map(of_loser).collect();
        let mut taken = Vec::new();
        for id in held {
            if idle_only && !self.idle.contains(&(lane, id)) {
                continue;
            }
            let there = self.lane(lane).entries.contains_key(&id);
            if there {
                self.claim_for(lane, id, PARKED);
                self.due.insert((lane, id), true);
            } else {
                self.acknowledge(lane, id);
            }
            taken.push((id, there));
        }
        taken
    }

    /// Keeps parked entries young, and puts back due times that are missing; stops where a group is missing.
    pub fn tend(&mut self) {
        for lane in Lane::ALL {
            if self.lane(lane).last.is_none() {
                return;
            }
            let parked: Vec<EntryId> = self
                .lane(lane)
                .pending
                .keys()
                .copied()
                .filter(|id| self.is_parked(lane, *id))
                .collect();
            for id in parked {
                self.due.entry((lane, id)).or_insert(true);
                self.claim_for(lane, id, PARKED);
            }
        }
    }

    /// Whether an entry stands for a job.
    pub fn stands(&self, lane: Lane, entry: EntryId, job: JobId) -> bool {
        let stream = self.lane(lane);
        let carries = stream.entries.get(&entry) == Some(&Some(job));
        carries && (stream.pending.contains_key(&entry) || stream.last.is_none_or(|last| entry > last))
    }

    /// Takes an ended job's entry off its stream; answers whether nothing is left of it.
    pub fn withdraw(&mut self, lane: Lane, entry: EntryId, job: JobId) -> bool {
        let carried = self.lane(lane).entries.get(&entry).copied();
        if carried.is_some_and(|carried| carried != Some(job)) {
            return false;
        }
        let last = self.lane(lane).last;
        if last.is_some() && self.lane(lane).pending.contains_key(&entry) {
            self.acknowledge(lane, entry);
            self.due.remove(&(lane, entry));
        } else if carried.is_none() || last.is_some_and(|last| entry <= last) {
            return false;
        }
        self.lane_mut(lane).entries.remove(&entry);
        true
    }

    /// Makes a parked entry due.
    pub fn hasten(&mut self, lane: Lane, entry: EntryId) {
        if self.is_parked(lane, entry) {
            self.due.insert((lane, entry), true);
        }
    }

    /// An operator takes an entry from who holds it; answers whether its payload was there.
    pub fn claim(&mut self, lane: Lane, entry: EntryId) -> bool {
        let there = self.lane(lane).entries.contains_key(&entry);
        if there {
            self.claim_for(lane, entry, PARKED);
            self.due.insert((lane, entry), true);
        } else {
            self.acknowledge(lane, entry);
        }
        there
    }

    /// One heartbeat; answers whether the worker sweeps.
    pub fn beat(&mut self, worker: &str, steady: bool) -> bool {
        self.cards.insert(worker.to_owned(), true);
        self.steady |= steady;
        if self.steady && self.sweeper.is_none() {
            self.sweeper = Some(worker.to_owned());
        }
        self.steady && self.sweeper.as_deref() == Some(worker)
    }

    /// Takes one worker's card down.
    pub fn leave(&mut self, worker: &str) {
        self.cards.remove(worker);
        if self.sweeper.as_deref() == Some(worker) {
            self.sweeper = None;
        }
    }

    /// Takes down the cards of those who have long been silent.
    pub fn tidy(&mut self) {
        let silent: Vec<String> = self
            .cards
            .iter()
            .filter(|(_, fresh)| !**fresh)
            .map(|(worker, _)| worker.clone())
            .collect();
        for worker in silent {
            self.leave(&worker);
        }
    }

    /// Consumers that hold something and have not beaten lately, as the sweeper is told of them.
    pub fn suspects(&self, sweeper: &str) -> BTreeSet<(Lane, String)> {
        let mut found = BTreeSet::new();
        for (lane, stream) in &self.lanes {
            for held in stream.pending.values() {
                let fresh = self.cards.get(&held.consumer).copied().unwrap_or(false);
                if held.consumer != PARKED && held.consumer != sweeper && !fresh {
                    found.insert((*lane, held.consumer.clone()));
                }
            }
        }
        found
    }

    /// A moment passes.
    pub fn ripen(&mut self) {
        for due in self.due.values_mut() {
            *due = true;
        }
    }

    /// A long time passes.
    pub fn age(&mut self) {
        self.ripen();
        for fresh in self.cards.values_mut() {
            *fresh = false;
        }
        (self.sweeper, self.steady) = (None, false);
        for (lane, stream) in &self.lanes {
            // The server drops what lacks its payload when its idle time is set: such a one stays young.
            let there = stream.pending.keys().filter(|id| stream.entries.contains_key(id));
            self.idle.extend(there.map(|id| (*lane, *id)));
        }
    }

    pub fn lose_stream(&mut self, lane: Lane) {
        *self.lane_mut(lane) = Stream::default();
        self.idle.retain(|(of, _)| *of != lane);
    }

    pub fn lose_payloads(&mut self, lane: Lane) {
        self.lane_mut(lane).entries.clear();
    }
}
