//! Taking an action back, as far as that goes: what nobody has started or moved since.
//!
//! The rows decide, under the lock that a start takes too: a job comes back or has run, never both. What had died is
//! dead again with the time and the cause it had; what was called off or given up waits again; what was submitted is
//! called off; a pause ends, and what was resumed is paused.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::enqueue::{enqueue, entry_of};
use super::error::OpsError;
use super::jobs::owed_note;
use super::operator::{Operator, patient};
use super::outcome::{Outcome, Why};
use super::rights::Refused;
use crate::domain::{EntryId, JobId, Lane, RunId};
use crate::queue::{NewEntry, NewLetter, QueueError};
use crate::store::actions::{ActionId, ActionRow, Intent, Wanted};
use crate::store::moved::{Left, Undone, owed_again};
use crate::store::moves::Standing;

/// Verbs with a way back that moves jobs.
const MOVES: [&str; 7] = [
    "requeue",
    "dead requeue",
    "cancel",
    "bury",
    "submit",
    "burst",
    "dead edit",
];
/// Actions of one operator that are looked at for one that can be taken back.
const LOOKED_AT: u32 = 100;

/// What undoing an action would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undoing {
    /// The action.
    pub action: i64,
    /// What it was.
    pub verb: String,
    /// Its run, if it began one.
    pub run: Option<RunId>,
    /// How much of it can come back.
    pub left: Left,
}

impl Undoing {
    /// In a sentence, as a dialog asks it.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self.left {
            Left { back: 1, late: 0 } => "1 can come back".to_owned(),
            Left { back, late: 0 } => format!("{back} can come back"),
            Left { back, late } => {
                format!("{back} not yet started can come back, {late} already ran or moved")
            }
        }
    }
}

impl Operator {
    /// What undoing an action would do; without one, the last of this operator's that has something left.
    ///
    /// # Errors
    /// When there is no such action, when it has no way back, or when Postgres is away.
    pub async fn undoing(&self, action: Option<ActionId>) -> Result<Undoing, OpsError> {
        let row = match action {
            Some(action) => self.action(action).await?,
            None => self.last_undoable().await?,
        };
        let left = self.left(&row).await?;
        Ok(Undoing {
            action: row.id,
            verb: row.verb,
            run: row.run.map(RunId),
            left,
        })
    }

    async fn left(&self, row: &ActionRow) -> Result<Left, OpsError> {
        match row.verb.as_str() {
            verb if MOVES.contains(&verb) => Ok(self
                .store
                .bounded(self.store.left_of(self.name(), ActionId(row.id)))
                .await?),
            "scale" if is_scaled_so(row, Some(self.fleet()?.size().await?)) => Ok(Left { back: 1, late: 0 }),
            "scale" => Ok(Left { back: 0, late: 1 }),
            verb if is_switch(verb) && self.stands_as_left(row).await? => Ok(Left { back: 1, late: 0 }),
            verb if is_switch(verb) => Ok(Left { back: 0, late: 1 }),
            verb => Err(Refused::NoWayBack(verb.to_owned()).into()),
        }
    }

    async fn action(&self, action: ActionId) -> Result<ActionRow, OpsError> {
        let wanted = Wanted {
            queue: Some(self.name()),
            only: Some(action),
            ..Wanted::default()
        };
        let row = self
            .store
            .bounded(self.store.find_actions(&wanted, 1))
            .await?
            .pop();
        Ok(row.ok_or(Refused::NoAction(action.0))?)
    }

