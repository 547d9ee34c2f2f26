//! A fleet of which one worker is killed every two seconds, for a minute.
//!
//! What is measured here is real time, so the clock is the metronome: an interval says when the next worker dies
//! and when the next job comes. Nothing waits by it for something else to have happened.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use millstream::queue::{Queue, Wire};
use millstream::settings::QueueSettings;
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::demo::{check_sum, one_at_a_time, standing};
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::{Home, PATIENCE, Started, until};

/// How long the demo runs, and how many workers it begins with.
const DEMO: [&str; 4] = ["--workers", "3", "--for", "85s"];
/// A worker dies so often.
const EVERY: Duration = Duration::from_secs(2);
/// So many die: on a machine that is slow too, what the last ones held is finished by others before the demo is over.
const KILLS: usize = 20;
/// A job comes so often, which is half of what three workers can do.
const JOB_EVERY: Duration = Duration::from_millis(250);

/// A worker that was killed, and when.
struct Killed {
    worker: String,
    at: DateTime<Utc>,
}

/// The fleet of a demo: its own workers, and those that take the places of the dead.
struct Fleet<'a> {
    home: &'a Home,
    /// Where the demo's servers are.
    servers: [(&'a str, &'a str); 2],
    heirs: Vec<Started>,
    killed: Vec<Killed>,
    /// The living, in the order in which they were first seen.
    places: Vec<(u32, String)>,
}

impl Fleet<'_> {
    /// Looks who has joined.
    async fn look(&mut self) {
        let cards = self.home.run(&["workers", "--json"]).await.json();
        for card in cards.as_array().expect("a list") {
            let pid = card["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            let (Some(pid), Some(id)) = (pid, card["id"].as_str()) else {
                continue;
            };
            let is_dead = self.killed.iter().any(|killed| killed.worker == id);
            if !is_dead && !self.places.iter().any(|(_, known)| known == id) {
                self.places.push((pid, id.to_owned()));
            }
        }
    }

    /// Kills the worker that has lived longest, so never the same place twice in a row, and fills its place: a
    /// demo does not replace a worker that dies.
    async fn kill_one(&mut self) {
        let begun = Instant::now();
        // An heir has to be heard before it can be killed.
        while self.places.is_empty() && begun.elapsed() < PATIENCE {
            self.look().await;
        }
        self.look().await;
        let (pid, worker) = self.places.remove(0);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), Signal::KILL).expect("it lives");
        let at = millstream::clock::now();
        self.killed.push(Killed { worker, at });
        let name = format!("heir-{}", self.heirs.len());
        self.heirs
            .push(self.home.start(&name, &self.servers, &["worker"]));
    }
}

/// Submits a job again and again, as a client does; answers how many were taken.
async fn feed(web_url: &str, stop: &CancellationToken) -> usize {
    let client = millstream_worker::http::builder().expect("TLS").no_proxy();
    let client = client.build().expect("a client");
    let mut ticks = interval(JOB_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken = 0;
    while !stop.is_cancelled() {
        ticks.tick().await;
        let patch = [CLEAN, COMMITTED_KEY][taken % 2];
        let request = client.post(format!("{web_url}/api/reviews"));
        let answer = request.json(&json!({ "patch": patch })).send().await;
        assert_eq!(answer.expect("it answers").status(), StatusCode::ACCEPTED);
        taken += 1;
    }
    taken
}

/// One number.
async fn count(sql: &PgPool, query: &'static str) -> i64 {
    let count = sqlx::query_scalar(query).fetch_one(sql).await;
    count.expect("postgres is there")
}

/// The jobs that are not done, each with its state, its error and the ends of its attempts.
async fn not_done(sql: &PgPool) -> Vec<String> {
    let rows = sqlx::query_scalar(
        "select format('%s is %s (%s: %s) after %s', j.id, j.state, j.error_class, j.error,
                       string_agg(coalesce(a.outcome, 'running'), ', ' order by a.attempt))
         from millstream.jobs j left join millstream.all_attempts a on a.job_id = j.id
         where j.state <> 'done' group by j.id",
    );
    rows.fetch_all(sql).await.expect("postgres is there")
}

