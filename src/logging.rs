//! Log lines of the services: one line each on standard error, as text or JSON.
//!
//! A line can be read alone; what can be searched for stands beside it as fields. Diffs, prompts
//! and keys are never logged.

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{LogFormat, LogSettings};

/// Starts logging for this process. A second call changes nothing.
pub fn start(settings: &LogSettings) {
    // The database's notices ("already exists, skipping") are news to nobody who did not ask for them.
    let quiet = if settings.filter.contains("sqlx") {
        ""
    } else {
        ",sqlx=warn"
    };
    let filter =
        EnvFilter::try_new(format!("{}{quiet}", settings.filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second subscriber in one process is refused, which only a test can notice.
    let _already_started = match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}