    async fn last_undoable(&self) -> Result<ActionRow, OpsError> {
        let wanted = Wanted {
            queue: Some(self.name()),
            ..Wanted::default()
        };
        let rows = self
            .store
            .bounded(self.store.find_actions(&wanted, LOOKED_AT))
            .await?;
        let mut size = None;
        for row in rows {
            if row.actor != self.who.actor || row.undone_by.is_some() {
                continue;
            }
            if row.verb == "scale" {
                // Asked once, and a fleet that does not answer keeps nobody from taking back something else.
                let size = match size {
                    Some(size) => size,
                    None => *size.insert(self.size_if_known().await),
                };
                if is_scaled_so(&row, size) {
                    return Ok(row);
                }
                continue;
            }
            let left = is_switch(&row.verb)
                && row.outcome.as_deref() == Some("ok")
                && self.stands_as_left(&row).await?;
            if left || (MOVES.contains(&row.verb.as_str()) && row.left > 0) {
                return Ok(row);
            }
        }
        Err(Refused::NothingToUndo.into())
    }

    /// Whether a pause or a resume is what still holds.
    async fn stands_as_left(&self, row: &ActionRow) -> Result<bool, OpsError> {
        let paused = self.store.bounded(self.store.paused(self.name())).await?;
        Ok(match (row.verb.as_str(), paused) {
            ("pause", Some(pause)) => pause.by == row.actor && pause.at >= row.at,
            ("resume", paused) => paused.is_none(),
            _ => false,
        })
    }

    /// Takes an action back, as far as it goes. Its run, if it is not over, is ended first.
    ///
    /// # Errors
    /// When the ladder refuses it, when there is no such action or no way back, or when Postgres is away.
    pub async fn undo(&self, action: ActionId) -> Result<Outcome, OpsError> {
        self.may_write()?;
        let row = self.action(action).await?;
        if !MOVES.contains(&row.verb.as_str()) && !is_switch(&row.verb) && row.verb != "scale" {
            return Err(Refused::NoWayBack(row.verb).into());
        }
        let intent = Intent {
            undoes: Some(action),
            ..self.intent("undo", Vec::new(), json!({ "of": row.verb, "action": row.id }))
        };
        self.recorded(intent, async |by| match row.verb.as_str() {
            "pause" | "resume" => self.switch_back(&row).await,
            "scale" => self.scale_back(&row).await,
            _ => {
                if let Some(run) = row.run {
                    self.end_run(RunId(run)).await?;
                }
                self.move_back((action, by)).await
            }
        })
        .await
    }

    /// Whether a fleet still has the size that an action gave it.
    async fn size_if_known(&self) -> Option<u32> {
        match self.fleet.as_ref()?.size().await {
            Ok(size) => Some(size),
            Err(error) => {
                tracing::warn!("failed to look at the fleet: {error}; its scaling is not taken back");
                None
            }
        }
    }

    /// The fleet as large as it was before.
    async fn scale_back(&self, row: &ActionRow) -> Result<Outcome, OpsError> {
        let mut outcome = Outcome::default();
        match number(&row.detail, "from") {
            Some(from) if is_scaled_so(row, Some(self.fleet()?.size().await?)) => {
                self.fleet()?.resize(from, &self.who.actor).await?;
                outcome.done.push(format!("{from} workers"));
            }
            _ => outcome.refuse(&self.name(), Why::Moved),
        }
        Ok(outcome)
    }

