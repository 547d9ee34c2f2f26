//! How many jobs stand where, in one snapshot, and how fast they come and go.
//!
//! Every part is read from an index of its own. What has ended long ago is never counted twice by whoever counts
//! again and again: a [`Settled`] keeps it. `accepted` is counted apart from the states, so that their sum checks it.

use chrono::{DateTime, Utc};

use super::connect::Store;
use super::error::StoreError;

/// How many jobs stand where, read in one statement, so that they add up.
#[derive(Debug, Clone, PartialEq, Default, sqlx::FromRow)]
pub struct Counts {
    /// The server's clock.
    pub counted_at: DateTime<Utc>,
    /// All that were ever accepted.
    pub accepted: i64,
    /// Held until their time comes.
    pub scheduled: i64,
    /// Owed to or in the stream.
    pub waiting: i64,
    /// Running.
    pub running: i64,
    /// Between two attempts.
    pub retrying: i64,
    /// Given up.
    pub dead: i64,
    /// Dead and thrown away.
    pub dropped: i64,
    /// Called off.
    pub cancelled: i64,
    /// Finished.
    pub done: i64,
    /// Age of the oldest waiting job.
    pub oldest_waiting_s: Option<f64>,
    /// How long the oldest attempt has run that runs still.
    pub oldest_running_s: Option<f64>,
    /// Jobs that died in the last minute.
    pub died_last_minute: i64,
    /// Jobs accepted a second, over the last minute.
    pub in_per_s: f64,
    /// Jobs ended a second, over the last minute.
    pub out_per_s: f64,
    /// Jobs accepted a second, over the last 15 seconds.
    pub in_lately_per_s: f64,
    /// What need not be counted again, with the time up to which it was counted.
    #[sqlx(flatten)]
    pub settled: Settled,
}

impl Counts {
    /// Whether every accepted job stands in exactly one state.
    #[must_use]
    pub const fn add_up(&self) -> bool {
        self.accepted
            == self.scheduled
                + self.waiting
                + self.running
                + self.retrying
                + self.dead
                + self.dropped
                + self.cancelled
                + self.done
    }
}

/// Jobs that were accepted, and jobs that were done, before a time: rows that nothing changes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Settled {
    /// The time; nothing was counted yet while it is none.
    #[sqlx(rename = "settled_at")]
    pub at: Option<DateTime<Utc>>,
    /// Accepted before it.
    #[sqlx(rename = "settled_accepted")]
    pub accepted: i64,
    /// Done before it.
    #[sqlx(rename = "settled_done")]
    pub done: i64,
}

/// `$1` the queue; `$2` to `$4` a [`Settled`]. Its time stands in each part as it is: behind a name of its own it
/// would be no bound for the index.
///
/// A row carries the time at which its transaction began, and is seen when that commits. None of ours takes
/// minutes: each statement ends after 30 s, and each pause between two after 15 s.
const COUNTS: &str = "
with came as (
    select count(*) as n, count(*) filter (where created_at < now() - interval '3 min') as n_settled,
           count(*) filter (where created_at > now() - interval '60 s') as last_minute,
           count(*) filter (where created_at > now() - interval '15 s') as lately
    from millstream.jobs where queue = $1 and created_at >= coalesce($2, '-infinity'::timestamptz)
), went as (
    select count(*) filter (where state = 'done') as n,
           count(*) filter (where state = 'done' and finished_at < now() - interval '3 min') as n_settled,
           count(*) filter (where finished_at > now() - interval '60 s') as last_minute,
           count(*) filter (where state = 'dead' and finished_at > now() - interval '60 s') as died
    from millstream.jobs where queue = $1 and finished_at >= coalesce($2, '-infinity'::timestamptz)
), live as (
    select count(*) filter (where state = 'scheduled') as scheduled,
           count(*) filter (where state = 'waiting') as waiting,
           count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'retrying') as retrying,
           min(created_at) filter (where state = 'waiting') as oldest_waiting,
           min(started_at) filter (where state = 'running') as oldest_running
    from millstream.jobs where queue = $1 and live
), ended as (
    select count(*) filter (where given_up = 'dead') as dead,
           count(*) filter (where given_up = 'dropped') as dropped,
           count(*) filter (where given_up = 'cancelled') as cancelled
    from millstream.jobs where queue = $1 and given_up is not null
)
select now() as counted_at, $3 + came.n as accepted, scheduled, waiting, running, retrying, dead, dropped, cancelled,
       $4 + went.n as done, extract(epoch from now() - oldest_waiting)::float8 as oldest_waiting_s,
       extract(epoch from now() - oldest_running)::float8 as oldest_running_s,
       went.died as died_last_minute, came.last_minute / 60.0::float8 as in_per_s,
       went.last_minute / 60.0::float8 as out_per_s, came.lately / 15.0::float8 as in_lately_per_s,
       now() - interval '3 min' as settled_at, $3 + came.n_settled as settled_accepted, $4 + went.n_settled as settled_done
from came, went, live, ended";

impl Store {
    /// Counts the jobs of a queue, in one snapshot.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn counts(&self, queue: &str) -> Result<Counts, StoreError> {
        self.counts_since(queue, Settled::default()).await
    }

    /// The same without what an earlier answer's [`Counts::settled`] has counted: what it costs goes with what has
    /// happened since, and with what is not done yet. A sum that comes out wrong is counted again from nought.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn counts_since(&self, queue: &str, settled: Settled) -> Result<Counts, StoreError> {
        let counts = self.count(queue, settled).await?;
        if counts.add_up() || settled == Settled::default() {
            return Ok(counts);
        }
        self.count(queue, Settled::default()).await
    }

    async fn count(&self, queue: &str, settled: Settled) -> Result<Counts, StoreError> {
        let counts = sqlx::query_as(COUNTS)
            .bind(queue)
            .bind(settled.at)
            .bind(settled.accepted)
            .bind(settled.done)
            .fetch_one(&self.pool())
            .await?;
        Ok(counts)
    }
}
