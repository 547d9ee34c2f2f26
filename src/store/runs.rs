//! Runs: a frozen list of deaths, and how far it got.
//!
//! A run has one driver at a time, by a lease in its row. Each batch locks that row, moves jobs and ticks them off in
//! one transaction: a driver whose lease is gone moves nothing, and one that dies has done a batch or has not.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::actions::{ActionId, Intent, intend};
use super::assess::{Chosen, Death, Verdict, assess};
use super::connect::Store;
use super::dead::requeue;
use super::error::StoreError;
use super::moves::lock;
use super::owed::Owed;
use super::text::{clean, clean_value};
use crate::domain::{JobId, Lane, RunId, RunState, Terms};

/// A run, and how far it got.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// Its action in the book.
    pub action: ActionId,
    /// Who began it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The filter as it was typed.
    pub filter: Option<String>,
    /// The hash of its list.
    pub ids_hash: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it stands still.
    pub why: Option<String>,
    /// How it goes about its list.
    pub terms: Terms,
    /// How often it began with a canary.
    pub wave: i32,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who drives it, while somebody does.
    pub driver: Option<String>,
    /// How far it got.
    pub counts: RunCounts,
}

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct RunCounts {
    /// Jobs on its list.
    pub total: u32,
    /// Those whose turn has not come.
    pub planned: u32,
    /// Those that were put back, whatever came of them.
    pub requeued: u32,
    /// Those that could not be put back any more.
    pub skipped: u32,
    /// Those that were taken back.
    pub undone: u32,
    /// Of those put back: done.
    pub done: u32,
    /// Of those put back: dead again, cancelled or dropped.
    pub failed: u32,
    /// Put back since it last began with a canary.
    #[serde(skip)]
    pub wave_moved: u32,
    /// Of these: done.
    #[serde(skip)]
    pub wave_done: u32,
    /// Of these: failed.
    #[serde(skip)]
    pub wave_failed: u32,
}

impl RunCounts {
    /// Jobs that were put back and have not ended.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.requeued.saturating_sub(self.done + self.failed)
    }
}

#[derive(sqlx::FromRow)]
struct Flat {
    id: i64,
    action_id: i64,
    actor: String,
    reason: String,
    filter: Option<String>,
    ids_hash: String,
    state: String,
    why: Option<String>,
    canary: i32,
    rate: Option<f64>,
    in_flight: Option<i32>,
    stop_over: Option<f64>,
    wave: i32,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    driver: Option<String>,
    counts: Vec<i64>,
}

