//! The reference's producer and worker, played from its wire contract: its commands, rows, statuses and events,
//! and its gaps, with nothing of ours in between.

use std::collections::HashMap;
use std::time::Duration;

use millstream::domain::{EntryId, JobId};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::World;

/// What the reference's worker leaves alone: entries that were touched less long ago.
pub const RECLAIM: Duration = Duration::from_secs(30);
/// How long a read waits. The reference waits 1 s or 5 s, which a test's end would only wait for.
const BLOCK: Duration = Duration::from_millis(100);
/// The reason in the rows that it finishes.
pub const REASON: &str = "played by the reference";
/// The agents of a change without a user interface, in the order of their findings.
pub const AGENTS: [&str; 3] = ["security", "performance", "judge"];

/// What a consumer group hands out: id and flat fields.
type Row = (String, Vec<String>);

/// An entry in the hands of the reference's worker.
#[derive(Debug, Clone)]
pub struct Taken {
    pub entry: EntryId,
    /// A field that stands there twice has its last value, as in a map of the reference.
    fields: HashMap<String, String>,
}

impl Taken {
    fn new((id, flat): Row) -> Self {
        let pairs = flat
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()));
        Self {
            entry: id.parse().expect("the server makes entry ids"),
            fields: pairs.collect(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// The review it carries.
    pub fn review(&self) -> JobId {
        let id = self.field("reviewId").and_then(|id| id.parse().ok());
        id.expect("it carries a review")
    }
}

impl World {
    /// Accepts a pull request as the reference's producer does: the row, then the entry of two fields.
    pub async fn post(&self, pr_url: &str) -> JobId {
        let id = JobId::fresh();
        sqlx::query(
            "insert into reviews (id, pr_url, status, source, workflow)
             values ($1, $2, 'running', 'queue-agents', 'code-review')",
        )
        .bind(id.0)
        .bind(pr_url)
        .execute(&self.sql)
        .await
        .expect("postgres is there");
        self.add_shared(&[("reviewId", &id.to_string()), ("prUrl", pr_url)])
            .await;
        id
    }

    /// Adds an entry to the reference's stream.
    pub async fn add_shared(&self, fields: &[(&str, &str)]) -> EntryId {
        let id: String = redis::cmd("XADD")
            .arg(&self.queue.keys().shared)
            .arg("*")
            .arg(fields)
            .query_async(&mut self.valkey.clone())
            .await
            .expect("valkey is there");
        id.parse().expect("the server makes entry ids")
    }

    /// Makes an entry of the reference's stream look as if its consumer had left it alone for this long.
    pub async fn age_shared(&self, entry: EntryId, consumer: &str, idle: Duration) {
        redis::cmd("XCLAIM")
            .arg(&self.queue.keys().shared)
            .arg(&self.settings.group)
            .arg(consumer)
            .arg(0)
            .arg(entry.to_string())
            .arg("IDLE")
            .arg(idle.as_millis() as u64)
            .arg("JUSTID")
            .query_async::<redis::Value>(&mut self.valkey.clone())
            .await
            .expect("the group is there");
    }

    /// What is pending on the reference's stream: entry, holder, idle time.
    pub async fn pending_shared(&self) -> Vec<(EntryId, String, Duration)> {
        let rows: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
            .arg(&self.queue.keys().shared)
            .arg(&self.settings.group)
            .arg("-")
            .arg("+")
            .arg(1_000)
            .query_async(&mut self.valkey.clone())
            .await
            .expect("the group is there");
        rows.into_iter()
            .map(|(id, holder, idle, _)| {
                let id = id.parse().expect("the server makes entry ids");
                (id, holder, Duration::from_millis(idle))
            })
            .collect()
    }
}

/// The reference's worker: one job at a time, no heartbeat, no fence.
pub struct ReferenceWorker {
    name: String,
    stream: String,
    group: String,
    reclaim: Duration,
    /// Blocking reads have a connection of their own.
    reading: MultiplexedConnection,
    telling: MultiplexedConnection,
    sql: PgPool,
    /// What the model says instead of an answer, for the next reviews.
    failures: Vec<String>,
    finished: usize,
}

impl ReferenceWorker {
    /// Starts one, as far as making the group: at the end of the stream, unless there is one. The process id is
    /// in its name; `reclaim` is how long an entry must have been left alone for it to take it.
    pub async fn start(world: &World, pid: u32, reclaim: Duration) -> Self {
        let client = redis::Client::open(world.valkey_url.as_str()).expect("an address of ours");
        let mut reading = client
            .get_multiplexed_async_connection()
            .await
            .expect("valkey is there");
        let made: redis::RedisResult<()> = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(&world.queue.keys().shared)
            .arg(&world.settings.group)
            .arg("$")
            .arg("MKSTREAM")
            .query_async(&mut reading)
            .await;
        if let Err(error) = made {
            assert_eq!(error.code(), Some("BUSYGROUP"), "{error}");
        }
        Self {
            name: format!("worker-{pid}"),
            stream: world.queue.keys().shared.clone(),
            group: world.settings.group.clone(),
            reclaim,
            reading,
            telling: world.valkey.clone(),
            sql: world.sql.clone(),
            failures: Vec::new(),
            finished: 0,
        }
    }

    /// Its consumer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many reviews it has finished.
    pub const fn finished(&self) -> usize {
        self.finished
    }

    /// Its next review fails with this message.
    pub fn fail_next(&mut self, message: &str) {
        self.failures.push(message.to_owned());
    }

    /// Turn after turn, until it is asked to end; what it has begun it finishes.
    pub async fn work(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            self.turn().await;
        }
        self
    }

    /// A turn of its loop: what others left alone, one after the other, then one new entry.
    pub async fn turn(&mut self) {
        for taken in self.reclaim().await {
            self.run(&taken).await;
        }
        if let Some(taken) = self.read().await {
            self.run(&taken).await;
        }
    }

    /// Takes what others have left alone.
    pub async fn reclaim(&mut self) -> Vec<Taken> {
        let (_next, rows, _deleted): (String, Vec<Row>, Vec<String>) = redis::cmd("XAUTOCLAIM")
            .arg(&self.stream)
            .arg(&self.group)
            .arg(&self.name)
            .arg(self.reclaim.as_millis() as u64)
            .arg(0)
            .arg("COUNT")
            .arg(10)
            .query_async(&mut self.reading)
            .await
            .expect("the group is there");
        rows.into_iter().map(Taken::new).collect()
    }

    /// Waits for one new entry.
    pub async fn read(&mut self) -> Option<Taken> {
        let streams: Option<Vec<(String, Vec<Row>)>> = redis::cmd("XREADGROUP")
            .arg("GROUP")
            .arg(&self.group)
            .arg(&self.name)
            .arg("COUNT")
            .arg(1)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(&self.stream)
            .arg(">")
            .query_async(&mut self.reading)
            .await
            .expect("the group is there");
        let row = streams?.into_iter().next()?.1.into_iter().next()?;
        Some(Taken::new(row))
    }

    /// Runs one entry. What it cannot read it acknowledges and says nothing; what fails it leaves pending.
    pub async fn run(&mut self, taken: &Taken) {
        if taken.field("reviewId").is_none() || taken.field("prUrl").is_none() {
            return self.acknowledge(taken).await;
        }
        let id = taken.review();
        match self.review(id).await {
            Ok(()) => {
                self.record(id).await;
                self.acknowledge(taken).await;
                self.finished += 1;
            }
            Err(message) => self.fail(id, &message).await,
        }
    }

    /// Acknowledges an entry. It is never deleted.
    pub async fn acknowledge(&mut self, taken: &Taken) {
        redis::cmd("XACK")
            .arg(&self.stream)
            .arg(&self.group)
            .arg(taken.entry.to_string())
            .query_async::<u64>(&mut self.telling)
            .await
            .expect("valkey is there");
    }

    /// The review up to its record: what it tells, and the spans of its agents.
    async fn review(&mut self, id: JobId) -> Result<(), String> {
        self.tell(id, json!({ "type": "phase", "phase": "prepare" }))
            .await;
        let kept = "1 files (0 noise dropped)";
        self.tell(id, json!({ "type": "phase", "phase": "filter", "detail": kept }))
            .await;
        let (reviewers, judge) = AGENTS.split_at(2);
        let detail = reviewers.join(", ");
        self.tell(
            id,
            json!({ "type": "phase", "phase": "review", "detail": detail }),
        )
        .await;
        for agent in reviewers {
            self.tell(id, json!({ "type": "agent_start", "agent": agent }))
                .await;
        }
        for agent in reviewers {
            self.agent(id, agent, json!({ "patches": [] })).await;
            let done = json!({ "type": "agent_done", "agent": agent, "note": note(agent) });
            self.tell(id, done).await;
        }
        self.tell(id, json!({ "type": "phase", "phase": "judge" })).await;
        if let Some(message) = self.failures.pop() {
            return Err(message);
        }
        self.agent(id, judge[0], json!({ "findings": [] })).await;
        Ok(())
    }

    /// An agent with one turn of its model: two spans, begun and ended.
    async fn agent(&self, id: JobId, name: &str, input: Value) {
        let usage = json!({ "inputTokens": 100, "outputTokens": 20 });
        let (agent, turn) = (Uuid::new_v4(), Uuid::new_v4());
        self.begin_span(id, agent, None, name, "agent", input).await;
        self.begin_span(id, turn, Some(agent), "llm", "llm", json!({ "iteration": 0 }))
            .await;
        let said = json!({ "stopReason": "end_turn", "usage": usage, "final": true });
        self.end_span(turn, said).await;
        self.end_span(agent, json!({ "text": note(name), "usage": usage }))
            .await;
    }

    async fn begin_span(
        &self,
        id: JobId,
        span: Uuid,
        parent: Option<Uuid>,
        name: &str,
        kind: &str,
        input: Value,
    ) {
        sqlx::query(
            "insert into spans (span_id, run_id, parent_span_id, name, kind, status, input)
             values ($1, $2, $3, $4, $5, 'running', $6)",
        )
        .bind(span)
        .bind(id.0)
        .bind(parent)
        .bind(name)
        .bind(kind)
        .bind(input)
        .execute(&self.sql)
        .await
        .expect("postgres is there");
    }

    async fn end_span(&self, span: Uuid, output: Value) {
        sqlx::query("update spans set status = 'ok', output = $2, ended_at = now() where span_id = $1")
            .bind(span)
            .bind(output)
            .execute(&self.sql)
            .await
            .expect("postgres is there");
    }

    /// Writes the result: statement by statement, asking nobody whether one is there.
    pub async fn record(&mut self, id: JobId) {
        for agent in AGENTS {
            sqlx::query("insert into findings (review_id, agent, note) values ($1, $2, $3)")
                .bind(id.0)
                .bind(agent)
                .bind(note(agent))
                .execute(&self.sql)
                .await
                .expect("postgres is there");
        }
        sqlx::query(
            "update reviews set status = 'done', verdict = 'approve', reason = $2, input_tokens = 300,
             output_tokens = 60, updated_at = now() where id = $1",
        )
        .bind(id.0)
        .bind(REASON)
        .execute(&self.sql)
        .await
        .expect("postgres is there");
        self.tell(id, json!({ "type": "phase", "phase": "done" })).await;
    }

    /// Writes a failure: the row is `queued`, its tokens are gone, the entry stays.
    async fn fail(&mut self, id: JobId, message: &str) {
        sqlx::query(
            "update reviews set status = 'queued', verdict = null, reason = $2, input_tokens = 0,
             output_tokens = 0, updated_at = now() where id = $1",
        )
        .bind(id.0)
        .bind(message)
        .execute(&self.sql)
        .await
        .expect("postgres is there");
        self.tell(id, json!({ "type": "error", "message": message }))
            .await;
    }

    async fn tell(&mut self, id: JobId, event: Value) {
        redis::cmd("PUBLISH")
            .arg(format!("review:{id}"))
            .arg(event.to_string())
            .query_async::<u64>(&mut self.telling)
            .await
            .expect("valkey is there");
    }
}

/// What an agent of it writes; the judge's finding is its reason.
fn note(agent: &str) -> &str {
    if agent == AGENTS[2] {
        REASON
    } else {
        "nothing to say"
    }
}
