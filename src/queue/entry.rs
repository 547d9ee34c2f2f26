//! An entry of a stream: what we write into it, and how what others wrote is read.

use std::str;

use crate::domain::{EntryId, JobId, Lane};
use crate::settings::QueueSettings;
use crate::untrusted::one_line;

/// The version of the entries that we write.
pub const VERSION: &str = "1";

/// Under which field names a queue's entries carry the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The field that holds the job's id.
    pub id: &'static str,
    /// The field that holds the job's payload.
    pub payload: &'static str,
}

impl Wire {
    /// The reference's names, for the queue of reviews.
    pub const REVIEW: Self = Self {
        id: "reviewId",
        payload: "prUrl",
    };
    /// The names for any other job type.
    pub const JOB: Self = Self {
        id: "jobId",
        payload: "payload",
    };

    /// The names that the entries of a queue have.
    #[must_use]
    pub fn of(queue: &QueueSettings) -> Self {
        if queue.is_webhooks() {
            Self::JOB
        } else {
            Self::REVIEW
        }
    }
}

/// An entry that was delivered to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which stream it is on.
    pub lane: Lane,
    /// Its id there.
    pub id: EntryId,
    /// Its fields, in order; empty when the payload is gone from the stream.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How often the server has delivered it.
    pub deliveries: u32,
}

/// A job as an entry carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Its id.
    pub job: JobId,
    /// Its payload.
    pub payload: String,
}

/// Why an entry carries no job that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A field is missing or empty.
    #[error("the entry has no field `{0}`")]
    Missing(&'static str),
    /// A field is no text.
    #[error("the field `{0}` is not UTF-8")]
    NotText(&'static str),
    /// The id is no UUID.
    #[error("the field `{0}` holds no UUID: \"{1}\"")]
    NotAnId(&'static str, String),
}

impl Entry {
    /// Pairs a flat list of fields and values, as the server answers it.
    #[must_use]
    pub fn paired(flat: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::with_capacity(flat.len() / 2);
        let mut flat = flat.into_iter();
        while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
            pairs.push((field, value));
        }
        pairs
    }

    /// Whether the payload is gone: the entry was deleted or trimmed while it was pending.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.fields.is_empty()
    }

    /// The job in it.
    ///
    /// # Errors
    /// When a field is missing, empty, no text, or the id is none.
    pub fn carried(&self, wire: Wire) -> Result<Carried, Unreadable> {
        let id = self.text(wire.id)?;
        let job = id
            .parse()
            .map_err(|_| Unreadable::NotAnId(wire.id, one_line(id, 64)))?;
        Ok(Carried {
            job,
            payload: self.text(wire.payload)?.to_owned(),
        })
    }

    /// The last value under a name, as the reference reads doubled fields.
    fn text(&self, name: &'static str) -> Result<&str, Unreadable> {
        let value = self
            .fields
            .iter()
            .rev()
            .find(|(field, _)| field == name.as_bytes())
            .map(|(_, v)| v);
        let value = value.filter(|v| !v.is_empty()).ok_or(Unreadable::Missing(name))?;
        str::from_utf8(value).map_err(|_| Unreadable::NotText(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &[u8])]) -> Entry {
        let flat = fields
            .iter()
            .flat_map(|(k, v)| [k.as_bytes().to_vec(), v.to_vec()])
            .collect();
        Entry {
            lane: Lane::Shared,
            id: EntryId { ms: 1, seq: 0 },
            fields: Entry::paired(flat),
            deliveries: 1,
        }
    }

    #[test]
    fn the_last_of_two_fields_with_one_name_counts() {
        let id = JobId::fresh().to_string();
        let carried = entry(&[("reviewId", b"x"), ("prUrl", b"u"), ("reviewId", id.as_bytes())])
            .carried(Wire::REVIEW)
            .expect("the last id is one");
        assert_eq!((carried.job.to_string(), carried.payload.as_str()), (id, "u"));
    }

    #[test]
    fn what_carries_no_job_says_why() {
        let id = JobId::fresh().to_string();
        let id = id.as_bytes();
        let why = |fields: &[(&str, &[u8])]| entry(fields).carried(Wire::REVIEW).expect_err("unreadable");
        assert_eq!(why(&[]), Unreadable::Missing("reviewId"));
        assert_eq!(
            why(&[("reviewId", id), ("prUrl", b"")]),
            Unreadable::Missing("prUrl")
        );
        assert_eq!(
            why(&[("reviewId", id), ("prUrl", b"\xff")]),
            Unreadable::NotText("prUrl")
        );
        assert_eq!(
            why(&[("reviewId", b"7"), ("prUrl", b"u")]),
            Unreadable::NotAnId("reviewId", "7".into())
        );
    }
}
