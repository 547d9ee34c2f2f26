//! What the processes of a run noted down, apart from all servers.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use uuid::Uuid;

/// A start of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StartNote {
    pub job: Uuid,
    pub attempt: i32,
    pub worker: String,
}

/// What a producer was promised of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The state in which it must end.
    pub end: String,
    /// Its end is told to the receiver.
    pub is_told: bool,
}

/// What producers were promised.
pub fn promises(folder: &Path) -> HashMap<Uuid, Promise> {
    lines(folder, "p-")
        .iter()
        .filter_map(|line| promise(line))
        .collect()
}

fn promise(line: &str) -> Option<(Uuid, Promise)> {
    match words(line)[..] {
        [job, end, told] => {
            let promise = Promise {
                end: end.to_owned(),
                is_told: told == "told",
            };
            Some((job.parse().ok()?, promise))
        }
        _ => None,
    }
}

/// What workers began.
pub fn starts(folder: &Path) -> Vec<StartNote> {
    lines(folder, "w-")
        .iter()
        .filter_map(|line| start(line))
        .collect()
}

/// The ids under which one worker process began anything.
pub fn ids(folder: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut ids: Vec<String> = text.lines().filter_map(start).map(|note| note.worker).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn start(line: &str) -> Option<StartNote> {
    match words(line)[..] {
        [job, attempt, worker] => Some(StartNote {
            job: job.parse().ok()?,
            attempt: attempt.parse().ok()?,
            worker: worker.to_owned(),
        }),
        _ => None,
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn lines(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder of notes").flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let texts = named.map(|entry| fs::read_to_string(entry.path()).expect("notes are text"));
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
