//! What must hold at the end of every scenario, whichever reply was lost.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use millstream::domain::{JobId, JobState, Lane};
use millstream::engine::sweep::Sweeper;
use millstream::queue::keys::PARKED;
use millstream::store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::stage::Stage;

/// A worker that has been silent for so long is through.
const SILENT: Duration = Duration::from_secs(120);

impl Stage {
    /// Waits until every job has its end and nothing is on its way any more.
    pub async fn until_settled(&self) {
        for (job, end) in &self.expected {
            self.until_in(*job, &[*end]).await;
        }
        let queue = &self.world.queue;
        self.help_until("nothing is left in Valkey", || async {
            let depth = queue.depth().await.expect("valkey is there");
            let pause = queue.pause_text().await.expect("valkey is there");
            (depth.entries + depth.pending + depth.parked == 0 && pause.is_none()).then_some(())
        })
        .await;
    }

    /// Looks at both servers after the last worker has left.
    pub async fn judge(&self) {
        self.judge_rows().await;
        self.judge_webhooks().await;
        self.judge_letters().await;
        self.judge_consumers().await;
    }

    fn sweeper(&self) -> Sweeper<Store> {
        let (_duty, duty) = watch::channel(None);
        Sweeper {
            queue: self.world.queue.clone(),
            ledger: self.world.store.clone(),
            visibility_timeout: SILENT,
            duty,
            stop: CancellationToken::new(),
            gone: VecDeque::new(),
        }
    }

    async fn judge_rows(&self) {
        for (job, end) in &self.expected {
            let row = self.world.job(*job).await;
            assert_eq!(row.status, end.word(), "{job}");
            let outcomes = self.world.outcomes(*job).await;
            let done = outcomes.iter().filter(|outcome| *outcome == "done").count();
            assert!(done <= 1, "{job} is done once: {outcomes:?}");
            assert!(
                !outcomes.iter().any(|outcome| outcome == "running"),
                "{job}: {outcomes:?}"
            );
            let counts = "select (select count(*) from findings where review_id = $1),
                                 (select count(*) from millstream.findings where job_id = $1)";
            let (notes, findings): (i64, i64) = sqlx::query_as(counts)
                .bind(job.0)
                .fetch_one(&self.world.sql)
                .await
                .expect("postgres is there");
            let recorded = i64::from(done == 1 && !row.input.ends_with("/plain/pull/1"));
            assert_eq!(
                (notes, findings),
                (recorded, recorded),
                "{job} {} has its result",
                row.input
            );
            let foreign: String = sqlx::query_scalar("select status from reviews where id = $1")
                .bind(job.0)
                .fetch_one(&self.world.sql)
                .await
                .expect("its review");
            assert!(
                done == 1 || *end != JobState::Done || foreign == "done",
                "{job} is done, and nobody did it: {outcomes:?}"
            );
        }
        let all: i64 = sqlx::query_scalar("select count(*) from millstream.jobs where queue = $1")
            .bind(&self.world.settings.name)
            .fetch_one(&self.world.sql)
            .await
            .expect("postgres is there");
        assert_eq!(
            all as usize,
            self.expected.len(),
            "a repeated submission is no second job"
        );
        let counts = self
            .world
            .store
            .counts(&self.world.settings.name)
            .await
            .expect("counts");
        let open = counts.scheduled + counts.waiting + counts.running + counts.retrying;
        assert_eq!(open, 0, "{counts:?}");
    }

    /// The end of each review that has a callback is told, once; and what was delivered is done, once.
    async fn judge_webhooks(&self) {
        for (job, end) in &self.expected {
            let counts = "select callback_url is not null,
                (select count(*) from millstream.webhooks w join millstream.jobs h on h.id = w.job_id
                 where w.review_id = j.id and h.payload = $2)
                from millstream.jobs j where id = $1";
            let (wanted, told): (bool, i64) = sqlx::query_as(counts)
                .bind(job.0)
                .bind(format!("review.{} {job}", end.word()))
                .fetch_one(&self.world.sql)
                .await
                .expect("its row");
            // What is thrown away was told of when it died.
            let expected = i64::from(wanted && *end != JobState::Dropped);
            assert_eq!(told, expected, "{job} is told to be {end}");
        }
        for hook in &self.delivered {
            let outcomes = self.world.outcomes(*hook).await;
            let done = outcomes.iter().filter(|outcome| *outcome == "done").count();
            assert_eq!(done, 1, "{hook} is done once: {outcomes:?}");
        }
    }

    /// Each dead job has its letter, once; a letter of one that was put back or dropped may outlive a lost reply.
    async fn judge_letters(&self) {
        let mut letters: HashMap<JobId, usize> = HashMap::new();
        for letter in self.world.dead_letters().await {
            let job = letter.get("jobId").and_then(|id| id.parse().ok());
            *letters.entry(job.expect("all of them had a row")).or_default() += 1;
        }
        for (job, end) in &self.expected {
            let count = letters.remove(job).unwrap_or(0);
            match end {
                JobState::Dead => assert_eq!(count, 1, "the letters of {job}"),
                _ => assert!(count <= 1, "the letters of {job}: {count}"),
            }
        }
        assert!(letters.is_empty(), "letters of nobody: {letters:?}");
    }

    /// A consumer goes with its worker, or is left to the sweeper: every half minute it takes down what has been silent
    /// for a minute, here that of a time to come.
    async fn judge_consumers(&self) {
        let keys = self.world.queue.keys();
        if self.book.was_hit() {
            let later = millstream::clock::now() + SILENT;
            let tidied = self.sweeper().tidy(later.timestamp_millis().unsigned_abs()).await;
            tidied.expect("valkey is there");
        }
        let workers = self.world.queue.workers().await.expect("valkey is there");
        assert!(workers.is_empty(), "cards stayed up: {workers:?}");
        for lane in Lane::ALL {
            let rows: Vec<HashMap<String, redis::Value>> = redis::cmd("XINFO")
                .arg("CONSUMERS")
                .arg(keys.stream(lane))
                .arg(&keys.group)
                .query_async(&mut self.world.valkey.clone())
                .await
                .expect("the group is there");
            for row in rows {
                let name: String = redis::from_redis_value(row["name"].clone()).expect("a name");
                assert!(name == PARKED, "{name} stayed behind on {}", lane.word());
            }
        }
    }
}
