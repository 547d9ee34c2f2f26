//! The end of a case: everybody thaws, time passes, what is left runs on a worker that behaves; then nothing may be
//! lost, and nothing may be left over.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use millstream::domain::{JobId, JobState};
use millstream::queue::keys::PARKED;

use super::case::Case;
use super::promises;
use super::step::{End, Reach, Step, WORKERS};

/// Rounds after which a job that has not ended never will.
const ROUNDS: usize = 20;
/// Duties that a worker can have one after the other without anything new.
const DUTIES: usize = 200;

impl Case {
    pub async fn heal(&mut self) -> Result<()> {
        self.step(Step::Resume(Reach::Whole)).await?;
        for nth in 0..WORKERS {
            self.step(Step::Thaw(nth)).await?;
        }
        self.renew_all().await?;
        for round in 0.. {
            ensure!(
                round < ROUNDS,
                "after {ROUNDS} rounds there is still something to do"
            );
            // Who lives finds what was delivered and never arrived; then all make way for a worker that is new.
            self.step(Step::Long).await?;
            self.renew_all().await?;
            if self.is_through() {
                break;
            }
            self.drain_all().await?;
            self.new_leader().await?;
            self.step(Step::Fetch {
                worker: 0,
                beyond: 0,
                heard: true,
            })
            .await?;
            self.do_all(0).await?;
        }
        self.part().await?;
        let seen = self.check().await?;
        promises::counts_add_up(self, &seen).await?;
        self.nothing_is_left().await
    }

    /// Does a worker's duties until there are none.
    async fn do_all(&mut self, nth: usize) -> Result<()> {
        for _ in 0..DUTIES {
            if self.workers[nth]
                .as_ref()
                .is_none_or(|worker| worker.duties.is_empty())
            {
                return Ok(());
            }
            let end = End::Result;
            self.step(Step::Work {
                worker: nth,
                pick: 0,
                end,
                heard: true,
            })
            .await?;
        }
        bail!("w{nth} has always another duty")
    }

    /// All workers renew their leases and do their duties.
    async fn renew_all(&mut self) -> Result<()> {
        for nth in 0..WORKERS {
            if self.workers[nth].is_some() {
                self.step(Step::Renew {
                    worker: nth,
                    heard: true,
                })
                .await?;
                self.do_all(nth).await?;
            }
        }
        Ok(())
    }

    /// All workers leave.
    async fn drain_all(&mut self) -> Result<()> {
        for nth in 0..WORKERS {
            self.step(Step::Drain(nth)).await?;
            self.do_all(nth).await?;
        }
        Ok(())
    }

    /// A worker that is new is elected, sweeps and reconciles.
    async fn new_leader(&mut self) -> Result<()> {
        self.step(Step::Beat {
            worker: 0,
            reach: Reach::Whole,
        })
        .await?;
        self.step(Step::Reconcile {
            fresh: true,
            reach: Reach::Whole,
        })
        .await
    }

    /// All workers leave; one that is new takes down what the dead have left, and leaves too.
    async fn part(&mut self) -> Result<()> {
        self.step(Step::Long).await?;
        self.drain_all().await?;
        self.new_leader().await?;
        self.drain_all().await
    }

    async fn nothing_is_left(&self) -> Result<()> {
        ensure!(self.is_through(), "something is left at the end");
        ensure!(
            self.workers.iter().all(Option::is_none),
            "a worker that drained is still there"
        );
        ensure!(
            self.streams.cards.is_empty(),
            "cards are left: {:?}",
            self.streams.cards
        );
        let ghosts: BTreeSet<String> = self
            .site
            .consumers()
            .await?
            .into_iter()
            .filter(|name| name != PARKED)
            .collect();
        ensure!(ghosts.is_empty(), "ghost consumers are left: {ghosts:?}");
        let dead = self
            .ledger
            .jobs
            .iter()
            .filter(|(_, job)| job.row.state == JobState::Dead);
        let dead: BTreeSet<JobId> = dead.map(|(id, _)| *id).collect();
        let letters: BTreeSet<JobId> = self.streams.letters.iter().copied().flatten().collect();
        ensure!(
            letters.is_subset(&dead),
            "letters are about {letters:?}, and dead are {dead:?}"
        );
        let lacking: BTreeSet<JobId> = dead.difference(&letters).copied().collect();
        let known = self.partly_lost || lacking.is_subset(&self.unlettered);
        ensure!(known, "the dead {lacking:?} have no letter");
        Ok(())
    }
}
