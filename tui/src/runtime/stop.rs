//! Stopping and going on as a shell expects it of a program: Ctrl-Z, `kill -TSTP`, then `fg`.
//!
//! Raw mode makes a key of Ctrl-Z, and SIGTSTP is caught, since the terminal has to be given back before we stand
//! still. Then the whole group is stopped, with whatever script has started us, as the terminal itself does it.

use std::io;

use rustix::process::{Signal as Kind, getpgid, getsid, kill_current_process_group};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::keymap::Key;
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

/// Tells that we go on.
pub fn continued() -> io::Result<Signal> {
    signal(SignalKind::from_raw(Kind::CONT.as_raw()))
}

/// Whether anybody would let us go on: a shell gives each job a group of its own. Without one (a container, `ssh host
/// millstream`) we would stand still for ever, and the kernel itself drops a SIGTSTP there.
pub fn has_a_shell() -> bool {
    match (getpgid(None), getsid(None)) {
        (Ok(group), Ok(session)) => group != session,
        _ => false,
    }
}

/// Stops us.
pub fn stop() -> io::Result<()> {
    Ok(kill_current_process_group(Kind::STOP)?)
}
