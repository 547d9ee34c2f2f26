//! Identities: of a job, of a worker process, of an entry in a stream, of a span.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a job. For a review it is the review's id too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl JobId {
    /// A fresh random identity.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The identity of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpanId(pub Uuid);

impl SpanId {
    /// A fresh random identity.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one worker process: 64 random bits, fresh at each start.
///
/// A host name and a process id come back after a restart and would make a dead worker look alive,
/// so neither is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(u64);

impl WorkerId {
    /// A fresh random identity.
    #[must_use]
    pub fn fresh() -> Self {
        Self(rand::random())
    }

    /// The four characters that people are shown, as `w-7f3a`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("w-{:04x}", self.0 >> 48)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w-{:016x}", self.0)
    }
}

impl FromStr for WorkerId {
    type Err = NotAWorkerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_prefix("w-")
            .filter(|d| d.len() == 16)
            .ok_or(NotAWorkerId)?;
        u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| NotAWorkerId)
    }
}

impl Serialize for WorkerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no worker id of ours; a reference worker calls itself `worker-<pid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a worker id: expected `w-` and 16 hexadecimal digits")]
pub struct NotAWorkerId;

/// The id of a stream entry: `<milliseconds>-<sequence>`, ordered as the server orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct EntryId {
    /// Unix time of the server in milliseconds.
    pub ms: u64,
    /// Counts entries of the same millisecond.
    pub seq: u64,
}

impl EntryId {
    /// When the server gave it, by the server's clock.
    #[must_use]
    pub fn time(self) -> chrono::DateTime<chrono::Utc> {
        let ms = i64::try_from(self.ms).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The text is no entry id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an entry id: `{0}`")]
pub struct NotAnEntryId(pub String);

impl FromStr for EntryId {
    type Err = NotAnEntryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnEntryId(text.chars().take(64).collect());
        let (ms, seq) = text.split_once('-').ok_or_else(wrong)?;
        match (ms.parse(), seq.parse()) {
            (Ok(ms), Ok(seq)) => Ok(Self { ms, seq }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for EntryId {
    type Error = NotAnEntryId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Serialize for EntryId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entry_ids_read_back_and_sort_by_number(a: (u64, u64), b: (u64, u64)) {
            let (left, right) = (EntryId { ms: a.0, seq: a.1 }, EntryId { ms: b.0, seq: b.1 });
            prop_assert_eq!(left.to_string().parse::<EntryId>(), Ok(left));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }

    #[test]
    fn a_worker_id_reads_back_and_a_reference_name_is_refused() {
        let id = WorkerId::fresh();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with(&id.short()));
        assert_eq!("worker-4711".parse::<WorkerId>(), Err(NotAWorkerId));
    }

    #[test]
    fn entry_ids_that_are_none_are_refused() {
        for text in ["", "1", "-", "a-1", "1-b", "1-2-3", "99999999999999999999-0"] {
            assert!(text.parse::<EntryId>().is_err(), "{text}");
        }
    }
}
