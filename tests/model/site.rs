//! The real servers of a case: the queue, the store, the clocks that a test can move, and a look at everything.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use millstream::domain::{EntryId, JobId, Lane};
use millstream::ops::{Operator, Rights};
use millstream::queue::keys::{lane_number, numbered_lane};
use millstream::queue::reader::connection_name;
use millstream::queue::{Queue, Wire};
use millstream::settings::QueueSettings;
use millstream::store::Store;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisError, Value, from_redis_value};
use sqlx::PgPool;
use uuid::Uuid;

use super::ledger::Row;
use super::step::{Loss, WORKERS};
use super::stream::{Held, Stream, Streams};
use crate::support::World;

/// Who is fresh has beaten in an hour from now, so that only a step makes anybody silent.
const KEEP_FRESH: &str = "local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 1, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now + 3600000, ARGV[i]) end
return now";

/// How long a server has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How idle an entry is made when a long time passes: longer than every limit.
const LONG_MS: u64 = 600_000;

const LOOK: &str = "
select j.id, j.state, j.attempt, j.failures, j.crashes, j.worker, j.entry_id, j.delivery,
       coalesce((select array_agg(a.worker order by a.attempt) from millstream.all_attempts a where a.job_id = j.id),
                '{}') as runners,
       coalesce((select array_agg(a.outcome order by a.attempt) from millstream.all_attempts a where a.job_id = j.id),
                '{}') as outcomes,
       (select count(*) from model_results r where r.job = j.id) as results
from millstream.jobs j where j.queue = $1";

/// What one thread of cases uses: a database, and lines that can carry a worker's name.
pub struct Servers {
    world: World,
    names: Vec<MultiplexedConnection>,
}

impl Servers {
    pub async fn new() -> Result<Self> {
        let world = World::new().await;
        sqlx::raw_sql("create table model_results (job uuid not null, attempt int not null)")
            .execute(&world.sql)
            .await?;
        let client = redis::Client::open(world.valkey_url.as_str())?;
        // A busy machine answers late, and that is no case's fault.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
        let mut names = Vec::new();
        for _ in 0..WORKERS {
            names.push(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            );
        }
        Ok(Self { world, names })
    }

    /// A queue of its own for one case.
    pub fn site(&self) -> Result<Site> {
        let settings = QueueSettings {
            name: format!("m{}:queue", JobId::fresh().0.simple()),
            ..self.world.settings.clone()
        };
        let queue = Queue::open(&self.world.valkey_url.as_str().into(), &settings, Wire::JOB)?;
        let store = self.world.store.clone();
        Ok(Site {
            operator: Operator::new(store.clone(), queue.clone(), "model", Rights::Explicit),
            name: settings.name,
            group: settings.group,
            queue,
            store,
            sql: self.world.sql.clone(),
            valkey: self.world.valkey.clone(),
            names: self.names.clone(),
        })
    }
}

/// One queue on both servers.
pub struct Site {
    pub name: String,
    group: String,
    pub queue: Queue,
    pub store: Store,
    pub operator: Operator,
    sql: PgPool,
    valkey: MultiplexedConnection,
    names: Vec<MultiplexedConnection>,
}

/// What both servers say.
#[derive(Debug, Clone)]
pub struct Seen {
    pub rows: BTreeMap<JobId, Row>,
    pub streams: Streams,
}

#[derive(sqlx::FromRow)]
struct LedgerRow {
    id: Uuid,
    state: String,
    attempt: i32,
    failures: i32,
    crashes: i32,
    worker: Option<String>,
    entry_id: Option<String>,
    delivery: i32,
    runners: Vec<String>,
    outcomes: Vec<Option<String>>,
    results: i64,
}

type Entries = Vec<(String, Vec<(String, String)>)>;
type Pending = Vec<(String, String, u64, u32)>;

impl Site {
    /// Gives a line the name of a worker, or takes it away: whether it is connected.
    pub async fn name_line(&self, nth: usize, worker: Option<&str>) -> Result<()> {
        let name = worker.map(connection_name).unwrap_or_default();
        let mut line = self.names[nth].clone();
        let () = redis::cmd("CLIENT")
            .arg("SETNAME")
            .arg(name)
            .query_async(&mut line)
            .await?;
        Ok(())
    }

    /// Looks at everything; `fresh` workers are kept fresh.
    pub async fn look(&self, fresh: &[String]) -> Result<Seen> {
        Ok(Seen {
            rows: self.look_at_rows().await?,
            streams: self.look_at_streams(fresh).await?,
        })
    }

    async fn look_at_rows(&self) -> Result<BTreeMap<JobId, Row>> {
        let rows: Vec<LedgerRow> = sqlx::query_as(LOOK).bind(&self.name).fetch_all(&self.sql).await?;
        rows.into_iter().map(LedgerRow::read).collect()
    }

