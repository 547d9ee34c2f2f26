//! The file that takes a child's output, and what it said last.
//!
//! A child's log is the only witness when the child dies at start, so its last line goes into our error
//! message. It comes from outside: control characters are taken out before anybody shows it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How much of the end of a log is read: enough for any start-up message, little enough for any log.
const TAIL: u64 = 64 * 1024;

/// Opens a log for appending, with its folder; only our account may read it.
pub fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// What a log holds from the byte `start` on: at most the last 64 KiB of it, and nothing if it cannot be
/// read.
pub fn since(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL))))?;
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The last line of a text that says something, without control characters and cut at 300 characters.
pub fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_line_skips_blank_ones_and_drops_control_characters() {
        assert_eq!(
            last_line("first\nbad \u{1b}[31mnews\n\n  \n").as_deref(),
            Some("bad [31mnews")
        );
        assert_eq!(last_line(" \n\n"), None);
    }

    #[test]
    fn a_log_is_read_from_where_a_run_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/child.log");
        writeln!(open(&path).unwrap(), "old run").unwrap();
        writeln!(open(&path).unwrap(), "new run").unwrap();
        assert_eq!(since(&path, 8), "new run\n");
        assert_eq!(since(&folder.path().join("absent"), 0), "");
    }
}
