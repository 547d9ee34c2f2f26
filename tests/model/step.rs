//! What can happen to a queue: one step of a case, how cases are drawn, and how a step is told to people.

use std::fmt;

use millstream::domain::Lane;
use proptest::prelude::*;

/// How many workers a case has at a time.
pub const WORKERS: usize = 3;
/// The longest case that is drawn.
const LONGEST: usize = 50;

/// How far something that takes two commands comes before its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Both are done.
    Whole,
    /// The second one never happens.
    Half,
    /// The second one happens, and nobody hears of it.
    Unheard,
}

/// How a handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Well, and it leaves nothing behind but its state.
    Plain,
    /// Well, with a result that is written in the same transaction.
    Result,
    /// With a failure that may pass; the entry is parked.
    Passing,
    /// With a failure and a pause that is held in Postgres.
    Paused,
    /// What it needs is away: it waits, and no failed attempt is counted.
    Waiting,
    /// With a failure that cannot heal.
    Lasting,
}

/// What an operator does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Cancel,
    Bury,
    Retry,
    Claim,
    Requeue,
    Drop,
}

/// What Valkey loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Everything of the queue.
    All,
    /// One stream with its group.
    Stream(Lane),
    /// The times at which parked entries are due.
    DueTimes,
    /// The payloads of a stream, as a foreign `XTRIM` takes them.
    Payloads(Lane),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Accept {
        lane: Lane,
        later: bool,
        enqueue: Reach,
    },
    Garbage(Lane),
    Fetch {
        worker: usize,
        beyond: usize,
        heard: bool,
    },
    Work {
        worker: usize,
        pick: usize,
        end: End,
        heard: bool,
    },
    Renew {
        worker: usize,
        heard: bool,
    },
    Beat {
        worker: usize,
        reach: Reach,
    },
    Crash(usize),
    Freeze(usize),
    Thaw(usize),
    Drain(usize),
    GraceOver(usize),
    /// A moment passes: what is parked or scheduled is due.
    Moment,
    /// Long enough passes for every limit: who was not heard is silent, what was not renewed is idle.
    Long,
    Reconcile {
        fresh: bool,
        reach: Reach,
    },
    Operate {
        pick: usize,
        verb: Verb,
        reach: Reach,
    },
    Pause(Reach),
    Resume(Reach),
    Lose(Loss),
}

impl Step {
    /// Whether neither server hears of it.
    pub const fn is_within_a_process(self) -> bool {
        use Step::{Crash, Drain, Freeze, GraceOver, Thaw};
        matches!(self, Crash(_) | Freeze(_) | Thaw(_) | Drain(_) | GraceOver(_))
    }
}

/// The steps of a case.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..=LONGEST)
}

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![3 => Just(Lane::Own), 1 => Just(Lane::Shared), 1 => Just(Lane::High)]
}

fn heard() -> impl Strategy<Value = bool> {
    proptest::bool::weighted(0.85)
}

/// Whole, or dying on the way.
fn reach(dying: u32) -> impl Strategy<Value = Reach> {
    prop_oneof![
        8 => Just(Reach::Whole),
        dying => Just(Reach::Half),
        dying => Just(Reach::Unheard),
    ]
}

