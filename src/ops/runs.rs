//! Runs: a plan becomes a run, which somebody drives to its end, halts, ends early, or goes on with.
//!
//! Any process may drive a run, one at a time. What it does next is [`super::pace`]; that each job is put back once, in
//! whichever instant a driver dies, is the business of the transaction in [`crate::store::runs`]. The entries follow
//! it: what a driver that died has not enqueued, the next one does, or the reconciler half a minute later.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::enqueue::{enqueue, entry_of, within};
use super::error::OpsError;
use super::operator::{Operator, patient};
use super::pace::{Allowance, BATCH, LOOK, Next, decide};
use super::plan::{MOST_PLANNED, Plan};
use super::rights::Refused;
use crate::domain::{JobId, RunId, RunState, Terms};
use crate::queue::NewEntry;
use crate::store::actions::Intent;
use crate::store::owed::Owed;
use crate::store::runs::{Batch, NewRun, RunRow, Turn};

/// How long nobody else may drive a run whose driver fell silent. It is renewed with each step.
const TERM: Duration = Duration::from_secs(5);
/// How long a driver bears with a server that is away before it gives up; the run can be resumed.
const BEARS: Duration = Duration::from_secs(30);
/// How long the walk through the letters may take; what is left of them the reconciler takes out.
const WALK_WITHIN: Duration = Duration::from_secs(30);

/// How a drive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveEnd {
    /// The run stands so, and goes on by nobody's hand.
    Over(RunState),
    /// Another driver has it.
    Elsewhere,
}

impl Operator {
    /// Makes a plan a run: writes the intent, the run and its list. Nothing moves until somebody drives it. The reason
    /// and the number of those that will be put back have to be typed.
    ///
    /// # Errors
    /// When the ladder refuses it, when nothing can be put back, or when Postgres is away.
    pub async fn begin_run(&self, plan: &Plan, terms: Terms) -> Result<RunId, OpsError> {
        self.may_write()?;
        terms.check().map_err(Refused::Terms)?;
        let mut plan = plan.clone();
        self.judge_again(&mut plan).await?;
        let eligible = plan.tally().eligible;
        if eligible == 0 {
            return Err(Refused::Nothing(nothing_why(&plan)).into());
        }
        self.may_move_many(eligible)?;
        let deaths = plan.deaths();
        let ids: Vec<String> = deaths.iter().map(|death| death.job.to_string()).collect();
        let intent = Intent {
            filter: plan.filter.clone(),
            ..self.intent("requeue", ids, json!({ "terms": terms, "eligible": eligible }))
        };
        let run = NewRun {
            intent,
            deaths,
            chosen: plan.chosen,
            ids_hash: plan.hash(),
            terms,
        };
        Ok(self.store.bounded(self.store.begin_run(&run)).await?)
    }

    /// Halts a run: nothing more moves until it is resumed.
    ///
    /// # Errors
    /// When the run does not go on anyway, or Postgres is away.
    pub async fn pause_run(&self, run: RunId) -> Result<RunRow, OpsError> {
        let from = [RunState::Running];
        self.turn("run pause", run, &from, RunState::Paused).await
    }

    /// Ends a run before its time. What was put back stays so, unless it is undone.
    ///
    /// # Errors
    /// When the run is over, or Postgres is away.
    pub async fn abort_run(&self, run: RunId) -> Result<RunRow, OpsError> {
        let from = [RunState::Running, RunState::Paused, RunState::Stopped];
        self.turn("run abort", run, &from, RunState::Aborted).await
    }

    /// Lets a run go on that was paused, has stopped, or lost its driver. One that stopped begins with a canary again.
    /// Somebody has to drive it then.
    ///
    /// # Errors
    /// When the run is over, when somebody drives it, or when Postgres is away.
    pub async fn resume_run(&self, run: RunId) -> Result<RunRow, OpsError> {
        self.may_write()?;
        let row = self.run_row(run).await?;
        if let (RunState::Running, Some(driver)) = (row.state, &row.driver) {
            return Err(Refused::Driven(run, driver.clone()).into());
        }
        if row.state == RunState::Running {
            // Its driver is gone: whoever drives it next takes its place.
            return Ok(row);
        }
        let from = [RunState::Paused, RunState::Stopped];
        self.turn("run resume", run, &from, RunState::Running).await
    }

