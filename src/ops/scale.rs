//! How many workers a fleet has: processes of a demo, instances of a service, whatever can be asked for more.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::action::Told;
use super::error::OpsError;
use super::operator::Operator;
use super::outcome::Mode;
use super::rights::Refused;
use crate::store::Store;
use crate::store::fleets::FleetRow;

/// The most workers that can be asked for: as many as the largest service has.
pub const MOST_WORKERS: u32 = 100;

/// Something that has workers, and can have more or fewer.
pub trait Fleet: Debug + Send + Sync {
    /// How many it has, or is about to have.
    fn size(&self) -> BoxFuture<'_, Result<u32, FleetError>>;
    /// Asks for so many; answers once that is taken.
    fn resize<'a>(&'a self, to: u32, by: &'a str) -> BoxFuture<'a, Result<(), FleetError>>;
}

/// Why a fleet was not scaled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// There is nobody to ask.
    #[error("nobody starts workers here: {0}")]
    Nobody(String),
    /// It does not take it.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached.
    #[error("reach the fleet: {0}")]
    Unreachable(String),
}

/// A fleet that was scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scaled {
    /// How many workers it had.
    pub from: u32,
    /// How many it shall have.
    pub to: u32,
}

impl Told for Scaled {
    fn told(&self) -> (&'static str, Value) {
        ("ok", json!({ "from": self.from, "to": self.to }))
    }
}

impl Operator {
    /// The same operator, with a fleet in reach.
    #[must_use]
    pub fn with_fleet(&self, fleet: Arc<dyn Fleet>) -> Self {
        Self {
            fleet: Some(fleet),
            ..self.clone()
        }
    }

    /// Asks the fleet for so many workers.
    ///
    /// # Errors
    /// When the ladder refuses it, when there is no fleet or it refuses, or when Postgres is away.
    pub async fn scale(&self, to: u32, mode: Mode) -> Result<Scaled, OpsError> {
        let fleet = self.fleet()?;
        if to > MOST_WORKERS {
            let text = format!("at most {MOST_WORKERS} workers can be asked for");
            return Err(FleetError::Refused(text).into());
        }
        if mode == Mode::DryRun {
            let from = fleet.size().await?;
            return Ok(Scaled { from, to });
        }
        self.may_write()?;
        let from = fleet.size().await?;
        let intent = self.intent("scale", Vec::new(), json!({ "from": from, "to": to }));
        self.recorded(intent, async |_| {
            fleet.resize(to, &self.who.actor).await?;
            Ok(Scaled { from, to })
        })
        .await
    }

    pub(super) fn fleet(&self) -> Result<&Arc<dyn Fleet>, Refused> {
        self.fleet.as_ref().ok_or(Refused::NoFleet)
    }
}

/// The most workers of a demo.
pub const MOST_IN_DEMO: u32 = 64;
/// How long the demo may take to start or drain what it was asked for.
const DEMO_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The workers of a demo on this machine, asked through its Postgres.
#[derive(Debug, Clone)]
pub struct DemoFleet {
    store: Store,
    queue: String,
}

impl DemoFleet {
    /// The demo of a queue.
    #[must_use]
    pub const fn new(store: Store, queue: String) -> Self {
        Self { store, queue }
    }

    async fn row(&self) -> Result<FleetRow, FleetError> {
        let row = self.store.bounded(self.store.fleet(&self.queue)).await;
        let row = row.map_err(|error| FleetError::Unreachable(error.to_string()))?;
        row.filter(|row| row.is_there)
            .ok_or_else(|| FleetError::Nobody("no demo answers".to_owned()))
    }

    async fn ask(&self, to: u32, by: &str) -> Result<(), FleetError> {
        if to > MOST_IN_DEMO {
            let text = format!("a demo has at most {MOST_IN_DEMO} workers");
            return Err(FleetError::Refused(text));
        }
        self.row().await?;
        let asked = self
            .store
            .bounded(self.store.ask_fleet(&self.queue, by, to))
            .await;
        let asked_at = asked.map_err(|error| FleetError::Unreachable(error.to_string()))?;
        let until = Instant::now() + DEMO_WITHIN;
        loop {
            let row = self.row().await?;
            let is_so = row.running == i32::try_from(to).ok() && row.seen_at.is_some_and(|at| at > asked_at);
            // Whoever asked for another number after us has the last word.
            if is_so || row.asked_at != asked_at {
                return Ok(());
            }
            if Instant::now() >= until {
                let running = row.running.unwrap_or(0);
                return Err(FleetError::Refused(format!(
                    "the demo still has {running} workers"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Fleet for DemoFleet {
    fn size(&self) -> BoxFuture<'_, Result<u32, FleetError>> {
        Box::pin(async { Ok(self.row().await?.running.unwrap_or(0).unsigned_abs()) })
    }

    fn resize<'a>(&'a self, to: u32, by: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(self.ask(to, by))
    }
}