/// Every job is done, each once, with its findings once.
async fn check_rows(sql: &PgPool) {
    assert_eq!(not_done(sql).await, [""; 0]);
    let jobs = count(sql, "select count(*) from millstream.jobs").await;
    let reviews = count(sql, "select count(*) from reviews where status = 'done'").await;
    assert_eq!(reviews, jobs);
    let results = count(
        sql,
        "select count(*) from millstream.all_attempts where outcome = 'done'",
    )
    .await;
    let with_result = "select count(distinct job_id) from millstream.all_attempts where outcome = 'done'";
    assert_eq!(
        (results, count(sql, with_result).await),
        (jobs, jobs),
        "one result for each"
    );
    let open = "select count(*) from millstream.all_attempts where ended_at is null";
    assert_eq!(count(sql, open).await, 0, "no attempt is left open");
    let doubled = "select count(*) from (select review_id, agent from findings
                   group by review_id, agent having count(*) > 1) f";
    assert_eq!(count(sql, doubled).await, 0, "no finding stands twice");
}

/// Nothing lies on the streams, and no consumer holds anything.
async fn check_streams(valkey_url: &str) {
    let settings = QueueSettings {
        name: "reviews:queue".to_owned(),
        group: "reviewers".to_owned(),
        limit: 1,
    };
    let queue = Queue::open(&valkey_url.into(), &settings, Wire::REVIEW).expect("an address");
    until("the streams are empty", || async {
        let depth = queue.depth().await.expect("valkey is there");
        (depth.entries == 0 && depth.pending == 0 && depth.dead == 0).then_some(())
    })
    .await;
}

/// For each attempt that died with its worker: how long until its job was started elsewhere, in seconds.
async fn restarts(sql: &PgPool, killed: &[Killed]) -> Vec<f64> {
    let workers: Vec<&str> = killed.iter().map(|one| one.worker.as_str()).collect();
    let times: Vec<DateTime<Utc>> = killed.iter().map(|one| one.at).collect();
    sqlx::query_scalar(
        "select extract(epoch from n.started_at - k.at)::float8 as gap
         from unnest($1::text[], $2::timestamptz[]) as k (worker, at)
         join millstream.all_attempts a on a.worker = k.worker and a.outcome = 'crashed'
         join millstream.all_attempts n on n.job_id = a.job_id and n.attempt = a.attempt + 1
         order by gap",
    )
    .bind(&workers)
    .bind(&times)
    .fetch_all(sql)
    .await
    .expect("postgres is there")
}

#[tokio::test]
async fn a_fleet_that_loses_a_worker_every_two_seconds_loses_no_job_and_records_none_twice() {
    let _turn = one_at_a_time().await;
    // A job that is unlucky five times in a row would be buried, which is another test's.
    let home = Home::new()
        .with("OFFLINE_LATENCY", "400ms")
        .with("MAX_CRASHES", "100");
    let (demo, note) = standing(&home, &DEMO).await;
    let place = |name: &str| note[name].as_str().expect(name);
    let sql = PgPool::connect(place("database_url"))
        .await
        .expect("its postgres");
    let mut fleet = Fleet {
        home: &home,
        servers: [
            ("VALKEY_URL", place("valkey_url")),
            ("DATABASE_URL", place("database_url")),
        ],
        heirs: Vec::new(),
        killed: Vec::new(),
        places: Vec::new(),
    };
    let stop = CancellationToken::new();
    let killing = async {
        let mut metronome = interval(EVERY);
        // Late ones do not come in a row.
        metronome.set_missed_tick_behavior(MissedTickBehavior::Delay);
        metronome.tick().await;
        for _ in 0..KILLS {
            metronome.tick().await;
            fleet.kill_one().await;
        }
        stop.cancel();
    };
    let ((), fed) = tokio::join!(killing, feed(place("web_url"), &stop));
    until("every job has ended", || async {
        let open = "select count(*) from millstream.jobs where state not in ('done', 'dead')";
        (count(&sql, open).await == 0).then_some(())
    })
    .await;
    check_rows(&sql).await;
    check_streams(place("valkey_url")).await;
    let gaps = restarts(&sql, &fleet.killed).await;
    let (Some(longest), median) = (gaps.last(), gaps.get(gaps.len() / 2)) else {
        panic!("the killed were at work");
    };
    eprintln!(
        "kills: {KILLS} workers, {fed} jobs fed, {} attempts died; their jobs were elsewhere after {:.1} s at the \
         median, {longest:.1} s at the longest",
        gaps.len(),
        median.unwrap_or(longest),
    );
    sql.close().await;
    for heir in fleet.heirs.drain(KILLS - 3..) {
        heir.signal(Signal::TERM);
        assert_eq!(heir.until_ended().await, 0, "{}", heir.stderr());
    }
    assert_eq!(demo.until_ended().await, 0, "{}", demo.stderr());
    let summary = demo.json();
    check_sum(&summary);
    assert_eq!(summary["accepted"], summary["done"], "{summary}");
    assert!(summary["done"].as_i64() >= i64::try_from(fed).ok(), "{summary}");
}
