//! The dispatcher against every order in which a world can answer it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn ticket(serial: u64) -> Ticket {
    Ticket {
        serial,
        lane: Lane::Own,
        entry: EntryId { ms: serial, seq: 0 },
    }
}

/// What the world still owes the dispatcher an answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Debt {
    Answer,
    End,
    Write,
    Release,
}

/// A world that does what it is told, in an order that the test chooses.
#[derive(Default)]
struct World {
    dispatcher: Option<Dispatcher>,
    slots: usize,
    next_serial: u64,
    debts: BTreeMap<(Ticket, Debt), ()>,
    delivered: BTreeSet<Ticket>,
    ended: BTreeMap<Ticket, u32>,
    lost: BTreeSet<Ticket>,
    running: BTreeSet<Ticket>,
    /// Attempts that are issued and have not begun.
    ready: BTreeSet<Ticket>,
    /// Attempts that must run with nothing beside them.
    alone: BTreeSet<Ticket>,
    forgotten: BTreeSet<Ticket>,
    stopped: bool,
    exits: u32,
}

impl World {
    fn new(slots: usize) -> Self {
        Self {
            dispatcher: Some(Dispatcher::new(slots)),
            slots,
            ..Self::default()
        }
    }

    fn tell(&mut self, event: Event) -> Result<(), TestCaseError> {
        let dispatcher = self.dispatcher.as_mut().expect("made in new");
        for action in dispatcher.on(event) {
            self.obey(action)?;
        }
        prop_assert!(self.running.len() <= self.slots, "more run than there are slots");
        let dispatcher = self.dispatcher.as_ref().expect("made in new");
        let count = |is: fn(Phase) -> bool| dispatcher.tickets.values().filter(|phase| is(**phase)).count();
        let (busy, recording) = (count(Phase::is_busy), count(Phase::is_recording));
        prop_assert_eq!(dispatcher.busy, busy, "the count of busy slots is off");
        prop_assert_eq!(dispatcher.recording, recording, "the count of ends is off");
        prop_assert!(
            busy <= self.slots && busy + recording <= 2 * self.slots,
            "too much is held"
        );
        Ok(())
    }

    fn obey(&mut self, action: Action) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.exits, 0, "an action after the exit: {:?}", action);
        match action {
            Action::Ask(tickets) => {
                for ticket in tickets {
                    self.owe(ticket, Debt::Answer)?;
                }
            }
            Action::Run(ticket) => {
                prop_assert!(!self.stopped, "begun after the stop");
                prop_assert!(self.ready.remove(&ticket), "begun without an attempt, or twice");
                self.running.insert(ticket);
                let alone = self.running.intersection(&self.alone).count();
                prop_assert!(alone == 0 || self.running.len() == 1, "something runs beside it");
                self.owe(ticket, Debt::End)?;
            }
            Action::Record(ticket) | Action::HandBack(ticket) => {
                self.running.remove(&ticket);
                self.ready.remove(&ticket);
                self.owe(ticket, Debt::Write)?;
            }
            Action::Release(ticket, _) => self.owe(ticket, Debt::Release)?,
            Action::Abort(ticket) => {
                self.running.remove(&ticket);
                self.debts.remove(&(ticket, Debt::End));
            }
            Action::Renew(tickets) => {
                for ticket in tickets {
                    prop_assert!(!self.lost.contains(&ticket), "renewed after the lease was lost");
                }
            }
            Action::Forget(ticket) => {
                prop_assert!(self.forgotten.insert(ticket), "forgotten twice");
            }
            Action::Exit => self.exits += 1,
        }
        Ok(())
    }

    /// Notes that an answer is due; a write for a lost ticket breaks the promise.
    fn owe(&mut self, ticket: Ticket, debt: Debt) -> Result<(), TestCaseError> {
        prop_assert!(
            !self.lost.contains(&ticket),
            "{:?} for a ticket whose lease is lost",
            debt
        );
        prop_assert!(
            self.delivered.contains(&ticket),
            "{:?} for a ticket nobody delivered",
            debt
        );
        self.debts.insert((ticket, debt), ());
        Ok(())
    }

    fn deliver(&mut self, count: u64, again: bool) -> Result<(), TestCaseError> {
        // The server never gives one entry twice in one answer.
        let count = if again { 1 } else { count };
        let tickets: Vec<Ticket> = (0..count)
            .map(|_| {
                self.next_serial += 1;
                let mut fresh = ticket(self.next_serial);
                if again && self.next_serial > 1 {
                    fresh.entry = ticket(self.next_serial - 1).entry;
                }
                fresh
            })
            .collect();
        self.delivered.extend(&tickets);
        for fresh in &tickets {
            // A second delivery of an entry takes the lease from the first.
            let before = self
                .delivered
                .iter()
                .find(|t| t.entry == fresh.entry && t.serial < fresh.serial);
            if let Some(before) = before.copied() {
                self.note_lost(before);
            }
        }
        self.tell(Event::Delivered(tickets))
    }

    /// A lease can only be lost while it is held: not once the entry is being released.
    fn note_lost(&mut self, ticket: Ticket) {
        let held = [Debt::Answer, Debt::End, Debt::Write]
            .iter()
            .any(|d| self.debts.contains_key(&(ticket, *d)))
            || self.ready.remove(&ticket);
        if held && !self.debts.contains_key(&(ticket, Debt::Release)) {
            self.lost.insert(ticket);
            if !self.debts.contains_key(&(ticket, Debt::Write)) {
                self.end(ticket);
            }
            self.debts.remove(&(ticket, Debt::Answer));
        }
    }

    fn end(&mut self, ticket: Ticket) {
        *self.ended.entry(ticket).or_insert(0) += 1;
    }

    /// Pays one debt, chosen by `pick`.
    fn pay(&mut self, pick: usize, flavour: u8) -> Result<(), TestCaseError> {
        let Some((&(ticket, debt), ())) = self.debts.iter().nth(pick % self.debts.len().max(1)) else {
            return Ok(());
        };
        self.debts.remove(&(ticket, debt));
        let event = match debt {
            Debt::Answer => {
                let all = [
                    Answer::Begin,
                    Answer::Begin,
                    Answer::BeginAlone,
                    Answer::NothingToDo,
                    Answer::Unreadable,
                    Answer::Dead,
                    Answer::Late,
                ];
                let answer = all[flavour as usize % 7];
                if matches!(answer, Answer::Begin | Answer::BeginAlone) {
                    self.ready.insert(ticket);
                }
                if answer == Answer::BeginAlone {
                    self.alone.insert(ticket);
                }
                Event::Answered(ticket, answer)
            }
            Debt::End => Event::Ended(ticket),
            Debt::Write => {
                if self.lost.contains(&ticket) {
                    self.end(ticket);
                }
                let all = [
                    Written::Settled,
                    Written::Retrying,
                    Written::Dead,
                    Written::HandedBack,
                    Written::Fenced,
                ];
                Event::Written(ticket, all[flavour as usize % 5])
            }
            Debt::Release => {
                self.end(ticket);
                Event::Released(ticket)
            }
        };
        self.tell(event)
    }
}

