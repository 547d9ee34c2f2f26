//! Submissions that come at the same time are written in one statement, and each is told of its own.

use futures_util::future::join_all;
use futures_util::poll;
use millstream::ops::submit::Source;
use millstream::ops::{OpsError, Submission, Submitted, Submitter};
use millstream::queue::Wire;
use sqlx::{Postgres, Transaction};
use tokio::task::JoinSet;

use crate::support::{World, until};

const MANY: usize = 20;

fn pull(number: usize) -> Submission {
    let address = format!("https://github.com/acme/ledger/pull/{number}");
    Submission::now(Source::PullRequest(address.parse().expect("a pull request")))
}

/// What Postgres refuses in these tests.
const POISON: usize = 700;

/// A world, a way to submit there, and a lock that holds every insert up until it is dropped.
async fn held_up() -> (World, Submitter, Transaction<'static, Postgres>) {
    let world = World::with(Wire::REVIEW).await;
    let submitter = world.submitter();
    let forbid =
        format!("alter table reviews add constraint poison check (pr_url not like '%/pull/{POISON}')");
    sqlx::query(sqlx::AssertSqlSafe(forbid))
        .execute(&world.sql)
        .await
        .expect("the table is there");
    let mut lock = world.sql.begin().await.expect("postgres is there");
    sqlx::query("lock table reviews in share mode")
        .execute(&mut *lock)
        .await
        .expect("nobody else has it");
    (world, submitter, lock)
}

/// Submits one, beside the test.
fn first(submitter: &Submitter, number: usize) -> JoinSet<Result<Submitted, OpsError>> {
    let (submitter, mut first) = (submitter.clone(), JoinSet::new());
    first.spawn(async move { submitter.submit(pull(number)).await });
    first
}

/// Waits until a statement is on its way, and stands before the lock.
async fn until_waiting(world: &World) {
    until("a statement waits for the lock", || async {
        let waits: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database
             where d.datname = current_database() and not l.granted",
        )
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there");
        (waits > 0).then_some(())
    })
    .await;
}

/// Reviews, and transactions that have written them.
async fn written(world: &World) -> (i64, i64) {
    sqlx::query_as("select count(*), count(distinct xmin::text) from reviews")
        .fetch_one(&world.sql)
        .await
        .expect("postgres is there")
}

fn ids(outcomes: Vec<Result<Submitted, OpsError>>) -> Vec<String> {
    outcomes
        .into_iter()
        .map(|outcome| outcome.expect("accepted").id.to_string())
        .collect()
}

#[tokio::test]
async fn what_comes_while_a_statement_is_on_its_way_goes_with_the_next_one() {
    let (world, submitter, lock) = held_up().await;
    let first = first(&submitter, 1);
    until_waiting(&world).await;
    let mut others = Box::pin(join_all(
        (2..2 + MANY).map(|number| submitter.submit(pull(number))),
    ));
    assert!(poll!(&mut others).is_pending());
    lock.rollback().await.expect("postgres is there");
    let mut told = ids(others.await);
    told.extend(ids(first.join_all().await));
    told.sort();
    told.dedup();
    assert_eq!(told.len(), MANY + 1, "each has its own");
    let (rows, statements) = written(&world).await;
    assert_eq!(rows, MANY as i64 + 1);
    // One of them may have counted the queue's room meanwhile, and come later.
    assert!(statements <= 5, "{statements} statements");
    let depth = world.queue.depth().await.expect("valkey is there");
    assert_eq!(depth.entries, MANY as u64 + 1);
}

#[tokio::test]
async fn of_those_that_are_written_together_only_the_one_that_is_refused_is_refused() {
    let (world, submitter, lock) = held_up().await;
    let first = first(&submitter, 1);
    until_waiting(&world).await;
    let numbers = (2..1 + MANY).chain([POISON]);
    let mut others = Box::pin(join_all(numbers.map(|number| submitter.submit(pull(number)))));
    assert!(poll!(&mut others).is_pending());
    lock.rollback().await.expect("postgres is there");
    let (refused, accepted): (Vec<_>, Vec<_>) = others.await.into_iter().partition(Result::is_err);
    assert_eq!(ids(first.join_all().await).len(), 1);
    let refused: Vec<String> = refused
        .into_iter()
        .filter_map(|one| Some(one.err()?.to_string()))
        .collect();
    assert!(refused.len() == 1 && refused[0].contains("poison"), "{refused:?}");
    assert_eq!(ids(accepted).len(), MANY - 1);
    assert_eq!(written(&world).await.0, MANY as i64);
}

#[tokio::test]
async fn who_goes_away_takes_the_answer_of_nobody_else_along() {
    let (world, submitter, lock) = held_up().await;
    let mut first = first(&submitter, 1);
    until_waiting(&world).await;
    let mut others = Box::pin(join_all(
        (2..2 + MANY).map(|number| submitter.submit(pull(number))),
    ));
    assert!(poll!(&mut others).is_pending());
    // The statement that is on its way is this one's.
    first.shutdown().await;
    lock.rollback().await.expect("postgres is there");
    assert_eq!(ids(others.await).len(), MANY);
    assert_eq!(
        written(&world).await.0,
        MANY as i64 + 1,
        "it was accepted all the same"
    );
}

#[tokio::test]
async fn who_comes_after_a_statement_that_falls_silent_does_not_wait_for_it() {
    const SILENT: usize = 701;
    const LOCK: i64 = 701;
    let world = World::with(Wire::REVIEW).await;
    let submitter = world.submitter();
    let hold = format!(
        "create function hold() returns trigger language plpgsql as $$ begin
             if new.pr_url like '%/pull/{SILENT}' then perform pg_advisory_xact_lock({LOCK}); end if;
             return new;
         end $$;
         create trigger hold before insert on reviews for each row execute function hold();"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold))
        .execute(&world.sql)
        .await
        .expect("a trigger");
    let mut lock = world.sql.begin().await.expect("postgres is there");
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *lock)
        .await
        .expect("nobody else has it");
    let mut silent = first(&submitter, SILENT);
    until_waiting(&world).await;
    let others = join_all((1..=MANY).map(|number| submitter.submit(pull(number)))).await;
    assert_eq!(ids(others).len(), MANY);
    assert!(silent.try_join_next().is_none(), "it has no answer yet");
    lock.rollback().await.expect("postgres is there");
    assert_eq!(ids(silent.join_all().await).len(), 1);
    assert_eq!(written(&world).await.0, MANY as i64 + 1);
}