    async fn turn(
        &self,
        verb: &str,
        run: RunId,
        from: &[RunState],
        to: RunState,
    ) -> Result<RunRow, OpsError> {
        self.may_write()?;
        let row = self.run_row(run).await?;
        if !from.contains(&row.state) {
            return Err(Refused::RunState(run, row.state).into());
        }
        let by = format!("{to} by {}", self.who.actor);
        let intent = self.intent(verb, Vec::new(), json!({ "run": run }));
        let turn = Turn {
            from,
            why: (to != RunState::Running).then_some(by.as_str()),
            ..turn_to(&row, to)
        };
        self.recorded(intent, async |_| {
            let turned = self.store.bounded(self.store.turn_run(run, &turn)).await?;
            let now = self.run_row(run).await?;
            // The reply to the same turn may have been lost.
            if turned || now.state == to {
                Ok(now)
            } else {
                Err(Refused::RunState(run, now.state).into())
            }
        })
        .await
    }

    /// A run of this queue.
    ///
    /// # Errors
    /// When there is none, or Postgres is away.
    pub async fn run_row(&self, run: RunId) -> Result<RunRow, OpsError> {
        let row = self.store.bounded(self.store.run(self.name(), run)).await?;
        Ok(row.ok_or(Refused::NoRun(run))?)
    }

    /// What became of the list of a run: the ids that were put back, and those that were not, with the reason.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn run_results(&self, run: RunId) -> Result<(Vec<String>, Vec<(String, String)>), OpsError> {
        let most = u32::try_from(MOST_PLANNED).unwrap_or(u32::MAX);
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for item in self.store.bounded(self.store.run_items(run, most)).await? {
            let id = item.job_id.to_string();
            match item.state.as_str() {
                "requeued" => done.push(id),
                "planned" => left.push((id, "its turn did not come".to_owned())),
                "undone" => left.push((id, "it was taken back".to_owned())),
                _ => left.push((id, item.why.unwrap_or_default())),
            }
        }
        Ok((done, left))
    }

    /// Drives a run until it is over, halts, or belongs to somebody else. `tell` hears how far it got, with each step.
    /// The caller may drop this at any point: the run can be resumed, and nothing is done twice.
    ///
    /// # Errors
    /// When a server stays away; the run can be resumed then, too.
    pub async fn drive_run(&self, run: RunId, mut tell: impl FnMut(&RunRow)) -> Result<DriveEnd, OpsError> {
        self.may_write()?;
        let mut drive = Drive::new(self, run).await;
        let mut well = Instant::now();
        let end = loop {
            match drive.step(&mut tell).await {
                Ok(Step::End(end)) => break end,
                Ok(Step::Pause(time)) => {
                    well = Instant::now();
                    tokio::time::sleep(time).await;
                }
                Err(OpsError::Store(error)) if error.is_passing() && well.elapsed() < BEARS => {
                    tracing::warn!("failed to {error}; {run} goes on when Postgres is back");
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        };
        drive.leave().await;
        Ok(end)
    }
}

/// What the book says when a run comes to stand so.
fn turn_to(row: &RunRow, to: RunState) -> Turn<'static> {
    let counts = row.counts;
    let outcome = match to {
        RunState::Done if counts.skipped == 0 => Some("ok"),
        RunState::Done | RunState::Aborted if counts.requeued + counts.undone > 0 => Some("partly"),
        RunState::Done | RunState::Aborted => Some("refused"),
        RunState::Running | RunState::Paused | RunState::Stopped => None,
    };
    Turn {
        from: &[RunState::Running],
        to,
        why: None,
        holder: None,
        outcome,
        result: json!({ "run": row.id, "state": to, "counts": counts }),
    }
}

impl super::action::Told for RunRow {
    fn told(&self) -> (&'static str, Value) {
        (
            "ok",
            json!({ "run": self.id, "state": self.state, "counts": self.counts }),
        )
    }
}

fn nothing_why(plan: &Plan) -> String {
    let why = plan.items.first().map(|one| one.verdict.to_string());
    why.unwrap_or_else(|| "nothing dead was found".to_owned())
}

/// What a step came to.
enum Step {
    /// On with it after this long.
    Pause(Duration),
    End(DriveEnd),
}

/// One drive of a run.
struct Drive<'a> {
    operator: &'a Operator,
    run: RunId,
    /// Fresh with each drive: the row knows this one by it.
    holder: Uuid,
    allowance: Allowance,
    filled: Instant,
    /// What it has put back, whose letters go at the end.
    moved: HashSet<JobId>,
    /// Valkey's clock before anything moved; nothing if it was away.
    begun_ms: Option<u64>,
    /// Whether what an earlier driver left is enqueued.
    caught_up: bool,
}

