//! How a console ends when nobody presses `q`: its terminal is a shell's again, and what it started is gone.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use millstream::queue::Wire;
use rustix::process::{Signal, kill_process};

use crate::support::processes::Home;
use crate::support::terminal::Terminal;
use crate::support::{World, until};

/// A console has nothing to finish, and would wait 30 s and more for whoever does not answer. On a busy machine a second
/// becomes several.
const AT_ONCE: Duration = Duration::from_secs(25);
/// The key that ends a debug build with a panic: Ctrl-\\.
const PANIC: &str = "\u{1c}";
/// The key that does it with a panic of a task beside the loop: Ctrl-].
const TASK_PANIC: &str = "\u{1d}";

async fn console(world: &World) -> Terminal {
    let terminal = Terminal::start(Home::beside(world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    assert!(terminal.is_taken() && !terminal.is_given_back());
    terminal
}

/// A demo with its console in front, and the folder of its data.
async fn demo(world: &World) -> (Terminal, PathBuf) {
    let home = Home::beside(world)
        .with("OFFLINE_LATENCY", "50ms")
        .with("SHUTDOWN_GRACE", "1s");
    let terminal = Terminal::start(home, &["demo", "--workers", "1"]);
    terminal.until_shows("Workers  1").await;
    let folder = PathBuf::from(running(&terminal)["data_dir"].as_str().expect("a folder"));
    assert!(!terminal.home().processes(&folder).is_empty());
    (terminal, folder)
}

fn running(terminal: &Terminal) -> serde_json::Value {
    let folder = terminal.home().runtime().join("millstream");
    let mut notes = std::fs::read_dir(folder).expect("a demo runs").flatten();
    let note = notes.next().expect("one demo runs").path();
    serde_json::from_slice(&std::fs::read(note).expect("our file")).expect("JSON")
}

async fn until_gone(home: &Home, folder: &std::path::Path) {
    until("all that the demo started is gone", || async {
        home.processes(folder).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_signal_ends_the_console_at_once_and_gives_the_terminal_back() {
    let world = World::with(Wire::REVIEW).await;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut terminal = console(&world).await;
        let sent = Instant::now();
        kill_process(terminal.pid(), signal).expect("it runs");
        let status = terminal.until_ended().await;
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", terminal.shows());
        assert!(sent.elapsed() < AT_ONCE, "{signal:?}: {:?}", sent.elapsed());
        assert!(terminal.is_given_back(), "{signal:?}: {}", terminal.shows());
        assert_eq!(terminal.shows().trim(), "", "{signal:?}");
    }
}

#[tokio::test]
async fn a_console_whose_terminal_is_closed_ends_at_once() {
    let world = World::with(Wire::REVIEW).await;
    let terminal = console(&world).await;
    let closed = Instant::now();
    terminal.hang_up().await;
    assert!(closed.elapsed() < AT_ONCE, "{:?}", closed.elapsed());
}

#[tokio::test]
async fn a_signal_drains_a_demo_and_leaves_nothing_of_it() {
    let world = World::with(Wire::REVIEW).await;
    for signal in [Signal::TERM, Signal::HUP] {
        let (mut terminal, folder) = demo(&world).await;
        kill_process(terminal.pid(), signal).expect("it runs");
        let status = terminal.until_ended().await;
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", terminal.shows());
        assert!(terminal.is_given_back(), "{signal:?}: {}", terminal.shows());
        assert!(terminal.shows().contains("the sum is right"));
        until_gone(terminal.home(), &folder).await;
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn a_demo_whose_terminal_is_closed_drains_and_leaves_nothing_of_it() {
    let world = World::with(Wire::REVIEW).await;
    let (terminal, folder) = demo(&world).await;
    let (_status, home) = terminal.hang_up().await;
    until_gone(&home, &folder).await;
    assert!(!folder.exists());
    let crashed: i64 =
        sqlx::query_scalar("select count(*) from millstream.all_attempts where outcome = 'crashed'")
            .fetch_one(&world.sql)
            .await
            .expect("postgres is there");
    assert_eq!(crashed, 0, "its workers were drained");
}

#[tokio::test]
async fn a_panic_is_told_on_a_terminal_that_was_given_back() {
    let world = World::with(Wire::REVIEW).await;
    let panics = [
        (PANIC, "the panic that was asked for"),
        (TASK_PANIC, "the panic of a task that was asked for"),
    ];
    for (key, text) in panics {
        let mut terminal = console(&world).await;
        terminal.press(key).await;
        let status = terminal.until_ended().await;
        tells_its_panic_once(&terminal, status, text);
    }
}

fn tells_its_panic_once(terminal: &Terminal, status: ExitStatus, text: &str) {
    let shows = terminal.shows();
    assert_eq!(status.code(), Some(1), "{shows}");
    assert!(terminal.is_given_back(), "{shows}");
    assert_eq!(shows.matches(text).count(), 1, "{shows}");
    let said: Vec<&str> = shows.lines().filter(|line| !line.is_empty()).collect();
    let at = |words: &str| said.iter().position(|line| line.starts_with(words));
    let log = said
        .iter()
        .find_map(|line| line.strip_prefix("the console's log is "));
    assert!(at("thread") < at("the console's log is"), "{shows}");
    let last = "millstream: failed to go on: a part of the console panicked";
    assert_eq!(said.last(), Some(&last), "{shows}");
    let log = std::fs::read_to_string(log.expect("its path")).expect("the log is there");
    assert_eq!(log.matches(text).count(), 1, "{log}");
}

#[tokio::test]
async fn a_panic_of_its_console_drains_a_demo_and_leaves_its_log() {
    let world = World::with(Wire::REVIEW).await;
    let (mut terminal, folder) = demo(&world).await;
    terminal.press(PANIC).await;
    let status = terminal.until_ended().await;
    assert_eq!(status.code(), Some(1), "{}", terminal.shows());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
    until_gone(terminal.home(), &folder).await;
    assert!(folder.join("console.log").is_file());
    std::fs::remove_dir_all(&folder).expect("it was left for us");
}
