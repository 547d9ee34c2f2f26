//! The card that a worker puts up with each heartbeat: who it is and what it does.

use serde::{Deserialize, Serialize};

use crate::domain::JobId;

/// Running jobs that a card names; the rest are counted.
const JOBS_ON_CARD: usize = 64;

/// What a worker tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Render's name for the instance, if it runs there.
    pub instance: Option<String>,
    /// When it started, in RFC 3339.
    pub started_at: String,
    /// How many jobs it runs at a time.
    pub slots: usize,
    /// `ready` or `draining`.
    pub state: CardState,
    /// How many run now.
    pub busy: usize,
    /// Which run now, at most 64 of them.
    pub jobs: Vec<JobId>,
}

/// Whether a worker takes more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardState {
    /// It does.
    Ready,
    /// It finishes what it has.
    Draining,
}

impl Card {
    /// Notes what runs now.
    pub fn set_jobs(&mut self, jobs: impl Iterator<Item = JobId>) {
        let mut jobs: Vec<JobId> = jobs.collect();
        self.busy = jobs.len();
        jobs.truncate(JOBS_ON_CARD);
        self.jobs = jobs;
    }
}