fn read(flat: Flat) -> Result<RunRow, StoreError> {
    let state = RunState::from_word(&flat.state)
        .ok_or_else(|| StoreError::Refused(format!("a run that is `{}`", flat.state)))?;
    let count = |nth: usize| {
        let count = flat.counts.get(nth).copied().unwrap_or(0);
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    Ok(RunRow {
        id: RunId(flat.id),
        action: ActionId(flat.action_id),
        actor: flat.actor,
        reason: flat.reason,
        filter: flat.filter,
        ids_hash: flat.ids_hash,
        state,
        why: flat.why,
        terms: Terms {
            canary: flat.canary.unsigned_abs(),
            rate: flat.rate,
            in_flight: flat.in_flight.map(i32::unsigned_abs),
            stop_over: flat.stop_over,
        },
        wave: flat.wave,
        created_at: flat.created_at,
        ended_at: flat.ended_at,
        driver: flat.driver,
        counts: RunCounts {
            total: count(0),
            planned: count(1),
            requeued: count(2),
            skipped: count(3),
            undone: count(4),
            done: count(5),
            failed: count(6),
            wave_moved: count(7),
            wave_done: count(8),
            wave_failed: count(9),
        },
    })
}

const RUNS: &str = "
select r.id, r.action_id, r.actor, r.reason, r.filter, r.ids_hash, r.state, r.why, r.canary, r.rate, r.in_flight,
       r.stop_over, r.wave, r.created_at, r.ended_at, case when r.until > now() then r.driver end as driver, c.counts
from millstream.runs r cross join lateral (
    select array[count(*), count(*) filter (where i.state = 'planned'), count(*) filter (where i.state = 'requeued'),
                 count(*) filter (where i.state = 'skipped'), count(*) filter (where i.state = 'undone'),
                 count(*) filter (where i.state = 'requeued' and i.ended = 'done'),
                 count(*) filter (where i.state = 'requeued' and i.ended <> 'done'),
                 count(*) filter (where i.state = 'requeued' and i.wave = r.wave),
                 count(*) filter (where i.state = 'requeued' and i.wave = r.wave and i.ended = 'done'),
                 count(*) filter (where i.state = 'requeued' and i.wave = r.wave and i.ended <> 'done')] as counts
    from (select i.state, i.wave,
                 coalesce(i.result, case when i.state = 'requeued' then (
                     select j.state from millstream.jobs j
                     where j.id = i.job_id and j.state in ('done', 'dead', 'cancelled', 'dropped')) end) as ended
          from millstream.run_items i where i.run_id = r.id) i) c
where r.queue = $1 and ($2::bigint is null or r.id = $2)
order by r.id desc limit $3";

const NOTE_RESULTS: &str = "
update millstream.run_items i set result = j.state
from millstream.jobs j
where i.run_id = $1 and i.state = 'requeued' and i.result is null and j.id = i.job_id
  and j.state in ('done', 'dead', 'cancelled', 'dropped')";

/// A job on the list of a run.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ItemRow {
    /// The job.
    pub job_id: Uuid,
    /// What it works on.
    pub input: Option<String>,
    /// planned, requeued, skipped, undone.
    pub state: String,
    /// Why it was skipped.
    pub why: Option<String>,
    /// When its turn came.
    pub at: Option<DateTime<Utc>>,
    /// In which state the job ended, or stands now.
    pub result: Option<String>,
}

/// What a batch came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Put back, and owed an entry.
    pub moved: Vec<Owed>,
    /// Not put back, and why.
    pub skipped: Vec<(JobId, Verdict)>,
}

/// How a run comes to stand otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// From one of these states.
    pub from: &'a [RunState],
    /// To this one.
    pub to: RunState,
    /// Why, for people.
    pub why: Option<&'a str>,
    /// Only if this driver still has it.
    pub holder: Option<Uuid>,
    /// The outcome in the book; nothing while the run is not over.
    pub outcome: Option<&'a str>,
    /// The result in the book.
    pub result: Value,
}

const TURN: &str = "
with turned as (
    update millstream.runs
    set wave = wave + (state = 'stopped' and $3 = 'running')::int, state = $3, why = $4,
        ended_at = case when $3 in ('aborted', 'done') then now() end, holder = null, driver = null, until = null
    where id = $1 and state = any($2) and ($5::uuid is null or holder = $5)
    returning action_id
)
update millstream.actions a
set outcome = $6, result = $7, ended_at = case when $6::text is not null then now() end
from turned t where a.id = t.action_id";

/// A plan that is to become a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// What the book says.
    pub intent: Intent,
    /// The frozen list.
    pub deaths: Vec<Death>,
    /// How it was chosen.
    pub chosen: Chosen,
    /// The hash of the list.
    pub ids_hash: String,
    /// How the run goes about it.
    pub terms: Terms,
}

