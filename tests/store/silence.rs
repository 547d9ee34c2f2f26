//! A Postgres that falls silent while nobody waits for it.

use std::time::Duration;

use millstream::store::Store;

use crate::support::{Line, World};

/// Longer than a caller waits for a connection, or a call would be given up for that alone.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);

/// The pool asks a connection that comes back whether it is still there, and has no bound for the answer: its place
/// stays taken, and whoever wants a connection is told that the server is away.
#[tokio::test]
async fn a_pool_whose_connections_fell_silent_as_they_came_back_does_not_starve_its_callers() {
    let world = World::new().await;
    let line = Line::to(&world.database_url).await;
    let store =
        Store::open(&line.through(&world.database_url).into(), "tests", 1).expect("an address of ours");
    let store = store.answering_within(ANSWERED_WITHIN);
    store.server_version().await.expect("postgres is there");
    // Before anything else runs: the connection is not back in its pool yet.
    line.silence();
    let mut refused = 0;
    while let Err(error) = store.bounded(store.server_version()).await {
        assert!(error.is_passing(), "{error}");
        refused += 1;
        assert!(refused < 4, "no connection is made any more: {error}");
    }
    assert!(refused > 0, "the connection was back before the line fell silent");
}
