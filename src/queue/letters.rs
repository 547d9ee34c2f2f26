//! The dead-letter stream: letters are added, looked through and taken out, always in bounded pages.
//!
//! It is a projection. The rows in Postgres are complete; only what could not be read, and so has no row, is
//! known from here alone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::connect::Queue;
use super::entry::Entry;
use super::error::QueueError;
use super::new_letter::NewLetter;
use crate::domain::fingerprint::fingerprint;
use crate::domain::{DeadFacts, DeadFilter, EntryId, JobId};

/// About how many dead letters the stream keeps; the rows in Postgres are complete.
pub(super) const KEPT: usize = 100_000;
/// Letters in one reply.
const PAGE: usize = 500;
/// Pages of a walk: a little more than the stream keeps, since it is trimmed in whole blocks.
const PAGES: usize = KEPT / PAGE + 20;
/// Pages that a look for letters without a row goes back.
const LOOKED_BACK: usize = 20;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id in the dead-letter stream.
    pub id: EntryId,
    /// Its fields, in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Letter {
    /// The text of a field; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let found = self.fields.iter().find(|(field, _)| field == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// Whether it stands for an entry that no row knows.
    #[must_use]
    pub fn has_no_row(&self) -> bool {
        self.text("class").as_deref() == Some("unreadable")
    }

    /// When it was written.
    #[must_use]
    pub fn died_at(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.id.ms).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(ms).unwrap_or_default()
    }

    /// The fingerprint of its failure.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.text("class").as_deref(), self.text("error").as_deref())
    }

    /// Whether a filter means it.
    #[must_use]
    pub fn is_meant(&self, filter: &DeadFilter, now: DateTime<Utc>) -> bool {
        let text = |name: &str| self.text(name).unwrap_or_default();
        let (error, class, worker) = (text("error"), text("class"), text("worker"));
        let facts = DeadFacts {
            id: None,
            input: "",
            error: &error,
            class: &class,
            worker: &worker,
            fingerprint: &self.fingerprint(),
            died_at: self.died_at(),
        };
        filter.matches(&facts, now)
    }

    /// The job it names.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.text("jobId")?.parse().ok()
    }
}

type Row = (String, Vec<Vec<u8>>);

fn read((id, flat): Row) -> Result<Letter, QueueError> {
    let id = id
        .parse()
        .map_err(|_| QueueError::Answer(format!("letter id {id}")))?;
    Ok(Letter {
        id,
        fields: Entry::paired(flat),
    })
}

