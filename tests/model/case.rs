//! One case: the real queue beside the model of it, and what is compared after every step.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use millstream::domain::{EntryId, JobId, Lane};
use millstream::engine::reconcile::Known;

use super::ledger::{Ledger, Row};
use super::promises;
use super::site::{Seen, Site};
use super::step::{Step, WORKERS};
use super::stream::{Stream, Streams};
use super::worker::Worker;

/// Every so many steps the engine's own count is asked for; that each job has one row in one state is seen in all.
const COUNT_EVERY: u32 = 5;

/// An entry that a step has added without saying which it is: the stream tells.
pub struct Added {
    pub job: JobId,
    /// Whether its row was told.
    pub noted: bool,
}

/// What the reconciler has last seen, there and in the model.
#[derive(Default)]
pub struct Lead {
    pub known: Option<Known>,
    pub epoch: Option<String>,
}

/// The case.
pub struct Case {
    pub site: Site,
    pub ledger: Ledger,
    pub streams: Streams,
    pub workers: [Option<Worker>; WORKERS],
    /// Every job, in the order in which they were accepted.
    pub jobs: Vec<JobId>,
    pub lead: Lead,
    pub added: Vec<Added>,
    /// The reconciler has made an epoch: any text will do.
    pub new_epoch: bool,
    /// Something was taken from Valkey behind everybody's back, and no pass has made it good yet.
    pub lossy: bool,
    /// Due times were, and no sweeper has put them back yet.
    pub dues_lost: bool,
    /// A stream was lost, and the letters were not: whoever died in between may lack one.
    pub partly_lost: bool,
    /// Dead by the hand of an operator who died before the letter, without an entry that brings one.
    pub unlettered: BTreeSet<JobId>,
    /// What was done so far, without the steps that met nobody and nothing.
    pub played: Vec<Step>,
    /// The steps are over.
    healing: bool,
    before: BTreeMap<JobId, Row>,
    steps: u32,
}

impl Case {
    pub fn new(site: Site) -> Self {
        Self {
            site,
            ledger: Ledger::default(),
            streams: Streams::new(),
            workers: [const { None }; WORKERS],
            jobs: Vec::new(),
            lead: Lead::default(),
            added: Vec::new(),
            new_epoch: false,
            lossy: false,
            dues_lost: false,
            partly_lost: false,
            unlettered: BTreeSet::new(),
            played: Vec::new(),
            healing: false,
            before: BTreeMap::new(),
            steps: 0,
        }
    }

