//! The dead by their cause: equal failures are counted together, all of them, however many there are.
//!
//! A cause is the fingerprint of a failure, which is written with the end of the job that it buried.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connect::Store;
use super::error::StoreError;
use crate::domain::fingerprint::fingerprint;

/// The most causes that are listed: the largest ones. How many there are is counted all the same.
pub const MOST_CAUSES: i64 = 200;

/// A cause, with what died of it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct CauseRow {
    /// Its fingerprint; nothing for jobs that an older version buried and nobody has looked at since.
    pub fingerprint: Option<String>,
    /// The class of the failures.
    pub class: Option<String>,
    /// The newest of them.
    pub error: Option<String>,
    /// How many are dead of it.
    pub count: i64,
    /// When the first of them died.
    pub first_at: DateTime<Utc>,
    /// When the last of them died.
    pub last_at: DateTime<Utc>,
    /// How many workers ran them last.
    pub workers: i64,
    /// The fewest starts of one of them.
    pub least_tries: i32,
    /// The most starts of one of them.
    pub most_tries: i32,
    /// Their types.
    pub kinds: Vec<String>,
    /// How many died in each half minute of the last five, the latest last.
    pub lately: Vec<i64>,
    /// How many causes there are.
    pub causes: i64,
    /// How many are dead of all of them.
    pub dead: i64,
}

const CAUSES: &str = "
with causes as (
    select fingerprint, min(error_class) as class, count(*) as count, min(finished_at) as first_at,
           max(finished_at) as last_at, count(distinct worker) as workers, min(attempt) as least_tries,
           max(attempt) as most_tries, array_agg(distinct kind) as kinds,
           count(*) over () as causes, (sum(count(*)) over ())::bigint as dead
    from millstream.jobs where queue = $1 and given_up = 'dead' and finished_at is not null
    group by fingerprint order by count(*) desc, max(finished_at) desc limit $2
), lately as (
    select fingerprint, floor(extract(epoch from now() - finished_at) / 30)::int as ago, count(*) as count
    from millstream.jobs
    where queue = $1 and given_up = 'dead' and finished_at > now() - interval '5 min'
    group by 1, 2
)
select c.*, s.error,
       array(select coalesce(sum(l.count), 0)::bigint
             from generate_series(9, 0, -1) as n (ago)
             left join lately l on l.ago = n.ago and l.fingerprint = c.fingerprint
             group by n.ago order by n.ago desc) as lately
from causes c
left join lateral (
    select left(j.error, 2000) as error from millstream.jobs j
    where j.queue = $1 and j.given_up = 'dead' and j.fingerprint = c.fingerprint
    order by j.finished_at desc limit 1
) s on true
order by c.count desc, c.last_at desc";

const UNNAMED: &str = "
select id, error_class, left(error, 4000) from millstream.jobs
where queue = $1 and given_up = 'dead' and fingerprint is null limit $2";

/// Rows are locked in the order in which moves lock them, and those that somebody moves meanwhile are left to the next
/// pass: whoever waited here while holding others would be waited for.
const NAME: &str = "
with locked as (
    select j.id, g.fingerprint
    from unnest($1::uuid[], $2::text[]) as g (id, fingerprint) join millstream.jobs j on j.id = g.id
    where j.given_up = 'dead' and j.fingerprint is null
    order by j.id for no key update of j skip locked
)
update millstream.jobs j set fingerprint = l.fingerprint from locked l where j.id = l.id";

impl Store {
    /// The causes that most of the dead died of, the largest first.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn causes(&self, queue: &str) -> Result<Vec<CauseRow>, StoreError> {
        let rows = sqlx::query_as(CAUSES)
            .bind(queue)
            .bind(MOST_CAUSES)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows)
    }

    /// Gives a fingerprint to dead jobs that have none, at most so many; answers how many there were.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn name_causes(&self, queue: &str, limit: u32) -> Result<u64, StoreError> {
        let rows: Vec<(Uuid, Option<String>, Option<String>)> = sqlx::query_as(UNNAMED)
            .bind(queue)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let names: Vec<String> = rows
            .iter()
            .map(|(_, class, error)| fingerprint(class.as_deref(), error.as_deref()))
            .collect();
        let done = sqlx::query(NAME)
            .bind(rows.iter().map(|(id, ..)| *id).collect::<Vec<Uuid>>())
            .bind(names)
            .execute(&self.pool())
            .await?;
        Ok(done.rows_affected())
    }
}
