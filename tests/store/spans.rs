//! Spans that are told of while somebody waits to end their attempt: they are in its sum, and closed.

use millstream::domain::{EntryId, JobId, Lane, WorkerId};
use millstream::queue::Wire;
use millstream::store::Taken;
use sqlx::{PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

use super::{asked, new_job};
use crate::support::World;

const ENTRY: EntryId = EntryId { ms: 5, seq: 0 };
const TOKENS: i64 = 70;

/// A review that a worker runs.
async fn running() -> (World, JobId, WorkerId) {
    let world = World::with(Wire::REVIEW).await;
    let job = new_job(&world, "review", "https://github.com/octocat/hello-world/pull/1");
    world.store.accept(&job).await.expect("accept");
    let worker = WorkerId::fresh();
    let started = world
        .store
        .start(&job.queue, worker, &[asked(job.id, ENTRY.ms)])
        .await;
    started.expect("start");
    (world, job.id, worker)
}

/// Tells of two spans, one of which has ended, in a transaction that is still open.
async fn tell(world: &World, job: JobId, worker: WorkerId) -> Transaction<'static, Postgres> {
    let mut telling = world.sql.begin().await.expect("postgres is there");
    let held = sqlx::query("select from millstream.jobs where id = $1 for share");
    held.bind(job.0)
        .execute(&mut *telling as &mut PgConnection)
        .await
        .expect("a lock");
    for status in ["ok", "running"] {
        let span = Uuid::new_v4();
        sqlx::query(
            "insert into spans (span_id, run_id, name, kind, status, started_at) values ($1, $2, 'judge', 'llm', $3, now())",
        )
        .bind(span)
        .bind(job.0)
        .bind(status)
        .execute(&mut *telling as &mut PgConnection)
        .await
        .expect("a span");
        sqlx::query(
            "insert into millstream.span_facts (span_id, job_id, attempt, worker, input_tokens) values ($1, $2, 1, $3, $4)",
        )
        .bind(span)
        .bind(job.0)
        .bind(worker.to_string())
        .bind(TOKENS / 2)
        .execute(&mut *telling as &mut PgConnection)
        .await
        .expect("what it came to");
    }
    telling
}

/// Has the attempt ended by somebody who waits until all is told.
async fn ended_meanwhile(world: &World, job: JobId, worker: WorkerId, end: impl Future<Output = ()>) {
    let telling = tell(world, job, worker).await;
    let told = async {
        world.until_held_up().await;
        telling.commit().await.expect("postgres is there");
    };
    tokio::join!(end, told);
    let row = sqlx::query(
        "select (select count(*) from spans where run_id = $1 and status = 'running') as open,
                (select input_tokens from millstream.attempts where job_id = $1 and attempt = 1) as tokens",
    )
    .bind(job.0)
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there");
    assert_eq!(
        (row.get::<i64, _>("open"), row.get::<Option<i64>, _>("tokens")),
        (0, Some(TOKENS))
    );
}

/// A reference worker records a result.
async fn recorded(world: &World, job: JobId) {
    let done = sqlx::query("update reviews set status = 'done', verdict = 'approve' where id = $1");
    done.bind(job.0).execute(&world.sql).await.expect("a result");
}

#[tokio::test]
async fn a_takeover_sums_and_closes_what_was_told_while_it_waited() {
    let (world, job, worker) = running().await;
    let taken = [Taken {
        job,
        entry: ENTRY,
        deliveries: 1,
    }];
    ended_meanwhile(&world, job, worker, async {
        let lost = world.store.lost(&worker.to_string(), &taken).await;
        assert_eq!(lost.expect("postgres is there"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_start_over_sums_and_closes_what_was_told_while_it_waited() {
    start_over(false).await;
    start_over(true).await;
}

/// Somebody else is delivered the entry; a reference worker may have recorded a result before.
async fn start_over(is_recorded: bool) {
    let (world, job, worker) = running().await;
    if is_recorded {
        recorded(&world, job).await;
    }
    ended_meanwhile(&world, job, worker, async {
        let again = [asked(job, ENTRY.ms)];
        let started = world
            .store
            .start(&world.settings.name, WorkerId::fresh(), &again)
            .await;
        started.expect("postgres is there");
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_entry_was_lost_keeps_what_was_told_while_it_was_waited_for() {
    let (world, job, worker) = running().await;
    ended_meanwhile(&world, job, worker, async {
        let reset = world
            .store
            .reset_entry(&world.settings.name, Lane::Shared, ENTRY)
            .await;
        reset.expect("postgres is there");
    })
    .await;
}

#[tokio::test]
async fn a_foreign_result_sums_and_closes_what_was_told_while_it_waited() {
    let (world, job, worker) = running().await;
    recorded(&world, job).await;
    ended_meanwhile(&world, job, worker, async {
        let adopted = world.store.adopt_foreign_results(&world.settings.name).await;
        assert_eq!(adopted.expect("postgres is there"), 1);
    })
    .await;
}
