//! Why a verb did not do what was asked, by exit code, with what to do about it.

use millstream::ops::OpsError;
use millstream::queue::QueueError;
use millstream::reports::ReportError;
use millstream::settings::Faults;
use millstream::store::StoreError;
use millstream_worker::service::WorkerError;

use crate::servers::ServersError;

/// Our fault.
pub const OURS: u8 = 1;
/// Not found, or refused.
pub const REFUSED: u8 = 2;
/// Wrong usage, wrong settings.
pub const USAGE: u8 = 64;
/// A server is unreachable.
pub const UNREACHABLE: u8 = 69;

/// What is typed when no server is there.
const START_SERVERS: &str =
    "type ./demo to start a system on this machine, or set VALKEY_URL and DATABASE_URL";

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there, or is not taken.
    #[error("{0}")]
    Refused(String),
    /// Settings are wrong.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// Something was not done.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// Something could not be shown.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A worker could not run.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The producer could not run.
    #[error(transparent)]
    Web(#[from] millstream_web::WebError),
    /// The demo's servers could not be had.
    #[error(transparent)]
    Servers(#[from] ServersError),
    /// The demo's own failure.
    #[error("{0}")]
    Demo(String),
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self::Report(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Report(error.into())
    }
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Settings(_) => USAGE,
            Self::Refused(_) => REFUSED,
            Self::Ops(error) => match error {
                OpsError::Invalid(_) => USAGE,
                OpsError::TooLarge { .. } | OpsError::KeyReused | OpsError::QueueFull { .. } => REFUSED,
                OpsError::Store(error) => of_store(error),
                OpsError::Queue(error) => of_queue(error),
            },
            Self::Report(ReportError::Store(error)) => of_store(error),
            Self::Report(ReportError::Queue(error)) => of_queue(error),
            Self::Worker(error) => error.exit_code(),
            Self::Web(error) => error.exit_code(),
            Self::Servers(_) => UNREACHABLE,
            Self::Demo(_) => OURS,
        }
    }

    /// What to do about it, where that is not in the message.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ops(OpsError::TooLarge { .. }) => {
                Some("split the change, or raise MAX_PATCH where the system runs")
            }
            Self::Ops(OpsError::Store(StoreError::Schema(_)))
            | Self::Report(ReportError::Store(StoreError::Schema(_))) => Some(
                "start a worker or the web producer of this version once: they bring the schema up to date",
            ),
            Self::Ops(_) | Self::Report(_) | Self::Worker(_) if self.exit_code() == UNREACHABLE => {
                Some(START_SERVERS)
            }
            _ => None,
        }
    }

    /// Prints the failure, one line for each thing that is wrong, and the hint.
    pub fn print(&self) {
        for line in self.to_string().lines() {
            eprintln!("millstream: {line}");
        }
        if let Some(hint) = self.hint() {
            eprintln!("millstream: {hint}");
        }
    }
}

const fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Unreachable(_) | StoreError::Schema(_) => UNREACHABLE,
        StoreError::Refused(_) => OURS,
    }
}

const fn of_queue(error: &QueueError) -> u8 {
    match error {
        QueueError::Unreachable(_) => UNREACHABLE,
        QueueError::NoGroup(_) | QueueError::Refused(_) | QueueError::Answer(_) => OURS,
    }
}
