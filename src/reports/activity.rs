//! The operators' book: who wanted what, why, of which jobs, what came of it, and what can still be taken back.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use super::ReportError;
use crate::domain::RunId;
use crate::store::Store;
use crate::store::actions::{ActionRow, Wanted};

/// One action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionReport {
    /// Its number.
    pub id: i64,
    /// When it was wanted.
    pub at: String,
    /// By whom, as `cli:ada@laptop`.
    pub who: String,
    /// From which profile of servers.
    pub profile: Option<String>,
    /// What was wanted.
    pub verb: String,
    /// Why.
    pub reason: Option<String>,
    /// The filter as it was typed.
    pub filter: Option<String>,
    /// How many ids were meant.
    pub ids: Option<i32>,
    /// The hash of all of them; `detail` names the first thousand.
    pub ids_hash: Option<String>,
    /// What else was said.
    pub detail: Value,
    /// ok, partly, refused; nothing while it goes on, or when its process died.
    pub outcome: Option<String>,
    /// What came of it: the ids that were moved, and those that were refused, with the reason.
    pub result: Option<Value>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// The run that it began.
    pub run: Option<RunId>,
    /// Jobs of it that can still be taken back: of its first thousand; `undo --dry-run` counts all.
    pub left: i64,
    /// The action that it took back.
    pub undoes: Option<i64>,
    /// The action that took it back.
    pub undone_by: Option<i64>,
    /// Whether it was written to Valkey first, with Postgres away.
    pub broke_glass: bool,
}

/// The newest of the actions that are looked for, newest first.
///
/// # Errors
/// When Postgres is away.
pub async fn activity(
    store: &Store,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<Vec<ActionReport>, ReportError> {
    let rows = store.find_actions(wanted, limit).await?;
    Ok(rows.into_iter().map(report).collect())
}

fn report(row: ActionRow) -> ActionReport {
    ActionReport {
        id: row.id,
        at: time(row.at),
        who: row.actor,
        profile: row.profile,
        verb: row.verb,
        reason: row.reason,
        filter: row.filter,
        ids: row.ids_count,
        ids_hash: row.ids_hash,
        detail: row.detail,
        outcome: row.outcome,
        result: row.result,
        ended_at: row.ended_at.map(time),
        run: row.run.map(RunId),
        left: row.left,
        undoes: row.undoes,
        undone_by: row.undone_by,
        broke_glass: row.broke_glass,
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
