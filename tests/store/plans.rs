//! Plans of the statements that a worker asks thousands of times.

use futures_util::future::BoxFuture;
use millstream::domain::{JobId, WorkerId};
use millstream::store::{Asked, Fence, Lease, Record, Start, Store, StoreError};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::mpsc;

use super::asked;
use crate::support::World;

/// Jobs of a burst: to read them all takes any machine several times what a start of a batch may take.
const BURST: i32 = 50_000;
/// Entries whose start is asked for at once.
const BATCH: usize = 10;

/// Looks, on the connection that a result is written on, how Postgres would run the statement of a start.
struct Look(mpsc::UnboundedSender<String>);

impl Record for Look {
    fn record<'a>(
        &'a self,
        transaction: &'a mut PgConnection,
        _lease: &'a Lease,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let name: String = sqlx::query_scalar(
                "select name from pg_prepared_statements
                 where starts_with(ltrim(statement, e'\n'), 'with asked') and strpos(statement, 'at_work') > 0",
            )
            .fetch_one(&mut *transaction)
            .await?;
            let explain = format!("explain execute {name} ('', '', '{{}}', '{{}}', '{{}}', 0, '{{}}')");
            let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
                .fetch_all(transaction)
                .await?;
            self.0.send(plan.join("\n")).expect("somebody listens");
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_plan_that_was_made_for_an_empty_table_is_given_up_when_a_burst_has_filled_it() {
    let world = World::new().await;
    let database = world.database_url.clone();
    let store = Store::open_for_worker(&database.into(), "tests", 1).expect("an address");
    let (queue, worker) = (world.settings.name.clone(), WorkerId::fresh());
    let fill = async |jobs: i32| -> Vec<JobId> {
        let rows: Vec<uuid::Uuid> = sqlx::query_scalar(
            "insert into millstream.jobs (id, queue, kind, lane, payload, state)
             select gen_random_uuid(), $1, 'test', 'shared', 'p', 'waiting' from generate_series(1, $2) returning id",
        )
        .bind(&queue)
        .bind(jobs)
        .fetch_all(&world.sql)
        .await
        .expect("rows");
        rows.into_iter().map(JobId).collect()
    };
    let (looks, mut plans) = mpsc::unbounded_channel();
    let mut plan_when_ending = async |job: JobId| {
        let lease = Lease {
            job,
            attempt: 1,
            worker,
        };
        let fence = store.finish(&lease, &Look(looks.clone()), None).await;
        assert_eq!(fence.expect("postgres is there"), Fence::Open);
        plans.recv().await.expect("a plan")
    };
    let reads_all = |plan: &str| plan.contains("Seq Scan on jobs");

    // Postgres has counted the table, and found nothing in it worth an index.
    sqlx::raw_sql("alter table millstream.jobs set (autovacuum_enabled = false); analyze millstream.jobs")
        .execute(&world.sql)
        .await
        .expect("the owner's right");
    let first = fill(1).await;
    for _ in 0..3 {
        // A repeat is answered with the same start. The first is slow for being prepared, and its plan given up too.
        let begun = store.start(&queue, worker, &[asked(first[0], 1)]).await;
        assert!(matches!(begun.expect("start")[..], [Start::Begin(_)]));
    }

    let burst = fill(BURST).await;
    // The second is for a plan that was given up just before the first, when none may be again.
    for batch in burst.chunks(BATCH).take(2) {
        let batch: Vec<Asked> = batch.iter().zip(1..).map(|(&id, ms)| asked(id, ms)).collect();
        let answers = store.start(&queue, worker, &batch).await.expect("start");
        assert!(answers.iter().all(|answer| matches!(answer, Start::Begin(_))));
    }
    let plan = plan_when_ending(burst[0]).await;
    assert!(!reads_all(&plan), "it reads the whole table still: {plan}");
}
