//! Which of the dead can be put back, and why the others cannot; and what that will cost.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use super::jobs::REVIEW;
use crate::domain::{JobId, JobState, ReviewInput, RunId};

/// A job that was put back so often, and died each time, is left out of what a filter finds.
pub const MOST_RETURNS: i64 = 5;

/// A job and the death of it that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Death {
    /// The job.
    pub job: JobId,
    /// When it died.
    pub died_at: DateTime<Utc>,
}

/// How the dead of a plan were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// One by one, by somebody who knows each.
    ByName,
    /// By what they have in common.
    ByFilter,
}

/// Whether a death can be made undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// It can.
    #[error("eligible")]
    Eligible,
    /// Somebody has put it back since.
    #[error("already re-queued by {by} at {}{}", .at.to_rfc3339_opts(SecondsFormat::Secs, true), in_run(*.run))]
    Requeued {
        /// Who.
        by: String,
        /// When.
        at: DateTime<Utc>,
        /// In which run, if it was one.
        run: Option<RunId>,
    },
    /// What it works on is not stored any more.
    #[error("its diff is not stored any more")]
    PayloadGone,
    /// It has come back too often.
    #[error("it was put back {0} times and died each time: name it to try again")]
    TriesUsedUp(i64),
    /// It is not dead any more.
    #[error("it is {0}")]
    NotDead(JobState),
    /// It came back to life and has died of something else since.
    #[error("it has died again since: look again")]
    DiedAgain,
    /// Nobody knows it.
    #[error("there is no such job")]
    Unknown,
}

fn in_run(run: Option<RunId>) -> String {
    run.map_or_else(String::new, |run| format!(", run {run}"))
}

impl Verdict {
    /// A word for scripts.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Requeued { .. } => "already_requeued",
            Self::PayloadGone => "payload_gone",
            Self::TriesUsedUp(_) => "tries_used_up",
            Self::NotDead(_) => "not_dead",
            Self::DiedAgain => "died_again",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Facts {
    id: Uuid,
    died_at: DateTime<Utc>,
    state: Option<String>,
    finished_at: Option<DateTime<Utc>>,
    kind: Option<String>,
    payload: Option<String>,
    has_input: bool,
    put_back_at: Option<DateTime<Utc>>,
    put_back_by: Option<String>,
    run: Option<i64>,
    returns: i64,
}

impl Facts {
    fn judge(self, chosen: Chosen) -> Verdict {
        let Some(state) = self
            .state
            .as_deref()
            .and_then(|word| word.parse::<JobState>().ok())
        else {
            return Verdict::Unknown;
        };
        if state != JobState::Dead || self.finished_at != Some(self.died_at) {
            return match (self.put_back_at, self.put_back_by) {
                (Some(at), Some(by)) if at >= self.died_at => Verdict::Requeued {
                    by,
                    at,
                    run: self.run.map(RunId),
                },
                _ if state == JobState::Dead => Verdict::DiedAgain,
                _ => Verdict::NotDead(state),
            };
        }
        let stored = |payload: &str| matches!(ReviewInput::parse(payload), Ok(ReviewInput::Stored(_)));
        if self.kind.as_deref() == Some(REVIEW)
            && !self.has_input
            && self.payload.as_deref().is_some_and(stored)
        {
            return Verdict::PayloadGone;
        }
        if chosen == Chosen::ByFilter && self.returns >= MOST_RETURNS {
            return Verdict::TriesUsedUp(self.returns);
        }
        Verdict::Eligible
    }
}

const FACTS: &str = "
select t.id, t.died_at, j.state, j.finished_at, j.kind, j.payload,
       exists (select 1 from millstream.inputs i where i.job_id = j.id) as has_input,
       m.at as put_back_at, a.actor as put_back_by, r.id as run,
       (select count(*) from millstream.moved x
        where x.job_id = t.id and x.how = 'requeue' and x.undone_by is null) as returns
from unnest($2::uuid[], $3::timestamptz[]) with ordinality as t (id, died_at, ord)
left join millstream.jobs j on j.id = t.id and j.queue is not distinct from $1
left join lateral (
    select m.action_id, m.at from millstream.moved m
    where m.job_id = t.id and m.how = 'requeue' and m.undone_by is null order by m.id desc limit 1) m on true
left join millstream.actions a on a.id = m.action_id
left join millstream.runs r on r.action_id = m.action_id
order by t.ord";

/// What a job has cost until now is known by its turns; what is left of it, by how many turns a finished one had.
const COST: &str = "
with sample as (
    select s.id from millstream.jobs s
    where s.queue = $1 and s.finished_at is not null and s.state = 'done' order by s.finished_at desc limit 200
), spent as (
    select (select count(*) from millstream.checkpoints c where c.job_id = s.id) as turns, a.tokens, a.cost
    from sample s cross join lateral (
        select coalesce(sum(a.input_tokens + a.output_tokens), 0)::float8 as tokens,
               coalesce(sum(a.cost_usd), 0)::float8 as cost
        from millstream.attempts a where a.job_id = s.id) a
), mean as (
    select avg(turns)::float8 as turns, sum(tokens)::float8 / sum(turns)::float8 as tokens,
           sum(cost)::float8 / sum(turns)::float8 as cost
    from spent where turns > 0
), owed as (
    select sum(greatest(1, mean.turns - (select count(*) from millstream.checkpoints c where c.job_id = t.id))) as turns
    from unnest($2::uuid[]) as t (id) cross join mean
)
select owed.turns * mean.tokens as tokens, owed.turns * mean.cost as cost_usd from owed cross join mean
where mean.turns is not null and owed.turns is not null";

/// What jobs will about cost.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, sqlx::FromRow)]
pub struct Estimate {
    /// Tokens, in and out.
    pub tokens: f64,
    /// In dollars.
    pub cost_usd: f64,
}

impl Store {
    /// What would become of these deaths if they were put back now, in their order.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn assess(
        &self,
        queue: &str,
        deaths: &[Death],
        chosen: Chosen,
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        let mut verdicts = Vec::with_capacity(deaths.len());
        for page in deaths.chunks(PAGE) {
            let judged = assess(&mut connection, queue, page, chosen).await?;
            verdicts.extend(judged.into_iter().map(|(_, verdict)| verdict));
        }
        Ok(verdicts)
    }

    /// What these jobs will about cost, by the mean of the model turns that each still owes; nothing while no job is
    /// known that was done in turns.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn estimate(&self, queue: &str, jobs: &[JobId]) -> Result<Option<Estimate>, StoreError> {
        let estimate = sqlx::query_as(COST)
            .bind(queue)
            .bind(jobs.iter().map(|job| job.0).collect::<Vec<Uuid>>())
            .fetch_optional(&self.pool())
            .await?;
        Ok(estimate)
    }
}

/// Jobs in one statement.
const PAGE: usize = 500;

/// Judges deaths, in their order.
pub(super) async fn assess(
    connection: &mut PgConnection,
    queue: &str,
    deaths: &[Death],
    chosen: Chosen,
) -> Result<Vec<(JobId, Verdict)>, StoreError> {
    let facts: Vec<Facts> = sqlx::query_as(FACTS)
        .bind(queue)
        .bind(deaths.iter().map(|death| death.job.0).collect::<Vec<Uuid>>())
        .bind(deaths.iter().map(|death| death.died_at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(facts
        .into_iter()
        .map(|facts| (JobId(facts.id), facts.judge(chosen)))
        .collect())
}
