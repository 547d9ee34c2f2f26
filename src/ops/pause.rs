//! Pausing a queue: nothing new starts, what runs goes on.
//!
//! The row in Postgres is the truth. The key in Valkey, which the fetches ask, follows it; when Valkey loses
//! the key, or was away when the row changed, the reconciler makes the two agree again.

use serde_json::json;

use super::error::OpsError;
use super::jobs::LONGEST_REASON;
use super::operator::{Operator, patient};
use super::outcome::{Mode, Outcome, Why};
use crate::queue::{Call, QueueError};
use crate::store::pauses::PausedRow;

impl Operator {
    /// Pauses the queue.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn pause(&self, reason: Option<&str>, mode: Mode) -> Result<Outcome, OpsError> {
        let reason: Option<String> = reason.map(|text| text.chars().take(LONGEST_REASON).collect());
        let mut outcome = Outcome::default();
        let queue = self.name();
        if mode == Mode::DryRun {
            match self.store.bounded(self.store.paused(queue)).await? {
                Some(before) => outcome.refuse(&queue, paused_before(&before)),
                None => outcome.done.push(queue.to_owned()),
            }
            return Ok(outcome);
        }
        let mut intent = self.intent("pause", Vec::new(), json!({ "queue": queue, "reason": reason }));
        if reason.is_some() {
            intent.reason.clone_from(&reason);
        }
        let whole = async || {
            self.halt(reason.as_deref(), &mut outcome).await?;
            Ok(outcome)
        };
        let by_valkey = async || {
            let row = PausedRow {
                by: self.who.actor.clone(),
                at: crate::clock::now(),
                reason: reason.clone(),
            };
            self.stop_fetches(&row).await?;
            Ok(done(queue))
        };
        self.recorded_or_noted(intent, whole, by_valkey).await
    }

    /// Lets the queue run again.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn resume(&self, mode: Mode) -> Result<Outcome, OpsError> {
        let mut outcome = Outcome::default();
        let queue = self.name();
        if mode == Mode::DryRun {
            match self.store.bounded(self.store.paused(queue)).await? {
                Some(_) => outcome.done.push(queue.to_owned()),
                None => outcome.refuse(&queue, Why::NotPaused),
            }
            return Ok(outcome);
        }
        let intent = self.intent("resume", Vec::new(), json!({ "queue": queue }));
        let whole = async || {
            self.unpause(&mut outcome).await?;
            Ok(outcome)
        };
        let by_valkey = async || {
            if self.start_fetches().await? {
                return Ok(done(queue));
            }
            let mut outcome = Outcome::default();
            outcome.refuse(&queue, Why::NotPaused);
            Ok(outcome)
        };
        self.recorded_or_noted(intent, whole, by_valkey).await
    }

    /// The effect of a pause.
    pub(super) async fn halt(&self, reason: Option<&str>, outcome: &mut Outcome) -> Result<(), OpsError> {
        let queue = self.name();
        let row = match self
            .store
            .bounded(self.store.pause(queue, &self.who.actor, reason))
            .await?
        {
            Some(row) => {
                outcome.done.push(queue.to_owned());
                Some(row)
            }
            None => {
                let before = self.store.bounded(self.store.paused(queue)).await?;
                // None: somebody resumed it in this moment.
                let why = before.as_ref().map_or(Why::NotPaused, paused_before);
                outcome.refuse(&queue, why);
                before
            }
        };
        // Also for one that was paused before: its key may be lost.
        if let Some(row) = row
            && let Err(error) = self.stop_fetches(&row).await
        {
            outcome.notes.push(later_note(&error));
        }
        Ok(())
    }

    /// The effect of a resume.
    pub(super) async fn unpause(&self, outcome: &mut Outcome) -> Result<(), OpsError> {
        let queue = self.name();
        let resumed = self.store.bounded(self.store.resume(queue)).await?;
        // The key may stand there alone: set by hand, or left by a resume that did not reach Valkey.
        let cleared = match self.start_fetches().await {
            Ok(cleared) => cleared,
            Err(error) => {
                outcome.notes.push(later_note(&error));
                false
            }
        };
        if resumed || cleared {
            outcome.done.push(queue.to_owned());
        } else {
            outcome.refuse(&queue, Why::NotPaused);
        }
        Ok(())
    }

    pub(super) async fn stop_fetches(&self, row: &PausedRow) -> Result<(), QueueError> {
        patient(self.queue.set_pause(&row.key_text())).await?;
        patient(self.queue.call_workers(Call::Pause)).await
    }

    pub(super) async fn start_fetches(&self) -> Result<bool, QueueError> {
        let cleared = patient(self.queue.clear_pause()).await?;
        patient(self.queue.call_workers(Call::Resume)).await?;
        Ok(cleared)
    }
}

fn done(queue: &str) -> Outcome {
    Outcome {
        done: vec![queue.to_owned()],
        ..Outcome::default()
    }
}

fn paused_before(row: &PausedRow) -> Why {
    Why::PausedBefore {
        by: row.by.clone(),
        at: row.at,
    }
}

fn later_note(error: &QueueError) -> String {
    format!("failed to {error}; the workers learn of it when Valkey is back")
}
