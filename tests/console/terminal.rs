//! The console in a real terminal, on real servers: what a person types, and what it does in Valkey and
//! Postgres.

use millstream::domain::JobState;
use millstream::queue::Wire;
use millstream::reports::{WorkerReport, WorkerState, workers};
use millstream_worker::model::offline::Offline;

use crate::support::processes::Home;
use crate::support::reviews::COMMITTED_KEY;
use crate::support::terminal::Terminal;
use crate::support::{World, until};

/// A demo with its console in front, on a world's servers.
async fn demo(workers: &str) -> (World, Terminal) {
    let world = World::with(Wire::REVIEW).await;
    let home = Home::beside(&world).with("SHUTDOWN_GRACE", "5s");
    let terminal = Terminal::start(home, &["demo", "--workers", workers]);
    // The keys of the fleet work once the console knows its workers.
    terminal.until_shows(&format!("Workers  {workers}")).await;
    (world, terminal)
}

async fn live(world: &World) -> Vec<WorkerReport> {
    let all = workers(&world.store, &world.queue)
        .await
        .expect("both servers are there");
    all.into_iter()
        .filter(|worker| worker.state != WorkerState::Lost)
        .collect()
}

async fn until_workers(world: &World, count: usize) -> Vec<WorkerReport> {
    until(&format!("{count} workers are there"), || async {
        Some(live(world).await).filter(|workers| workers.len() == count)
    })
    .await
}

/// Leaves the demo; it must end well and give the screen back.
async fn leave(mut terminal: Terminal) {
    terminal.press("q").await;
    let status = terminal.until_ended().await;
    assert!(status.success(), "{status}: {}", terminal.shows());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
    assert!(
        terminal.shows().contains("the sum is right"),
        "{}",
        terminal.shows()
    );
}

#[tokio::test]
async fn b_submits_fifty_diffs() {
    let (world, mut terminal) = demo("1").await;
    let queue = &world.settings.name;
    terminal.press("b").await;
    // The feed alone keeps as many waiting as there are slots: four.
    until("many more wait than the feed lets wait", || async {
        let counts = world.store.counts(queue).await.expect("postgres is there");
        (counts.waiting > 25).then_some(())
    })
    .await;
    leave(terminal).await;
    assert!(
        world
            .store
            .counts(queue)
            .await
            .expect("postgres is there")
            .add_up()
    );
}

#[tokio::test]
async fn n_submits_one_diff() {
    let world = World::with(Wire::REVIEW).await;
    // Reviews that do not end: once every slot runs one and one waits for each, the feed submits no more.
    let home = Home::beside(&world)
        .with("OFFLINE_LATENCY", "1h")
        .with("SHUTDOWN_GRACE", "1s");
    let mut terminal = Terminal::start(home, &["demo", "--workers", "1"]);
    let queue = &world.settings.name;
    let before = until("all slots run and as many wait", || async {
        let counts = world.store.counts(queue).await.expect("postgres is there");
        (counts.running == 4 && counts.waiting >= 4).then_some(counts)
    })
    .await;
    terminal.until_shows("Workers  1").await;
    terminal.press("n").await;
    terminal.until_shows("1 submitted").await;
    let after = world.store.counts(queue).await.expect("postgres is there");
    assert_eq!(after.accepted, before.accepted + 1);
    leave(terminal).await;
}

#[tokio::test]
async fn plus_starts_a_worker_and_minus_drains_one() {
    let (world, mut terminal) = demo("1").await;
    until_workers(&world, 1).await;
    terminal.press("+").await;
    until_workers(&world, 2).await;
    terminal.press("-").await;
    until_workers(&world, 1).await;
    leave(terminal).await;
    let crashed: i64 =
        sqlx::query_scalar("select count(*) from millstream.all_attempts where outcome = 'crashed'")
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
    assert_eq!(crashed, 0, "a drained worker loses nothing");
}

#[tokio::test]
async fn a_kill_waits_for_a_yes_and_then_another_worker_takes_over() {
    let (world, mut terminal) = demo("2").await;
    let before = until_workers(&world, 2).await;
    terminal.press("K").await;
    terminal.until_shows("kill -9 to process").await;
    terminal.press("\u{1b}").await;
    terminal
        .until("no dialog", |screen| !screen.contains("kill -9 to process"))
        .await;
    assert_eq!(live(&world).await.len(), 2, "Esc kills nobody");
    terminal.press("K").await;
    terminal.until_shows("kill -9 to process").await;
    terminal.press("y").await;
    let after = until_workers(&world, 1).await;
    assert!(before.iter().any(|worker| worker.id == after[0].id));
    terminal.until_shows("lost").await;
    leave(terminal).await;
    assert!(
        world
            .store
            .counts(&world.settings.name)
            .await
            .expect("postgres is there")
            .add_up()
    );
}

#[tokio::test]
async fn from_the_list_to_the_job_to_its_trace_and_back() {
    let world = World::with(Wire::REVIEW).await;
    let worker = world.reviewer(Offline::new(std::time::Duration::ZERO, 0.0), World::engine());
    let id = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(id, JobState::Done).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("2").await;
    terminal.until_shows("request-changes").await;
    terminal.press("\r").await;
    terminal.until_shows("deploy/settings.py:11").await;
    terminal.press("t").await;
    terminal.until_shows("invoke_agent security").await;
    assert!(!terminal.shows().contains("AKIAQ"), "{}", terminal.shows());
    terminal.press("\u{1b}").await;
    terminal.until_shows("Findings").await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(!terminal.is_taken());
    worker.drain().await;
}

#[tokio::test]
async fn a_filter_narrows_while_it_is_typed_and_goes_with_escape() {
    let world = World::with(Wire::REVIEW).await;
    let id = world.submit_patch(COMMITTED_KEY).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("2").await;
    let short = id.to_string()[..6].to_owned();
    terminal.until_shows(&short).await;
    terminal.press("/state:done\r").await;
    terminal.until("no row", |screen| !screen.contains(&short)).await;
    terminal.press("\u{1b}").await;
    terminal.until_shows(&short).await;
    assert_eq!(world.job(id).await.status, "waiting", "looking changes nothing");
}

#[tokio::test]
async fn a_read_only_console_submits_nothing_and_help_says_why() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &["--read-only"]);
    terminal.until_shows("RO").await;
    terminal.press("b").await;
    terminal.press("n").await;
    terminal.press("?").await;
    terminal.until_shows("help").await;
    let counts = world
        .store
        .counts(&world.settings.name)
        .await
        .expect("postgres is there");
    assert_eq!(counts.accepted, 0);
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_the_last_values_with_their_age() {
    let servers = crate::support::private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.submit_patch(COMMITTED_KEY).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("accepted 1").await;
    servers.kill_valkey().await.expect("ours");
    terminal.until_shows("○v lost").await;
    // The value of before stands there, marked as what it is; Postgres' own figures go on.
    terminal
        .until("the dated value", |screen| {
            screen.contains("1 ?") && screen.contains("s old")
        })
        .await;
    servers.restart_valkey().await.expect("ours");
    terminal.until_shows("●v").await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    servers.stop().await;
}

#[tokio::test]
async fn scale_asks_for_workers_and_can_be_taken_back() {
    let (world, mut terminal) = demo("1").await;
    until_workers(&world, 1).await;
    terminal.press(":scale 2\r").await;
    terminal.until_shows("1 > 2 workers").await;
    terminal.press("y").await;
    until_workers(&world, 2).await;
    terminal.press("z").await;
    terminal.until_shows("[ Undo").await;
    terminal.press("\t\r").await;
    until_workers(&world, 1).await;
    leave(terminal).await;
}
