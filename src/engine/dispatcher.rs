//! Who runs what, and what becomes of each entry: the delivery rules, as a pure function.
//!
//! Invariant, held by the property test below:
//!
//! 1. every ticket that was delivered ends exactly once: released, or its lease lost;
//! 2. after its lease is lost, no action writes for it, neither to Postgres nor to Valkey;
//! 3. no more tickets run than there are slots, no more than twice as many are between the question for a start and
//!    the record of its end, and one that must run alone runs with no other;
//! 4. after a stop nothing new begins, and when nothing is left the last action is [`Action::Exit`].
//!
//! A ticket's way:
//!
//! ```text
//! Delivered -> Asking -Begin-> Ready -> Running -Ended-> Recording -Written-> Releasing -Released-> gone
//!                 |              |         |                 |
//!                 | nothing      | stop    | grace over      | fence closed
//!                 +-> Releasing  +---------+-> HandingBack --+-> Releasing
//! ```
//!
//! A ticket is `Ready` for no longer than it takes to look around, unless it or another must run alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::{EntryId, Lane};

/// One delivery of one entry. The serial tells a second delivery of the same entry from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Counts deliveries of this process.
    pub serial: u64,
    /// The stream.
    pub lane: Lane,
    /// The entry.
    pub entry: EntryId,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These entries are this worker's now.
    Delivered(Vec<Ticket>),
    /// The ledger has said what to do with an entry.
    Answered(Ticket, Answer),
    /// The handler has returned.
    Ended(Ticket),
    /// The ledger has taken down how it ended.
    Written(Ticket, Written),
    /// Valkey has let go of the entry, or it was no longer this worker's.
    Released(Ticket),
    /// Another consumer owns these entries now.
    LeaseLost(Vec<Ticket>),
    /// Leases want to be renewed.
    RenewDue,
    /// Begin nothing new, finish what runs.
    Stop,
    /// Nothing more is on its way from the stream; follows a stop.
    FetchEnded,
    /// Give up what still runs.
    GraceOver,
}

/// What the ledger says about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Run it.
    Begin,
    /// Run it with nothing beside it: workers have vanished with it.
    BeginAlone,
    /// Its job has ended, or another entry stands for it.
    NothingToDo,
    /// It carries no job that can be run.
    Unreadable,
    /// Its job is dead, and lacks its letter.
    Dead,
    /// It stands for its job, by a later delivery than this one.
    Late,
}

/// What the ledger has taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The job is done, or scheduled for much later: the entry can go.
    Settled,
    /// The job failed and runs again later: the entry is parked.
    Retrying,
    /// The job is dead.
    Dead,
    /// The job waits again, for anybody.
    HandedBack,
    /// Nothing: the job has moved on.
    Fenced,
}

/// How Valkey is told to let go of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Acknowledge it.
    Settle,
    /// Park it until its next attempt is due.
    Park,
    /// Park it, due at once.
    HandBack,
    /// Move it to the dead letters.
    Bury,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the ledger for starts.
    Ask(Vec<Ticket>),
    /// Run the handler.
    Run(Ticket),
    /// Take down how the attempt ended.
    Record(Ticket),
    /// Take down that the attempt is given up.
    HandBack(Ticket),
    /// Let go of the entry.
    Release(Ticket, Release),
    /// Ask whether these are still this worker's, and renew them.
    Renew(Vec<Ticket>),
    /// Stop the handler; nothing it does counts any more.
    Abort(Ticket),
    /// The ticket has ended: nothing more will be said of it.
    Forget(Ticket),
    /// The worker is empty: leave.
    Exit,
}

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    /// Its attempt is issued and waits for its turn.
    Ready {
        alone: bool,
    },
    Running {
        alone: bool,
    },
    Recording,
    HandingBack,
    Releasing,
    /// Its lease was lost while the ledger was writing; the fence decides, we only wait.
    Orphaned,
}

impl Phase {
    /// Whether it takes up a slot: it runs, or is about to.
    const fn is_busy(self) -> bool {
        matches!(self, Self::Asking | Self::Ready { .. } | Self::Running { .. })
    }