#[derive(Debug, Clone)]
enum Move {
    Deliver(u64, bool),
    Pay(usize, u8),
    Lose(usize),
    Renew,
    Stop,
    GraceOver,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (1..5_u64, proptest::bool::weighted(0.2)).prop_map(|(n, again)| Move::Deliver(n, again)),
        8 => (0..64_usize, 0..20_u8).prop_map(|(pick, flavour)| Move::Pay(pick, flavour)),
        2 => (0..64_usize).prop_map(Move::Lose),
        1 => Just(Move::Renew),
        1 => proptest::bool::weighted(0.2).prop_map(|stop| if stop { Move::Stop } else { Move::Renew }),
        1 => proptest::bool::weighted(0.1).prop_map(|over| if over { Move::GraceOver } else { Move::Renew }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_delivery_ends_exactly_once_and_a_lost_lease_writes_nothing(
        slots in 1..6_usize,
        moves in proptest::collection::vec(moves(), 1..80),
    ) {
        let mut world = World::new(slots);
        for step in moves {
            match step {
                Move::Deliver(count, again) => world.deliver(count, again)?,
                Move::Pay(pick, flavour) => world.pay(pick, flavour)?,
                Move::Lose(pick) => {
                    let all: Vec<Ticket> = world.delivered.iter().copied().collect();
                    if let Some(&ticket) = all.get(pick % all.len().max(1)) {
                        world.note_lost(ticket);
                        if world.lost.contains(&ticket) {
                            world.tell(Event::LeaseLost(vec![ticket]))?;
                        }
                    }
                }
                Move::Renew => world.tell(Event::RenewDue)?,
                Move::Stop => { world.stopped = true; world.tell(Event::Stop)?; }
                Move::GraceOver => {
                    world.stopped = true;
                    // What is being asked for is let go of without an answer.
                    world.debts.retain(|(_, debt), ()| *debt != Debt::Answer);
                    world.tell(Event::GraceOver)?;
                }
            }
        }
        world.stopped = true;
        world.tell(Event::Stop)?;
        prop_assert_eq!(world.exits, 0, "it leaves while something may be on its way");
        world.tell(Event::FetchEnded)?;
        for _ in 0..10_000 {
            if world.debts.is_empty() { break; }
            world.pay(0, 0)?;
        }
        prop_assert!(world.debts.is_empty(), "the world could not settle its debts");
        prop_assert!(world.ready.is_empty(), "an attempt that was issued never began");
        prop_assert_eq!(world.exits, 1, "the worker leaves once");
        for ticket in &world.delivered {
            prop_assert_eq!(world.ended.get(ticket), Some(&1), "{:?} ends once", ticket);
            prop_assert!(world.forgotten.contains(ticket), "{:?} is remembered for ever", ticket);
        }
    }
}

#[test]
fn an_entry_beyond_the_free_slots_is_given_back_unstarted() {
    let mut dispatcher = Dispatcher::new(1);
    let actions = dispatcher.on(Event::Delivered(vec![ticket(1), ticket(2)]));
    let expected = [
        Action::Release(ticket(2), Release::HandBack),
        Action::Ask(vec![ticket(1)]),
    ];
    assert_eq!(actions, expected);
    assert_eq!(dispatcher.free(), 0);
}

#[test]
fn a_slot_is_free_while_an_end_is_recorded_and_a_silent_ledger_ends_the_taking() {
    let mut dispatcher = Dispatcher::new(2);
    for (first, second) in [(1, 2), (3, 4)] {
        let pair = [ticket(first), ticket(second)];
        assert_eq!(dispatcher.free(), 2);
        dispatcher.on(Event::Delivered(pair.to_vec()));
        assert_eq!(dispatcher.free(), 0);
        for t in pair {
            dispatcher.on(Event::Answered(t, Answer::Begin));
            assert_eq!(dispatcher.on(Event::Ended(t)), [Action::Record(t)]);
        }
    }
    assert_eq!(
        dispatcher.free(),
        0,
        "nothing that was recorded has been heard of"
    );
    dispatcher.on(Event::Written(ticket(2), Written::Settled));
    assert_eq!(dispatcher.free(), 1);
}

#[test]
fn a_result_after_the_lease_is_lost_is_dropped() {
    let mut dispatcher = Dispatcher::new(1);
    dispatcher.on(Event::Delivered(vec![ticket(1)]));
    dispatcher.on(Event::Answered(ticket(1), Answer::Begin));
    assert_eq!(
        dispatcher.on(Event::LeaseLost(vec![ticket(1)])),
        [Action::Abort(ticket(1)), Action::Forget(ticket(1))]
    );
    assert_eq!(dispatcher.on(Event::Ended(ticket(1))), []);
    assert_eq!(dispatcher.free(), 1);
}

#[test]
fn a_suspect_runs_when_the_others_are_through_and_nothing_begins_beside_it() {
    let mut dispatcher = Dispatcher::new(3);
    dispatcher.on(Event::Delivered(vec![ticket(1), ticket(2), ticket(3)]));
    let first = dispatcher.on(Event::Answered(ticket(1), Answer::Begin));
    assert_eq!(first, [Action::Run(ticket(1))]);
    assert_eq!(dispatcher.on(Event::Answered(ticket(2), Answer::BeginAlone)), []);
    assert_eq!(dispatcher.free(), 0, "nothing more is taken");
    let through = dispatcher.on(Event::Ended(ticket(1)));
    assert_eq!(through, [Action::Record(ticket(1)), Action::Run(ticket(2))]);
    assert_eq!(dispatcher.on(Event::Answered(ticket(3), Answer::Begin)), []);
    let through = dispatcher.on(Event::Ended(ticket(2)));
    assert_eq!(through, [Action::Record(ticket(2)), Action::Run(ticket(3))]);
}

#[test]
fn what_runs_at_the_stop_is_finished_and_what_outlives_the_grace_is_given_back() {
    let mut dispatcher = Dispatcher::new(2);
    dispatcher.on(Event::Delivered(vec![ticket(1), ticket(2)]));
    for t in [ticket(1), ticket(2)] {
        dispatcher.on(Event::Answered(t, Answer::Begin));
    }
    assert_eq!(dispatcher.on(Event::Stop), []);
    assert_eq!(
        dispatcher.on(Event::Ended(ticket(1))),
        [Action::Record(ticket(1))]
    );
    let over = dispatcher.on(Event::GraceOver);
    assert_eq!(over, [Action::Abort(ticket(2)), Action::HandBack(ticket(2))]);
    let settle = dispatcher.on(Event::Written(ticket(1), Written::Settled));
    assert_eq!(settle, [Action::Release(ticket(1), Release::Settle)]);
    let back = dispatcher.on(Event::Written(ticket(2), Written::HandedBack));
    assert_eq!(back, [Action::Release(ticket(2), Release::HandBack)]);
    for one in [ticket(1), ticket(2)] {
        assert_eq!(dispatcher.on(Event::Released(one)), [Action::Forget(one)]);
    }
    assert_eq!(dispatcher.on(Event::FetchEnded), [Action::Exit]);
}
