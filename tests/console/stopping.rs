//! A console that is stopped and goes on, in a shell that has jobs and without one.

use millstream::queue::Wire;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::processes::Home;
use crate::support::terminal::{Terminal, is_stopped};
use crate::support::{World, until};

/// Ctrl-Z.
const STOP: &str = "\u{1a}";

/// A console as the job of a shell.
async fn job(world: &World) -> (Terminal, Pid) {
    let (mut terminal, binary) = Terminal::shell(Home::beside(world).with("PS1", "ready> "));
    terminal.until_shows("ready>").await;
    terminal.press(&format!("{binary}\r")).await;
    terminal.until_shows("IN FLIGHT").await;
    assert!(terminal.is_taken() && terminal.is_raw());
    let job = terminal.job().expect("the shell has started it");
    (terminal, job)
}

async fn until_stopped(terminal: &Terminal, job: Pid) {
    until("the console stands still", || async {
        is_stopped(job).then_some(())
    })
    .await;
    // What it has sent before that is read a moment later.
    terminal
        .until("the shell", |screen| {
            screen.contains("ready>") && terminal.is_given_back()
        })
        .await;
}

#[tokio::test]
async fn ctrl_z_gives_the_shell_its_terminal_and_fg_brings_the_screen_back() {
    let world = World::with(Wire::REVIEW).await;
    let (mut terminal, job) = job(&world).await;
    terminal.press("3").await;
    terminal.until_shows("Nothing is pending").await;
    for round in 1..=2 {
        terminal.press(STOP).await;
        until_stopped(&terminal, job).await;
        terminal
            .press(&format!("echo $((round * 1000 + {round}))\r").replace("round", "1"))
            .await;
        terminal.until_shows(&format!("{}", 1000 + round)).await;
        terminal.press("fg\r").await;
        terminal.until_shows("Nothing is pending").await;
        assert!(terminal.is_taken() && terminal.is_raw());
    }
    terminal.press("q").await;
    // Until it is gone it may still take what is typed, as any program that is just ending.
    until("the shell has no job any more", || async {
        terminal.job().is_none().then_some(())
    })
    .await;
    terminal
        .until("the shell again", |_| terminal.is_given_back())
        .await;
    terminal.press("exit\r").await;
    assert!(terminal.until_ended().await.success(), "{}", terminal.shows());
}

#[tokio::test]
async fn a_stop_from_outside_gives_the_terminal_back_too() {
    let world = World::with(Wire::REVIEW).await;
    let (mut terminal, job) = job(&world).await;
    kill_process(job, Signal::TSTP).expect("it runs");
    until_stopped(&terminal, job).await;
    terminal.press("fg\r").await;
    terminal.until_shows("IN FLIGHT").await;
    terminal.press("q").await;
    terminal
        .until("the shell again", |_| terminal.is_given_back())
        .await;
}

#[tokio::test]
async fn what_a_stop_without_a_warning_has_left_is_drawn_anew() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    kill_process(terminal.pid(), Signal::STOP).expect("it runs");
    until("it stands still", || async {
        is_stopped(terminal.pid()).then_some(())
    })
    .await;
    terminal.take_away();
    assert!(!terminal.is_taken() && !terminal.is_raw());
    kill_process(terminal.pid(), Signal::CONT).expect("it is there");
    terminal.until_shows("IN FLIGHT").await;
    assert!(terminal.is_taken() && terminal.is_raw());
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
    assert!(terminal.is_given_back(), "{}", terminal.shows());
}

#[tokio::test]
async fn without_a_shell_nobody_would_let_it_go_on_so_it_does_not_stop() {
    let world = World::with(Wire::REVIEW).await;
    let mut terminal = Terminal::start(Home::beside(&world), &[]);
    terminal.until_shows("IN FLIGHT").await;
    terminal.press(STOP).await;
    terminal
        .until_shows("there is no shell here to come back from")
        .await;
    terminal.press("q").await;
    assert!(terminal.until_ended().await.success());
}
