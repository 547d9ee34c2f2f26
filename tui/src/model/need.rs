//! What needs a person: the gravest first, each with the key that answers it.

use millstream::domain::JobId;
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::workers::WorkerName;
use crate::command::CommandId;

/// How bad it is; the order is the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Harm {
    /// A worker is lost, or a server is.
    Lost,
    /// Jobs were given up.
    Dead,
    /// Something is slower than it should be.
    Slow,
    /// The queue grows.
    Growing,
}

/// What the line is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// A worker.
    Worker(WorkerName),
    /// A job.
    Job(JobId),
    /// All jobs that match a filter.
    Jobs(String),
}

/// A line of `Needs you`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// How bad.
    pub harm: Harm,
    /// What is the matter.
    pub what: Untrusted,
    /// What comes of it, or why.
    pub detail: Untrusted,
    /// The command that answers it; its key is looked up in the key table.
    pub command: CommandId,
    /// What that command is about.
    pub target: Target,
}
