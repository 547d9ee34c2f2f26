//! Breaking the glass: with Postgres away a pause, a resume and a claim can be done all the same, if whoever does it
//! says so and says why. The intent is written to Valkey before, and copied into the book later, once.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::warn;
use uuid::Uuid;

use super::action::Told;
use super::enqueue::within;
use super::error::OpsError;
use super::operator::{Operator, patient};
use super::outcome::Outcome;
use super::rights::Refused;
use crate::domain::glass::{GlassHalf, GlassNote};
use crate::store::actions::Intent;

/// What becomes of an intent that cannot be written to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Glass {
    /// Nothing is done.
    #[default]
    Whole,
    /// It is written to Valkey, and what Valkey alone can do is done.
    Broken,
}

/// Notes that one move copies on its way; the reconciler copies the rest.
const PAGES: usize = 3;
/// How long a move waits for them.
const COPY_WITHIN: Duration = Duration::from_millis(500);
/// How long each may take to be written into the book.
const BOOK_WITHIN: Duration = Duration::from_secs(2);

impl Operator {
    /// The same operator, for whom a glass is broken where Postgres is away.
    #[must_use]
    pub fn breaking_glass(&self, glass: Glass) -> Self {
        Self {
            glass,
            ..self.clone()
        }
    }

    /// Runs a move inside its two entries in the book; with Postgres away and the glass broken what Valkey can do of
    /// it, inside two notes there.
    pub(super) async fn recorded_or_noted<A, B>(
        &self,
        intent: Intent,
        whole: impl FnOnce() -> A,
        by_valkey: impl FnOnce() -> B,
    ) -> Result<Outcome, OpsError>
    where
        A: Future<Output = Result<Outcome, OpsError>>,
        B: Future<Output = Result<Outcome, OpsError>>,
    {
        let noted = intent.clone();
        match self.recorded(intent, |_| whole()).await {
            Err(OpsError::Store(error)) if error.is_passing() && self.glass == Glass::Broken => {
                self.noted(noted, by_valkey).await
            }
            other => other,
        }
    }

    async fn noted<B: Future<Output = Result<Outcome, OpsError>>>(
        &self,
        mut intent: Intent,
        effect: impl FnOnce() -> B,
    ) -> Result<Outcome, OpsError> {
        self.may_write()?;
        if intent.reason.is_none() {
            return Err(Refused::NoGlassReason.into());
        }
        let token = Uuid::new_v4();
        // A note is small: of many ids it names the first.
        intent.ids.truncate(crate::store::actions::MOST_NAMED);
        let body = serde_json::to_value(&intent).unwrap_or_default();
        self.write_note(token, GlassHalf::Intent, body).await?;
        let done = effect().await;
        let (word, result) = match &done {
            Ok(done) => done.told(),
            Err(error) => ("refused", json!({ "error": error.to_string() })),
        };
        let body = json!({ "outcome": word, "result": result });
        if let Err(error) = self.write_note(token, GlassHalf::Outcome, body).await {
            warn!("failed to {error}; the outcome of `{}` is not noted", intent.verb);
        }
        let mut outcome = done?;
        let note = "Postgres is away; the action is noted in Valkey and comes into the book when it is back";
        outcome.notes.push(note.to_owned());
        Ok(outcome)
    }

    async fn write_note(&self, token: Uuid, half: GlassHalf, body: Value) -> Result<(), OpsError> {
        let note = GlassNote { token, half, body };
        Ok(patient(self.queue.add_glass(&note)).await?)
    }

    /// Copies what was noted while Postgres was away, as a move passes by.
    pub(super) async fn copy_glass(&self) {
        let mut is_switched = false;
        for _ in 0..PAGES {
            let Ok(page) = within(COPY_WITHIN, self.queue.glass_page()).await else {
                break;
            };
            let mut copied = Vec::new();
            for (id, note) in page {
                if let Some(note) = note {
                    is_switched |= matches!(note.body["verb"].as_str(), Some("pause" | "resume"));
                    let copying = self.store.copy_glass(&note, id.time());
                    // With Postgres still away the move itself finds that out.
                    let Ok(copied) = tokio::time::timeout(BOOK_WITHIN, copying).await else {
                        break;
                    };
                    match copied {
                        Ok(_) => {}
                        Err(error) if error.is_passing() => {
                            warn!("failed to {error}; a note of a broken glass is copied later");
                            break;
                        }
                        // It would be refused for ever, and hold up all that came after it.
                        Err(error) => warn!("failed to {error}; note {id} is left out of the book"),
                    }
                }
                copied.push(id);
            }
            if copied.is_empty()
                || within(COPY_WITHIN, self.queue.remove_glass(&copied))
                    .await
                    .is_err()
            {
                break;
            }
        }
        if is_switched && let Err(error) = self.agree_on_pause().await {
            warn!("failed to {error}; the reconciler brings the pause to Valkey");
        }
    }

    /// The key in Valkey says what the row says by now.
    async fn agree_on_pause(&self) -> Result<(), OpsError> {
        match self.store.bounded(self.store.paused(self.name())).await? {
            Some(row) => self.stop_fetches(&row).await?,
            None => drop(self.start_fetches().await?),
        }
        Ok(())
    }
}
