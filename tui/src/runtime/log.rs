//! The console's own log: in a file, since the screen is taken.

use std::path::{Path, PathBuf};

use millstream::logging::Lines;
use millstream::settings::LogFormat;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// The log, which is whole once this is dropped.
pub struct Log {
    /// Its file.
    pub path: PathBuf,
    _writing: WorkerGuard,
}

/// Starts logging into `console.log` of a folder, without ever waiting for the disk. A folder that cannot be
/// written costs the log and nothing else.
#[must_use]
pub fn start(folder: &Path) -> Option<Log> {
    let file = tracing_appender::rolling::Builder::new()
        .filename_prefix("console")
        .filename_suffix("log")
        .build(folder)
        .ok()?;
    let (writer, writing) = tracing_appender::non_blocking(file);
    // A second subscriber in one process is refused, which only a test can notice.
    let _already_started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(move || Lines::new(writer.clone(), LogFormat::Text))
        .with_target(false)
        .with_ansi(false)
        .try_init();
    Some(Log {
        path: folder.join("console.log"),
        _writing: writing,
    })
}
