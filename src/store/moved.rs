//! What moves found before they changed a job, and the way back.
//!
//! A move notes in its own transaction what it found. It can be taken back as long as nothing has happened to the job
//! since: nobody started it, and nobody moved it. Both are asked under the lock that a start takes too.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::actions::ActionId;
use super::connect::Store;
use super::error::StoreError;
use super::moves::{Standing, lock};
use super::owed::Owed;
use crate::domain::{JobId, JobState};

/// What was done to a job, as far as the way back depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A dead job was put back.
    Requeue,
    /// It was called off.
    Cancel,
    /// It was given up.
    Bury,
    /// A dead job was thrown away.
    Drop,
    /// It was made to run now.
    Retry,
    /// It was submitted.
    Submit,
    /// A dead job was thrown away, since another with another input took its place.
    Edit,
}

impl How {
    /// The word in the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Cancel => "cancel",
            Self::Bury => "bury",
            Self::Drop => "drop",
            Self::Retry => "retry",
            Self::Submit => "submit",
            Self::Edit => "edit",
        }
    }

    fn of(word: &str) -> Option<Self> {
        let all = [
            Self::Requeue,
            Self::Cancel,
            Self::Bury,
            Self::Drop,
            Self::Retry,
            Self::Submit,
            Self::Edit,
        ];
        all.into_iter().find(|how| how.word() == word)
    }

    /// Whether a job that was moved so, and stands so now, can be taken back.
    const fn left(self, now: JobState) -> bool {
        match self {
            Self::Requeue => matches!(now, JobState::Waiting),
            Self::Submit => matches!(now, JobState::Waiting | JobState::Scheduled),
            Self::Cancel => matches!(now, JobState::Cancelled),
            Self::Bury => matches!(now, JobState::Dead),
            Self::Edit => matches!(now, JobState::Dropped),
            Self::Drop | Self::Retry => false,
        }
    }
}

/// What became of one job that a move had moved.
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// It is dead again, as it was; its entry is to be withdrawn and its letter written.
    Dead(Standing),
    /// It waits again, and is owed an entry; or it is held until its time.
    Waits(Standing),
    /// It is called off: it was submitted, and nobody had started it.
    CalledOff(Standing),
    /// It has been started, or moved by somebody else, since: it stands so.
    TooLate(Standing),
    /// It was taken back before, or its row is gone.
    Gone(JobId),
}

/// How much of an action can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Left {
    /// Jobs that can come back.
    pub back: u64,
    /// Jobs that were started or moved since.
    pub late: u64,
}

#[derive(sqlx::FromRow)]
struct Note {
    id: i64,
    job_id: Uuid,
    how: String,
    attempt: i32,
    before: Value,
    is_last: bool,
}

/// Notes of an action that were not taken back; whether nobody has moved the job since.
const NOTES: &str = "
select m.id, m.job_id, m.how, m.attempt, m.before,
       not exists (select 1 from millstream.moved n
                   where n.job_id = m.job_id and n.id > m.id and n.undone_by is null) as is_last
from millstream.moved m
where m.action_id = $1 and m.undone_by is null and m.job_id > coalesce($2, $4)
order by m.job_id limit $3";

/// Puts the dead back among the dead, as they were.
const BURY_AGAIN: &str = "
with back as (
    select * from unnest($1::uuid[], $2::jsonb[]) as b (id, was)
), told as (
    update reviews r set status = 'error', reason = b.was ->> 'reason', updated_at = now()
    from back b where r.id = b.id and r.status <> 'done'
), listed as (
    update millstream.run_items i set state = 'undone'
    from back b, millstream.runs r where r.action_id = $3 and i.run_id = r.id and i.job_id = b.id
)
update millstream.jobs j
set state = 'dead', failures = (b.was ->> 'failures')::int, crashes = (b.was ->> 'crashes')::int,
    error = b.was ->> 'error', error_class = b.was ->> 'error_class', fingerprint = b.was ->> 'fingerprint',
    finished_at = (b.was ->> 'finished_at')::timestamptz, entry_id = b.was ->> 'entry_id',
    delivery = coalesce((b.was ->> 'delivery')::int, 0), run_at = null, updated_at = now()
