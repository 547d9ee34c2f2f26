//! The `millstream` binary as a user runs it: on the run's servers, and the demo on its own.

mod bad_input;
mod bench;
mod bulk;
mod demo;
mod kills;
mod operator;
mod overlap;
mod submit;
mod verbs;
mod web;
mod webhooks;
mod worker;

pub use demo::one_at_a_time;
use millstream::queue::Wire;
use sqlx::PgPool;

use crate::support::{Home, Started, World, until};

/// A world, and somebody at a terminal who works with it.
struct Lab {
    world: World,
    home: Home,
}

impl Lab {
    async fn new() -> Self {
        let world = World::with(Wire::REVIEW).await;
        let home = Home::beside(&world).with("OFFLINE_LATENCY", "10ms");
        Self { world, home }
    }

    /// Starts a worker process and waits until it is ready.
    async fn worker(&self, name: &str, vars: &[(&str, &str)]) -> Started {
        let worker = self.home.start(name, vars, &["worker"]);
        worker.until_said("ready (").await;
        worker
    }

    /// Asks a verb for its JSON.
    async fn ask(&self, args: &[&str]) -> serde_json::Value {
        let ran = self.home.run(args).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// Waits until so many jobs are in a state.
    async fn until_jobs(&self, state: &str, count: i64) {
        until(&format!("{count} jobs are {state}"), || async {
            let found: i64 = sqlx::query_scalar("select count(*) from millstream.jobs where state = $1")
                .bind(state)
                .fetch_one(&self.world.sql)
                .await
                .expect("postgres is there");
            (found == count).then_some(())
        })
        .await;
    }
}

/// How many rows a submission would leave behind in each table.
async fn rows(sql: &PgPool) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in [
        "reviews",
        "millstream.jobs",
        "millstream.inputs",
        "millstream.idempotency",
        "millstream.actions",
    ] {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")));
        counts.push(count.fetch_one(sql).await.expect("postgres is there"));
    }
    counts
}

/// A diff that the demo brings, as a path for a command line.
fn patch(name: &str) -> String {
    format!("{}/../assets/demo/{name}.patch", env!("CARGO_MANIFEST_DIR"))
}
