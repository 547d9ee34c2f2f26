//! Starts: attempts are issued for a batch of entries, in one statement, or a transaction besides for what that leaves.
//!
//! An attempt that runs stands in its job's row, and has one of its own when it has ended: see [`super::attempts`].

use std::time::Instant;

use uuid::Uuid;

use super::attempts::{hold, write_down};
use super::connect::Store;
use super::error::StoreError;
use crate::domain::{EntryId, JobId, Lane, WorkerId};

/// An entry whose start is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The job it carries.
    pub job: JobId,
    /// The entry.
    pub entry: EntryId,
    /// Its stream.
    pub lane: Lane,
    /// What it carries.
    pub payload: String,
    /// How often the server has delivered it: a start that comes late is known by it.
    pub delivery: u32,
}

/// What a worker holds as it asks: readers look there for what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AtWork {
    /// Rises from question to question.
    pub serial: i64,
    /// The jobs that it holds, those that it asks for too.
    pub jobs: Vec<JobId>,
}

/// What becomes of an entry whose start was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Run it.
    Begin(Issued),
    /// The job is dead and this is its entry: it lacks its dead letter.
    Dead(Died),
    /// The job has ended: acknowledge the entry and do nothing.
    Finished,
    /// Another entry stands for the job: acknowledge this one and do nothing.
    Stale,
    /// This entry stands for the job, and was delivered again since: give it back if it is still held.
    Late,
    /// Postgres knows no such job.
    Unknown,
}

/// An attempt that was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Its number.
    pub attempt: i32,
    /// Failed attempts before it.
    pub failures: u32,
    /// Workers that vanished with the job.
    pub crashes: u32,
    /// It was issued to this worker for this delivery before: the reply was lost, or the server forgot the delivery
    /// and the worker may have run it.
    pub again: bool,
}

/// Why a job is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Died {
    /// The number of its last attempt.
    pub attempt: i32,
    /// The class of its last failure.
    pub class: String,
    /// What that said.
    pub error: String,
}

/// Starts what has never been started by this entry, or has ended and waits: nearly everything. Each condition is asked
/// of the row as it stands when it is locked.
const START_PLAIN: &str = "
with asked as (
    select * from unnest($3::uuid[], $4::text[], $5::int[]) with ordinality as a (id, entry, delivery, ord)
), locked as (
    select j.id, a.entry, a.delivery, a.ord
    -- Not `=`: on a table that was never analysed an index of the queue looks better than the key, and reads it all.
    from asked a join millstream.jobs j on j.id = a.id and j.queue is not distinct from $2
    where j.state in ('waiting', 'retrying') and j.delivery <= a.delivery
      and (j.entry_id = a.entry or j.entry_id is null and j.past_entry is null)
      and (j.kind <> 'review' or exists (select 1 from reviews r where r.id = j.id and r.status = 'running'))
    order by j.id
    for no key update of j
), at_work as (
    insert into millstream.at_work as known (worker, serial, jobs) values ($1, $6, $7)
    on conflict (worker) do update set serial = excluded.serial, jobs = excluded.jobs, at = now()
    where known.serial <= excluded.serial
)
update millstream.jobs j
set state = 'running', attempt = j.attempt + 1, worker = $1, entry_id = l.entry, delivery = l.delivery,
    enqueued_at = coalesce(j.enqueued_at, now()), started_at = now(), run_at = null, updated_at = now()
from locked l where j.id = l.id
returning l.ord, j.attempt, j.failures, j.crashes";