/// The second command happens or it does not.
fn halves() -> impl Strategy<Value = Reach> {
    prop_oneof![4 => Just(Reach::Whole), 1 => Just(Reach::Half)]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Plain),
        3 => Just(End::Result),
        4 => Just(End::Passing),
        1 => Just(End::Paused),
        2 => Just(End::Waiting),
        1 => Just(End::Lasting),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        2 => Just(Verb::Cancel),
        2 => Just(Verb::Bury),
        2 => Just(Verb::Retry),
        2 => Just(Verb::Claim),
        3 => Just(Verb::Requeue),
        1 => Just(Verb::Drop),
    ]
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        4 => Just(Loss::All),
        1 => lane().prop_map(Loss::Stream),
        1 => Just(Loss::DueTimes),
        1 => lane().prop_map(Loss::Payloads),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS;
    prop_oneof![
        12 => (lane(), proptest::bool::weighted(0.15), reach(1))
            .prop_map(|(lane, later, enqueue)| Step::Accept { lane, later, enqueue }),
        1 => lane().prop_map(Step::Garbage),
        18 => (worker(), prop_oneof![5 => Just(0_usize), 1 => 1..3_usize], heard())
            .prop_map(|(worker, beyond, heard)| Step::Fetch { worker, beyond, heard }),
        60 => (worker(), 0..8_usize, end(), heard())
            .prop_map(|(worker, pick, end, heard)| Step::Work { worker, pick, end, heard }),
        5 => (worker(), heard()).prop_map(|(worker, heard)| Step::Renew { worker, heard }),
        8 => (worker(), halves()).prop_map(|(worker, reach)| Step::Beat { worker, reach }),
        5 => worker().prop_map(Step::Crash),
        3 => worker().prop_map(Step::Freeze),
        3 => worker().prop_map(Step::Thaw),
        2 => worker().prop_map(Step::Drain),
        2 => worker().prop_map(Step::GraceOver),
        6 => Just(Step::Moment),
        6 => Just(Step::Long),
        4 => (proptest::bool::weighted(0.3), reach(1)).prop_map(|(fresh, reach)| Step::Reconcile { fresh, reach }),
        10 => (0..8_usize, verb(), halves()).prop_map(|(pick, verb, reach)| Step::Operate { pick, verb, reach }),
        2 => halves().prop_map(Step::Pause),
        3 => halves().prop_map(Step::Resume),
        3 => loss().prop_map(Step::Lose),
    ]
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unheard = |heard: bool| if heard { "" } else { ", and the reply is lost" };
        match self {
            Self::Accept { lane, later, enqueue } => {
                let when = if *later { " for later" } else { "" };
                write!(f, "a job is accepted{when} on {}{}", lane.word(), told(*enqueue))
            }
            Self::Garbage(lane) => write!(f, "somebody adds an unreadable entry to {}", lane.word()),
            Self::Fetch {
                worker,
                beyond,
                heard,
            } => {
                write!(f, "w{worker} fetches")?;
                if *beyond > 0 {
                    write!(f, " {beyond} more than it has slots")?;
                }
                f.write_str(unheard(*heard))
            }
            Self::Work {
                worker,
                pick,
                end,
                heard,
            } => {
                write!(
                    f,
                    "w{worker} does its duty no. {pick} ({end:?} if a handler ends){}",
                    unheard(*heard)
                )
            }
            Self::Renew { worker, heard } => write!(f, "w{worker} renews its leases{}", unheard(*heard)),
            Self::Beat { worker, reach } => {
                write!(f, "w{worker} beats and sweeps if it is elected{}", told(*reach))
            }
            Self::Crash(worker) => write!(f, "w{worker} is killed"),
            Self::Freeze(worker) => write!(f, "w{worker} is frozen"),
            Self::Thaw(worker) => write!(f, "w{worker} thaws"),
            Self::Drain(worker) => write!(f, "w{worker} is asked to stop"),
            Self::GraceOver(worker) => write!(f, "w{worker} has no grace left"),
            Self::Moment => f.write_str("what is parked or scheduled is due"),
            Self::Long => f.write_str("a long time passes"),
            Self::Reconcile { fresh, reach } => {
                let who = if *fresh { "a new leader" } else { "the leader" };
                write!(f, "{who} reconciles{}", told(*reach))
            }
            Self::Operate { pick, verb, reach } => {
                write!(f, "an operator does {verb:?} to job no. {pick}{}", told(*reach))
            }
            Self::Pause(reach) => write!(f, "the queue is paused{}", told(*reach)),
            Self::Resume(reach) => write!(f, "the queue is resumed{}", told(*reach)),
            Self::Lose(loss) => write!(f, "Valkey loses {loss:?}"),
        }
    }
}

const fn told(reach: Reach) -> &'static str {
    match reach {
        Reach::Whole => "",
        Reach::Half => ", and whoever does it dies half way",
        Reach::Unheard => ", and whoever does it dies before it is noted",
    }
}
