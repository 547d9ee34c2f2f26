//! Servers that go away, fall silent, grow slow or do not let us in: the console stays, says which and why, keeps what it
//! knew with its age, and comes back by itself. It never shows a password.

use std::time::{Duration, Instant};

use millstream::domain::JobId;
use millstream::queue::Wire;

use crate::support::processes::Home;
use crate::support::reviews::{CLEAN, COMMITTED_KEY};
use crate::support::terminal::Terminal;
use crate::support::{Line, World};

/// The password in every address of these tests.
const SECRET: &str = "hunter2-never-shown";

/// A world whose servers are reached by lines, with three jobs that wait.
struct Lab {
    world: World,
    valkey: Line,
    postgres: Line,
    jobs: Vec<JobId>,
}

impl Lab {
    async fn new() -> Self {
        let world = World::with(Wire::REVIEW).await;
        let (valkey, postgres) = (
            Line::to(&world.valkey_url).await,
            Line::to(&world.database_url).await,
        );
        let mut jobs = Vec::new();
        for patch in [COMMITTED_KEY, CLEAN, COMMITTED_KEY] {
            jobs.push(world.submit_patch(patch).await);
        }
        Self {
            world,
            valkey,
            postgres,
            jobs,
        }
    }

    fn home(&self) -> Home {
        Home::beside(&self.world)
            .with("VALKEY_URL", &self.valkey.through(&self.world.valkey_url))
            .with("DATABASE_URL", &self.postgres.through(&self.world.database_url))
    }

    /// A console on the list of jobs, with the cursor on the second one.
    async fn console(&self) -> Terminal {
        let mut terminal = Terminal::start(self.home(), &[]);
        terminal.until_shows("accepted 3").await;
        terminal.press("2").await;
        terminal.until_shows(&short(self.jobs[0])).await;
        terminal.press("j").await;
        terminal
            .until("the cursor on the second", |screen| {
                selected(screen).is_some_and(|row| row.contains(&short(self.jobs[1])))
            })
            .await;
        terminal
    }

    /// Checks that a list is still what it was, and the cursor where it was.
    async fn stands_still(&self, terminal: &Terminal) {
        terminal
            .until("its rows with their age and the cursor on the second", |screen| {
                self.jobs.iter().all(|job| screen.contains(&short(*job)))
                    && screen.contains(" old")
                    && selected(screen).is_some_and(|row| row.contains(&short(self.jobs[1])))
            })
            .await;
    }
}

fn short(job: JobId) -> String {
    job.to_string()[..6].to_owned()
}

/// The row under the cursor.
fn selected(screen: &str) -> Option<&str> {
    screen.lines().find(|line| line.trim_start().starts_with('▌'))
}

/// Both lamps as they are in the header.
fn lamps(screen: &str) -> (bool, bool) {
    let header = screen.lines().next().unwrap_or_default();
    let is_out = |short: &str, long: &str| {
        header.contains(&format!("○{short} lost")) || header.contains(&format!("○ {long} lost"))
    };
    (is_out("v", "valkey"), is_out("p", "postgres"))
}

async fn until_lamps(terminal: &Terminal, out: (bool, bool)) {
    terminal
        .until(&format!("lamps that are out: {out:?}"), |screen| {
            lamps(screen) == out
        })
        .await;
}

/// Both lamps shine, which a lamp that has not been answered yet does not.
async fn until_well(terminal: &Terminal) {
    terminal
        .until("both lamps", |screen| {
            let header = screen.lines().next().unwrap_or_default();
            header.matches('●').count() == 2
        })
        .await;
}

/// Prints how long it took from a server's return to the first list that is as of now: `cargo test -- --nocapture`.
async fn until_fresh(terminal: &Terminal, what: &str, since: Instant, is_fresh: impl Fn(&str) -> bool) {
    terminal.until("the list as of now", is_fresh).await;
    println!(
        "{what}: as of now {:.1} s after its return",
        since.elapsed().as_secs_f64()
    );
}