    /// Whether its end is on its way to the ledger.
    const fn is_recording(self) -> bool {
        matches!(self, Self::Recording | Self::HandingBack | Self::Orphaned)
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Whether it runs alone or waits to.
    const fn is_alone(self) -> bool {
        matches!(self, Self::Ready { alone: true } | Self::Running { alone: true })
    }
}

/// The state: every ticket that has not ended.
#[derive(Debug)]
pub struct Dispatcher {
    slots: usize,
    tickets: BTreeMap<Ticket, Phase>,
    /// How many of them take up a slot, are on their way to the ledger, run, and run alone or wait to: counted as they
    /// change, since they are asked for with every event.
    busy: usize,
    recording: usize,
    running: usize,
    alone: usize,
    /// Those that are ready.
    ready: BTreeSet<Ticket>,
    /// The ticket that holds an entry's lease.
    holders: HashMap<(Lane, EntryId), Ticket>,
    stopping: bool,
    fetch_ended: bool,
    exited: bool,
}

impl Dispatcher {
    /// A dispatcher with this many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            tickets: BTreeMap::new(),
            busy: 0,
            recording: 0,
            running: 0,
            alone: 0,
            ready: BTreeSet::new(),
            holders: HashMap::new(),
            stopping: false,
            fetch_ended: false,
            exited: false,
        }
    }

    /// How many more entries can be taken. A slot is free when its handler has returned: while the end is written
    /// down, the next attempt is issued. As many ends as there are slots may be on their way, so that a ledger
    /// that is slow, or away, holds up the taking too.
    #[must_use]
    pub fn free(&self) -> usize {
        // While a ticket runs alone or waits to, nothing more is taken.
        if self.stopping || self.alone > 0 {
            0
        } else {
            let open = self.slots.saturating_sub(self.busy);
            open.min((2 * self.slots).saturating_sub(self.busy + self.recording))
        }
    }

    /// Moves a ticket, in or out too, and keeps the counts.
    fn set(&mut self, ticket: Ticket, phase: Option<Phase>) {
        let before = match phase {
            Some(phase) => self.tickets.insert(ticket, phase),
            None => self.tickets.remove(&ticket),
        };
        let step =
            |count: &mut usize, was: bool, is: bool| *count = *count + usize::from(is) - usize::from(was);
        let both = |ask: fn(Phase) -> bool| (before.is_some_and(ask), phase.is_some_and(ask));
        let (was, is) = both(Phase::is_busy);
        step(&mut self.busy, was, is);
        let (was, is) = both(Phase::is_recording);
        step(&mut self.recording, was, is);
        let (was, is) = both(Phase::is_running);
        step(&mut self.running, was, is);
        let (was, is) = both(Phase::is_alone);
        step(&mut self.alone, was, is);
        match phase {
            Some(Phase::Ready { .. }) => self.ready.insert(ticket),
            _ => self.ready.remove(&ticket),
        };
    }

    /// Whether a ticket has not ended.
    #[must_use]
    pub fn knows(&self, ticket: Ticket) -> bool {
        self.tickets.contains_key(&ticket)
    }

    /// How many tickets have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Takes an event in and says what must be done.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Delivered(tickets) => self.delivered(tickets, &mut actions),
            Event::Answered(ticket, answer) => self.answered(ticket, answer, &mut actions),
            Event::Ended(ticket) => self.ended(ticket, &mut actions),
            Event::Written(ticket, written) => self.written(ticket, written, &mut actions),
            Event::Released(ticket) => self.forget(ticket, Phase::Releasing, &mut actions),
            Event::LeaseLost(tickets) => {
                for ticket in tickets {
                    self.lease_lost(ticket, &mut actions);
                }
            }
            Event::RenewDue => self.renew(&mut actions),
            Event::Stop => self.stop(&mut actions),
            Event::FetchEnded => self.fetch_ended = true,
            Event::GraceOver => self.grace_over(&mut actions),
        }
        self.begin_ready(&mut actions);
        if self.stopping && self.fetch_ended && self.tickets.is_empty() && !self.exited {
            self.exited = true;
            actions.push(Action::Exit);
        }
        actions
    }

    /// What was ready and did not run before a stop is given back.
    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.stopping = true;
        let ready =
            |(ticket, phase): (&Ticket, &Phase)| matches!(phase, Phase::Ready { .. }).then_some(*ticket);
        let waiting: Vec<Ticket> = self.tickets.iter().filter_map(ready).collect();
        for ticket in waiting {
            self.hand_back(ticket, actions);
        }
    }

    fn delivered(&mut self, tickets: Vec<Ticket>, actions: &mut Vec<Action>) {
        let mut ask = Vec::new();
        for ticket in tickets {
            // The same entry again means that the lease was lost in between, unseen.
            if let Some(before) = self.holders.get(&(ticket.lane, ticket.entry)).copied() {
                self.lease_lost(before, actions);
                ask.retain(|asked| *asked != before);
            }
            if self.free() == 0 {
                self.set(ticket, Some(Phase::Releasing));
                actions.push(Action::Release(ticket, Release::HandBack));
            } else {
                self.set(ticket, Some(Phase::Asking));
                self.holders.insert((ticket.lane, ticket.entry), ticket);
                ask.push(ticket);
            }
        }
        if !ask.is_empty() {
            actions.push(Action::Ask(ask));
        }
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer, actions: &mut Vec<Action>) {
        if self.tickets.get(&ticket) != Some(&Phase::Asking) {
            return;
        }
        match answer {
            // The attempt was issued while the stop came in: it is given back unstarted.
            Answer::Begin | Answer::BeginAlone if self.stopping => self.hand_back(ticket, actions),
            Answer::Begin => {
                self.set(ticket, Some(Phase::Ready { alone: false }));
            }
            Answer::BeginAlone => {
                self.set(ticket, Some(Phase::Ready { alone: true }));
            }
            Answer::NothingToDo => self.release(ticket, Release::Settle, actions),
            Answer::Late => self.release(ticket, Release::HandBack, actions),
            Answer::Unreadable | Answer::Dead => self.release(ticket, Release::Bury, actions),
        }
    }

    /// Runs what is ready: the others first, and what must run alone when they are through.
    fn begin_ready(&mut self, actions: &mut Vec<Action>) {
        if self.ready.is_empty() || (self.running == 1 && self.runs_alone()) {
            return;
        }
        let ready: Vec<Ticket> = self.ready.iter().copied().collect();
        let (alone, together): (Vec<Ticket>, Vec<Ticket>) = ready
            .into_iter()
            .partition(|ticket| self.tickets.get(ticket).is_some_and(|phase| phase.is_alone()));
        for ticket in together {
            self.set(ticket, Some(Phase::Running { alone: false }));
            actions.push(Action::Run(ticket));
        }
        if let (0, Some(ticket)) = (self.running, alone.first()) {
            self.set(*ticket, Some(Phase::Running { alone: true }));
            actions.push(Action::Run(*ticket));
        }
    }

    /// Whether what runs runs alone: then it is among those that want to be, and is not ready any more.
    fn runs_alone(&self) -> bool {
        let ready_alone = |ticket: &&Ticket| self.tickets.get(ticket).is_some_and(|phase| phase.is_alone());
        self.alone > self.ready.iter().filter(ready_alone).count()
    }

    fn ended(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        if matches!(self.tickets.get(&ticket), Some(Phase::Running { .. })) {
            self.set(ticket, Some(Phase::Recording));
            actions.push(Action::Record(ticket));
        }
    }

    fn written(&mut self, ticket: Ticket, written: Written, actions: &mut Vec<Action>) {
        match self.tickets.get(&ticket) {
            Some(Phase::Recording | Phase::HandingBack) => {
                let release = match written {
                    Written::Settled => Release::Settle,
                    Written::Retrying => Release::Park,
                    Written::Dead => Release::Bury,
                    // A closed fence may leave the entry ours: given back, the ledger is asked anew.
                    Written::HandedBack | Written::Fenced => Release::HandBack,
                };
                self.release(ticket, release, actions);
            }
            Some(Phase::Orphaned) => self.forget(ticket, Phase::Orphaned, actions),
            _ => {}
        }
    }

    fn lease_lost(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        match self.tickets.get(&ticket).copied() {
            Some(phase @ (Phase::Asking | Phase::Ready { .. })) => self.forget(ticket, phase, actions),
            Some(phase @ Phase::Running { .. }) => {
                actions.push(Action::Abort(ticket));
                self.forget(ticket, phase, actions);
            }
            Some(Phase::Recording | Phase::HandingBack) => {
                self.holders.remove(&(ticket.lane, ticket.entry));
                self.set(ticket, Some(Phase::Orphaned));
            }
            Some(Phase::Releasing | Phase::Orphaned) | None => {}
        }
    }

    /// Also with nothing to renew: the renewal looks for entries that this worker holds without knowing.
    /// What is being released is renewed too, since letting go may take as long as an outage.
    fn renew(&self, actions: &mut Vec<Action>) {
        let held = self
            .tickets
            .iter()
            .filter(|(_, phase)| **phase != Phase::Orphaned);
        actions.push(Action::Renew(held.map(|(ticket, _)| *ticket).collect()));
    }

    fn grace_over(&mut self, actions: &mut Vec<Action>) {
        self.stop(actions);
        let open: Vec<(Ticket, Phase)> = self.tickets.iter().map(|(t, p)| (*t, *p)).collect();
        for (ticket, phase) in open {
            match phase {
                // Nobody knows whether an attempt was issued; the next start finds out.
                Phase::Asking => self.release(ticket, Release::HandBack, actions),
                Phase::Running { .. } => {
                    actions.push(Action::Abort(ticket));
                    self.hand_back(ticket, actions);
                }
                Phase::Ready { .. }
                | Phase::Recording
                | Phase::HandingBack
                | Phase::Releasing
                | Phase::Orphaned => {}
            }
        }
    }

    fn hand_back(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        self.set(ticket, Some(Phase::HandingBack));
        actions.push(Action::HandBack(ticket));
    }

    fn release(&mut self, ticket: Ticket, how: Release, actions: &mut Vec<Action>) {
        self.holders.remove(&(ticket.lane, ticket.entry));
        self.set(ticket, Some(Phase::Releasing));
        actions.push(Action::Release(ticket, how));
    }

    fn forget(&mut self, ticket: Ticket, expected: Phase, actions: &mut Vec<Action>) {
        if self.tickets.get(&ticket) != Some(&expected) {
            return;
        }
        self.set(ticket, None);
        actions.push(Action::Forget(ticket));
        if expected != Phase::Releasing && expected != Phase::Orphaned {
            self.holders.remove(&(ticket.lane, ticket.entry));
        }
    }
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
