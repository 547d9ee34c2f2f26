//! A dead letter before it is written: whose entry it was, and why it was given up.

use chrono::{DateTime, SecondsFormat, Utc};

use super::entry::Entry;
use crate::domain::{EntryId, FailureClass, JobId, Lane};

/// Raw fields that a dead letter keeps one by one.
const RAW_FIELDS: usize = 64;

/// A dead letter to be written: a projection of the job's row, or all there is of an entry that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// The entry that was given up; nothing when a letter is written anew from the row.
    pub entry: Option<EntryId>,
    /// Its stream.
    pub lane: Lane,
    /// Who gave it up: a worker, or an operator.
    pub worker: String,
    /// When.
    pub died_at: DateTime<Utc>,
    /// The job, if the entry could be read.
    pub job: Option<JobId>,
    /// The number of the last attempt.
    pub attempt: Option<i32>,
    /// Why, as a class.
    pub class: Option<String>,
    /// Why, in words.
    pub error: Option<String>,
    /// The raw fields of the entry, as bytes.
    pub raw: Vec<(Vec<u8>, Vec<u8>)>,
}

impl NewLetter {
    /// A letter about an entry, with all that it carried.
    #[must_use]
    pub fn about(entry: &Entry, worker: String) -> Self {
        Self {
            entry: Some(entry.id),
            lane: entry.lane,
            worker,
            died_at: crate::clock::now(),
            job: None,
            attempt: None,
            class: None,
            error: None,
            raw: entry.fields.clone(),
        }
    }

    /// With the reason that nobody can read what the entry carries.
    #[must_use]
    pub fn unreadable(self, why: String) -> Self {
        Self {
            class: Some(FailureClass::Unreadable.word().to_owned()),
            error: Some(why),
            ..self
        }
    }

    /// Its fields, in the order in which they are written.
    #[must_use]
    pub fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut put = |field: &str, value: Option<String>| {
            fields.extend(value.map(|value| (field.as_bytes().to_vec(), value.into_bytes())));
        };
        put("entry", self.entry.map(|entry| entry.to_string()));
        put("lane", Some(self.lane.word().to_owned()));
        put("worker", Some(self.worker.clone()));
        let died_at = self.died_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        put("died_at", Some(died_at));
        put("jobId", self.job.map(|job| job.to_string()));
        put("attempt", self.attempt.map(|attempt| attempt.to_string()));
        put("class", self.class.clone());
        put("error", self.error.clone());
        keep_raw(&self.raw, &mut fields);
        fields
    }
}

/// Keeps the raw fields, as bytes: nothing of an unreadable entry is lost. A few stand under a prefix; many
/// go into one value, each behind its length (a script takes only so many arguments).
fn keep_raw(fields: &[(Vec<u8>, Vec<u8>)], letter: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    if fields.len() <= RAW_FIELDS {
        letter.extend(
            fields
                .iter()
                .map(|(field, value)| ([b"raw:", field.as_slice()].concat(), value.clone())),
        );
        return;
    }
    let mut packed = Vec::new();
    for text in fields.iter().flat_map(|(field, value)| [field, value]) {
        packed.extend_from_slice(format!("{}:", text.len()).as_bytes());
        packed.extend_from_slice(text);
        packed.push(b',');
    }
    letter.push((b"raw".to_vec(), packed));
}