/// Answers every case: what runs is told from what was taken over, what is late from what is new.
const START: &str = concat!(
    "
with asked as (
    select * from unnest($3::uuid[], $4::text[], $5::int[]) with ordinality as a (id, entry, delivery, ord)
), locked as (
    select j.id, j.state, j.entry_id, j.past_entry, j.delivery as seen, j.worker, j.started_at, j.attempt, j.failures,
           j.crashes, j.error, j.error_class, a.entry, a.delivery,
           (select r.status = 'done' from reviews r where r.id = j.id) as foreign_done
    from asked a join millstream.jobs j on j.id = a.id and j.queue is not distinct from $2
    order by j.id
    for no key update of j
), judged as (
    select l.*, case
        when l.state = 'dead' and l.entry_id = l.entry then 'dead'
        when l.state in ('done', 'dead', 'dropped', 'cancelled') then 'finished'
        when l.foreign_done then 'foreign'
        -- Held in Postgres until its time: an entry that was not let go of in time stands for nothing.
        when l.state = 'scheduled' then 'stale'
        -- The job was put back, and is owed another entry. This one was taken off the stream before, the last time or
        -- one of those before: who asks was frozen in between, and nobody would be delivered it again.
        when l.entry_id is null and
             (split_part(l.entry, '-', 1)::numeric, split_part(l.entry, '-', 2)::numeric) <=
             (split_part(l.past_entry, '-', 1)::numeric, split_part(l.past_entry, '-', 2)::numeric) then 'stale'
        -- The entry has been delivered to somebody else since: who asks was frozen in between. Or the server has lost
        -- some of its deliveries.
        when l.entry_id = l.entry and l.delivery < l.seen then 'late'
        -- The reply to the same question was lost.
        when l.state = 'running' and l.entry_id = l.entry and l.delivery = l.seen and l.worker = $1 then 'again'
        when l.state = 'running' and l.entry_id is distinct from l.entry then 'stale'
        when l.entry_id is not null and
             (split_part(l.entry, '-', 1)::numeric, split_part(l.entry, '-', 2)::numeric) <
             (split_part(l.entry_id, '-', 1)::numeric, split_part(l.entry_id, '-', 2)::numeric) then 'stale'
        else 'begin' end as answer
    from locked l
), begun as (
    update millstream.jobs j
    set state = 'running', attempt = j.attempt + 1, crashes = j.crashes + (g.state = 'running')::int,
        worker = $1, entry_id = g.entry, delivery = g.delivery, enqueued_at = coalesce(j.enqueued_at, now()),
        started_at = now(), run_at = null, updated_at = now()
    from judged g where g.id = j.id and g.answer = 'begin'
    returning j.id, j.attempt
), cut as (
",
    write_down!(
        "judged",
        outcome: "'crashed'",
        class: "'crash'",
        error: "case j.answer when 'begin' then 'its worker vanished' else 'another worker recorded the result first' end",
        only: "j.answer in ('begin', 'foreign') and j.state = 'running'"
    ),
    "
), shown as (
    update reviews r set status = 'running', updated_at = now()
    from begun b where r.id = b.id and r.status <> 'running'
), foreign_result as (
    update millstream.jobs j
    set state = 'done', finished_at = now(), updated_at = now(), worker = null, run_at = null
    from judged g where g.id = j.id and g.answer = 'foreign'
), spans_closed as (
    update spans s
    set status = 'error', ended_at = now(), error = case g.answer
        when 'begin' then 'its worker vanished' else 'another worker recorded the result first' end
    from judged g join millstream.span_facts f on f.job_id = g.id
    where (g.answer = 'foreign' or g.answer = 'begin' and g.state = 'running')
      and s.span_id = f.span_id and s.status = 'running'
)
select coalesce(g.answer, 'unknown') as answer, g.attempt + (g.answer = 'begin')::int as attempt, g.failures,
       g.crashes + (g.answer = 'begin' and g.state = 'running')::int as crashes, g.error, g.error_class
from asked a left join judged g on g.id = a.id
order by a.ord"
);

const ADOPT: &str = "
insert into millstream.jobs (id, queue, kind, lane, payload, state, enqueued_at, created_at)
select r.id, $1, 'review', a.lane, r.pr_url, 'waiting', now(), r.created_at
from unnest($2::uuid[], $3::text[]) as a (id, lane) join reviews r on r.id = a.id
on conflict (id) do nothing";

/// What [`START_PLAIN`] has started.
#[derive(sqlx::FromRow)]
struct PlainRow {
    ord: i64,
    attempt: i32,
    failures: i32,
    crashes: i32,
}

/// An answer of [`START`].
#[derive(sqlx::FromRow)]
struct StartRow {
    answer: String,
    attempt: Option<i32>,
    failures: Option<i32>,
    crashes: Option<i32>,
    error: Option<String>,
    error_class: Option<String>,
}

impl StartRow {
    fn read(self) -> Start {
        let attempt = self.attempt.unwrap_or(0);
        match self.answer.as_str() {
            "begin" | "again" => Start::Begin(Issued {
                attempt,
                failures: self.failures.unwrap_or(0).unsigned_abs(),
                crashes: self.crashes.unwrap_or(0).unsigned_abs(),
                again: self.answer == "again",
            }),
            "dead" => Start::Dead(Died {
                attempt,
                class: self.error_class.unwrap_or_default(),
                error: self.error.unwrap_or_default(),
            }),
            "finished" | "foreign" => Start::Finished,
            "unknown" => Start::Unknown,
            "late" => Start::Late,
            _ => Start::Stale,
        }
    }
}

impl Store {
    /// Asks for starts for a worker that holds nothing else.
    ///
    /// # Errors
    /// Those of [`Store::start_among`].
    pub async fn start(
        &self,
        queue: &str,
        worker: WorkerId,
        asked: &[Asked],
    ) -> Result<Vec<Start>, StoreError> {
        let at_work = AtWork {
            serial: 0,
            jobs: asked.iter().map(|one| one.job).collect(),
        };
        self.start_among(queue, worker, asked, &at_work).await
    }

    /// Asks for starts, for a whole batch at a time: issues the attempts, counts a crash where the last one never
    /// ended, and tells which entries have nothing to start. Most are started by one lean statement; the rest is
    /// looked at closely.
    ///
    /// # Errors
    /// When the server is away; then attempts may have been issued all the same, and the same question again
    /// is answered with them.
    pub async fn start_among(
        &self,
        queue: &str,
        worker: WorkerId,
        asked: &[Asked],
        at_work: &AtWork,
    ) -> Result<Vec<Start>, StoreError> {
        let mut answers = vec![Start::Unknown; asked.len()];
        for round in rounds(asked) {
            let left = self
                .start_plain((queue, worker), asked, round, at_work, &mut answers)
                .await?;
            if left.is_empty() {
                continue;
            }
            self.start_round(queue, worker, asked, &left, &mut answers)
                .await?;
            let unknown: Vec<usize> = left
                .into_iter()
                .filter(|&i| answers[i] == Start::Unknown)
                .collect();
            if !unknown.is_empty() {
                // Another worker may have taken the same row in a moment ago: asked again either way.
                self.adopt(queue, asked, &unknown).await?;
                self.start_round(queue, worker, asked, &unknown, &mut answers)
                    .await?;
            }
        }
        Ok(answers)
    }

