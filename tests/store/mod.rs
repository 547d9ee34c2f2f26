//! The store on a real Postgres.

mod at_work;
mod causes;
mod given_up;
mod plans;
mod silence;
mod spans;
mod starts;

use std::time::Duration;

use millstream::domain::{EntryId, JobId, JobState, Lane, WorkerId};
use millstream::store::console::JobsAsked;
use millstream::store::jobs::{Accepted, IdempotencyKey, NewJob};
use millstream::store::{Asked, Issued, Start, Store};
use sqlx::Row;

use crate::support::World;
use crate::support::servers::shared;

fn new_job(world: &World, kind: &str, payload: &str) -> NewJob {
    NewJob {
        id: JobId::fresh(),
        queue: world.settings.name.clone(),
        kind: kind.to_owned(),
        lane: Lane::Shared,
        payload: payload.to_owned(),
        run_at: None,
        traceparent: None,
        input: None,
        idempotency: None,
        callback: None,
    }
}

fn asked(job: JobId, ms: u64) -> Asked {
    Asked {
        job,
        entry: EntryId { ms, seq: 0 },
        lane: Lane::Shared,
        payload: "p".into(),
        delivery: 1,
    }
}

#[tokio::test]
async fn the_references_tables_have_its_columns_and_no_others() {
    let world = World::new().await;
    let rows = sqlx::query(
        "select table_name::text, string_agg(column_name::text, ' ' order by ordinal_position) as columns
         from information_schema.columns where table_schema = 'public' group by 1 order by 1",
    )
    .fetch_all(&world.sql)
    .await
    .expect("the catalog");
    let tables: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("findings", "id review_id agent note created_at"),
        (
            "reviews",
            "id pr_url status verdict reason source workflow input_tokens output_tokens created_at updated_at",
        ),
        (
            "spans",
            "span_id run_id parent_span_id name kind status input output error started_at ended_at",
        ),
    ];
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(table, columns)| ((*table).to_owned(), (*columns).to_owned()))
        .collect();
    assert_eq!(tables, expected, "also no migration table of ours");
}

#[tokio::test]
async fn tables_that_a_reference_process_made_are_left_as_they_are() {
    let name = format!("t{}", JobId::fresh().0.simple());
    let server = sqlx::PgPool::connect(&shared().database_url("postgres"))
        .await
        .expect("postgres");
    let create = format!("create database {name} template template0");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&server)
        .await
        .expect("a fresh name");
    let sql = sqlx::PgPool::connect(&shared().database_url(&name))
        .await
        .expect("postgres");
    // An older reference: no `source`, no `workflow`, a row of its own.
    sqlx::raw_sql(
        "create table reviews (id uuid primary key, pr_url text not null, status text not null default 'pending',
             verdict text, reason text, created_at timestamptz not null default now(),
             updated_at timestamptz not null default now());
         insert into reviews (id, pr_url) values ('6b8f5c1e-93a5-4a5e-8d3e-0d1f8f2b7c11', 'x')",
    )
    .execute(&sql)
    .await
    .expect("the reference's table");
    let store = Store::open(&shared().database_url(&name).into(), "tests", 2).expect("address");
    store.migrate().await.expect("migrates around it");
    let columns: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.columns where table_schema = 'public' and table_name = 'reviews'",
    )
    .fetch_one(&sql)
    .await
    .expect("catalog");
    assert_eq!(columns, 7);
}

#[tokio::test]
async fn processes_that_migrate_an_empty_database_at_once_all_succeed() {
    let name = format!("t{}", JobId::fresh().0.simple());
    let server = sqlx::PgPool::connect(&shared().database_url("postgres"))
        .await
        .expect("postgres");
    let create = format!("create database {name} template template0");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&server)
        .await
        .expect("a fresh name");
    let stores: Vec<Store> = (0..6)
        .map(|_| Store::open(&shared().database_url(&name).into(), "tests", 1).expect("address"))
        .collect();
    let all = futures_util::future::join_all(stores.iter().map(Store::migrate)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    stores[0].check_schema().await.expect("the schema is the newest");
}

