//! The line to the terminal: one frame at a time, written by a thread of its own.
//!
//! A terminal that takes nothing (a slow connection, a window that stands still) holds up the thread and neither keys
//! nor signals. Whoever draws asks first whether the frame before is gone, so what goes next is always the newest: old
//! frames never queue, and what is drawn slows down to what the line carries.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// The line; its copies are the same line. It is closed when the last of them is dropped.
#[derive(Clone)]
pub struct Line(Arc<End>);

/// The end that is ours. The thread holds only what is behind it.
struct End(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    freed: Notify,
}

#[derive(Default)]
struct State {
    /// What is to be written next.
    next: Vec<u8>,
    /// Something is being written.
    writing: bool,
    /// What the terminal said when it refused.
    failed: Option<io::Error>,
    closed: bool,
}

impl Line {
    /// A line into this output.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(output: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            freed: Notify::new(),
        });
        let carried = Arc::clone(&shared);
        thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || carried.carry(output))?;
        Ok(Self(Arc::new(End(shared))))
    }

    /// Sends bytes behind whatever waits.
    pub fn send(&self, bytes: &[u8]) {
        let shared = &self.0.0;
        shared.lock().next.extend_from_slice(bytes);
        shared.changed.notify_all();
    }

    /// Whether all that was sent is written.
    ///
    /// # Errors
    /// When the terminal has refused it.
    pub fn is_free(&self) -> io::Result<bool> {
        let mut state = self.0.0.lock();
        match state.failed.take() {
            Some(error) => Err(error),
            None => Ok(state.is_free()),
        }
    }

    /// Waits until all that was sent is written or refused.
    pub async fn freed(&self) {
        let shared = &self.0.0;
        while !shared.lock().is_free() {
            shared.freed.notified().await;
        }
    }

    /// Waits so long on this thread; answers whether all that was sent is written or refused.
    pub fn settle(&self, patience: Duration) -> bool {
        let shared = &self.0.0;
        let busy = |state: &mut State| !state.is_free();
        let waited = shared
            .changed
            .wait_timeout_while(shared.lock(), patience, busy)
            .unwrap_or_else(PoisonError::into_inner);
        waited.0.is_free()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl State {
    const fn is_free(&self) -> bool {
        self.next.is_empty() && !self.writing
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until the line is closed.
    fn carry(&self, mut output: impl Write) {
        let idle = |state: &mut State| state.next.is_empty() && !state.closed;
        loop {
            let waited = self.changed.wait_while(self.lock(), idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let bytes = std::mem::take(&mut state.next);
            if bytes.is_empty() {
                return;
            }
            state.writing = true;
            drop(state);
            let written = output.write_all(&bytes).and_then(|()| output.flush());
            let mut state = self.lock();
            state.writing = false;
            state.failed = written.err();
            drop(state);
            self.changed.notify_all();
            self.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A terminal that takes bytes when it is let.
    struct Slow {
        let_through: Receiver<io::Result<()>>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.let_through.recv().unwrap()?;
            self.seen.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Line, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (lets, let_through) = channel();
        let (seen, sees) = channel();
        let line = Line::open(Slow { let_through, seen }).unwrap();
        (line, lets, sees)
    }

    #[tokio::test]
    async fn a_line_that_takes_nothing_holds_nobody_up_and_says_when_it_is_free() {
        let (line, lets, sees) = slow();
        assert!(line.is_free().unwrap());
        line.send(b"one");
        assert!(!line.is_free().unwrap() && !line.settle(Duration::from_millis(1)));
        lets.send(Ok(())).unwrap();
        line.freed().await;
        assert_eq!(sees.recv().unwrap(), b"one");
        assert!(line.is_free().unwrap());
    }

    #[tokio::test]
    async fn a_terminal_that_refuses_is_told_once() {
        let (line, lets, _sees) = slow();
        line.send(b"one");
        lets.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        line.freed().await;
        assert!(line.is_free().is_err());
        assert!(line.is_free().unwrap());
    }
}