    /// One trip: everything at once, each part as it is or not there.
    async fn look_at_streams(&self, fresh: &[String]) -> Result<Streams> {
        let keys = self.queue.keys();
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        pipe.cmd("EVAL")
            .arg(KEEP_FRESH)
            .arg(1)
            .arg(&keys.workers)
            .arg(fresh);
        for due in [&keys.due, &keys.due_high] {
            pipe.cmd("ZRANGE").arg(due).arg(0).arg(-1).arg("WITHSCORES");
        }
        pipe.cmd("XRANGE").arg(&keys.dead).arg("-").arg("+");
        pipe.cmd("EXISTS")
            .arg(&keys.letters)
            .cmd("EXISTS")
            .arg(&keys.pause);
        pipe.cmd("GET").arg(&keys.epoch).cmd("GET").arg(&keys.sweeper);
        for lane in Lane::ALL {
            let key = keys.stream(lane);
            pipe.cmd("XRANGE").arg(&[key, "-", "+"]);
            pipe.cmd("XINFO").arg(&["GROUPS", key]);
            pipe.cmd("XPENDING").arg(&[key, &self.group, "-", "+", "1000"]);
        }
        let parts: Vec<Result<Value, RedisError>> = pipe.query_async(&mut self.valkey.clone()).await?;
        let mut parts = parts.into_iter();
        let mut streams = Streams::new();
        let now: f64 = part(&mut parts)?;
        for _ in 0..2 {
            for (member, score) in part::<Vec<(String, f64)>>(&mut parts)? {
                let (number, entry) = member.split_once(':').unwrap_or_default();
                streams
                    .due
                    .insert((numbered_lane(number.parse()?), entry.parse()?), score <= now);
            }
        }
        let letters = part::<Entries>(&mut parts)?;
        streams.letters = letters.iter().map(|(_, fields)| job_of(fields)).collect();
        (streams.letters_noted, streams.paused) = (part(&mut parts)?, part(&mut parts)?);
        (streams.epoch, streams.sweeper) = (part(&mut parts)?, part(&mut parts)?);
        for lane in Lane::ALL {
            let mut stream = Stream::default();
            for (id, fields) in part::<Entries>(&mut parts)? {
                stream.entries.insert(id.parse()?, job_of(&fields));
            }
            // Where there is no stream or no group these two are refused.
            let groups: Vec<BTreeMap<String, Value>> = part(&mut parts).unwrap_or_default();
            if let Some(group) = groups.into_iter().next() {
                let last: String = from_redis_value(group["last-delivered-id"].clone())?;
                stream.last = Some(last.parse()?);
            }
            for (id, consumer, _idle, deliveries) in part::<Pending>(&mut parts).unwrap_or_default() {
                stream.pending.insert(id.parse()?, Held { consumer, deliveries });
            }
            streams.lanes.insert(lane, stream);
        }
        Ok(streams)
    }

    /// The names of all consumers.
    pub async fn consumers(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for lane in Lane::ALL {
            let rows: Vec<BTreeMap<String, Value>> = redis::cmd("XINFO")
                .arg(&["CONSUMERS", self.queue.keys().stream(lane), &self.group])
                .query_async(&mut self.valkey.clone())
                .await?;
            for row in rows {
                found.push(from_redis_value(row["name"].clone())?);
            }
        }
        Ok(found)
    }

    /// A worker looks at its own entries: its last beat has to lie in the past for that.
    pub async fn beat_now(&self, worker: &str) -> Result<()> {
        let mut command = redis::cmd("ZADD");
        command
            .arg(&self.queue.keys().workers)
            .arg("XX")
            .arg(1)
            .arg(worker);
        Ok(command.query_async(&mut self.valkey.clone()).await?)
    }

    /// Keeps the election from running out by itself: only a step lets time pass.
    pub async fn hold_election(&self) -> Result<()> {
        let keys = self.queue.keys();
        let mut pipe = redis::pipe();
        pipe.cmd("PERSIST")
            .arg(&keys.sweeper)
            .ignore()
            .cmd("PERSIST")
            .arg(&keys.steady)
            .ignore();
        Ok(pipe.query_async(&mut self.valkey.clone()).await?)
    }

    /// Sends what there is to send.
    async fn run(&self, pipe: &redis::Pipeline) -> Result<()> {
        if !pipe.is_empty() {
            let () = pipe.query_async(&mut self.valkey.clone()).await?;
        }
        Ok(())
    }

    /// What is parked or scheduled is due.
    pub async fn moment(&self, streams: &Streams) -> Result<()> {
        let keys = self.queue.keys();
        let mut pipe = redis::pipe();
        for (lane, entry) in streams.due.keys() {
            let member = format!("{}:{entry}", lane_number(*lane));
            pipe.cmd("ZADD")
                .arg(keys.due(*lane))
                .arg("XX")
                .arg(1)
                .arg(member)
                .ignore();
        }
        self.run(&pipe).await?;
        sqlx::query(
            "update millstream.jobs set run_at = now() - interval '1 s'
             where queue = $1 and state in ('scheduled', 'retrying')",
        )
        .bind(&self.name)
        .execute(&self.sql)
        .await?;
        Ok(())
    }

