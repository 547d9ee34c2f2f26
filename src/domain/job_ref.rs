//! How an operator names a job: by its whole id, by the beginning of it, or by the entry that stands for it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use uuid::Uuid;

use super::ids::{EntryId, JobId};

/// Fewer digits of an id name too many jobs.
const SHORTEST: usize = 6;
/// The hexadecimal digits of a whole id.
const WHOLE: usize = 32;

/// The name of a job as somebody typed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobRef {
    /// By its id.
    Id(JobId),
    /// By the beginning of its id: hexadecimal digits in lower case, without hyphens.
    Prefix(String),
    /// By its entry. Only a move of entries can do with it.
    Entry(EntryId),
}

/// The text names no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job's id is wanted, or at least its first 6 digits")]
pub struct NotAJob;

impl JobRef {
    /// Reads a name that may also be an entry's, as `1763800000000-0`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse_entry_too(text: &str) -> Result<Self, NotAJob> {
        // Eight digits before the hyphen are the beginning of an id: as milliseconds they would be 1970.
        let is_entry = text.split_once('-').is_some_and(|(ms, _)| ms.len() != 8);
        match text.parse() {
            Ok(entry) if is_entry => Ok(Self::Entry(entry)),
            _ => text.parse(),
        }
    }

    /// The ids that begin so; nothing unless it is a beginning.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<Uuid>> {
        let Self::Prefix(digits) = self else { return None };
        let filled = |with: &str| {
            let text = format!("{digits}{}", with.repeat(WHOLE - digits.len()));
            Uuid::parse_str(&text).ok()
        };
        Some(filled("0")?..=filled("f")?)
    }
}

impl FromStr for JobRef {
    type Err = NotAJob;

    fn from_str(text: &str) -> Result<Self, NotAJob> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let digits: String = text
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && (SHORTEST..WHOLE).contains(&digits.len()) {
            Ok(Self::Prefix(digits))
        } else {
            Err(NotAJob)
        }
    }
}

impl From<JobId> for JobRef {
    fn from(id: JobId) -> Self {
        Self::Id(id)
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Prefix(digits) => f.pad(digits),
            Self::Entry(entry) => entry.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beginnings_and_entries_are_told_apart() {
        let id = JobId::fresh();
        assert_eq!(id.to_string().parse(), Ok(JobRef::Id(id)));
        assert_eq!(
            "4691-58FD".parse(),
            Ok(JobRef::Prefix("469158fd".to_owned())),
            "hyphens and capitals do not count"
        );
        for wrong in ["", "46915", "word-like", "469158fg", "--", &"a".repeat(33)] {
            assert_eq!(wrong.parse::<JobRef>(), Err(NotAJob), "{wrong}");
        }
        let entry = EntryId {
            ms: 1_763_800_000_000,
            seq: 0,
        };
        assert_eq!(
            JobRef::parse_entry_too("1763800000000-0"),
            Ok(JobRef::Entry(entry))
        );
        assert!(matches!(
            JobRef::parse_entry_too("12345678-1234"),
            Ok(JobRef::Prefix(_))
        ));
    }

    #[test]
    fn a_beginning_spans_the_ids_that_begin_so() {
        let range = "469158".parse::<JobRef>().expect("a beginning").range();
        let range = range.expect("it spans");
        let id = |text: &str| Uuid::parse_str(text).expect("an id");
        assert!(range.contains(&id("469158fd-3a28-4a20-94da-ff62f3c15321")));
        assert!(!range.contains(&id("469159fd-3a28-4a20-94da-ff62f3c15321")));
    }
}
