//! A Postgres that falls silent while nobody waits for it, and one that does not.
//!
//! The pool asks a connection that comes back whether it is still there, and has no bound for the answer: its place stays
//! taken.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use millstream::store::Store;

use crate::support::{Line, World, until};

/// Longer than a caller waits for a connection, or a call would be given up for that alone.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_pool_whose_connections_fell_silent_as_they_came_back_does_not_starve_its_callers() {
    let world = World::new().await;
    let line = Line::to(&world.database_url).await;
    let store =
        Store::open(&line.through(&world.database_url).into(), "tests", 1).expect("an address of ours");
    let store = store.answering_within(ANSWERED_WITHIN);
    let answer = store.bounded(store.server_version()).await;
    answer.expect("postgres is there");
    // Before anything else runs: the connection is not back in its pool yet.
    line.silence();
    let mut refused = 0;
    while let Err(error) = store.bounded(store.server_version()).await {
        assert!(error.is_passing(), "{error}");
        refused += 1;
        assert!(refused < 5, "no connection is made any more: {error}");
    }
    assert!(refused > 0, "the connection was back before the line fell silent");
}

#[tokio::test]
async fn a_pool_that_lost_one_connection_as_it_came_back_is_whole_again() {
    let world = World::new().await;
    let line = Line::to(&world.database_url).await;
    let store =
        Store::open(&line.through(&world.database_url).into(), "lost one", 2).expect("an address of ours");
    let store = store.having_connections_back_within(Duration::from_secs(1));
    let answer = store.bounded(store.server_version()).await;
    answer.expect("postgres is there");
    line.silence();
    // The first one is lost, the second serves everybody; with a third the pool has been replaced.
    let seen = RefCell::new(HashSet::new());
    until("a third connection is made", || async {
        let answer = store.bounded(store.server_version()).await;
        answer.expect("nobody notices");
        let backends = sqlx::query_scalar(
            "select pid from pg_stat_activity where datname = current_database() and application_name = 'lost one'",
        );
        let backends: Vec<i32> = backends.fetch_all(&world.sql).await.expect("postgres is there");
        seen.borrow_mut().extend(backends);
        (seen.borrow().len() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_busy_pool_is_kept() {
    let world = World::new().await;
    tokio::join!(
        keep_busy(&world, "busy with one", 1),
        keep_busy(&world, "busy with many", 8)
    );
}

/// Has so many callers ask again and again, for longer than a connection may be away.
async fn keep_busy(world: &World, name: &str, callers: usize) {
    let bound = Duration::from_secs(2);
    let store = Store::open(&world.database_url.clone().into(), name, 2).expect("an address of ours");
    let store = store
        .answering_within(bound)
        .having_connections_back_within(bound);
    let begun = Instant::now();
    let callers = (0..callers).map(|_| async {
        while begun.elapsed() < bound * 2 {
            let answer = store.bounded(store.server_version()).await;
            answer.expect("postgres is there");
        }
    });
    join_all(callers).await;
    let made: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = $1
         and backend_start > now() - interval '3 s'",
    )
    .bind(name)
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there");
    assert_eq!(
        made, 0,
        "{name}: whoever was there at the beginning is there at the end"
    );
}
