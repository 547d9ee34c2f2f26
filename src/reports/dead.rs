//! The dead: jobs that were given up, and letters of entries that no row knows.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{AttemptReport, ReportError};
use crate::domain::{DeadFilter, JobId};
use crate::queue::{Letter, Queue, QueueError};
use crate::store::Store;
use crate::store::assess::Death;
use crate::store::dead::{DeadCursor, DeadRow};

/// Rows that are looked at in one statement.
const PAGE: u32 = 500;
/// Pages of one list: a filter that means few of very many ends here.
const PAGES: usize = 200;
/// Jobs of one page of an export, each with its attempts and perhaps its diff.
const EXPORTED: u32 = 50;

/// The list, with what could not be asked.
#[derive(Debug)]
pub struct DeadList {
    /// Newest first.
    pub rows: Vec<DeadReport>,
    /// Why no letters are known, when Valkey is away.
    pub without_letters: Option<QueueError>,
}

/// A dead job, or a letter that has no job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadReport {
    /// The job's id; nothing for a letter of an entry that carried none.
    pub id: Option<String>,
    /// Its last error.
    pub error: Option<String>,
    /// The class of that.
    pub class: Option<String>,
    /// Equal for equal causes.
    pub fingerprint: String,
    /// How often it was started.
    pub attempts: i32,
    /// Who ran it last, or could not read it.
    pub worker: Option<String>,
    /// When it died.
    pub died_at: String,
    /// The id of the letter, where it stands alone.
    pub letter: Option<String>,
}

/// Everything that is known about one of the dead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadExport {
    /// What the list says.
    #[serde(flatten)]
    pub dead: DeadReport,
    /// The death that it tells of; nothing for a letter that stands alone.
    #[serde(skip)]
    pub death: Option<Death>,
    /// Its job type.
    pub kind: Option<String>,
    /// The stream it travelled on.
    pub lane: Option<String>,
    /// What it worked on.
    pub payload: Option<String>,
    /// Attempts that failed.
    pub failures: i32,
    /// Workers that vanished with it.
    pub crashes: i32,
    /// W3C trace context of its submission.
    pub traceparent: Option<String>,
    /// When it was accepted.
    pub created_at: Option<String>,
    /// When its last attempt began.
    pub started_at: Option<String>,
    /// Its attempts, first one first, without their spans.
    pub attempts_list: Vec<AttemptReport>,
    /// The diff that came with it, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The fields of a letter that stands alone; what is not UTF-8 is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Value>,
}

/// Whether an export carries the submitted diffs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// They are left out.
    Left,
    /// They are in it.
    Carried,
}

/// A page of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportPage {
    /// Newest first.
    pub rows: Vec<DeadExport>,
    /// Where to go on; nothing at the end.
    pub next: Option<DeadCursor>,
}

/// Makes the list of those that a filter means.
///
/// # Errors
/// When Postgres is away. Without Valkey the letters are missing.
pub async fn dead(
    store: &Store,
    queue: &Queue,
    filter: &DeadFilter,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<DeadList, ReportError> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = store
            .dead_page(&queue.keys().shared, filter, now, after, PAGE)
            .await?;
        found.extend(page.rows.iter().map(|row| (row.died_at, report(row))));
        after = page.next;
        if after.is_none() || found.len() >= limit {
            break;
        }
    }
    let without_letters = match queue.letters_without_row(limit).await {
        Ok(letters) => {
            let meant = letters.iter().filter(|letter| letter.is_meant(filter, now));
            found.extend(meant.map(|letter| (letter.died_at(), of_letter(letter))));
            None
        }
        Err(error) => Some(error),
    };
    found.sort_by_key(|(died_at, _)| std::cmp::Reverse(*died_at));
    found.truncate(limit);
    Ok(DeadList {
        rows: found.into_iter().map(|(_, row)| row).collect(),
        without_letters,
    })
}

/// The dead among these jobs.
///
/// # Errors
/// When Postgres is away.
pub async fn dead_of(store: &Store, queue: &str, jobs: &[JobId]) -> Result<Vec<DeadReport>, ReportError> {
    let rows = store.dead_rows(queue, jobs).await?;
    Ok(rows.iter().map(report).collect())
}

