//! Calls whose caller goes away half way, as a client does that hangs up.

use std::time::Duration;

use millstream::domain::{Failure, FailureClass, WorkerId};
use millstream::store::{Fence, Lease, Next, Store};

use super::new_job;
use crate::support::{Line, World, until};

/// Long enough to be seen from aside, and shorter than a connection may take to say that it is there.
const ON_THE_WAY: Duration = Duration::from_millis(500);

#[tokio::test]
async fn what_is_written_after_a_transaction_was_given_up_at_its_beginning_is_committed() {
    let world = World::new().await;
    let line = Line::to(&world.database_url).await;
    let store =
        Store::open(&line.through(&world.database_url).into(), "given up", 1).expect("an address of ours");
    store.server_version().await.expect("postgres is there");
    line.slow_down(ON_THE_WAY);
    let begun = until("it has begun, and its caller has yet to hear of it", || async {
        let begun: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'given up' and state = 'idle in transaction' and query = 'BEGIN'",
        )
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
        (begun > 0).then_some(())
    });
    tokio::select! {
        biased;
        () = begun => {}
        ended = store.adopt_foreign_results(&world.settings.name) => panic!("nobody saw it begin: {ended:?}"),
    }
    line.slow_down(Duration::ZERO);
    let job = new_job(&world, "test", "{}");
    store.accept(&job).await.expect("postgres is there");
    let written: i64 = sqlx::query_scalar("select count(*) from millstream.jobs where id = $1")
        .bind(job.id.0)
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
    assert_eq!(written, 1, "it was told that the job is accepted");
}

#[tokio::test]
async fn an_attempt_that_has_lost_its_job_is_told_so_by_one_connection() {
    let world = World::new().await;
    let store = Store::open(&world.database_url.clone().into(), "alone", 1).expect("an address of ours");
    let job = new_job(&world, "test", "{}");
    store.accept(&job).await.expect("postgres is there");
    let lease = Lease {
        job: job.id,
        attempt: 1,
        worker: WorkerId::fresh(),
    };
    let fence = store.finish(&lease, &(), None).await;
    assert_eq!(fence.expect("it waits for no second one"), Fence::Closed);
    let failure = Failure::lasting(FailureClass::Input, "no word");
    let fence = store.fail(&lease, &failure, Next::Bury, None).await;
    assert_eq!(fence.expect("it waits for no second one"), Fence::Closed);
}