#[tokio::test]
async fn a_reference_producers_row_is_taken_in_and_its_result_stands() {
    let world = World::new().await;
    let (fresh, done) = (JobId::fresh(), JobId::fresh());
    for (id, status) in [(fresh, "running"), (done, "done")] {
        sqlx::query(
            "insert into reviews (id, pr_url, status) values ($1, 'https://github.com/a/b/pull/1', $2)",
        )
        .bind(id.0)
        .bind(status)
        .execute(&world.sql)
        .await
        .expect("insert");
    }
    let batch = [asked(fresh, 1), asked(done, 2)];
    let answers = world
        .store
        .start(&world.settings.name, WorkerId::fresh(), &batch)
        .await
        .expect("start");
    assert_eq!(
        answers,
        [
            Start::Begin(Issued {
                attempt: 1,
                failures: 0,
                crashes: 0,
                again: false,
            }),
            Start::Finished
        ]
    );
    let counts = world.store.counts(&world.settings.name).await.expect("counts");
    assert_eq!((counts.accepted, counts.running, counts.done), (2, 1, 1));
    assert!(counts.add_up());
}

#[tokio::test]
async fn what_was_counted_long_ago_is_not_counted_again_and_the_sum_stays_exact() {
    let world = World::new().await;
    let (store, queue) = (&world.store, &world.settings.name);
    for number in 1..=4 {
        let job = new_job(&world, "test", &format!("https://github.com/a/b/pull/{number}"));
        store.accept(&job).await.expect("accepted");
    }
    let change = |statement: &'static str| sqlx::query(statement).execute(&world.sql);
    change("update millstream.jobs set created_at = now() - interval '1 h' where payload <> 'https://github.com/a/b/pull/4'")
        .await
        .expect("time passes");
    change("update millstream.jobs set state = 'done', finished_at = now() - interval '30 min' where payload like '%/1'")
        .await
        .expect("one is done");
    let first = store.counts(queue).await.expect("counts");
    assert_eq!((first.accepted, first.waiting, first.done), (4, 3, 1));
    assert_eq!((first.settled.accepted, first.settled.done), (3, 1));
    assert!((first.in_lately_per_s - 1.0 / 15.0).abs() < 1e-9);

    change("update millstream.jobs set state = 'done', finished_at = now() where payload like '%/2'")
        .await
        .expect("another is done");
    let second = store.counts_since(queue, first.settled).await.expect("counts");
    assert_eq!((second.accepted, second.waiting, second.done), (4, 2, 2));
    assert_eq!((second.settled.accepted, second.settled.done), (3, 1));

    // A row of long ago that was not there when it was counted: the sum says so, and all is counted again.
    change("update millstream.jobs set state = 'done', finished_at = now() - interval '1 h' where payload like '%/3'")
        .await
        .expect("a third is done");
    let third = store.counts_since(queue, second.settled).await.expect("counts");
    assert_eq!((third.accepted, third.waiting, third.done), (4, 1, 3));
    assert!(third.add_up());
}

#[tokio::test]
async fn the_same_key_answers_with_the_first_job_and_another_body_is_refused() {
    let world = World::new().await;
    let with_key = |body: &str| NewJob {
        idempotency: Some(IdempotencyKey {
            client: "c".into(),
            key: "k".into(),
            body_sha256: body.into(),
        }),
        ..new_job(&world, "review", "https://github.com/a/b/pull/1")
    };
    let first = with_key("body");
    assert_eq!(world.store.accept(&first).await.expect("accept"), Accepted::New);
    assert_eq!(
        world.store.accept(&with_key("body")).await.expect("accept"),
        Accepted::Repeated(first.id)
    );
    assert_eq!(
        world.store.accept(&with_key("other")).await.expect("accept"),
        Accepted::KeyReused
    );
    assert_eq!(
        world.store.counts(&first.queue).await.expect("counts").accepted,
        1
    );
    sqlx::query("update millstream.idempotency set created_at = now() - interval '25 h'")
        .execute(&world.sql)
        .await
        .expect("a day passes");
    assert_eq!(
        world.store.accept(&with_key("other")).await.expect("accept"),
        Accepted::New
    );
}

