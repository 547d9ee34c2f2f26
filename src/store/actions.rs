//! The operators' book: what was wanted before it was done, what came of it after.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::text::{clean, clean_value};

/// The ids that an action names one by one; of all of them it keeps the count and a hash.
pub const MOST_NAMED: usize = 1_000;

/// The number of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionId(pub i64);

impl std::fmt::Display for ActionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What an operator wants, before anything happens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Intent {
    /// The queue it is about.
    pub queue: String,
    /// Who, as `cli:ada@laptop`.
    pub actor: String,
    /// The profile of servers that they chose.
    pub profile: Option<String>,
    /// What.
    pub verb: String,
    /// Why.
    pub reason: Option<String>,
    /// The filter as it was typed.
    pub filter: Option<String>,
    /// All ids that are meant, however many.
    pub ids: Vec<String>,
    /// The action that this one takes back.
    pub undoes: Option<ActionId>,
    /// What else there is to say.
    pub detail: Value,
}

impl Intent {
    /// The detail as it is kept: with the first of the ids.
    fn kept(&self) -> Value {
        let mut detail = self.detail.clone();
        if !self.ids.is_empty() {
            detail["ids"] = json!(&self.ids[..self.ids.len().min(MOST_NAMED)]);
        }
        detail
    }

    fn count(&self) -> Option<i32> {
        (!self.ids.is_empty()).then(|| i32::try_from(self.ids.len()).unwrap_or(i32::MAX))
    }

    fn hash(&self) -> Option<String> {
        (!self.ids.is_empty()).then(|| hash_of(self.ids.iter().map(String::as_str)))
    }
}

/// The hash of a list of ids, in their order, in hexadecimal.
#[must_use]
pub fn hash_of<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id);
        hash.update([b'\n']);
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

/// An action as it stands in the book.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ActionRow {
    /// Its number.
    pub id: i64,
    /// When it was wanted.
    pub at: DateTime<Utc>,
    /// By whom, as `cli:ada@laptop`.
    pub actor: String,
    /// From which profile.
    pub profile: Option<String>,
    /// What was wanted.
    pub verb: String,
    /// Why.
    pub reason: Option<String>,
    /// The filter as it was typed.
    pub filter: Option<String>,
    /// How many ids were meant.
    pub ids_count: Option<i32>,
    /// The hash of all of them.
    pub ids_hash: Option<String>,
    /// Of what.
    pub detail: Value,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// How, in a word.
    pub outcome: Option<String>,
    /// What came of it.
    pub result: Option<Value>,
    /// The action that this one took back.
    pub undoes: Option<i64>,
    /// The action that took this one back, the last one.
    pub undone_by: Option<i64>,
    /// The run that it began.
    pub run: Option<i64>,
    /// Whether it was first written to Valkey, with Postgres away.
    pub broke_glass: bool,
    /// Jobs of it that can still be taken back: of the first thousand, so that a list of many actions stays cheap.
    pub left: i64,
}

/// Which actions are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted<'a> {
    /// Of this queue; those of no queue too.
    pub queue: Option<&'a str>,
    /// Not older than this.
    pub since: Option<DateTime<Utc>>,
    /// All of these stand in who, what, why or of what, whatever the case of ASCII letters.
    pub words: &'a [String],
    /// Only this one.
    pub only: Option<ActionId>,
    /// Older than this one: where a page before ended.
    pub before: Option<ActionId>,
}

/// What can be taken back of a job is judged as [`super::moved`] does.
const ACTIONS: &str = "
select a.id, a.at, a.actor, a.profile, a.verb, a.reason, a.filter, a.ids_count, a.ids_hash, a.detail, a.ended_at,
       a.outcome, a.result, a.undoes, r.id as run, a.glass is not null as broke_glass,
       (select max(u.id) from millstream.actions u where u.undoes = a.id and u.outcome in ('ok', 'partly')) as undone_by,
       (select count(*)
        from (select m.* from millstream.moved m where m.action_id = a.id and m.undone_by is null limit 1000) m
        join millstream.jobs j on j.id = m.job_id
        where j.attempt = m.attempt and j.state = case m.how
                  when 'requeue' then 'waiting' when 'cancel' then 'cancelled' when 'bury' then 'dead'
                  when 'edit' then 'dropped'
                  when 'submit' then case when j.state = 'scheduled' then j.state else 'waiting' end end
          and not exists (select 1 from millstream.moved n
                          where n.job_id = m.job_id and n.id > m.id and n.undone_by is null)) as left
