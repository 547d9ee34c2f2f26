//! The dead by their cause: counted exactly, named when they are buried, and afterwards if they were not.

use millstream::domain::{EntryId, Failure, FailureClass, JobId, Lane, WorkerId};
use millstream::store::causes::CauseRow;
use millstream::store::{Asked, Lease, Next, Start};

use crate::support::World;

/// So many dead jobs of a class whose failures differ in nothing but a number; without a cause.
async fn pile(world: &World, class: &str, text: &str, count: i32) {
    sqlx::query(
        "insert into millstream.jobs (id, queue, kind, lane, payload, state, attempt, error, error_class, worker,
                                      finished_at)
         select gen_random_uuid(), $1, 'test', 'own', 'p', 'dead', 1 + n % 3, replace($3, '#', n::text), $2,
                'w-' || n % 2, now() - make_interval(secs => n)
         from generate_series(1, $4) as n",
    )
    .bind(&world.settings.name)
    .bind(class)
    .bind(text)
    .bind(count)
    .execute(&world.sql)
    .await
    .expect("a pile");
}

async fn causes(world: &World) -> Vec<CauseRow> {
    world
        .store
        .causes(&world.settings.name)
        .await
        .expect("postgres is there")
}

#[tokio::test]
async fn causes_are_counted_exactly_and_the_largest_comes_first() {
    let world = World::new().await;
    pile(&world, "timeout", "no answer within #s", 1_203).await;
    pile(
        &world,
        "input",
        "GitHub answered 404 for https://api.github.com/repos/a/b/pulls/#.diff",
        17,
    )
    .await;
    let before = causes(&world).await;
    assert_eq!(
        (before.len(), before[0].fingerprint.as_deref(), before[0].count),
        (1, None, 1_220)
    );
    let queue = &world.settings.name;
    while world
        .store
        .name_causes(queue, 500)
        .await
        .expect("postgres is there")
        > 0
    {}
    let found = causes(&world).await;
    let counts: Vec<(i64, Option<&str>)> = found
        .iter()
        .map(|row| (row.count, row.class.as_deref()))
        .collect();
    assert_eq!(counts, [(1_203, Some("timeout")), (17, Some("input"))]);
    assert_eq!((found[0].causes, found[0].dead), (2, 1_220));
    assert_eq!(
        (found[0].workers, found[0].least_tries, found[0].most_tries),
        (2, 1, 3)
    );
    assert_eq!(
        found[0].error.as_deref(),
        Some("no answer within 1s"),
        "the newest of them"
    );
    assert_eq!(found[1].lately, [0, 0, 0, 0, 0, 0, 0, 0, 0, 17]);
    let name = found[1].fingerprint.as_deref().expect("it has been named");
    let members = world
        .store
        .dead_of(queue, name, 5)
        .await
        .expect("postgres is there");
    assert_eq!(members.len(), 5);
    assert!(
        members
            .iter()
            .all(|row| row.error_class.as_deref() == Some("input"))
    );
}

#[tokio::test]
async fn a_buried_job_has_its_cause_at_once_and_a_requeued_one_has_none() {
    let world = World::new().await;
    let (worker, job) = (WorkerId::fresh(), world.accept("one").await);
    let asked = Asked {
        job,
        entry: EntryId { ms: 1, seq: 0 },
        lane: Lane::Own,
        payload: "p".into(),
        delivery: 1,
    };
    let queue = &world.settings.name;
    let started = world
        .store
        .start(queue, worker, &[asked])
        .await
        .expect("postgres is there");
    let Start::Begin(issued) = &started[0] else {
        panic!("{started:?}")
    };
    let lease = Lease {
        job,
        attempt: issued.attempt,
        worker,
    };
    let failure = Failure::lasting(FailureClass::Timeout, "no answer within 30s");
    world
        .store
        .fail(&lease, &failure, Next::Bury, None)
        .await
        .expect("postgres is there");
    let found = causes(&world).await;
    let dead = world
        .store
        .dead_rows(queue, &[job])
        .await
        .expect("postgres is there");
    assert_eq!(
        found[0].fingerprint,
        Some(dead[0].fingerprint()),
        "as `dead list` shows it"
    );
    world
        .store
        .requeue_dead(queue, &[job], None)
        .await
        .expect("postgres is there");
    assert!(causes(&world).await.is_empty());
    assert_eq!(named(&world, job).await, None);
}

async fn named(world: &World, job: JobId) -> Option<String> {
    sqlx::query_scalar("select fingerprint from millstream.jobs where id = $1")
        .bind(job.0)
        .fetch_one(&world.sql)
        .await
        .expect("the job")
}

#[tokio::test]
async fn who_names_causes_waits_for_nobody_that_moves_the_dead() {
    let world = World::new().await;
    pile(&world, "timeout", "no answer within #s", 3).await;
    let queue = &world.settings.name;
    let mut moving = world.sql.begin().await.expect("postgres is there");
    sqlx::query("select id from millstream.jobs where queue = $1 order by id desc limit 1 for update")
        .bind(queue)
        .execute(&mut *moving)
        .await
        .expect("nobody else holds it");
    let named = tokio::time::timeout(
        std::time::Duration::from_secs(8),
        world.store.name_causes(queue, 500),
    );
    let named = named.await.expect("it does not wait for the lock");
    assert_eq!(
        named.expect("postgres is there"),
        2,
        "the one that is moved is left"
    );
    moving.rollback().await.expect("postgres is there");
    assert_eq!(
        world
            .store
            .name_causes(queue, 500)
            .await
            .expect("postgres is there"),
        1
    );
}