    /// Plays all steps, then heals everything and lets the rest run.
    pub async fn play(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.step(*step).await?;
        }
        self.healing = true;
        self.heal()
            .await
            .context("after the last step, when everything is healed")
    }

    /// Does one step and looks at everything.
    pub async fn step(&mut self, step: Step) -> Result<()> {
        if self.is_idle(step) {
            return Ok(());
        }
        if !self.healing {
            self.played.push(step);
        }
        self.try_step(step).await.with_context(|| format!("when {step}"))
    }

    async fn try_step(&mut self, step: Step) -> Result<()> {
        self.perform(step).await?;
        if step.is_within_a_process() {
            return Ok(());
        }
        let seen = self.check().await?;
        promises::hold(self, &seen, &self.before, step)?;
        self.steps += 1;
        if self.steps.is_multiple_of(COUNT_EVERY) {
            promises::counts_add_up(self, &seen).await?;
        }
        self.before = seen.rows;
        Ok(())
    }

    /// Whether there is nobody to do the step, or nothing to do it to.
    fn is_idle(&self, step: Step) -> bool {
        let awake = |nth: usize| self.workers[nth].as_ref().filter(|worker| !worker.frozen);
        match step {
            Step::Work { worker, .. } => awake(worker).is_none_or(|worker| worker.duties.is_empty()),
            Step::Renew { worker, .. } => awake(worker).is_none(),
            Step::Fetch { worker, .. } => self.workers[worker]
                .as_ref()
                .is_some_and(|w| w.frozen || w.free() == 0),
            Step::Beat { worker, .. } => self.workers[worker].as_ref().is_some_and(|worker| worker.frozen),
            Step::Operate { .. } => self.jobs.is_empty(),
            _ => false,
        }
    }

    async fn perform(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Accept { lane, later, enqueue } => self.accept(lane, later, enqueue).await,
            Step::Garbage(lane) => {
                let entry = self.site.add_garbage(lane).await?;
                self.streams.add(lane, entry, None);
                Ok(())
            }
            Step::Fetch {
                worker,
                beyond,
                heard,
            } => self.fetch(worker, beyond, heard).await,
            Step::Work {
                worker,
                pick,
                end,
                heard,
            } => self.work(worker, pick, end, heard).await,
            Step::Renew { worker, heard } => self.renew(worker, heard).await,
            Step::Beat { worker, reach } => self.beat(worker, reach).await,
            Step::Crash(nth) => self.crash(nth).await,
            Step::Freeze(nth) => self.freeze(nth, true),
            Step::Thaw(nth) => self.freeze(nth, false),
            Step::Drain(nth) => self.drain(nth, false),
            Step::GraceOver(nth) => self.drain(nth, true),
            Step::Moment => self.moment().await,
            Step::Long => self.long().await,
            Step::Reconcile { fresh, reach } => self.reconcile(fresh, reach).await,
            Step::Operate { pick, verb, reach } => {
                let job = self.jobs[pick % self.jobs.len()];
                self.operate(job, verb, reach).await
            }
            Step::Pause(reach) => self.pause(reach).await,
            Step::Resume(reach) => self.resume(reach).await,
            Step::Lose(loss) => self.lose(loss).await,
        }
    }

    /// Holds both servers against the model.
    pub async fn check(&mut self) -> Result<Seen> {
        let fresh = self.streams.cards.iter().filter(|(_, fresh)| **fresh);
        let fresh: Vec<String> = fresh.map(|(worker, _)| worker.clone()).collect();
        let seen = self.site.look(&fresh).await?;
        self.learn(&seen.streams)?;
        for (id, job) in &self.ledger.jobs {
            let row = seen.rows.get(id);
            ensure!(
                row == Some(&job.row),
                "job {} is\n  {row:?}\nand must be\n  {:?}",
                self.name(*id),
                job.row
            );
        }
        let unknown = seen.rows.keys().find(|id| !self.ledger.jobs.contains_key(id));
        ensure!(unknown.is_none(), "nobody accepted {unknown:?}");
        for lane in Lane::ALL {
            same_stream(lane, seen.streams.lane(lane), self.streams.lane(lane))?;
        }
        self.same_due(&seen.streams)?;
        let letters = |streams: &Streams| {
            let mut letters = streams.letters.clone();
            letters.sort();
            letters
        };
        let (is, must) = (letters(&seen.streams), letters(&self.streams));
        ensure!(
            is == must,
            "the letters are about {is:?} and must be about {must:?}"
        );
        let keys = |streams: &Streams| {
            (
                streams.letters_noted,
                streams.paused,
                streams.epoch.clone(),
                streams.sweeper.clone(),
            )
        };
        let (is, must) = (keys(&seen.streams), keys(&self.streams));
        ensure!(
            is == must,
            "(letters noted, paused, epoch, sweeper) are {is:?} and must be {must:?}"
        );
        Ok(seen)
    }

    /// Takes in what only the servers could choose: ids of entries, and the epoch.
    fn learn(&mut self, seen: &Streams) -> Result<()> {
        for Added { job, noted } in std::mem::take(&mut self.added) {
            let lane = self.ledger.jobs[&job].lane;
            let known = &self.streams.lane(lane).entries;
            let is_new = |(id, carried): &(&EntryId, &Option<JobId>)| {
                **carried == Some(job) && !known.contains_key(id)
            };
            let found: Vec<EntryId> = seen
                .lane(lane)
                .entries
                .iter()
                .filter(is_new)
                .map(|(id, _)| *id)
                .collect();
            ensure!(
                found.len() == 1,
                "job {} must have one new entry, and has {found:?}",
                self.name(job)
            );
            self.streams.add(lane, found[0], Some(job));
            if noted {
                self.ledger.enqueued(job, found[0]);
            }
        }
        if std::mem::take(&mut self.new_epoch) {
            ensure!(seen.epoch.is_some(), "the reconciler made no epoch");
            self.streams.epoch.clone_from(&seen.epoch);
            self.lead.epoch.clone_from(&seen.epoch);
        }
        Ok(())
    }

    /// Due times: those of parked entries must be the same, and others may go whenever they are looked at.
    fn same_due(&mut self, seen: &Streams) -> Result<()> {
        let stale: BTreeSet<_> = self
            .streams
            .due
            .keys()
            .copied()
            .filter(|member| self.streams.is_stale(*member))
            .collect();
        for member in &stale {
            if !seen.due.contains_key(member) {
                self.streams.due.remove(member);
            }
        }
        let (is, must) = (&seen.due, &self.streams.due);
        ensure!(is == must, "due times are {is:?} and must be {must:?}");
        Ok(())
    }

    /// A job by its place, for people.
    pub fn name(&self, job: JobId) -> String {
        let place = self.jobs.iter().position(|one| *one == job);
        place.map_or_else(|| job.to_string(), |place| format!("no. {place} ({job})"))
    }

    /// Whether nothing is left to do.
    pub fn is_through(&self) -> bool {
        let empty = |stream: &Stream| stream.entries.is_empty() && stream.pending.is_empty();
        self.ledger.jobs.values().all(|job| job.row.state.is_final())
            && self.streams.lanes.values().all(empty)
            && self.streams.due.is_empty()
    }
}

fn same_stream(lane: Lane, is: &Stream, must: &Stream) -> Result<()> {
    let lane = lane.word();
    ensure!(
        is.last == must.last,
        "the group of {lane} was given {:?} last, and must have been given {:?}",
        is.last,
        must.last
    );
    ensure!(
        is.entries == must.entries,
        "on {lane} lies\n  {:?}\nand must lie\n  {:?}",
        is.entries,
        must.entries
    );
    ensure!(
        is.pending == must.pending,
        "pending on {lane} is\n  {:?}\nand must be\n  {:?}",
        is.pending,
        must.pending
    );
    Ok(())
}