    /// Starts what can be started without a closer look; answers what is left.
    async fn start_plain(
        &self,
        (queue, worker): (&str, WorkerId),
        asked: &[Asked],
        round: Vec<usize>,
        at_work: &AtWork,
        answers: &mut [Start],
    ) -> Result<Vec<usize>, StoreError> {
        let (jobs, entries, deliveries) = columns(asked, &round);
        let held: Vec<Uuid> = at_work.jobs.iter().map(|job| job.0).collect();
        let mut connection = self.pool().acquire().await?;
        let begun = Instant::now();
        let rows: Vec<PlainRow> = sqlx::query_as(START_PLAIN)
            .bind(worker.to_string())
            .bind(queue)
            .bind(&jobs)
            .bind(&entries)
            .bind(&deliveries)
            .bind(at_work.serial)
            .bind(&held)
            .fetch_all(&mut *connection)
            .await?;
        self.mind_the_plan(&mut connection, begun.elapsed(), round.len())
            .await;
        let mut left = round;
        for row in rows {
            // Their places count from one.
            let place = usize::try_from(row.ord).ok().and_then(|ord| ord.checked_sub(1));
            let Some(i) = place
                .and_then(|place| left.get_mut(place))
                .map(|i| std::mem::replace(i, usize::MAX))
            else {
                continue;
            };
            answers[i] = Start::Begin(Issued {
                attempt: row.attempt,
                failures: row.failures.unsigned_abs(),
                crashes: row.crashes.unsigned_abs(),
                again: false,
            });
        }
        left.retain(|&i| i != usize::MAX);
        Ok(left)
    }

    /// Forgets what workers held that have asked for nothing for a day and run none of it any more: at most so many.
    /// Answers how many there were.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn forget_at_work(&self, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "delete from millstream.at_work where worker in (
                 select w.worker from millstream.at_work w
                 where w.at < now() - interval '24 hours' and not exists (
                     select 1 from unnest(w.jobs) as held (id) join millstream.jobs j on j.id = held.id
                     where j.worker = w.worker and j.state = 'running')
                 limit $1 for update skip locked)",
        )
        .bind(i64::from(limit))
        .execute(&self.pool())
        .await?;
        Ok(done.rows_affected())
    }

    async fn start_round(
        &self,
        queue: &str,
        worker: WorkerId,
        asked: &[Asked],
        round: &[usize],
        answers: &mut [Start],
    ) -> Result<(), StoreError> {
        let (jobs, entries, deliveries) = columns(asked, round);
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        hold(&mut transaction, &jobs).await?;
        let begun = Instant::now();
        let rows: Vec<StartRow> = sqlx::query_as(START)
            .bind(worker.to_string())
            .bind(queue)
            .bind(&jobs)
            .bind(&entries)
            .bind(&deliveries)
            .fetch_all(&mut *transaction)
            .await?;
        let took = begun.elapsed();
        transaction.commit().await?;
        self.mind_the_plan(lent.connection(), took, round.len()).await;
        for (&i, row) in round.iter().zip(rows) {
            answers[i] = row.read();
        }
        Ok(())
    }

    /// Takes rows of a reference producer in.
    async fn adopt(&self, queue: &str, asked: &[Asked], which: &[usize]) -> Result<(), StoreError> {
        let jobs: Vec<Uuid> = which.iter().map(|&i| asked[i].job.0).collect();
        let lanes: Vec<&str> = which.iter().map(|&i| asked[i].lane.word()).collect();
        sqlx::query(ADOPT)
            .bind(queue)
            .bind(&jobs)
            .bind(&lanes)
            .execute(&self.pool())
            .await?;
        Ok(())
    }
}

/// What both statements are asked about.
fn columns(asked: &[Asked], which: &[usize]) -> (Vec<Uuid>, Vec<String>, Vec<i32>) {
    let jobs = which.iter().map(|&i| asked[i].job.0).collect();
    let entries = which.iter().map(|&i| asked[i].entry.to_string()).collect();
    let delivery = |&i: &usize| i32::try_from(asked[i].delivery).unwrap_or(i32::MAX);
    (jobs, entries, which.iter().map(delivery).collect())
}

/// The positions split so that no job stands twice in one statement.
fn rounds(asked: &[Asked]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut seen: std::collections::HashMap<JobId, usize> = std::collections::HashMap::new();
    for (i, one) in asked.iter().enumerate() {
        let round = seen.entry(one.job).and_modify(|n| *n += 1).or_insert(0);
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(i);
    }
    rounds
}