from back b where j.id = b.id";

/// Lets jobs live again that were called off or given up. One whose next attempt had a time keeps it.
const LIVE_AGAIN: &str = "
with back as (
    select * from unnest($1::uuid[], $2::jsonb[]) as b (id, was)
), told as (
    update reviews r set status = b.was ->> 'status', reason = b.was ->> 'reason', updated_at = now()
    from back b where r.id = b.id and r.status <> 'done' and b.was ->> 'status' is not null
)
update millstream.jobs j
set state = case when (b.was ->> 'run_at')::timestamptz > now() then 'scheduled' else 'waiting' end,
    run_at = case when (b.was ->> 'run_at')::timestamptz > now() then (b.was ->> 'run_at')::timestamptz end,
    error = b.was ->> 'error', error_class = b.was ->> 'error_class', fingerprint = null, finished_at = null,
    past_entry = coalesce(entry_id, past_entry), entry_id = null, delivery = 0, enqueued_at = null, updated_at = now()
from back b where j.id = b.id
returning j.id, j.state";

const MARK: &str = "update millstream.moved set undone_by = $2 where id = any($1) and undone_by is null";

impl Store {
    /// Notes jobs that an action is about to submit.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn note_submitted(&self, action: ActionId, jobs: &[JobId]) -> Result<(), StoreError> {
        sqlx::query(
            "insert into millstream.moved (action_id, job_id, how, attempt)
             select $1, id, 'submit', 0 from unnest($2::uuid[]) as n (id)",
        )
        .bind(action.0)
        .bind(jobs.iter().map(|job| job.0).collect::<Vec<Uuid>>())
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// How often a job had been started when an operator put it back last; nought if nobody ever did.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn put_back_after(&self, job: JobId) -> Result<u32, StoreError> {
        let attempt: i32 = sqlx::query_scalar(
            "select coalesce(max(attempt), 0) from millstream.moved
             where job_id = $1 and how = 'requeue' and undone_by is null",
        )
        .bind(job.0)
        .fetch_one(&self.pool())
        .await?;
        Ok(attempt.unsigned_abs())
    }

    /// How much of an action can be taken back now.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn left_of(&self, queue: &str, action: ActionId) -> Result<Left, StoreError> {
        let (mut left, mut after) = (Left::default(), None);
        loop {
            // Given back before the next question: who holds one connection and waits for another can wait for himself.
            let notes = notes(&mut *self.pool().acquire().await?, action, after).await?;
            let Some(last) = notes.last() else { return Ok(left) };
            after = Some(last.job_id);
            let jobs: Vec<JobId> = notes.iter().map(|note| JobId(note.job_id)).collect();
            let standing = self.standing(queue, &jobs).await?;
            let standing: HashMap<JobId, Standing> = standing.into_iter().map(|one| (one.job, one)).collect();
            for note in &notes {
                match standing.get(&JobId(note.job_id)) {
                    Some(one) if note.can_come_back(one) => left.back += 1,
                    Some(_) => left.late += 1,
                    None => {}
                }
            }
        }
    }

    /// Takes back what an action did to the next jobs behind `after`, all or none of them; answers what became of
    /// each, and where to go on, if there are more.
    ///
    /// # Errors
    /// When the server is away; asked again it answers for those that are left.
    pub async fn undo(
        &self,
        queue: &str,
        (action, by): (ActionId, ActionId),
        after: Option<JobId>,
    ) -> Result<(Vec<(JobId, Undone, Value)>, Option<JobId>), StoreError> {
        let mut lent = self.lend().await?;
        let mut transaction = lent.begin().await?;
        let seen = notes(&mut transaction, action, after.map(|job| job.0)).await?;
        let jobs: Vec<JobId> = seen.iter().map(|note| JobId(note.job_id)).collect();
        let standing = lock(&mut transaction, queue, &jobs).await?;
        let standing: HashMap<JobId, Standing> = standing.into_iter().map(|one| (one.job, one)).collect();
        // Read again under the lock: another operator may have moved one, or taken it back, in between.
        let next = jobs.last().copied();
        let seen = notes(&mut transaction, action, after.map(|job| job.0)).await?;
        // What took the place of another job goes before that one comes back.
        let runs = |note: &Note| {
            let now = standing.get(&JobId(note.job_id));
            note.how == How::Submit.word() && now.is_some_and(|one| !note.can_come_back(one))
        };
        let replaced = seen.iter().any(runs);
        let (mut dead, mut live, mut marks) = (Batch::default(), Batch::default(), Vec::new());
        let mut called_off = Vec::new();
        let mut undone = Vec::new();
        for note in seen.into_iter().filter(|note| jobs.contains(&JobId(note.job_id))) {
            let job = JobId(note.job_id);
            let what = match standing.get(&job) {
                None => Undone::Gone(job),
                Some(one) if !note.can_come_back(one) || (replaced && note.how == How::Edit.word()) => {
                    Undone::TooLate(one.clone())
                }
                Some(one) => {
                    marks.push(note.id);
                    match How::of(&note.how) {
                        Some(How::Requeue | How::Edit) => {
                            dead.add(&note);
                            Undone::Dead(one.clone())
                        }
                        Some(How::Submit) => {
                            called_off.push(note.job_id);
                            Undone::CalledOff(one.clone())
                        }
                        _ => {
                            live.add(&note);
                            Undone::Waits(one.clone())
                        }
                    }
                }
            };
            undone.push((job, what, note.before));
        }
        if !dead.ids.is_empty() {
            sqlx::query(BURY_AGAIN)
                .bind(&dead.ids)
                .bind(&dead.before)
                .bind(action.0)
                .execute(&mut *transaction)
                .await?;
        }
        live.live_again(&mut transaction, &mut undone).await?;
        super::moves::call_off(&mut transaction, &called_off, "taken back by who submitted it").await?;
        sqlx::query(MARK)
            .bind(&marks)
            .bind(by.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((undone, next))
    }
}