#[tokio::test]
async fn a_lead_is_held_by_one_and_passes_on_when_it_runs_out() {
    let world = World::new().await;
    let term = Duration::from_secs(60);
    let lead = |holder: &'static str| world.store.lead("l", holder, term);
    assert!(lead("a").await.expect("lead"));
    assert!(!lead("b").await.expect("lead"));
    assert!(lead("a").await.expect("lead"));
    sqlx::query("update millstream.leases set until = now() - interval '1 s'")
        .execute(&world.sql)
        .await
        .expect("time passes");
    assert!(lead("b").await.expect("lead"));
    world.store.yield_lead("l", "b").await.expect("yield");
    assert!(lead("a").await.expect("lead"));
}

#[tokio::test]
async fn what_a_screen_asks_for_counts_and_filters_as_the_table_stands() {
    let world = World::new().await;
    let store = &world.store;
    let queue = &world.settings.name;
    let started = new_job(&world, "test", "https://github.com/acme/ledger/pull/7");
    for job in [started.clone(), new_job(&world, "test", "git:ledger@a..b")] {
        store.accept(&job).await.expect("accepted");
    }
    let worker = WorkerId::fresh();
    let begun = store
        .start(queue, worker, &[asked(started.id, 1)])
        .await
        .expect("postgres");
    assert!(matches!(begun[..], [Start::Begin(Issued { attempt: 1, .. })]));

    let long_ago = chrono::DateTime::UNIX_EPOCH;
    let flow = store.flow(queue, long_ago).await.expect("flow");
    assert_eq!(flow.iter().map(|flow| flow.accepted).sum::<i64>(), 2);
    assert_eq!(store.spent(queue).await.expect("spent").tokens, 0);
    assert_eq!(store.recent(queue).await.expect("recent"), []);

    for (filter, found) in [
        (JobsAsked::default(), 2),
        (
            JobsAsked {
                states: vec![JobState::Waiting],
                ..JobsAsked::default()
            },
            1,
        ),
        (
            JobsAsked {
                worker: Some(worker.short()),
                ..JobsAsked::default()
            },
            1,
        ),
        (
            JobsAsked {
                words: vec!["ledger".into(), "a..b".into()],
                ..JobsAsked::default()
            },
            1,
        ),
        (
            JobsAsked {
                words: vec!["%".into()],
                ..JobsAsked::default()
            },
            0,
        ),
        (
            JobsAsked {
                class: Some("timeout".into()),
                ..JobsAsked::default()
            },
            0,
        ),
        (
            JobsAsked {
                id: Some(started.id.to_string()[..6].to_owned()),
                ..JobsAsked::default()
            },
            1,
        ),
    ] {
        let rows = store.matching_jobs(queue, &filter, 10).await.expect("a page");
        let counts = store.count_matching(queue, &filter).await.expect("counts");
        assert_eq!((rows.len() as i64, counts), (found, found), "{filter:?}");
    }
    let names = [worker.to_string()];
    let back = Duration::from_secs(60);
    let stretches = store.stretches(&names, back).await.expect("stretches");
    assert!(matches!(&stretches[..], [one] if one.id == started.id.0 && one.ended_at.is_none()));
    assert_eq!(store.fared(&names).await.expect("fared"), [], "nothing has ended");
    let attempts = store.attempt_facts(started.id).await.expect("attempts");
    assert_eq!((attempts.len(), attempts[0].attempt), (1, 1));
}

#[tokio::test]
async fn a_glance_at_a_queue_that_nobody_made_yet_shows_an_empty_one() {
    let world = World::new().await;
    let glance = world.queue.glance().await.expect("valkey");
    assert_eq!((glance.waiting, glance.pending, glance.workers.len()), (0, 0, 0));
    assert!(glance.oldest_waiting.is_none() && glance.commands <= 18);
}