async fn leave(mut terminal: Terminal) {
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
    let sent = String::from_utf8_lossy(&terminal.sent()).into_owned();
    assert!(
        !sent.contains(SECRET) && !sent.contains("hunter2"),
        "a password was shown"
    );
    let log = terminal.home().path().join(".local/state/millstream/console.log");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(!log.contains("hunter2"), "a password was logged: {log}");
}

#[tokio::test]
async fn a_server_that_is_cut_off_is_named_and_comes_back_by_itself() {
    let lab = Lab::new().await;
    let mut terminal = lab.console().await;
    lab.postgres.cut();
    until_lamps(&terminal, (false, true)).await;
    lab.stands_still(&terminal).await;
    lab.postgres.mend();
    let back = Instant::now();
    until_well(&terminal).await;
    until_fresh(&terminal, "Postgres", back, |screen| {
        !screen.contains(" old") && selected(screen).is_some_and(|row| row.contains(&short(lab.jobs[1])))
    })
    .await;
    lab.valkey.cut();
    until_lamps(&terminal, (true, false)).await;
    lab.postgres.cut();
    until_lamps(&terminal, (true, true)).await;
    lab.stands_still(&terminal).await;
    terminal.press("1").await;
    // Forecasts and rates of a queue that nobody can see are none.
    terminal
        .until("no forecast", |screen| {
            screen.contains("IN FLIGHT") && !screen.contains("drains in") && !screen.contains("/s ")
        })
        .await;
    lab.valkey.mend();
    lab.postgres.mend();
    let back = Instant::now();
    until_well(&terminal).await;
    until_fresh(&terminal, "both", back, |screen| {
        screen.contains("accepted 3") && !screen.contains(" s old")
    })
    .await;
    leave(terminal).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_reached_by_a_new_connection() {
    let lab = Lab::new().await;
    let terminal = lab.console().await;
    lab.postgres.slow_down(Duration::from_secs(600));
    lab.valkey.slow_down(Duration::from_secs(600));
    until_lamps(&terminal, (true, true)).await;
    lab.stands_still(&terminal).await;
    terminal.until_shows("no answer within").await;
    // What is on its way stays there; only who connects anew is answered.
    lab.postgres.slow_down(Duration::ZERO);
    lab.valkey.slow_down(Duration::ZERO);
    let back = Instant::now();
    until_well(&terminal).await;
    until_fresh(&terminal, "both, that were silent", back, |screen| {
        !screen.contains(" old") && selected(screen).is_some_and(|row| row.contains(&short(lab.jobs[1])))
    })
    .await;
    leave(terminal).await;
}

#[tokio::test]
async fn a_slow_server_is_a_server_whose_answers_take_long() {
    let lab = Lab::new().await;
    let mut terminal = lab.console().await;
    lab.valkey.slow_down(Duration::from_millis(150));
    // There and back: the lamp says what an answer takes.
    terminal
        .until("the latency", |screen| {
            let header = screen.lines().next().unwrap_or_default();
            lamps(screen) == (false, false) && header.contains("●v 3") || header.contains("● valkey 3")
        })
        .await;
    terminal.press("1").await;
    terminal.until_shows("accepted 3").await;
    leave(terminal).await;
}

#[tokio::test]
async fn it_comes_back_though_the_refresh_is_off() {
    let lab = Lab::new().await;
    let mut terminal = lab.console().await;
    // From interval to interval until there is none.
    for _ in 0..8 {
        terminal.press("I").await;
        if terminal
            .shows()
            .lines()
            .next()
            .is_some_and(|line| line.contains("paused"))
        {
            break;
        }
        let before = terminal.shows().lines().next().unwrap_or_default().to_owned();
        terminal
            .until("another interval", |screen| {
                interval(screen.lines().next().unwrap_or_default()) != interval(&before)
            })
            .await;
    }
    terminal.until_shows("paused").await;
    lab.valkey.cut();
    terminal.press("r").await;
    until_lamps(&terminal, (true, false)).await;
    lab.valkey.mend();
    until_well(&terminal).await;
    leave(terminal).await;
}

/// The part of the header behind the clock.
fn interval(header: &str) -> String {
    let (_, behind) = header.rsplit_once("Z ").unwrap_or_default();
    behind.to_owned()
}

#[tokio::test]
async fn a_console_that_starts_without_its_servers_waits_for_them() {
    let lab = Lab::new().await;
    lab.valkey.cut();
    lab.postgres.cut();
    let mut terminal = Terminal::start(lab.home(), &[]);
    until_lamps(&terminal, (true, true)).await;
    terminal.press("2").await;
    terminal.until_shows("failed to reach Postgres").await;
    lab.valkey.mend();
    lab.postgres.mend();
    until_well(&terminal).await;
    terminal.until_shows(&short(lab.jobs[0])).await;
    leave(terminal).await;
}

#[tokio::test]
async fn servers_that_do_not_let_us_in_say_why_and_are_asked_again() {
    let servers = crate::support::private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.submit_patch(CLEAN).await;
    // Only from here on is there a password, and it is another one than the console's.
    let require = |password: &str| {
        let (password, mut valkey) = (password.to_owned(), world.valkey.clone());
        async move {
            let set: Result<String, _> = redis::cmd("CONFIG")
                .arg(&["SET", "requirepass", &password])
                .query_async(&mut valkey)
                .await;
            set.expect("valkey is there");
        }
    };
    require("another").await;
    let role = format!("intruder_{}", &JobId::fresh().to_string()[..8]);
    let valkey = servers
        .valkey_url
        .replace("redis://", &format!("redis://:{SECRET}@"));
    let (_, place) = world
        .database_url
        .rsplit_once('@')
        .unwrap_or(("", &world.database_url));
    let place = place
        .trim_start_matches("postgres://")
        .trim_start_matches("postgresql://");
    let postgres = format!("postgres://{role}:{SECRET}@{place}");
    let home = Home::beside(&world)
        .with("VALKEY_URL", &valkey)
        .with("DATABASE_URL", &postgres);
    let mut terminal = Terminal::start(home, &[]);
    until_lamps(&terminal, (true, true)).await;
    terminal.press("2").await;
    terminal.until_shows("failed to log in to Postgres").await;
    terminal.press("3").await;
    terminal.until_shows("Password authentication failed").await;
    require(SECRET).await;
    until_lamps(&terminal, (false, true)).await;
    let make = format!("create role {role} superuser login password '{SECRET}'");
    sqlx::query(sqlx::AssertSqlSafe(make))
        .execute(&world.sql)
        .await
        .expect("a role");
    until_well(&terminal).await;
    terminal.press("2").await;
    terminal.until_shows("waiting").await;
    leave(terminal).await;
    let drop = format!("drop role {role}");
    sqlx::query(sqlx::AssertSqlSafe(drop))
        .execute(&world.sql)
        .await
        .expect("our role");
    servers.stop().await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_and_a_host_that_nobody_knows_are_told() {
    let world = World::with(Wire::REVIEW).await;
    let tls = world.database_url.clone() + "?sslmode=require";
    let unknown = format!("redis://:{SECRET}@no-such-host.invalid:6379/0");
    let home = Home::beside(&world)
        .with("VALKEY_URL", &unknown)
        .with("DATABASE_URL", &tls);
    let mut terminal = Terminal::start(home, &[]);
    until_lamps(&terminal, (true, true)).await;
    terminal.press("2").await;
    terminal.until_shows("TLS").await;
    terminal.press("3").await;
    terminal.until_shows("failed to reach Valkey").await;
    leave(terminal).await;
    let plain = world
        .valkey_url
        .replace("redis://", &format!("rediss://:{SECRET}@"));
    let home = Home::beside(&world).with("VALKEY_URL", &plain);
    let mut terminal = Terminal::start(home, &[]);
    until_lamps(&terminal, (true, false)).await;
    terminal.press("3").await;
    // A server without TLS takes its greeting for the beginning of a command, and waits for the rest.
    terminal.until_shows("no answer within 2 s").await;
    leave(terminal).await;
}