/// Jobs that take the same way back.
#[derive(Default)]
struct Batch {
    ids: Vec<Uuid>,
    before: Vec<Value>,
}

impl Batch {
    fn add(&mut self, note: &Note) {
        self.ids.push(note.job_id);
        self.before.push(note.before.clone());
    }

    /// Lets them live again, and tells in which state they do.
    async fn live_again(
        &self,
        transaction: &mut PgConnection,
        undone: &mut [(JobId, Undone, Value)],
    ) -> Result<(), StoreError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let states: Vec<(Uuid, String)> = sqlx::query_as(LIVE_AGAIN)
            .bind(&self.ids)
            .bind(&self.before)
            .fetch_all(transaction)
            .await?;
        let states: HashMap<Uuid, String> = states.into_iter().collect();
        for (job, what, _) in undone {
            if let (Undone::Waits(one), Some(state)) = (what, states.get(&job.0)) {
                one.state = state.parse().unwrap_or(JobState::Waiting);
            }
        }
        Ok(())
    }
}

impl Note {
    /// Whether nothing has happened to the job since.
    fn can_come_back(&self, now: &Standing) -> bool {
        self.is_last
            && !now.foreign_done
            && now.attempt == self.attempt
            && How::of(&self.how).is_some_and(|how| how.left(now.state))
    }
}

/// Jobs that are looked at in one statement.
pub const PAGE: i64 = 200;

async fn notes(
    connection: &mut PgConnection,
    action: ActionId,
    after: Option<Uuid>,
) -> Result<Vec<Note>, StoreError> {
    let notes = sqlx::query_as(NOTES)
        .bind(action.0)
        .bind(after)
        .bind(PAGE)
        .bind(Uuid::nil())
        .fetch_all(connection)
        .await?;
    Ok(notes)
}

/// A waiting job as something that is owed an entry.
#[must_use]
pub fn owed_again(undone: &[(JobId, Undone, Value)]) -> Vec<Owed> {
    let waits = undone.iter().filter_map(|(_, what, _)| match what {
        Undone::Waits(one) if one.state == JobState::Waiting => Some(one.owed()),
        _ => None,
    });
    waits.collect()
}