impl Queue {
    /// Whether every job that was dead had its letter once, and this run of the server has lost nothing since: one that
    /// was started again may have lost its last second. Where there are none at all nobody can tell.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn has_all_letters(&self, run_id: &str) -> Result<bool, QueueError> {
        let (noted, letters): (Option<String>, u64) = redis::pipe()
            .cmd("GET")
            .arg(&self.keys().letters)
            // A stream whose last entry was deleted is still there, with none.
            .cmd("XLEN")
            .arg(&self.keys().dead)
            .query_async(&mut self.connection())
            .await?;
        Ok(letters > 0 && noted.as_deref() == Some(run_id))
    }

    /// Notes that it is so; a loss of the data takes the note with it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn note_all_letters(&self, run_id: &str) -> Result<(), QueueError> {
        let () = redis::cmd("SET")
            .arg(&self.keys().letters)
            .arg(run_id)
            .query_async(&mut self.connection())
            .await?;
        Ok(())
    }

    /// The jobs that the letters name: one walk through the stream.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn jobs_with_letters(&self) -> Result<HashSet<JobId>, QueueError> {
        let (mut jobs, mut after) = (HashSet::new(), None);
        for _ in 0..PAGES {
            let page = self.letter_page(after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            jobs.extend(page.into_iter().filter_map(|(_, job)| job));
        }
        Ok(jobs)
    }

    /// A page of the letters, oldest first, each with the job it names; nothing behind the last one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn letter_page(
        &self,
        after: Option<EntryId>,
    ) -> Result<Vec<(EntryId, Option<JobId>)>, QueueError> {
        let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let rows: Vec<Row> = redis::cmd("XRANGE")
            .arg(&self.keys().dead)
            .arg(&start)
            .arg("+")
            .arg("COUNT")
            .arg(PAGE)
            .query_async(&mut self.connection())
            .await?;
        let letters = rows.into_iter().map(read);
        letters
            .map(|letter| letter.map(|letter| (letter.id, letter.job())))
            .collect()
    }

    /// A page of whole letters, oldest first, and how many there are in all; nothing behind the last one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn letters_after(&self, after: Option<EntryId>) -> Result<(Vec<Letter>, u64), QueueError> {
        let start = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let (rows, count): (Vec<Row>, u64) = redis::pipe()
            .cmd("XRANGE")
            .arg(&self.keys().dead)
            .arg(&start)
            .arg("+")
            .arg("COUNT")
            .arg(PAGE)
            .cmd("XLEN")
            .arg(&self.keys().dead)
            .query_async(&mut self.connection())
            .await?;
        let letters: Result<Vec<Letter>, QueueError> = rows.into_iter().map(read).collect();
        Ok((letters?, count))
    }

    /// Adds letters for jobs that ended outside of a worker, or lost theirs.
    ///
    /// # Errors
    /// When the server is away; the rows say the same.
    pub async fn add_letters(&self, letters: &[NewLetter]) -> Result<(), QueueError> {
        for page in letters.chunks(PAGE) {
            let mut pipe = redis::pipe();
            for letter in page {
                let command = pipe.cmd("XADD").arg(&self.keys().dead);
                command.arg("MAXLEN").arg("~").arg(KEPT).arg("*");
                for (field, value) in letter.fields() {
                    command.arg(field).arg(value);
                }
                command.ignore();
            }
            let () = pipe.query_async(&mut self.connection()).await?;
        }
        Ok(())
    }

    /// The newest letters of entries that have no row, newest first; looks at the newest 10,000 letters.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn letters_without_row(&self, limit: usize) -> Result<Vec<Letter>, QueueError> {
        let (mut found, mut end) = (Vec::new(), "+".to_owned());
        for _ in 0..LOOKED_BACK {
            let rows: Vec<Row> = redis::cmd("XREVRANGE")
                .arg(&self.keys().dead)
                .arg(&end)
                .arg("-")
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut self.connection())
                .await?;
            let full = rows.len() == PAGE;
            for row in rows {
                let letter = read(row)?;
                end = format!("({}", letter.id);
                if letter.has_no_row() {
                    found.push(letter);
                }
            }
            if !full || found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Those of these letters that are there.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn find_letters(&self, ids: &[EntryId]) -> Result<Vec<Letter>, QueueError> {
        let mut found = Vec::new();
        for page in ids.chunks(PAGE) {
            let mut pipe = redis::pipe();
            for id in page {
                pipe.cmd("XRANGE")
                    .arg(&self.keys().dead)
                    .arg(id.to_string())
                    .arg(id.to_string());
            }
            let rows: Vec<Vec<Row>> = pipe.query_async(&mut self.connection()).await?;
            for row in rows.into_iter().flatten() {
                found.push(read(row)?);
            }
        }
        Ok(found)
    }

    /// Takes letters out by their ids; answers how many were there.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn remove_letters(&self, ids: &[EntryId]) -> Result<u64, QueueError> {
        let mut removed = 0;
        for page in ids.chunks(PAGE) {
            let texts: Vec<String> = page.iter().map(ToString::to_string).collect();
            removed += redis::cmd("XDEL")
                .arg(&self.keys().dead)
                .arg(texts)
                .query_async::<u64>(&mut self.connection())
                .await?;
        }
        Ok(removed)
    }

    /// Takes out the letters of these jobs that were written before a time of the server's clock: one that
    /// dies again meanwhile keeps its new letter. One walk through the stream, however many jobs; answers how
    /// many letters went.
    ///
    /// # Errors
    /// When the server is away; a letter too many is found by nobody but who reads the stream itself.
    pub async fn remove_letters_of(&self, jobs: &HashSet<JobId>, before_ms: u64) -> Result<u64, QueueError> {
        let (mut removed, mut start) = (0, "-".to_owned());
        for _ in 0..PAGES {
            let rows: Vec<Row> = redis::cmd("XRANGE")
                .arg(&self.keys().dead)
                .arg(&start)
                .arg(before_ms)
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut self.connection())
                .await?;
            let full = rows.len() == PAGE;
            let mut theirs = Vec::new();
            for row in rows {
                let letter = read(row)?;
                start = format!("({}", letter.id);
                if letter.job().is_some_and(|job| jobs.contains(&job)) {
                    theirs.push(letter.id);
                }
            }
            removed += self.remove_letters(&theirs).await?;
            if !full {
                break;
            }
        }
        Ok(removed)
    }
}
