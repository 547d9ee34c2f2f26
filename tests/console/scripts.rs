//! The longer ways through the console, as an operator types them in an incident: each ends in a frame and in a look
//! at the servers.

use std::time::Duration;

use millstream::domain::{JobId, JobState};
use millstream::queue::Wire;
use millstream_worker::model::offline::Offline;
use rustix::process::{Signal, kill_process};

use super::acting::{buried, short, state};
use crate::support::processes::Home;
use crate::support::reviews::COMMITTED_KEY;
use crate::support::terminal::Terminal;
use crate::support::{World, private, until};

/// What stands before the row that keys act on.
const CURSOR: char = '\u{258c}';

async fn console(world: &World, args: &[&str]) -> Terminal {
    let terminal = Terminal::start(Home::beside(world), args);
    terminal.until_shows("IN FLIGHT").await;
    terminal
}

/// Where the cursor stands: the line of the screen, and what is written there.
fn cursor(screen: &str) -> Option<(usize, String)> {
    let mut lines = screen.lines().enumerate();
    lines.find_map(|(nth, line)| line.contains(CURSOR).then(|| (nth, line.to_owned())))
}

/// Whether the cursor stands on the row of this job.
fn is_on(screen: &str, id: JobId) -> bool {
    cursor(screen).is_some_and(|(_, line)| line.contains(&short(id)))
}

/// Whether the cursor stands on the judge's span.
fn is_on_judge(screen: &str) -> bool {
    cursor(screen).is_some_and(|(_, line)| line.contains("judge"))
}

/// How many jobs are over, and how many times they were started.
async fn ended_and_started(world: &World) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from millstream.jobs where queue = $1 and state = 'done'),
                (select count(*) from millstream.all_attempts join millstream.jobs on jobs.id = job_id
                 where queue = $1)",
    )
    .bind(&world.settings.name)
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there")
}

#[tokio::test]
async fn a_run_whose_console_was_killed_goes_on_in_the_next_one_and_moves_each_job_once() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let ids = buried(&world, 40).await;
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let mut terminal = console(&world, &["--write"]).await;
    terminal.press("5").await;
    terminal.until_shows("40 = in 1 group").await;
    terminal.press("R").await;
    terminal.until_shows("40 will be re-queued").await;
    // Two a second, and no canary.
    terminal
        .press("\t\u{1b}[Z\u{15}2\u{1b}[Z\u{15}0\t\tslow model\t40\t\r")
        .await;
    until("seven of them are through", || async {
        (ended_and_started(&world).await.0 >= 7).then_some(())
    })
    .await;
    kill_process(terminal.pid(), Signal::KILL).expect("it runs");
    assert!(!terminal.until_gone().await.success());
    let left: i64 =
        sqlx::query_scalar("select count(*) from millstream.jobs where queue = $1 and state = 'dead'")
            .bind(&world.settings.name)
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
    assert!(left > 0, "all of them had moved before the kill");
    // The clock of leases: a dead driver holds its run no longer.
    sqlx::query("update millstream.runs set until = now() - interval '1 s' where queue = $1")
        .bind(&world.settings.name)
        .execute(&world.sql)
        .await
        .expect("postgres is there");
    let mut terminal = console(&world, &["--write"]).await;
    terminal.press(":resume r-1\r").await;
    terminal.until_shows("left of 40").await;
    terminal.press("\r").await;
    terminal.until_shows("cancelled, nothing was sent").await;
    terminal.press(":resume r-1\r").await;
    terminal.until_shows("left of 40").await;
    terminal.press("\t\r").await;
    terminal.until_shows("r-1 done  40 of 40 put back").await;
    for id in &ids {
        world.until_state(*id, JobState::Done).await;
    }
    assert_eq!(ended_and_started(&world).await, (40, 40), "each of them once");
    terminal.leave().await;
    worker.drain().await;
}

#[tokio::test]
async fn who_ran_the_judge_and_how_long_is_two_views_away_and_back_on_the_same_row() {
    let world = World::with(Wire::REVIEW).await;
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.submit_patch(COMMITTED_KEY).await);
    }
    for id in &ids {
        world.until_state(*id, JobState::Done).await;
    }
    let ran = world.job(ids[1]).await.worker.expect("a worker had it");
    let mut terminal = console(&world, &[]).await;
    terminal.press("2").await;
    terminal.until_shows(&short(ids[1])).await;
    terminal.press(&format!("/{}\r", short(ids[1]))).await;
    terminal
        .until("the one job", |screen| {
            is_on(screen, ids[1]) && !screen.contains(&short(ids[0]))
        })
        .await;
    terminal.press("\r").await;
    let name = ran[..6].to_owned();
    terminal
        .until("who had it", |screen| {
            screen.contains(&name) && screen.contains("judge")
        })
        .await;
    terminal.press("t").await;
    terminal.until_shows("invoke_agent security").await;
    terminal.press("/judge\r").await;
    terminal
        .until("the judge's span under the cursor", is_on_judge)
        .await;
    terminal.press("J").await;
    terminal.until_shows("Findings").await;
    terminal.press("\u{1b}").await;
    terminal
        .until("the same row", |screen| {
            is_on(screen, ids[1]) && !screen.contains("Findings")
        })
        .await;
    terminal.leave().await;
    worker.drain().await;
}