    /// Longer than any limit passes.
    pub async fn long(&self, streams: &Streams) -> Result<()> {
        self.moment(streams).await?;
        let keys = self.queue.keys();
        let mut pipe = redis::pipe();
        for (lane, stream) in &streams.lanes {
            let there = stream
                .pending
                .iter()
                .filter(|(id, _)| stream.entries.contains_key(id));
            for (id, held) in there {
                let claim = pipe
                    .cmd("XCLAIM")
                    .arg(keys.stream(*lane))
                    .arg(&self.group)
                    .arg(&held.consumer);
                claim
                    .arg(0)
                    .arg(id.to_string())
                    .arg("IDLE")
                    .arg(LONG_MS)
                    .arg("JUSTID")
                    .ignore();
            }
        }
        for worker in streams.cards.keys() {
            pipe.cmd("ZADD")
                .arg(&keys.workers)
                .arg("XX")
                .arg(1)
                .arg(worker)
                .ignore();
        }
        pipe.cmd("DEL").arg(&keys.sweeper).arg(&keys.steady).ignore();
        self.run(&pipe).await?;
        sqlx::query("update millstream.jobs set updated_at = updated_at - interval '40 s' where queue = $1")
            .bind(&self.name)
            .execute(&self.sql)
            .await?;
        Ok(())
    }

    /// Adds an entry that carries no job.
    pub async fn add_garbage(&self, lane: Lane) -> Result<EntryId> {
        let id: String = redis::cmd("XADD")
            .arg(&[self.queue.keys().stream(lane), "*", "word", "garbage"])
            .query_async(&mut self.valkey.clone())
            .await?;
        Ok(id.parse()?)
    }

    /// Takes something away.
    pub async fn lose(&self, loss: Loss, streams: &Streams) -> Result<()> {
        let keys = self.queue.keys();
        let mut names: Vec<String> = Vec::new();
        match loss {
            Loss::All => {
                names.extend(Lane::ALL.map(|lane| keys.stream(lane).to_owned()));
                names.extend(streams.cards.keys().map(|worker| keys.card(worker)));
                let rest = [
                    &keys.due,
                    &keys.due_high,
                    &keys.dead,
                    &keys.letters,
                    &keys.pause,
                    &keys.sweeper,
                    &keys.steady,
                    &keys.epoch,
                    &keys.owner,
                    &keys.workers,
                ];
                names.extend(rest.into_iter().cloned());
            }
            Loss::Stream(lane) => names.push(keys.stream(lane).to_owned()),
            Loss::DueTimes => names.extend([keys.due.clone(), keys.due_high.clone()]),
            Loss::Payloads(lane) => {
                let trim: Result<u64, _> = redis::cmd("XTRIM")
                    .arg(&[keys.stream(lane), "MAXLEN", "0"])
                    .query_async(&mut self.valkey.clone())
                    .await;
                trim?;
                return Ok(());
            }
        }
        let () = redis::cmd("DEL")
            .arg(names)
            .query_async(&mut self.valkey.clone())
            .await?;
        Ok(())
    }

    /// Leaves nothing behind.
    pub async fn clear(&self, streams: &Streams) -> Result<()> {
        self.lose(Loss::All, streams).await?;
        sqlx::query(
            "delete from model_results where job in (select id from millstream.jobs where queue = $1)",
        )
        .bind(&self.name)
        .execute(&self.sql)
        .await?;
        sqlx::query("delete from millstream.queues where name = $1")
            .bind(&self.name)
            .execute(&self.sql)
            .await?;
        self.store.forget_queue(&self.name).await?;
        for table in ["actions", "idempotency"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("delete from millstream.{table}")))
                .execute(&self.sql)
                .await?;
        }
        Ok(())
    }
}

/// The next part of what a trip has brought.
fn part<T: FromRedisValue>(parts: &mut impl Iterator<Item = Result<Value, RedisError>>) -> Result<T> {
    let part = parts.next().context("a part of the answer is missing")??;
    Ok(from_redis_value(part)?)
}

/// The job that an entry or a letter names.
fn job_of(fields: &[(String, String)]) -> Option<JobId> {
    let job = fields.iter().find(|(name, _)| name == Wire::JOB.id)?;
    job.1.parse().ok()
}

impl LedgerRow {
    fn read(self) -> Result<(JobId, Row)> {
        let row = Row {
            state: self.state.parse()?,
            attempt: self.attempt,
            failures: self.failures,
            crashes: self.crashes,
            worker: self.worker,
            entry: self.entry_id.map(|entry| entry.parse()).transpose()?,
            delivery: self.delivery,
            attempts: self.runners.into_iter().zip(self.outcomes).collect(),
            results: self.results,
        };
        Ok((JobId(self.id), row))
    }
}