/// Everything about a page of those that a filter means.
///
/// # Errors
/// When Postgres is away.
pub async fn export_page(
    store: &Store,
    queue: &str,
    filter: &DeadFilter,
    now: DateTime<Utc>,
    (after, inputs): (Option<DeadCursor>, Inputs),
) -> Result<ExportPage, ReportError> {
    let page = store.dead_page(queue, filter, now, after, EXPORTED).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        rows.push(export(store, row, inputs).await?);
    }
    Ok(ExportPage {
        rows,
        next: page.next,
    })
}

/// Everything about the dead among these jobs.
///
/// # Errors
/// When Postgres is away.
pub async fn export_of(
    store: &Store,
    queue: &str,
    jobs: &[JobId],
    inputs: Inputs,
) -> Result<Vec<DeadExport>, ReportError> {
    let mut rows = Vec::new();
    for row in store.dead_rows(queue, jobs).await? {
        rows.push(export(store, row, inputs).await?);
    }
    Ok(rows)
}

/// Everything about the letters without a row that a filter means.
///
/// # Errors
/// When Valkey is away.
pub async fn export_letters(
    queue: &Queue,
    filter: &DeadFilter,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<DeadExport>, ReportError> {
    let letters = queue.letters_without_row(limit).await?;
    let meant = letters.iter().filter(|letter| letter.is_meant(filter, now));
    Ok(meant
        .map(|letter| DeadExport {
            fields: Some(fields(letter)),
            ..bare(of_letter(letter))
        })
        .collect())
}

fn bare(dead: DeadReport) -> DeadExport {
    DeadExport {
        dead,
        death: None,
        kind: None,
        lane: None,
        payload: None,
        failures: 0,
        crashes: 0,
        traceparent: None,
        created_at: None,
        started_at: None,
        attempts_list: Vec::new(),
        input: None,
        fields: None,
    }
}

async fn export(store: &Store, row: DeadRow, inputs: Inputs) -> Result<DeadExport, ReportError> {
    let job = JobId(row.id);
    let attempts = store.attempts_of(job).await?;
    let input = match inputs {
        Inputs::Left => None,
        Inputs::Carried => store.load_input(job).await?.map(|diff| diff.text),
    };
    Ok(DeadExport {
        death: Some(row.death()),
        kind: Some(row.kind.clone()),
        lane: Some(row.lane.clone()),
        payload: Some(row.payload.clone()),
        failures: row.failures,
        crashes: row.crashes,
        traceparent: row.traceparent.clone(),
        created_at: Some(time(row.created_at)),
        started_at: row.started_at.map(time),
        attempts_list: attempts
            .into_iter()
            .map(|attempt| AttemptReport {
                attempt: attempt.attempt,
                worker: Some(attempt.worker),
                outcome: attempt.outcome,
                error: attempt.error,
                started_at: Some(time(attempt.started_at)),
                ended_at: attempt.ended_at.map(time),
                spans: Vec::new(),
            })
            .collect(),
        input,
        ..bare(report(&row))
    })
}

fn report(row: &DeadRow) -> DeadReport {
    DeadReport {
        id: Some(row.id.to_string()),
        error: row.error.clone(),
        class: row.error_class.clone(),
        fingerprint: row.fingerprint(),
        attempts: row.attempt,
        worker: row.worker.clone(),
        died_at: time(row.died_at),
        letter: None,
    }
}

fn of_letter(letter: &Letter) -> DeadReport {
    DeadReport {
        id: None,
        error: letter.text("error"),
        class: letter.text("class"),
        fingerprint: letter.fingerprint(),
        attempts: 0,
        worker: letter.text("worker"),
        died_at: time(letter.died_at()),
        letter: Some(letter.id.to_string()),
    }
}

fn fields(letter: &Letter) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let members: Map<String, Value> = letter
        .fields
        .iter()
        .map(|(name, value)| (text(name), text(value).into()))
        .collect();
    members.into()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