#[tokio::test]
async fn without_valkey_nothing_is_sent_and_the_list_is_there_and_the_cursor_stays() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let ids = buried(&world, 3).await;
    let mut terminal = console(&world, &["--write"]).await;
    terminal.press("2").await;
    terminal.until_shows(&short(ids[0])).await;
    terminal.press("j").await;
    terminal
        .until("the second row under the cursor", |screen| is_on(screen, ids[1]))
        .await;
    servers.kill_valkey().await.expect("ours");
    terminal.until_shows("\u{25cb}v lost").await;
    terminal.press("R").await;
    terminal.until_shows("off while Valkey is away").await;
    terminal.press("j").await;
    terminal
        .until("the list goes on", |screen| is_on(screen, ids[0]))
        .await;
    servers.restart_valkey().await.expect("ours");
    terminal.until_shows("\u{25cf}v").await;
    assert!(is_on(&terminal.shows(), ids[0]), "{}", terminal.shows());
    for id in &ids {
        assert_eq!(state(&world, *id).await, "dead", "R was not carried out later");
    }
    terminal.leave().await;
    servers.stop().await;
}

#[tokio::test]
async fn rows_move_and_the_cursor_does_not() {
    let world = World::with(Wire::REVIEW).await;
    world.queue.ensure_groups().await.expect("groups");
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(world.submit_patch(COMMITTED_KEY).await);
    }
    let mut terminal = console(&world, &[]).await;
    terminal.press("2").await;
    terminal.until_shows(&short(ids[0])).await;
    terminal.press("jjjj").await;
    // The newest stands first.
    let chosen = ids[3];
    terminal
        .until("the fifth row under the cursor", |screen| is_on(screen, chosen))
        .await;
    let before = cursor(&terminal.shows()).map(|(line, _)| line);
    let mut last = chosen;
    for _ in 0..30 {
        last = world.submit_patch(COMMITTED_KEY).await;
    }
    terminal.until_shows("38 =").await;
    let shown = terminal.shows();
    assert!(is_on(&shown, chosen), "{shown}");
    assert_eq!(cursor(&shown).map(|(line, _)| line), before, "{shown}");
    terminal.press("p").await;
    terminal.until_shows("FROZEN").await;
    // Where there is room, the header says what a second key would bring.
    terminal.resize(40, 180);
    for _ in 0..3 {
        world.submit_patch(COMMITTED_KEY).await;
    }
    terminal.until_shows("3 new").await;
    assert!(terminal.shows().contains("38 ="), "{}", terminal.shows());
    terminal.press("p").await;
    terminal.until_shows("41 =").await;
    assert!(is_on(&terminal.shows(), chosen), "{}", terminal.shows());
    terminal.press("g").await;
    terminal
        .until("the newest in sight", |screen| !is_on(screen, chosen))
        .await;
    assert_ne!(last, chosen);
    terminal.leave().await;
}

#[tokio::test]
async fn a_screen_that_shrinks_to_nothing_and_grows_keeps_its_place_in_a_trace() {
    let world = World::with(Wire::REVIEW).await;
    let worker = world.reviewer(Offline::new(Duration::ZERO, 0.0), World::engine());
    let id = world.submit_patch(COMMITTED_KEY).await;
    world.until_state(id, JobState::Done).await;
    let mut terminal = console(&world, &[]).await;
    terminal.press("2").await;
    terminal.until_shows("request-changes").await;
    terminal.press("t").await;
    terminal.until_shows("invoke_agent security").await;
    terminal.press("/judge\r").await;
    terminal.until("the judge's span", is_on_judge).await;
    for (rows, columns) in [(24, 80), (9, 39), (0, 0)] {
        terminal.resize(rows, columns);
    }
    terminal.resize(40, 120);
    terminal
        .until("the same span on a whole screen", |screen| {
            let widest = screen.lines().map(|line| line.chars().count()).max();
            is_on_judge(screen) && widest == Some(120)
        })
        .await;
    terminal.press(":q\r").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
    worker.drain().await;
}
