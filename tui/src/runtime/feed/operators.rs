//! What operators look at in Postgres: the dead by their cause, and their own book.

use chrono::{DateTime, TimeDelta, Utc};
use millstream::clock;
use millstream::domain::JobId;
use millstream::store::actions::ActionRow;
use millstream::store::causes::CauseRow;
use millstream::untrusted::{Untrusted, one_line};
use serde_json::Value;

use super::postgres::DeadMemory;
use super::{Feed, Why, rows};
use crate::model::activity::{ActionLine, ActivityPage, Ended, REASON};
use crate::model::dead::{Cause, Dead, DeadPage, LETTERS, Members, TREND};
use crate::model::jobs::short_id;
use crate::msg::{Answer, Msg, Topic};

/// A move that has not ended after this has lost whoever made it.
const UNHEARD_AFTER: TimeDelta = TimeDelta::minutes(5);
/// A line holds no more of a text.
const LONGEST: usize = 400;
/// Ids that a line names; the rest is counted.
const NAMED: usize = 4;

impl Feed {
    /// The dead by their cause. Counting them by cause looks at each of them, so it is done again only when their
    /// number has changed, and every few seconds.
    pub(super) async fn dead(&mut self, unfolded: Option<&str>) -> Result<(), Why> {
        let (store, queue) = (self.store.clone(), self.queue.keys().shared.clone());
        let dead = self.counts(&queue).await?.dead;
        let slow = self.memory.slow_figures_due();
        if let Some(known) = &self.memory.dead
            && known.dead == dead
            && !slow
        {
            self.tell(Msg::Unchanged { topic: Topic::Dead }).await;
            return Ok(());
        }
        let causes = self
            .question("the dead by their cause", store.causes(&queue))
            .await?;
        let members = match unfolded {
            // Letters that no row knows are Valkey's to tell.
            Some(cause) if !cause.is_empty() && !cause.starts_with(LETTERS) => {
                let jobs = store.dead_of(&queue, cause, Dead::MEMBERS);
                let found = self.question("who died of one cause", jobs).await?;
                let allowed = self.attempts_allowed;
                Some(Members {
                    fingerprint: cause.to_owned(),
                    rows: found
                        .into_iter()
                        .filter_map(|row| rows::line(row, allowed))
                        .collect(),
                })
            }
            _ => None,
        };
        self.memory.dead = Some(DeadMemory { dead });
        let first = causes.first();
        let page = DeadPage {
            causes_total: first.map_or(0, |row| row.causes.unsigned_abs()),
            total: first.map_or(0, |row| row.dead.unsigned_abs()),
            causes: causes.into_iter().map(cause).collect(),
            members,
        };
        self.answer(Answer::Dead(page)).await;
        Ok(())
    }

    /// The newest of the operators' actions.
    pub(super) async fn activity(&mut self, limit: u32) -> Result<(), Why> {
        let store = self.store.clone();
        // One more than is shown says whether there are more.
        let question = store.actions(limit.saturating_add(1));
        let mut found = self.question("the operators' book", question).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > wanted;
        found.truncate(wanted);
        let now = clock::now();
        let rows = found.into_iter().map(|row| action(row, now)).collect();
        self.answer(Answer::Activity(ActivityPage { rows, more })).await;
        Ok(())
    }
}

fn cause(row: CauseRow) -> Cause {
    let tries = |tries: i32| u32::try_from(tries).unwrap_or(0);
    let mut lately = [0; TREND];
    for (slot, count) in lately.iter_mut().zip(&row.lately) {
        *slot = count.unsigned_abs();
    }
    Cause {
        fingerprint: row.fingerprint.unwrap_or_default(),
        class: Untrusted::new(row.class.unwrap_or_default()),
        sample: Untrusted::new(row.error.unwrap_or_default()),
        count: row.count.unsigned_abs(),
        first_at: row.first_at,
        last_at: row.last_at,
        workers: row.workers.unsigned_abs(),
        tries: (tries(row.least_tries), tries(row.most_tries)),
        kinds: row.kinds.into_iter().map(Untrusted::new).collect(),
        lately,
    }
}

