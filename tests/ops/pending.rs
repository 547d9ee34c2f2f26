//! The pending list: what is held, parked, unreadable and gone.

use std::time::Duration;

use millstream::domain::{EntryId, Lane, WorkerId};
use millstream::queue::fetch::Want;
use millstream::reports::{self, PendingReport};
use millstream::store::Store;

use super::{held, parked};
use crate::support::World;

async fn list(world: &World, limit: usize) -> Vec<PendingReport> {
    let list = reports::pending(&world.store, &world.queue, limit)
        .await
        .expect("valkey is there");
    assert!(list.without_attempts.is_none());
    list.rows
}

#[tokio::test]
async fn every_kind_of_entry_is_listed_with_what_is_known_about_it() {
    let world = World::new().await;
    assert!(list(&world, 10).await.is_empty(), "no group yet");
    let (fails, gone) = (parked(&world, "one").await, held(&world, "two").await);
    let runs = held(&world, "three").await;
    world
        .age(
            runs.entry,
            &runs.lease.worker.to_string(),
            Duration::from_secs(41),
        )
        .await;
    let mut valkey = world.valkey.clone();
    let _one: u64 = redis::cmd("XDEL")
        .arg(&world.queue.keys().own)
        .arg(gone.entry.to_string())
        .query_async(&mut valkey)
        .await
        .expect("xdel");
    let unreadable: String = redis::cmd("XADD")
        .arg(&[&world.queue.keys().shared, "*", "jobId", "nobody"])
        .query_async(&mut valkey)
        .await
        .expect("xadd");
    let reader = WorkerId::fresh();
    world.queue.fetch(reader, 1, Want::Anything).await.expect("fetch");

    let rows = list(&world, 10).await;
    assert_eq!(rows.len(), 4, "{rows:#?}");
    let of = |entry: EntryId| {
        rows.iter()
            .find(|row| row.entry == entry.to_string())
            .expect("listed")
    };
    let row = of(fails.entry);
    assert_eq!(
        (row.worker.as_ref(), row.attempt, row.payload),
        (None, Some(1), true)
    );
    assert_eq!(row.id, Some(fails.job.to_string()));
    assert!(row.due.as_ref().is_some_and(|due| due.ends_with('Z')), "{row:?}");
    let row = of(gone.entry);
    assert_eq!((row.id.as_ref(), row.attempt, row.payload), (None, None, false));
    let row = of(runs.entry);
    assert_eq!(
        (row.worker.clone(), row.due.as_ref()),
        (Some(runs.lease.worker.to_string()), None)
    );
    assert!(row.idle_s >= 41.0 && row.deliveries == 1, "{row:?}");
    let row = of(unreadable.parse().expect("an id"));
    assert_eq!(
        (row.id.as_ref(), row.worker.clone()),
        (None, Some(reader.to_string()))
    );
    assert!(row.payload);
    let entries =
        |rows: &[PendingReport]| -> Vec<String> { rows.iter().map(|row| row.entry.clone()).collect() };
    assert_eq!(entries(&list(&world, 2).await), entries(&rows[..2]));
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_without_postgres_without_attempts() {
    let world = World::new().await;
    world.queue.ensure_groups().await.expect("groups");
    let mut pipe = redis::pipe();
    for _ in 0..1_101 {
        pipe.cmd("XADD")
            .arg(&[&world.queue.keys().own, "*", "a", "b"])
            .ignore();
    }
    let () = pipe.query_async(&mut world.valkey.clone()).await.expect("xadd");
    let fetched = world
        .queue
        .fetch(WorkerId::fresh(), 2_000, Want::Anything)
        .await
        .expect("fetch");
    assert_eq!(
        (fetched.entries.len(), fetched.entries[0].lane),
        (1_101, Lane::Own)
    );
    assert_eq!(list(&world, 10_000).await.len(), 1_101);
    assert_eq!(list(&world, 1_001).await.len(), 1_001);
    let nowhere = Store::open(&"postgres://127.0.0.1:1/x".into(), "tests", 1).expect("an address");
    let list = reports::pending(&nowhere, &world.queue, 3)
        .await
        .expect("valkey is there");
    assert_eq!(list.rows.len(), 3);
    assert!(list.without_attempts.is_some());
}
