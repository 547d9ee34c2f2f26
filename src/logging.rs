//! Log lines of the services: one line each on standard error, as text or JSON.
//!
//! A line can be read alone; what can be searched for stands beside it as fields. Diffs, prompts
//! and keys are never logged. Whatever an event quotes, it is one line, and nothing in it is obeyed by the terminal
//! that shows it.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{LogFormat, LogSettings};
use crate::untrusted::{visible, visible_json};

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
    let builder = fmt().with_env_filter(filter).with_target(false);
    // A second subscriber in one process is refused, which only a test can notice.
    let _already_started = match settings.format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_writer(|| Lines::new(io::stderr(), LogFormat::Json))
            .try_init(),
        LogFormat::Text => builder
            .with_ansi(false)
            .with_writer(|| Lines::new(io::stderr(), LogFormat::Text))
            .try_init(),
    };
}

/// Writes events as lines in which everything that a terminal would obey is shown. An event comes in one write.
pub struct Lines<W> {
    output: W,
    format: LogFormat,
}

impl<W> Lines<W> {
    /// Lines of this format.
    pub const fn new(output: W, format: LogFormat) -> Self {
        Self { output, format }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let event = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = match self.format {
            LogFormat::Json => visible_json(event),
            LogFormat::Text => visible(event),
        };
        line.push('\n');
        self.output.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: LogFormat, event: &str) -> String {
        let mut output = Vec::new();
        Lines::new(&mut output, format)
            .write_all(event.as_bytes())
            .unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let text = "INFO failed: \u{1b}]0;x\u{7}\nINFO all is well\n";
        let shown = "INFO failed: ␛]0;x\\u{7}␊INFO all is well\n";
        assert_eq!(written(LogFormat::Text, text), shown);
        let json = "{\"message\":\"\u{9b}2J\u{202e}\"}\n";
        assert_eq!(
            written(LogFormat::Json, json),
            "{\"message\":\"\\u009b2J\\u202e\"}\n"
        );
    }
}
