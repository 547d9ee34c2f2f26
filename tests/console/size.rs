//! A window that changes its size.

use millstream::queue::Wire;
use rustix::process::{Signal, kill_process};

use crate::support::processes::Home;
use crate::support::terminal::{Terminal, is_stopped};
use crate::support::{World, until};

#[tokio::test]
async fn a_size_that_changes_in_the_moment_of_a_key_is_not_lost() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    // While it stands still both arrive; then it finds them together.
    for (rows, columns, title) in [(12, 40, "\u{2501} 3 Pending \u{2501}"), (40, 120, "3 Pending")] {
        kill_process(terminal.pid(), Signal::STOP).expect("it lives");
        until("it stands still", || async {
            is_stopped(terminal.pid()).then_some(())
        })
        .await;
        terminal.resize(rows, columns);
        terminal.press("3").await;
        kill_process(terminal.pid(), Signal::CONT).expect("it lives");
        terminal
            .until(title, |screen| {
                let widest = screen.lines().map(|line| line.chars().count()).max();
                screen.contains(title) && widest == Some(usize::from(columns))
            })
            .await;
    }
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
}

/// Waits until the screen is as wide as its window and shows the view of this name.
async fn until_fits(terminal: &Terminal, title: &str, columns: u16) {
    terminal
        .until(title, |screen| {
            let widest = screen.lines().map(|line| line.chars().count()).max();
            screen.contains(title) && widest == Some(usize::from(columns))
        })
        .await;
}

#[tokio::test]
async fn a_storm_of_sizes_ends_with_a_frame_of_the_last_one() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    for nth in 0..500_u16 {
        terminal.resize(5 + nth * 7 % 60, 10 + nth * 13 % 200);
    }
    terminal.resize(40, 120);
    until_fits(&terminal, "IN FLIGHT", 120).await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
}

#[tokio::test]
async fn a_window_of_no_size_is_waited_out() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    for (rows, columns) in [(0, 0), (1, 1), (0, 80), (24, 0), (0, 0)] {
        terminal.resize(rows, columns);
        // It is asked for its size with every tick, and takes the key after that.
        terminal.press("3").await;
    }
    terminal.resize(24, 80);
    until_fits(&terminal, "Nothing is pending", 80).await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
}
