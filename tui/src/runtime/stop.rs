//! Stopping and going on as a shell expects it of a program: Ctrl-Z, `kill -TSTP`, then `fg`.
//!
//! Raw mode makes a key of Ctrl-Z, and SIGTSTP is caught, since the terminal has to be given back before we stand
//! still. Then the whole group is stopped, with whatever script has started us, as the terminal itself does it.

use std::io;

use rustix::process::{Signal as Kind, getpgid, getsid, kill_current_process_group};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::terminal::Screen;
use crate::keymap::Key;
use crate::model::view::Size;
use crate::msg::Msg;

/// Turns SIGTSTP into the key that means the same.
pub fn hear(sender: mpsc::Sender<Msg>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut asked = signal(SignalKind::from_raw(Kind::TSTP.as_raw()))?;
    Ok(async move {
        while asked.recv().await.is_some() {
            if sender.send(Msg::Key(Key::Ctrl('z'))).await.is_err() {
                return;
            }
        }
    })
}

/// A program that can be stopped and goes on.
pub struct Stops {
    continued: Signal,
}

impl Stops {
    /// Listens for the shell that lets us go on.
    pub fn listen() -> io::Result<Self> {
        let continued = signal(SignalKind::from_raw(Kind::CONT.as_raw()))?;
        Ok(Self { continued })
    }

    /// Waits until somebody lets us go on who has stopped us without asking.
    pub async fn continued(&mut self) {
        self.continued.recv().await;
    }

    /// Stops as the shell's own Ctrl-Z would, and goes on when the shell says so: answers the size of the screen then,
    /// and nothing when nobody would let us go on.
    pub async fn stop(&mut self, screen: &mut Screen) -> io::Result<Option<Size>> {
        if !has_a_shell() {
            return Ok(None);
        }
        screen.give_back();
        kill_current_process_group(Kind::STOP)?;
        // The kernel may let this thread run on for a moment before it stops the process.
        self.continued().await;
        come_back(screen).map(Some)
    }
}

/// Takes the terminal again from whoever had it while we stood still.
pub fn come_back(screen: &mut Screen) -> io::Result<Size> {
    if screen.is_ours() {
        // Somebody has stopped us from outside, and the screen may have been anything since.
        screen.give_back();
    }
    screen.retake()?;
    Screen::measure()
}

/// What is said instead of stopping.
pub const NO_SHELL: &str = "there is no shell here to come back from";

/// Whether anybody would let us go on: a shell gives each job a group of its own. Without one (a container, `ssh host
/// millstream`) we would stand still for ever, and the kernel itself drops a SIGTSTP there.
fn has_a_shell() -> bool {
    match (getpgid(None), getsid(None)) {
        (Ok(group), Ok(session)) => group != session,
        _ => false,
    }
}
