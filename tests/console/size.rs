//! A window that changes its size.

use millstream::queue::Wire;
use rustix::process::{Signal, kill_process};

use crate::support::processes::Home;
use crate::support::terminal::Terminal;
use crate::support::{World, until};

/// Whether the kernel has stopped a process.
fn is_stopped(terminal: &Terminal) -> bool {
    let path = format!("/proc/{}/stat", terminal.pid().as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("it is there");
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('T'))
}

#[tokio::test]
async fn a_size_that_changes_in_the_moment_of_a_key_is_not_lost() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    // While it stands still both arrive; then it finds them together.
    for (rows, columns, title) in [(12, 40, "\u{2501} 3 Pending \u{2501}"), (40, 120, "3 Pending")] {
        kill_process(terminal.pid(), Signal::STOP).expect("it lives");
        until("it stands still", || async {
            is_stopped(&terminal).then_some(())
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
