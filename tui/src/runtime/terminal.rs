//! The screen: taken once, drawn by differences, given back on every path.
//!
//! Leaving is done once, by whoever comes first: the end, an error, or the panic hook, which prints the panic
//! on the ordinary screen where it can be read.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue, terminal};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::view::Size;

/// Whether the terminal is ours and must be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The panic hook is put in once for the process.
static HOOK: Once = Once::new();
/// A whole frame of a large screen in one write.
const FRAME_BYTES: usize = 256 * 1024;

/// The screen, ours until it is dropped.
pub struct Screen {
    backend: CrosstermBackend<BufWriter<Stdout>>,
    shown: Buffer,
    next: Buffer,
    /// What stands on the screen is not what we drew last.
    unknown: bool,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn enter() -> io::Result<Self> {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                tracing::error!("panic: {panic}");
                usual(panic);
            }));
        });
        terminal::enable_raw_mode()?;
        // From here on whatever goes wrong gives it back.
        TAKEN.store(true, Ordering::SeqCst);
        let screen = Self {
            backend: CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())),
            shown: Buffer::empty(Rect::ZERO),
            next: Buffer::empty(Rect::ZERO),
            unknown: true,
        };
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            cursor::Hide
        )?;
        Ok(screen)
    }

    /// The terminal's size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn size(&mut self) -> io::Result<Size> {
        let (width, height) = terminal::size()?;
        let size = Size { width, height };
        self.resized(size)?;
        Ok(size)
    }

    /// Takes a new size; everything is drawn anew.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resized(&mut self, size: Size) -> io::Result<()> {
        let area = Rect::new(0, 0, size.width, size.height);
        self.shown = Buffer::empty(area);
        self.next = Buffer::empty(area);
        self.unknown = true;
        Ok(())
    }

    /// Draws a frame: only the cells that have changed are sent, and nothing at all when none has.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.next.reset();
        paint(&mut self.next);
        let changed = self.shown.diff(&self.next);
        if changed.is_empty() && !self.unknown {
            return Ok(());
        }
        queue!(self.backend, BeginSynchronizedUpdate)?;
        if std::mem::take(&mut self.unknown) {
            self.backend.clear()?;
        }
        self.backend.draw(changed.into_iter())?;
        queue!(self.backend, EndSynchronizedUpdate)?;
        Write::flush(&mut self.backend)?;
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back, if it is ours.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
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
}