    async fn end_run(&self, run: RunId) -> Result<(), OpsError> {
        match self.abort_run(run).await {
            Ok(_) | Err(OpsError::Refused(Refused::RunState(..))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The queue as it was before a pause or a resume.
    async fn switch_back(&self, row: &ActionRow) -> Result<Outcome, OpsError> {
        let mut outcome = Outcome::default();
        if !self.stands_as_left(row).await? {
            outcome.refuse(&self.name(), Why::Moved);
            return Ok(outcome);
        }
        if row.verb == "pause" {
            self.unpause(&mut outcome).await?;
        } else {
            self.halt(None, &mut outcome).await?;
        }
        Ok(outcome)
    }

    async fn move_back(&self, (action, by): (ActionId, ActionId)) -> Result<Outcome, OpsError> {
        let (mut outcome, mut after) = (Outcome::default(), None);
        loop {
            let (undone, next) = self
                .store
                .bounded(self.store.undo(self.name(), (action, by), after))
                .await?;
            for (job, what, _) in &undone {
                match what {
                    Undone::Dead(_) | Undone::Waits(_) | Undone::CalledOff(_) => {
                        outcome.done.push(job.to_string());
                    }
                    Undone::TooLate(one) => outcome.refuse(job, Why::TooLate(one.state)),
                    Undone::Gone(_) => outcome.refuse(job, Why::Unknown),
                }
            }
            if let Err(error) = self.follow(&undone, &mut outcome).await {
                outcome.notes.push(format!("failed to {error}; the entries are left to the workers, which run what waits and nothing else"));
            }
            after = next;
            if after.is_none() {
                return Ok(outcome);
            }
        }
    }

    /// Valkey's half of the way back.
    async fn follow(
        &self,
        undone: &[(JobId, Undone, Value)],
        outcome: &mut Outcome,
    ) -> Result<(), QueueError> {
        let ended: Vec<&Standing> = undone
            .iter()
            .filter_map(|(_, what, _)| match what {
                Undone::Dead(one) | Undone::CalledOff(one) => Some(one),
                _ => None,
            })
            .collect();
        for lane in Lane::ALL {
            let of_lane = ended.iter().filter(|one| one.lane == lane);
            let entries: Vec<(EntryId, JobId)> =
                of_lane.filter_map(|one| Some((one.entry?, one.job))).collect();
            if !entries.is_empty() {
                patient(self.queue.withdraw(lane, &entries)).await?;
            }
        }
        self.write_letters(undone).await?;
        let entries: Vec<NewEntry> = owed_again(undone).into_iter().map(entry_of).collect();
        if !entries.is_empty()
            && let Err(error) = enqueue(&self.store, &self.queue, &entries).await
        {
            outcome.notes.push(owed_note(&error, entries.len()));
        }
        Ok(())
    }

    /// Who is dead again has a letter again, just one; who waits again has none.
    async fn write_letters(&self, undone: &[(JobId, Undone, Value)]) -> Result<(), QueueError> {
        let moved = undone.iter().filter(|(_, what, was)| match what {
            Undone::Dead(_) => true,
            Undone::Waits(_) => was.get("state").is_some(),
            _ => false,
        });
        let moved: HashSet<JobId> = moved.map(|(job, ..)| *job).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let now_ms = patient(self.queue.server_ms()).await?;
        patient(self.queue.remove_letters_of(&moved, now_ms)).await?;
        let letters: Vec<NewLetter> = undone
            .iter()
            .filter_map(|(_, what, was)| match what {
                Undone::Dead(one) => Some(letter(one, was)),
                _ => None,
            })
            .collect();
        patient(self.queue.add_letters(&letters)).await
    }
}

fn number(detail: &Value, name: &str) -> Option<u32> {
    let number = detail.get(name).and_then(Value::as_u64);
    number.and_then(|number| u32::try_from(number).ok())
}

/// Whether the fleet is as large as this action has left it.
fn is_scaled_so(row: &ActionRow, size: Option<u32>) -> bool {
    row.outcome.as_deref() == Some("ok") && size.is_some() && number(&row.detail, "to") == size
}

const fn is_switch(verb: &str) -> bool {
    matches!(verb.as_bytes(), b"pause" | b"resume")
}

/// The letter of a job that is dead again.
fn letter(one: &Standing, was: &Value) -> NewLetter {
    let text = |name: &str| was.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let died_at = text("finished_at").and_then(|at| at.parse().ok());
    NewLetter {
        entry: text("entry_id").and_then(|entry| entry.parse().ok()),
        lane: one.lane,
        worker: one.worker.clone().unwrap_or_default(),
        died_at: died_at.unwrap_or_else(crate::clock::now),
        job: Some(one.job),
        attempt: Some(one.attempt),
        class: text("error_class"),
        error: text("error"),
        raw: Vec::new(),
    }
}