impl Store {
    /// Writes the intent, the run and its whole list at once.
    ///
    /// # Errors
    /// When the server is away; then a run may stand there that nobody drives, and has moved nothing.
    pub async fn begin_run(&self, run: &NewRun) -> Result<RunId, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let action = intend(&mut transaction, &run.intent, None)
            .await?
            .ok_or_else(|| StoreError::Refused("an intent was not written".to_owned()))?;
        let id: i64 = sqlx::query_scalar(
            "insert into millstream.runs (action_id, queue, actor, reason, filter, ids_hash, state, canary, rate,
                                          in_flight, stop_over, by_name)
             values ($1, $2, $3, $4, $5, $6, 'running', $7, $8, $9, $10, $11) returning id",
        )
        .bind(action.0)
        .bind(&run.intent.queue)
        .bind(clean(&run.intent.actor))
        .bind(clean(run.intent.reason.as_deref().unwrap_or_default()))
        .bind(run.intent.filter.as_deref().map(clean))
        .bind(&run.ids_hash)
        .bind(i32::try_from(run.terms.canary).unwrap_or(i32::MAX))
        .bind(run.terms.rate)
        .bind(run.terms.in_flight.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
        .bind(run.terms.stop_over)
        .bind(run.chosen == Chosen::ByName)
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into millstream.run_items (run_id, ord, job_id, died_at)
             select $1, t.ord, t.id, t.died_at
             from unnest($2::uuid[], $3::timestamptz[]) with ordinality as t (id, died_at, ord)",
        )
        .bind(id)
        .bind(run.deaths.iter().map(|death| death.job.0).collect::<Vec<Uuid>>())
        .bind(run.deaths.iter().map(|death| death.died_at).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        sqlx::query("update millstream.actions set detail = detail || $2 where id = $1")
            .bind(action.0)
            .bind(json!({ "run": RunId(id) }))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(RunId(id))
    }

    /// The newest runs of a queue, newest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn runs(&self, queue: &str, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        let flat: Vec<Flat> = sqlx::query_as(RUNS)
            .bind(queue)
            .bind(None::<i64>)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        flat.into_iter().map(read).collect()
    }

    /// One run.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn run(&self, queue: &str, run: RunId) -> Result<Option<RunRow>, StoreError> {
        let flat: Option<Flat> = sqlx::query_as(RUNS)
            .bind(queue)
            .bind(run.0)
            .bind(1_i64)
            .fetch_optional(&self.pool())
            .await?;
        flat.map(read).transpose()
    }

    /// The list of a run, in its order, with what became of each.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn run_items(&self, run: RunId, limit: u32) -> Result<Vec<ItemRow>, StoreError> {
        let rows = sqlx::query_as(
            "select i.job_id, j.payload as input, i.state, i.why, i.at,
                    coalesce(i.result, case when i.state = 'requeued' then j.state end) as result
             from millstream.run_items i left join millstream.jobs j on j.id = i.job_id
             where i.run_id = $1 order by i.ord limit $2",
        )
        .bind(run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(rows)
    }

    /// Takes the right to drive a run, or renews it; answers whether it is held.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn drive_run(
        &self,
        run: RunId,
        (holder, driver): (Uuid, &str),
        term: Duration,
    ) -> Result<bool, StoreError> {
        let held = sqlx::query(
            "update millstream.runs
             set holder = $2, driver = $3, until = now() + make_interval(secs => $4)
             where id = $1 and state = 'running' and (holder = $2 or holder is null or until < now())",
        )
        .bind(run.0)
        .bind(holder)
        .bind(clean(driver))
        .bind(term.as_secs_f64())
        .execute(&self.pool())
        .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Notes how jobs of a run have ended.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn note_results(&self, run: RunId) -> Result<(), StoreError> {
        sqlx::query(NOTE_RESULTS)
            .bind(run.0)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// Puts the next jobs of a run back and ticks them off, or skips them; nothing if the run is not this
    /// driver's to move any more.
    ///
    /// # Errors
    /// When the server is away; then the batch may have been done all the same, and the next one follows it.
    pub async fn advance_run(
        &self,
        run: RunId,
        holder: Uuid,
        limit: u32,
    ) -> Result<Option<Batch>, StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let held: Option<(i64, String, bool, i32)> = sqlx::query_as(
            "select action_id, queue, by_name, wave from millstream.runs
             where id = $1 and holder = $2 and state = 'running' for update",
        )
        .bind(run.0)
        .bind(holder)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((action, queue, by_name, wave)) = held else {
            return Ok(None);
        };
        let next = next_items(&mut transaction, run, limit).await?;
        let jobs: Vec<JobId> = next.iter().map(|death| death.job).collect();
        lock(&mut transaction, &queue, &jobs).await?;
        let chosen = if by_name { Chosen::ByName } else { Chosen::ByFilter };
        let judged = assess(&mut transaction, &queue, &next, chosen).await?;
        let (eligible, skipped): (Vec<_>, Vec<_>) = judged
            .into_iter()
            .partition(|(_, verdict)| *verdict == Verdict::Eligible);
        let eligible: Vec<JobId> = eligible.into_iter().map(|(job, _)| job).collect();
        let moved = requeue(&mut transaction, &queue, &eligible, Some(ActionId(action))).await?;
        tick_off(&mut transaction, (run, wave), &moved, &skipped).await?;
        transaction.commit().await?;
        Ok(Some(Batch { moved, skipped }))
    }

    /// What a run has put back and nobody has enqueued: its driver died in between.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn owed_by_run(&self, run: RunId, limit: u32) -> Result<Vec<Owed>, StoreError> {
        let rows: Vec<(Uuid, String, String, Option<String>)> = sqlx::query_as(
            "select j.id, j.lane, j.payload, j.traceparent
             from millstream.run_items i join millstream.jobs j on j.id = i.job_id
             where i.run_id = $1 and i.state = 'requeued' and i.result is null
               and j.state = 'waiting' and j.entry_id is null
             order by i.ord limit $2",
        )
        .bind(run.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        let owed = |(job, lane, payload, traceparent): (Uuid, String, String, Option<String>)| Owed {
            job: JobId(job),
            lane: Lane::from_word(&lane),
            payload,
            traceparent,
            entry: None,
        };
        Ok(rows.into_iter().map(owed).collect())
    }
}

