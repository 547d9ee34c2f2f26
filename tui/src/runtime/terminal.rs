//! The screen: taken, given back on every path, and taken again by a console that was stopped and goes on.
//!
//! Giving back is done once, by whoever comes first: the end, an error, or the panic hook, which prints the panic
//! on the ordinary screen where it can be read, and says which log tells what was before. It is never waited for
//! longer than a moment: a terminal that takes nothing loses the frame that is on its way.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, queue, terminal};
use millstream::untrusted::visible;
use ratatui::buffer::Buffer;
use rustix::termios::{QueueSelector, tcflush};

use super::line::Line;
use super::painter::Painter;
use crate::model::view::Size;
use crate::msg::Pointed;

/// The line of the terminal that is ours and must be given back.
static TAKEN: Mutex<Option<Line>> = Mutex::new(None);
/// Whether the terminal tells us of its mouse and must stop that.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// The panic hook is put in once for the process.
static HOOK: Once = Once::new();
/// A terminal that takes nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Ends whatever sequence a terminal has been sent the beginning of.
const CANCEL: &[u8] = b"\x18";

/// The screen, ours until it is dropped.
pub struct Screen {
    painter: Painter<Frame>,
    line: Line,
    /// The mouse is wanted too.
    mouse: bool,
}

/// Collects a frame, and sends it when it is whole.
struct Frame {
    bytes: Vec<u8>,
    line: Line,
}

impl Write for Frame {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.line.send(&self.bytes);
        self.bytes.clear();
        Ok(())
    }
}

impl Screen {
    /// Takes the terminal. Whatever panics from here on is told beside the path of this log.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn enter(log: Option<PathBuf>, mouse: bool) -> io::Result<Self> {
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(move |panic| {
                let was_taken = leave();
                tracing::error!("panic: {panic}");
                // With standard error gone too there is nobody to tell.
                let _unheard = tell(panic);
                if let Some(log) = log.as_ref().filter(|_| was_taken) {
                    let _unheard = writeln!(io::stderr(), "the console's log is {}", log.display());
                }
            }));
        });
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let line = Line::open(output)?;
        let frame = Frame {
            bytes: Vec::new(),
            line: line.clone(),
        };
        let screen = Self {
            painter: Painter::new(frame),
            line,
            mouse,
        };
        screen.take()?;
        Ok(screen)
    }

    /// Takes the terminal again after it was given back, or after somebody else has had it meanwhile.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn retake(&mut self) -> io::Result<()> {
        // A shell has set the modes as it wants them; raw mode is only entered from there.
        terminal::disable_raw_mode()?;
        self.take()
    }

    fn take(&self) -> io::Result<()> {
        terminal::enable_raw_mode()?;
        // From here on whatever goes wrong gives it back.
        *taken() = Some(self.line.clone());
        let mut bytes = Vec::new();
        queue!(bytes, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        if self.mouse {
            MOUSE.store(true, Ordering::SeqCst);
            queue!(bytes, EnableMouseCapture)?;
        }
        self.line.send(&bytes);
        Ok(())
    }

    /// Gives the terminal back for a while.
    pub fn give_back(&self) {
        leave();
    }

    /// The terminal's size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn size(&mut self) -> io::Result<Size> {
        let (width, height) = terminal::size()?;
        let size = Size { width, height };
        self.resized(size);
        Ok(size)
    }

    /// The terminal's size as it is now, whatever is painted. One call to the kernel: no program is started for it, as
    /// crossterm does where that fails.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn measure() -> io::Result<Size> {
        let window = terminal::window_size()?;
        Ok(Size {
            width: window.columns,
            height: window.rows,
        })
    }

    /// Takes a new size; everything is drawn anew.
    pub fn resized(&mut self, size: Size) {
        self.painter.resize(size);
    }

    /// Whether the frame before is on the screen, so that the next one can follow.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn is_free(&self) -> io::Result<bool> {
        self.line.is_free()
    }

    /// The line to the terminal, for who waits until it is free.
    pub fn line(&self) -> Line {
        self.line.clone()
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.painter.paint(draw)
    }

    /// Adds to a use of the mouse what was drawn there.
    pub fn tell_what_stands_there(&self, pointed: &mut Pointed) {
        self.painter.tell_what_stands_there(pointed);
    }

    /// Puts a text on the clipboard of whoever sits at the terminal, however far away that is.
    pub fn copy(&mut self, text: &str) {
        self.painter.copy(text);
    }

    /// Whether the terminal is ours still. A panic anywhere in the process has given it back, and what is drawn
    /// then would stand over what the panic says.
    pub fn is_ours(&self) -> bool {
        taken().is_some()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn taken() -> MutexGuard<'static, Option<Line>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back; answers whether it was ours.
fn leave() -> bool {
    let Some(line) = taken().take() else {
        return false;
    };
    let mut bytes = Vec::new();
    if !line.settle(PATIENCE) {
        // Nobody will see the rest of that frame; without it there is room for what comes now.
        let _gone = tcflush(io::stdout(), QueueSelector::OFlush);
        bytes.extend_from_slice(CANCEL);
    }
    if MOUSE.swap(false, Ordering::SeqCst) {
        let _written = queue!(bytes, DisableMouseCapture);
    }
    // Into memory nothing fails.
    let _written = queue!(
        bytes,
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    line.send(&bytes);
    // A terminal that is gone needs nothing back.
    let _settled = line.settle(PATIENCE);
    let _cooked = terminal::disable_raw_mode();
    true
}

/// Tells a panic as the language does, with whatever it quotes made visible.
fn tell(panic: &PanicHookInfo<'_>) -> io::Result<()> {
    let mut out = io::stderr().lock();
    let thread = std::thread::current();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    writeln!(
        out,
        "thread '{}' panicked at {at}:",
        thread.name().unwrap_or("<unnamed>")
    )?;
    for line in panic.payload_as_str().unwrap_or("no text").lines() {
        writeln!(out, "{}", visible(line))?;
    }
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => writeln!(out, "{trace}"),
        _ => writeln!(out, "note: run with `RUST_BACKTRACE=1` to see the way there"),
    }
}
