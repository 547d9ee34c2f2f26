//! Read-only rights, as docs/operating.md gives them: everything that looks works with them, and every write is
//! refused by the servers themselves.

use millstream::domain::{DeadFilter, JobId, Lane, Terms};
use millstream::ops::{Mode, Operator, OpsError, Rights, Selection};
use millstream::queue::{NewEntry, Queue, QueueError};
use millstream::reports;
use millstream::store::actions::{ActionId, Wanted};
use millstream::store::dead::Exported;
use millstream::store::{Store, StoreError};

use super::{ada, dead, deaths, footprint, held, named, parked, typed};
use crate::support::World;
use crate::tidy::source::read;

/// The blocks of a language in the document.
fn blocks(language: &str) -> Vec<String> {
    let text = read("docs/operating.md");
    let mut found = Vec::new();
    for rest in text.split(&format!("```{language}\n")).skip(1) {
        found.extend(rest.split_once("```").map(|(block, _)| block.to_owned()));
    }
    found
}

/// A name that no other test has.
fn fresh() -> String {
    format!("reader_{}", JobId::fresh().0.simple())
}

/// A user of Valkey with the rights that the document gives.
async fn reading_queue(world: &World) -> Queue {
    let name = fresh();
    let commands: Vec<String> = blocks("acl");
    assert_eq!(commands.len(), 1);
    let words: Vec<String> = commands[0]
        .split_whitespace()
        .map(|word| match word {
            "reader" => name.clone(),
            ">PASSWORD" => ">secret".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    let mut command = redis::cmd(&words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    let () = command
        .query_async(&mut world.valkey.clone())
        .await
        .expect("a user");
    let url = world
        .valkey_url
        .replacen("redis://", &format!("redis://{name}:secret@"), 1);
    Queue::open(&url.into(), &world.settings, world.queue.wire()).expect("an address")
}

/// A role of Postgres with the rights that the document gives.
async fn reading_store(world: &World) -> Store {
    let name = fresh();
    let statements = blocks("sql");
    assert_eq!(statements.len(), 1);
    let statements = statements[0]
        .replace("reader", &name)
        .replace("PASSWORD", "secret")
        .replace(
            "on database millstream",
            &format!("on database {}", database(world)),
        );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&world.sql)
        .await
        .expect("a role");
    let mut url = url::Url::parse(&world.database_url).expect("an address");
    url.set_username(&name).expect("a host");
    url.set_password(Some("secret")).expect("a host");
    Store::open(&url.to_string().into(), "tests", 2).expect("an address")
}

fn database(world: &World) -> String {
    let url = url::Url::parse(&world.database_url).expect("an address");
    url.path().trim_start_matches('/').to_owned()
}

fn is_refused<T: std::fmt::Debug>(what: Result<T, OpsError>) {
    match what {
        Err(OpsError::Store(StoreError::Refused(why))) => {
            assert!(why.contains("permission denied"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

fn is_forbidden<T: std::fmt::Debug>(what: Result<T, QueueError>) {
    match what {
        Err(QueueError::Refused(why)) => {
            assert!(why.contains("NOPERM") || why.contains("permission"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn who_may_read_sees_everything_and_both_servers_refuse_every_write() {
    let world = World::new().await;
    let (buried, fails, runs) = (
        dead(&world, "one", "no such pull request").await,
        parked(&world, "two").await,
        held(&world, "three").await,
    );
    ada(&world)
        .pause(Some("a look"), Mode::Real)
        .await
        .expect("pause");
    let (queue, store) = (reading_queue(&world).await, reading_store(&world).await);
    let name = &world.settings.name;
    queue.check().await.expect("a login");
    store.check().await.expect("a login");
    store.check_schema().await.expect("the schema");
    let now = millstream::clock::now();
    let everything = DeadFilter::default();
    reports::status(&store, &queue, None).await.expect("the status");
    assert_eq!(
        reports::jobs(&store, name, None, 10)
            .await
            .expect("the jobs")
            .len(),
        3
    );
    reports::workers(&store, &queue).await.expect("the workers");
    assert_eq!(
        reports::pending(&store, &queue, 10)
            .await
            .expect("what is held")
            .rows
            .len(),
        2
    );
    assert_eq!(
        reports::dead(&store, &queue, &everything, now, 10)
            .await
            .expect("the dead")
            .rows
            .len(),
        1
    );
    reports::export_letters(&queue, &everything, now, 10)
        .await
        .expect("the letters");
    reports::trace(&store, buried).await.expect("a trace");
    let wanted = Wanted {
        queue: Some(name),
        ..Wanted::default()
    };
    assert_eq!(
        reports::activity(&store, &wanted, 10)
            .await
            .expect("the book")
            .len(),
        1
    );
    reports::runs(&store, name, 10).await.expect("the runs");
    store.causes(name).await.expect("the causes");
    store.fleet(name).await.expect("the fleet");
    queue.glass_page().await.expect("the notes");

    let reader = Operator::new(store.clone(), queue.clone(), "cli:eve", Rights::Explicit).with(typed(1));
    let which = Selection::Named(named([buried]));
    let plan = reader
        .plan_requeue(&which, None)
        .await
        .expect("a plan only looks");
    assert_eq!(plan.tally().eligible, 1);
    let action: i64 = sqlx::query_scalar("select max(id) from millstream.actions")
        .fetch_one(&world.sql)
        .await
        .expect("an action");
    let before = footprint(&world).await;
    is_refused(reader.retry(&named([fails.job]), Mode::Real).await);
    is_refused(reader.cancel(&named([runs.job]), Mode::Real).await);
    is_refused(reader.bury(&named([runs.job]), "harm", Mode::Real).await);
    is_refused(reader.claim(&named([runs.job]), Mode::Real).await);
    is_refused(reader.requeue_dead(&named([buried]), Mode::Real).await);
    is_refused(reader.drop_dead(&which, None, Exported::Waived, Mode::Real).await);
    is_refused(reader.note_export(&deaths(&world, &[buried]).await).await);
    is_refused(reader.resume(Mode::Real).await);
    is_refused(reader.begin_run(&plan, Terms::AT_ONCE).await);
    is_refused(reader.undo(ActionId(action)).await);
    is_refused(
        store
            .migrate()
            .await
            .map_err(OpsError::Store)
            .map_err(|error| match error {
                // Whoever migrates tells of the schema and not of the statement.
                OpsError::Store(StoreError::Schema(why)) => OpsError::Store(StoreError::Refused(why)),
                other => other,
            }),
    );
    let entry = NewEntry {
        lane: Lane::Own,
        job: runs.job,
        payload: "p".to_owned(),
        traceparent: None,
    };
    is_forbidden(queue.enqueue(&[entry]).await);
    is_forbidden(queue.set_pause("x").await);
    is_forbidden(queue.clear_pause().await);
    is_forbidden(queue.hasten(Lane::Own, &[fails.entry]).await);
    is_forbidden(
        queue
            .claim(Lane::Own, runs.entry, &runs.lease.worker.to_string())
            .await,
    );
    is_forbidden(queue.withdraw(Lane::Own, &[(runs.entry, runs.job)]).await);
    is_forbidden(queue.remove_letters(&[runs.entry]).await);
    is_forbidden(queue.wake_workers().await);
    assert_eq!(footprint(&world).await, before);
}