from millstream.actions a left join millstream.runs r on r.action_id = a.id
where ($1::text is null or a.queue = $1 or a.queue is null) and ($2::timestamptz is null or a.at >= $2)
  and ($3::bigint is null or a.id = $3) and ($4::bigint is null or a.id < $4)
  and not exists (select 1 from unnest($5::text[]) as w (word)
                  where strpos(lower(concat_ws(' ', a.actor, a.profile, a.verb, a.reason, a.filter, a.outcome,
                                               'r-' || r.id, a.detail::text) collate \"C\"), w.word) = 0)
order by a.id desc limit $6";

impl Store {
    /// The newest actions, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn actions(&self, limit: u32) -> Result<Vec<ActionRow>, StoreError> {
        self.find_actions(&Wanted::default(), limit).await
    }

    /// The newest of the actions that are looked for, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn find_actions(&self, wanted: &Wanted<'_>, limit: u32) -> Result<Vec<ActionRow>, StoreError> {
        let words: Vec<String> = wanted
            .words
            .iter()
            .map(|word| word.to_ascii_lowercase())
            .collect();
        let rows = sqlx::query_as(ACTIONS)
            .bind(wanted.queue)
            .bind(wanted.since)
            .bind(wanted.only.map(|id| id.0))
            .bind(wanted.before.map(|id| id.0))
            .bind(words)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// Writes down what an operator wants, before anything happens.
    ///
    /// # Errors
    /// When the server is away; then the operator's action must not happen.
    pub async fn intend(&self, intent: &Intent) -> Result<ActionId, StoreError> {
        let mut connection = self.pool().acquire().await?;
        intend(&mut connection, intent, None)
            .await?
            .ok_or_else(|| StoreError::Refused("an intent was not written".to_owned()))
    }

    /// Writes down what came of it.
    ///
    /// # Errors
    /// When the server is away; the intent stays without an outcome.
    pub async fn conclude(&self, action: ActionId, outcome: &str, result: Value) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.actions set ended_at = now(), outcome = $2, result = $3 where id = $1",
        )
        .bind(action.0)
        .bind(outcome)
        .bind(Json(clean_value(&result)))
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}

/// Writes an intent; nothing if one with this token of a broken glass is there already.
pub(super) async fn intend(
    connection: &mut sqlx::PgConnection,
    intent: &Intent,
    glass: Option<(Uuid, DateTime<Utc>)>,
) -> Result<Option<ActionId>, StoreError> {
    let id = sqlx::query_scalar(
        "insert into millstream.actions (at, actor, profile, verb, reason, filter, ids_count, ids_hash, detail, queue,
                                         undoes, glass)
         values (coalesce($1, now()), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (glass) where glass is not null do nothing returning id",
    )
    .bind(glass.map(|(_, at)| at))
    .bind(clean(&intent.actor))
    .bind(intent.profile.as_deref().map(clean))
    .bind(&intent.verb)
    .bind(intent.reason.as_deref().map(clean))
    .bind(intent.filter.as_deref().map(clean))
    .bind(intent.count())
    .bind(intent.hash())
    .bind(Json(clean_value(&intent.kept())))
    .bind(clean(&intent.queue))
    .bind(intent.undoes.map(|undone| undone.0))
    .bind(glass.map(|(token, _)| token))
    .fetch_optional(connection)
    .await?;
    Ok(id.map(ActionId))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_ids_are_named_and_all_are_counted() {
        let ids: Vec<String> = (0..1_500).map(|n| n.to_string()).collect();
        let detail = json!({ "x": 1 });
        let intent = Intent {
            ids: ids.clone(),
            detail,
            ..Intent::default()
        };
        assert_eq!(intent.kept()["ids"].as_array().map(Vec::len), Some(MOST_NAMED));
        assert_eq!(intent.count(), Some(1_500));
        let fewer = hash_of(ids[..1_499].iter().map(String::as_str));
        assert_ne!(intent.hash(), Some(fewer));
    }
}