impl<'a> Drive<'a> {
    async fn new(operator: &'a Operator, run: RunId) -> Self {
        Self {
            operator,
            run,
            holder: Uuid::new_v4(),
            allowance: Allowance::FIRST,
            filled: Instant::now(),
            moved: HashSet::new(),
            begun_ms: patient(operator.queue.server_ms()).await.ok(),
            caught_up: false,
        }
    }

    async fn step(&mut self, tell: &mut impl FnMut(&RunRow)) -> Result<Step, OpsError> {
        let Operator { store, who, .. } = self.operator;
        let held = store
            .bounded(store.drive_run(self.run, (self.holder, &who.actor), TERM))
            .await?;
        if held {
            store.bounded(store.note_results(self.run)).await?;
        }
        let row = self.operator.run_row(self.run).await?;
        tell(&row);
        if !held {
            return Ok(Step::End(if row.state == RunState::Running {
                DriveEnd::Elsewhere
            } else {
                DriveEnd::Over(row.state)
            }));
        }
        if !self.caught_up {
            self.catch_up().await?;
        }
        if let Some(rate) = row.terms.rate {
            self.allowance.fill(rate, self.filled.elapsed());
        }
        self.filled = Instant::now();
        match decide(&row.terms, &row.counts, self.allowance) {
            Next::Move(jobs) => self.advance(jobs).await,
            Next::Wait(time) => Ok(Step::Pause(time)),
            Next::Stop(why) => self.end(&row, RunState::Stopped, Some(&why), tell).await,
            Next::Finish => self.end(&row, RunState::Done, None, tell).await,
        }
    }

    async fn advance(&mut self, jobs: u32) -> Result<Step, OpsError> {
        let store = &self.operator.store;
        let advanced = store.advance_run(self.run, self.holder, jobs);
        let batch = store.bounded(advanced).await?;
        let Some(Batch { moved, .. }) = batch else {
            // The next step tells why.
            return Ok(Step::Pause(Duration::ZERO));
        };
        self.allowance
            .spend(u32::try_from(moved.len()).unwrap_or(u32::MAX));
        self.moved.extend(moved.iter().map(|owed| owed.job));
        self.enqueue(moved).await;
        Ok(Step::Pause(Duration::ZERO))
    }

    /// What an earlier driver has put back and not enqueued.
    async fn catch_up(&mut self) -> Result<(), OpsError> {
        let owed = self
            .operator
            .store
            .bounded(self.operator.store.owed_by_run(self.run, BATCH))
            .await?;
        self.caught_up = u32::try_from(owed.len()).is_ok_and(|count| count < BATCH);
        if !self.enqueue(owed).await {
            // Valkey is away: the reconciler pays.
            self.caught_up = true;
        }
        Ok(())
    }

    /// Enqueues what was put back; answers whether Valkey took it in time. What it did not take is owed.
    async fn enqueue(&self, owed: Vec<Owed>) -> bool {
        let entries: Vec<NewEntry> = owed.into_iter().map(entry_of).collect();
        if entries.is_empty() {
            return true;
        }
        let Operator { store, queue, .. } = self.operator;
        match enqueue(store, queue, &entries).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    "failed to {error}; {} entries of {} are owed",
                    entries.len(),
                    self.run
                );
                false
            }
        }
    }

    async fn end(
        &self,
        row: &RunRow,
        to: RunState,
        why: Option<&str>,
        tell: &mut impl FnMut(&RunRow),
    ) -> Result<Step, OpsError> {
        let turn = Turn {
            why,
            holder: Some(self.holder),
            ..turn_to(row, to)
        };
        if !self
            .operator
            .store
            .bounded(self.operator.store.turn_run(self.run, &turn))
            .await?
        {
            // The next step tells who has it, or how it ended.
            return Ok(Step::Pause(Duration::ZERO));
        }
        let row = self.operator.run_row(self.run).await?;
        tell(&row);
        Ok(Step::End(DriveEnd::Over(row.state)))
    }

    /// Takes out the letters of what was put back, in one walk.
    async fn leave(self) {
        let Operator { store, queue, .. } = self.operator;
        if let Err(error) = store.bounded(store.leave_run(self.run, self.holder)).await {
            tracing::debug!(
                "failed to {error}; the right to drive {} runs out by itself",
                self.run
            );
        }
        if let (Some(begun_ms), false) = (self.begun_ms, self.moved.is_empty()) {
            let walk = queue.remove_letters_of(&self.moved, begun_ms);
            if let Err(error) = within(WALK_WITHIN, walk).await {
                tracing::debug!("failed to {error}; the reconciler takes the letters out");
            }
        }
    }
}
