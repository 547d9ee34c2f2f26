//! A file of notes, one line each, that survives a `kill -9` of its writer.

use std::fs::{File, OpenOptions};
use std::io::Write;

use millstream::settings::process_environment;

/// Where a process takes notes.
pub struct Notes(File);

impl Notes {
    /// Opens the file that `CHAOS_NOTES` names.
    pub fn open() -> Result<Self, String> {
        let path = process_environment("CHAOS_NOTES").ok_or("CHAOS_NOTES names no file")?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.map(Self).map_err(|error| format!("open {path}: {error}"))
    }

    /// Adds a line. One write is one line: the file is the system's from then on, whatever becomes of us.
    pub fn add(&self, line: &str) -> Result<(), String> {
        let text = format!("{line}\n");
        let written = (&self.0).write_all(text.as_bytes());
        written.map_err(|error| format!("take a note: {error}"))
    }
}