fn action(row: ActionRow, now: DateTime<Utc>) -> ActionLine {
    let result = row.result.unwrap_or(Value::Null);
    let facts = row
        .detail
        .as_object()
        .into_iter()
        .chain(result.as_object())
        .flatten();
    let facts = facts
        .filter(|(name, value)| !is_nothing(value) && *name != REASON)
        .map(|(name, value)| (short(name), short(&words(value))));
    // Why it was done is what its reader looks for first.
    let told = || row.detail.get(REASON).map(words);
    let reason = row.reason.clone().or_else(told).filter(|text| !text.is_empty());
    let reason = reason.map(|text| (short(REASON), short(&text)));
    let facts = reason.into_iter().chain(facts).collect();
    ActionLine {
        id: row.id,
        at: row.at,
        who: Untrusted::new(row.actor),
        verb: Untrusted::new(row.verb),
        to: short(&subject(&row.detail)),
        ended: ended(row.outcome.as_deref(), row.at, now),
        ended_at: row.ended_at,
        result: short(&came_of(&result)),
        left: row.left.unsigned_abs(),
        undone: row.undone_by.is_some(),
        facts,
    }
}

fn ended(outcome: Option<&str>, at: DateTime<Utc>, now: DateTime<Utc>) -> Ended {
    match outcome {
        None if now - at > UNHEARD_AFTER => Ended::Unheard,
        None => Ended::Running,
        Some("ok") => Ended::Done,
        Some("refused") => Ended::Refused,
        Some(_) => Ended::Partly,
    }
}

/// What an action was about: ids, a filter, an input, a reason.
fn subject(detail: &Value) -> String {
    let text = |name: &str| detail.get(name).map(words).filter(|text| !text.is_empty());
    let ids = detail.get("ids").map(ids);
    let filter = detail
        .get("filter")
        .map(|filter| format!("all that match {}", words(filter)));
    ids.filter(|ids| !ids.is_empty())
        .or(filter)
        .or_else(|| text("input"))
        .or_else(|| text(REASON))
        .or_else(|| text("queue"))
        .unwrap_or_else(|| "-".to_owned())
}

/// What came of an action: what was done, what was refused and why, or its error.
fn came_of(result: &Value) -> String {
    if let Some(error) = result.get("error") {
        return words(error);
    }
    let count = |name: &str| result.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let mut parts = Vec::new();
    match count("ids") {
        0 => {}
        done => parts.push(format!("{done} done")),
    }
    match count("refused") {
        0 => {}
        refused => {
            let why = result.pointer("/refused/0/why").map(words).unwrap_or_default();
            parts.push(format!("{refused} refused: {why}"));
        }
    }
    if let Some(note) = result.pointer("/notes/0") {
        parts.push(words(note));
    }
    parts.join(", ")
}

/// The first few ids, and how many more.
fn ids(value: &Value) -> String {
    let Some(all) = value.as_array() else {
        return words(value);
    };
    let named = all.iter().take(NAMED).map(|id| {
        let text = words(id);
        text.parse::<JobId>().map_or(text, short_id)
    });
    let named: Vec<String> = named.collect();
    match all.len().saturating_sub(NAMED) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A value in words: what is nothing is left out.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(words).collect();
            items.join(" ")
        }
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !is_nothing(value));
            let said: Vec<String> = said
                .map(|(name, value)| format!("{name}:{}", words(value)))
                .collect();
            said.join(" ")
        }
        other => other.to_string(),
    }
}

fn short(text: &str) -> Untrusted {
    Untrusted::new(one_line(text, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_action_is_told_in_few_words() {
        let id = "469158fd-3a28-4a20-94da-ff62f3c15321";
        assert_eq!(subject(&json!({ "ids": [id, "7-0"] })), "469158 7-0");
        let filter = json!({ "filter": { "class": "timeout", "errors": [], "worker": null } });
        assert_eq!(subject(&filter), "all that match class:timeout");
        assert_eq!(subject(&json!({ "queue": "q", "reason": "deploy" })), "deploy");
        let result = json!({ "ids": [id], "refused": [{ "id": "7-0", "why": "it is done" }], "notes": [] });
        assert_eq!(came_of(&result), "1 done, 1 refused: it is done");
        assert_eq!(came_of(&json!({ "error": "reach Postgres" })), "reach Postgres");
    }

    #[test]
    fn an_action_without_an_end_is_told_apart_from_one_that_goes_on() {
        let now = clock::now();
        assert_eq!(ended(None, now, now), Ended::Running);
        assert_eq!(ended(None, now - TimeDelta::hours(1), now), Ended::Unheard);
        assert_eq!(ended(Some("ok"), now, now), Ended::Done);
        assert_eq!(ended(Some("partly"), now, now), Ended::Partly);
    }
}