async fn next_items(connection: &mut PgConnection, run: RunId, limit: u32) -> Result<Vec<Death>, StoreError> {
    let next: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
        "select job_id, died_at from millstream.run_items
         where run_id = $1 and state = 'planned' order by ord limit $2",
    )
    .bind(run.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let death = |(job, died_at)| Death {
        job: JobId(job),
        died_at,
    };
    Ok(next.into_iter().map(death).collect())
}

async fn tick_off(
    connection: &mut PgConnection,
    (run, wave): (RunId, i32),
    moved: &[Owed],
    skipped: &[(JobId, Verdict)],
) -> Result<(), StoreError> {
    let went = moved.iter().map(|owed| (owed.job, None));
    let stayed = skipped
        .iter()
        .map(|(job, verdict)| (*job, Some(clean(&verdict.to_string()).into_owned())));
    let (jobs, whys): (Vec<Uuid>, Vec<Option<String>>) =
        went.chain(stayed).map(|(job, why)| (job.0, why)).unzip();
    sqlx::query(
        "update millstream.run_items i
         set state = case when t.why is null then 'requeued' else 'skipped' end, why = t.why, wave = $4, at = now()
         from unnest($2::uuid[], $3::text[]) as t (id, why)
         where i.run_id = $1 and i.job_id = t.id and i.state = 'planned'",
    )
    .bind(run.0)
    .bind(jobs)
    .bind(whys)
    .bind(wave)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Brings a run from one of these states to another, and tells the book; answers whether it stood so. Whoever
    /// drove it does so no longer. One that stopped and goes on begins again with a canary.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn turn_run(&self, run: RunId, turn: &Turn<'_>) -> Result<bool, StoreError> {
        let from: Vec<&str> = turn.from.iter().map(|state| state.word()).collect();
        let turned = sqlx::query(TURN)
            .bind(run.0)
            .bind(from)
            .bind(turn.to.word())
            .bind(turn.why.map(clean))
            .bind(turn.holder)
            .bind(turn.outcome)
            .bind(Json(clean_value(&turn.result)))
            .execute(&self.pool())
            .await?;
        Ok(turned.rows_affected() == 1)
    }

    /// Lets go of a run that goes on later.
    ///
    /// # Errors
    /// When the server is away; then the right to drive it runs out by itself.
    pub async fn leave_run(&self, run: RunId, holder: Uuid) -> Result<(), StoreError> {
        sqlx::query(
            "update millstream.runs set holder = null, driver = null, until = null where id = $1 and holder = $2",
        )
        .bind(run.0)
        .bind(holder)
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
