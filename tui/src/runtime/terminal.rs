//! The screen: taken once, given back on every path.
//!
//! Leaving is done once, by whoever comes first: the end, an error, or the panic hook, which prints the panic
//! on the ordinary screen where it can be read, and says which log tells what was before.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use ratatui::buffer::Buffer;

use super::painter::Painter;
use crate::model::view::Size;
use crate::msg::Pointed;

/// Whether the terminal is ours and must be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the terminal tells us of its mouse and must stop that.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// The panic hook is put in once for the process.
static HOOK: Once = Once::new();
/// A whole frame of a large screen in one write.
const FRAME_BYTES: usize = 256 * 1024;

/// The screen, ours until it is dropped.
pub struct Screen {
    painter: Painter<BufWriter<Stdout>>,
}

impl Screen {
    /// Takes the terminal. Whatever panics from here on is told beside the path of this log.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn enter(log: Option<PathBuf>, mouse: bool) -> io::Result<Self> {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                let was_taken = leave();
                tracing::error!("panic: {panic}");
                usual(panic);
                if let Some(log) = log.as_ref().filter(|_| was_taken) {
                    // With standard error gone too there is nobody to tell.
                    let _unheard = writeln!(io::stderr(), "the console's log is {}", log.display());
                }
            }));
        });
        terminal::enable_raw_mode()?;
        // From here on whatever goes wrong gives it back.
        TAKEN.store(true, Ordering::SeqCst);
        let screen = Self {
            painter: Painter::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())),
        };
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            cursor::Hide
        )?;
        if mouse {
            MOUSE.store(true, Ordering::SeqCst);
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(screen)
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
        TAKEN.load(Ordering::SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back; answers whether it was ours.
fn leave() -> bool {
    let was_taken = TAKEN.swap(false, Ordering::SeqCst);
    if was_taken {
        if MOUSE.swap(false, Ordering::SeqCst) {
            let _gone = execute!(io::stdout(), DisableMouseCapture);
        }
        // A terminal that is gone needs nothing back.
        let _gone = execute!(
            io::stdout(),
            EndSynchronizedUpdate,
            DisableBracketedPaste,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _cooked = terminal::disable_raw_mode();
    }
    was_taken
}
