//! The workers of a run: some are killed, some are frozen, and as many as died are started.

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::plan::{FREEZE, FREEZE_EVERY, KILL_EVERY, SPARED, WORKERS};
use super::stage::Stage;
use crate::support::Started;

/// What is being done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lot {
    /// It may be next.
    Open,
    /// It is stopped until then.
    Frozen(Instant),
    /// It has just woken up, and is let alone until then.
    Spared(Instant),
}

/// A worker that lives.
pub struct Member {
    pub name: String,
    pub process: Started,
    lot: Lot,
}

/// A worker that was killed, and when.
pub struct Killed {
    pub name: String,
    pub at: DateTime<Utc>,
}

/// All workers.
pub struct Fleet<'a> {
    stage: &'a Stage,
    dice: StdRng,
    pub members: Vec<Member>,
    pub killed: Vec<Killed>,
    pub freezes: usize,
    /// Workers that ended although nobody asked them to.
    pub deserters: Vec<String>,
    started: usize,
}

impl<'a> Fleet<'a> {
    /// Starts all of them.
    pub fn start(stage: &'a Stage, seed: u64) -> Self {
        let mut fleet = Self {
            stage,
            dice: StdRng::seed_from_u64(seed),
            members: Vec::new(),
            killed: Vec::new(),
            freezes: 0,
            deserters: Vec::new(),
            started: 0,
        };
        fleet.refill();
        fleet
    }

    /// Kills, freezes, wakes and replaces until it is calm, and then until nobody is frozen any more.
    pub async fn suffer(&mut self, calm: &CancellationToken) {
        let mut metronome = interval(KILL_EVERY);
        metronome.tick().await;
        loop {
            metronome.tick().await;
            self.wake();
            if calm.is_cancelled() {
                if !self.members.iter().any(|one| matches!(one.lot, Lot::Frozen(_))) {
                    return;
                }
                continue;
            }
            self.bury_deserters();
            if self.killed.len() % FREEZE_EVERY == FREEZE_EVERY / 2 {
                self.freeze_one();
            }
            self.kill_one();
            self.refill();
        }
    }

    /// Wakes those whose time is up.
    fn wake(&mut self) {
        let now = Instant::now();
        for member in &mut self.members {
            match member.lot {
                Lot::Frozen(until) if until <= now => {
                    member.process.signal(Signal::CONT);
                    member.lot = Lot::Spared(now + SPARED);
                }
                Lot::Spared(until) if until <= now => member.lot = Lot::Open,
                _ => {}
            }
        }
    }

    fn freeze_one(&mut self) {
        if let Some(nth) = self.pick() {
            let member = &mut self.members[nth];
            member.process.signal(Signal::STOP);
            member.lot = Lot::Frozen(Instant::now() + FREEZE);
            self.freezes += 1;
        }
    }

    fn kill_one(&mut self) {
        if let Some(nth) = self.pick() {
            let member = self.members.remove(nth);
            member.process.signal(Signal::KILL);
            let at = millstream::clock::now();
            self.killed.push(Killed {
                name: member.name,
                at,
            });
        }
    }

    /// One of those that may be next.
    fn pick(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.members.len())
            .filter(|nth| self.members[*nth].lot == Lot::Open)
            .collect();
        (!open.is_empty()).then(|| open[self.dice.random_range(0..open.len())])
    }

    /// Takes those off the list that ended by themselves: none should.
    pub fn bury_deserters(&mut self) {
        let deserters = &mut self.deserters;
        self.members.retain(|member| match member.process.ended() {
            Some(code) => {
                deserters.push(format!("{} ended with {code}", member.name));
                false
            }
            None => true,
        });
    }

    fn refill(&mut self) {
        while self.members.len() < WORKERS {
            self.started += 1;
            let name = format!("w-{}", self.started);
            self.members.push(Member {
                process: self.stage.start(&name, "worker", &[]),
                name,
                lot: Lot::Open,
            });
        }
    }
}
