//! Why a verb did not do what was asked, by exit code, with what to do about it.

use millstream::bench::BenchError;
use millstream::engine::EngineError;
use millstream::exit::Exit;
use millstream::ops::{FleetError, OpsError, Refused};
use millstream::queue::QueueError;
use millstream::reports::ReportError;
use millstream::settings::Faults;
use millstream::store::StoreError;
use millstream_worker::service::WorkerError;

use crate::output;
use crate::runtime::ConsoleError;
use crate::servers::ServersError;

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
    /// Nothing could be measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The console could not run.
    #[error("failed to {0}")]
    Console(#[from] ConsoleError),
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
    /// How the process ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Settings(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Ops(error) => match error {
                OpsError::NoReviews => Exit::Usage,
                OpsError::NotADiff(_)
                | OpsError::TooLarge { .. }
                | OpsError::KeyReused
                | OpsError::Callback(_)
                | OpsError::NoCallbacks
                | OpsError::QueueFull { .. }
                | OpsError::Refused(_) => Exit::Refused,
                OpsError::Fleet(FleetError::Unreachable(_)) => Exit::Unreachable,
                OpsError::Fleet(_) => Exit::Refused,
                OpsError::Store(error) => error.exit(),
                OpsError::Queue(error) => error.exit(),
            },
            Self::Report(ReportError::Store(error)) => error.exit(),
            Self::Report(ReportError::Queue(error)) => error.exit(),
            Self::Worker(error) => error.exit(),
            Self::Web(error) => error.exit(),
            Self::Bench(BenchError::Store(error)) => error.exit(),
            Self::Bench(BenchError::Queue(error)) => error.exit(),
            Self::Servers(_) => Exit::Unreachable,
            Self::Console(_) | Self::Demo(_) | Self::Bench(_) => Exit::Ours,
        }
    }

    /// What to do about it, where that is not in the message.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ops(OpsError::TooLarge { .. }) => {
                Some("split the change, or raise MAX_PATCH where the system runs")
            }
            Self::Ops(OpsError::Refused(Refused::NoFleet)) => {
                Some("start a demo, or set RENDER_API_KEY and RENDER_WORKER_SERVICE_ID")
            }
            // What is out of reach is no server of ours.
            Self::Ops(OpsError::Fleet(_)) => None,
            Self::Ops(OpsError::Refused(Refused::NoGlassReason | Refused::NoReason(_))) => {
                Some("add --reason TEXT")
            }
            Self::Ops(OpsError::Refused(Refused::NoCount(_))) => {
                Some("add --count N with the number that --dry-run says, or --yes where any number is meant")
            }
            Self::Ops(OpsError::Refused(Refused::WrongCount { .. })) => {
                Some("look again with --dry-run; nothing was written")
            }
            Self::Ops(OpsError::Store(StoreError::Schema(_)))
            | Self::Report(ReportError::Store(StoreError::Schema(_))) => Some(
                "start a worker or the web producer of this version once: they bring the schema up to date",
            ),
            Self::Web(error) => error.hint(),
            Self::Worker(WorkerError::Engine(EngineError::Refused(_))) => None,
            Self::Ops(_) | Self::Report(_) | Self::Worker(_) if self.exit() == Exit::Unreachable => {
                Some(START_SERVERS)
            }
            _ => None,
        }
    }

    /// Prints the failure, one line for each thing that is wrong, and the hint.
    pub fn print(&self) {
        let text = self.to_string();
        for line in text.lines().chain(self.hint()) {
            output::say(line);
        }
    }
}
