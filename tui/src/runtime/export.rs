//! Writes the dead to a file of their own, one JSON object a line.

use std::io::Write;
use std::path::{Path, PathBuf};

use millstream::clock;
use millstream::domain::JobId;
use millstream::reports::{self, DeadExport, Inputs};
use millstream::store::assess::Death;
use millstream::untrusted::Untrusted;

use super::orders::{Office, filter};
use crate::failure::Failure;
use crate::model::order::{Came, Subject};

/// The most jobs in one export: a file of some ten megabytes.
const MOST_EXPORTED: usize = 10_000;
/// Letters without a job in one export.
const MOST_LETTERS: usize = 10_000;

/// Writes the dead to a file of their own.
///
/// # Errors
/// When nothing dead is meant, a server is away, or the file cannot be written.
pub async fn export(office: &Office, subject: &Subject) -> Result<Came, Failure> {
    let Subject::These { ids, matching } = subject else {
        return Err(Failure::Refused("nothing is chosen".to_owned()));
    };
    let queue = &office.queue.keys().shared;
    let (mut rows, mut cut) = (Vec::new(), false);
    let jobs: Vec<JobId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    rows.extend(reports::export_of(&office.store, queue, &jobs, Inputs::Left).await?);
    for text in matching {
        let (filter, now, mut after) = (filter(text)?, clock::now(), None);
        while rows.len() < MOST_EXPORTED {
            let page =
                reports::export_page(&office.store, queue, &filter, now, (after, Inputs::Left)).await?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        cut |= after.is_some();
        rows.extend(reports::export_letters(&office.queue, &filter, now, MOST_LETTERS).await?);
    }
    let done = rows
        .iter()
        .filter_map(|row| row.dead.id.clone().or_else(|| row.dead.letter.clone()));
    let done: Vec<String> = done.collect();
    if rows.is_empty() {
        return Err(Failure::Refused("nothing dead was found".to_owned()));
    }
    let path = write_lines(&office.folder, &rows)?;
    if let Some(pen) = &office.pen {
        // What somebody has a copy of may be dropped.
        let deaths: Vec<Death> = rows.iter().filter_map(|row| row.death).collect();
        pen.operator.note_export(&deaths).await?;
    }
    let mut notes = vec![Untrusted::new(format!("in {}", path.display()))];
    if cut {
        notes.push(format!("one file takes {MOST_EXPORTED}; there are more").into());
    }
    Ok(Came {
        done,
        notes,
        ..Came::default()
    })
}

/// A file for whoever runs the console alone: payloads are nobody else's.
fn write_lines(folder: &Path, rows: &[DeadExport]) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = format!("dead-{}.jsonl", clock::now().format("%Y%m%dT%H%M%S%.3fZ"));
    let path = folder.join(name);
    let failed = |error: std::io::Error| Failure::Refused(format!("write {}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let mut file = std::io::BufWriter::new(file.map_err(failed)?);
    for row in rows {
        let line = serde_json::to_string(row).map_err(|error| failed(error.into()))?;
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(path)
}
