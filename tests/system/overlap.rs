//! An earlier version's worker beside the present one's, as every deploy has them: one queue, one database, and
//! neither may lose, double or hang on to what the other began.
//!
//! `MILLSTREAM_OLD_BINARY` names the earlier `millstream`; `scripts/old-beside-new` builds one and sets it. Without
//! it the present binary plays both parts.

use std::path::PathBuf;

use millstream::settings::process_environment;
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{Lab, patch};
use crate::support::servers::shared;
use crate::support::{Home, Started, World, until};

/// Jobs of each wave; there is a wave before each death and one after.
const WAVE: usize = 8;
/// A review takes a second and a half: whoever is killed in the middle of a wave runs some.
const LATENCY: (&str, &str) = ("OFFLINE_LATENCY", "500ms");
/// The jobs of who is to be killed do not end before that.
const FOR_EVER: (&str, &str) = ("OFFLINE_LATENCY", "1h");

/// The earlier version, or nothing when the present one is to play its part.
fn old_binary() -> Option<PathBuf> {
    let named = process_environment("MILLSTREAM_OLD_BINARY")?;
    let path = PathBuf::from(named);
    assert!(path.is_file(), "MILLSTREAM_OLD_BINARY names {}", path.display());
    Some(path)
}

impl Lab {
    /// The same user with the earlier binary.
    fn old_home(&self) -> Home {
        let home = Home::beside(&self.world);
        let Some(binary) = old_binary() else {
            return home;
        };
        let name = binary.file_name().unwrap_or_default().display();
        eprintln!("overlap: {name} plays the old part");
        home.with_binary(binary)
    }

    /// Submits a wave of jobs, by this user.
    async fn wave(&self, by: &Home) {
        for n in 0..WAVE {
            let name = ["clean-rust", "committed-key"][n % 2];
            let ran = by.run(&["submit", &patch(name), "--json"]).await;
            assert_eq!(ran.code, 0, "{ran:?}");
        }
    }

    /// How many rows a query counts.
    async fn tally(&self, query: &'static str) -> i64 {
        let tally = sqlx::query_scalar(query).fetch_one(&self.world.sql);
        tally.await.expect("postgres is there")
    }

    /// Waits until a process runs some jobs. No verb is asked: the old version and the new one need not agree on
    /// what they can read while the schema is still the old one's.
    async fn until_busy(&self, worker: &Started) {
        let id = until("its card is up", || async {
            let cards = self.world.queue.workers().await.expect("valkey is there");
            cards.into_iter().find_map(|seen| {
                let card: Value = serde_json::from_str(seen.card.as_deref()?).ok()?;
                (card["pid"] == worker.pid()).then_some(seen.worker)
            })
        })
        .await;
        until("it runs something", || async {
            let running = "select count(*) from millstream.jobs where worker = $1 and state = 'running'";
            let running: i64 = sqlx::query_scalar(running)
                .bind(&id)
                .fetch_one(&self.world.sql)
                .await
                .expect("postgres is there");
            (running > 0).then_some(())
        })
        .await;
    }

    /// All of so many jobs are done, each once, nothing is pending and the counts add up.
    async fn check_done_once(&self, jobs: usize) {
        self.until_jobs("done", jobs as i64).await;
        self.world.until_empty().await;
        let world = &self.world;
        let counts = world.store.counts(&world.settings.name).await.expect("counts");
        assert!(counts.add_up(), "{counts:?}");
        assert_eq!((counts.accepted, counts.done), (jobs as i64, jobs as i64));
        let twice = self
            .tally(
                "select count(*) from (select job_id from millstream.all_attempts where outcome = 'done'
                 group by job_id having count(*) <> 1) t",
            )
            .await;
        let doubled = self
            .tally(
                "select count(*) from (select review_id, agent from findings
                 group by review_id, agent having count(*) <> 1) f",
            )
            .await;
        let done = self
            .tally("select count(*) from reviews where status = 'done'")
            .await;
        assert_eq!((twice, doubled, done), (0, 0, jobs as i64));
        let open = self
            .tally("select count(*) from millstream.all_attempts where ended_at is null")
            .await;
        assert_eq!(open, 0, "no attempt is left open");
    }
}

/// Kills one of each while they run jobs, with waves from both versions' producers in between, and starts a new
/// one of each, so that both have to finish what the other one began.
async fn kill_one_of_each(lab: &Lab, old: &Home, first_old: Started) {
    let new = &lab.home;
    let first_new = lab.worker("new-1", &[FOR_EVER]).await;
    lab.wave(new).await;
    lab.until_busy(&first_old).await;
    first_old.signal(Signal::KILL);
    lab.wave(old).await;
    let _second_old = ready(old, "old-2").await;
    lab.until_busy(&first_new).await;
    first_new.signal(Signal::KILL);
    lab.wave(new).await;
    let _second_new = lab.worker("new-2", &[LATENCY]).await;
    lab.wave(old).await;
    lab.check_done_once(4 * WAVE).await;
}

/// A worker of this user that is ready.
async fn ready(home: &Home, name: &str) -> Started {
    ready_with(home, name, LATENCY).await
}

async fn ready_with(home: &Home, name: &str, latency: (&str, &str)) -> Started {
    let worker = home.start(name, &[latency], &["worker"]);
    worker.until_said("ready (").await;
    worker
}

#[tokio::test]
async fn an_old_worker_and_a_new_one_share_what_the_new_one_migrated() {
    let lab = Lab::new().await;
    let old = lab.old_home();
    let first_old = ready_with(&old, "old-1", FOR_EVER).await;
    kill_one_of_each(&lab, &old, first_old).await;
}

#[tokio::test]
async fn the_new_version_migrates_while_the_old_one_works() {
    let name = format!("m{}", millstream::domain::JobId::fresh().0.simple());
    let mut server = PgConnection::connect(&shared().database_url("postgres"))
        .await
        .expect("postgres is there");
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}")))
        .execute(&mut server)
        .await
        .expect("a fresh name");
    let database = shared().database_url(&name);
    let world = World::at(shared().valkey_url(), &database, millstream::queue::Wire::REVIEW).await;
    let home = Home::beside(&world).with("OFFLINE_LATENCY", "10ms");
    let lab = Lab { world, home };
    let old = lab.old_home();
    // It finds an empty database, and makes its own schema there.
    let first_old = ready(&old, "old-1").await;
    lab.wave(&old).await;
    lab.until_busy(&first_old).await;
    // The first worker of the new version brings the schema up to date under its feet.
    let migrating = ready(&lab.home, "new-0").await;
    lab.until_jobs("done", WAVE as i64).await;
    migrating.signal(Signal::TERM);
    assert_eq!(migrating.until_ended().await, 0, "{}", migrating.stderr());
    assert!(!first_old.stderr().contains("ERROR"), "{}", first_old.stderr());
    let _third = lab.worker("new-3", &[LATENCY]).await;
    first_old.signal(Signal::KILL);
    lab.wave(&old).await;
    lab.wave(&lab.home).await;
    lab.check_done_once(3 * WAVE).await;
}
