//! A terminal that takes nothing: a connection that stands still, a window that scrolls back.

use std::time::Duration;

use millstream::queue::Wire;
use rustix::process::{Signal, kill_process};

use crate::support::processes::Home;
use crate::support::terminal::Terminal;
use crate::support::{World, within};

/// How long more is looked for after a key; a frame takes a fraction of it.
const A_LOOK: Duration = Duration::from_millis(100);
/// So many looks in a row at which nothing more has come: the line is full.
const SAME_LOOKS: u32 = 6;

/// A console on a line that is full: whatever it draws now stays on its way.
async fn held_up(world: &World) -> Terminal {
    let mut terminal = Terminal::start(Home::beside(world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.hold();
    let (mut seen, mut same) = (0, 0);
    for view in "12345678".chars().cycle() {
        // Every view is another picture: all of it is sent.
        terminal.press(&view.to_string()).await;
        let more = within(A_LOOK, || async {
            (terminal.unread() > seen).then(|| terminal.unread())
        })
        .await;
        (seen, same) = (more.unwrap_or(seen), if more.is_some() { 0 } else { same + 1 });
        if same == SAME_LOOKS {
            break;
        }
    }
    assert!(seen > 0, "something was sent");
    terminal
}

#[tokio::test]
async fn keys_and_signals_are_heard_while_nothing_can_be_drawn() {
    let world = World::with(Wire::REVIEW).await;
    let mut by_key = held_up(&world).await;
    by_key.press("q").await;
    let status = by_key.until_gone().await;
    assert!(status.success(), "{status}");
    by_key.release();
    by_key.until_ended().await;
    assert!(by_key.is_given_back(), "{}", by_key.shows());

    let mut by_signal = held_up(&world).await;
    kill_process(by_signal.pid(), Signal::TERM).expect("it runs");
    let status = by_signal.until_gone().await;
    assert!(status.success(), "{status}");
    by_signal.release();
    by_signal.until_ended().await;
    assert!(by_signal.is_given_back(), "{}", by_signal.shows());
}

#[tokio::test]
async fn what_comes_after_is_the_newest_frame_and_none_of_those_between() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = held_up(&world).await;
    let before = terminal.sent().len() as u64 + terminal.unread();
    for view in "12345678".repeat(40).chars() {
        terminal.press(&view.to_string()).await;
    }
    terminal.press("3").await;
    terminal.release();
    terminal.until_shows("Nothing is pending").await;
    let came = terminal.sent().len() as u64 - before;
    // The frame that was on its way, and the one of now; 320 views were gone through meanwhile.
    assert!(came < 100_000, "{came} bytes");
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
}
