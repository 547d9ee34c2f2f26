//! A real terminal: the built binary in a pseudo-terminal, keys that a person types, and what the screen
//! shows then.

use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pty_process::{Command, OwnedWritePty, Size};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::task::JoinSet;
use vt100::{Callbacks, MouseProtocolMode, Parser};

use super::processes::Home;
use super::until;

/// Rows and columns of the terminal.
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

/// What a program has put on the clipboard by OSC 52, still in Base64.
#[derive(Default)]
struct Clipboard(Vec<Vec<u8>>);

impl Callbacks for Clipboard {
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], text: &[u8]) {
        self.0.push(text.to_vec());
    }
}

/// The binary in a terminal; it is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keys: OwnedWritePty,
    /// The terminal itself, for its modes.
    line: OwnedFd,
    screen: Arc<Mutex<Parser<Clipboard>>>,
    /// Its folder stays for as long as the program may write into it.
    home: Home,
    /// Feeds the screen for as long as there is output.
    reading: JoinSet<()>,
}

impl Terminal {
    /// Starts the binary with these arguments.
    pub fn start(home: Home, args: &[&str]) -> Self {
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal can be had");
        pty.resize(Size::new(ROWS, COLUMNS))
            .expect("a fresh terminal takes a size");
        let (binary, vars) = home.binary_and_vars();
        let child = Command::new(binary)
            .args(args)
            .env_clear()
            .envs(vars)
            .env("TERM", "xterm-256color")
            .current_dir(home.path())
            .kill_on_drop(true)
            .spawn(pts)
            .expect("the binary starts");
        let line = pty.as_fd().try_clone_to_owned().expect("a descriptor is free");
        let (mut output, keys) = pty.into_split();
        let screen = Arc::new(Mutex::new(Parser::new_with_callbacks(
            cells(ROWS),
            cells(COLUMNS),
            0,
            Clipboard::default(),
        )));
        let fed = screen.clone();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            // The end of a terminal's output is an error on Linux.
            while let Ok(count @ 1..) = output.read(&mut bytes).await {
                fed.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .process(&bytes[..count]);
            }
        });
        Self {
            child,
            keys,
            line,
            screen,
            home,
            reading,
        }
    }

    /// What the screen shows.
    pub fn shows(&self) -> String {
        self.screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen()
            .contents()
    }

    /// What the program has put on the clipboard, one text after the other.
    pub fn copied(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = screen.callbacks().0.iter();
        let texts = copied.map(|text| BASE64_STANDARD.decode(text).expect("OSC 52 carries Base64"));
        texts
            .map(|text| String::from_utf8(text).expect("UTF-8"))
            .collect()
    }

    /// Whether the program asks for the mouse.
    pub fn hears_the_mouse(&self) -> bool {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen().mouse_protocol_mode() != MouseProtocolMode::None
    }

    /// Whether the program has the screen for itself.
    pub fn is_taken(&self) -> bool {
        self.screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen()
            .alternate_screen()
    }

    /// Whether the terminal is as a shell wants it: the ordinary screen, a cursor, no mouse, no marks around
    /// what is pasted, and lines that are echoed and edited.
    pub fn is_given_back(&self) -> bool {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = screen.screen();
        let modes = tcgetattr(&self.line).expect("the terminal is there").local_modes;
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && !screen.bracketed_paste()
            && screen.mouse_protocol_mode() == MouseProtocolMode::None
            && modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// The user who runs it.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// Closes the terminal, as a window or a connection is closed; answers how the program ended, and its user.
    pub async fn hang_up(self) -> (ExitStatus, Home) {
        let Self {
            mut child,
            keys,
            line,
            home,
            mut reading,
            screen: _,
        } = self;
        drop((keys, line));
        reading.shutdown().await;
        let ending = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait());
        let status = ending.await.expect("it ends in time").expect("our child");
        (status, home)
    }

    /// Gives the window another size, as dragging its corner does.
    pub fn resize(&self, rows: u16, columns: u16) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(cells(rows), cells(columns));
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.line, size).expect("a terminal takes a size");
    }

    /// Types keys.
    pub async fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .await
            .expect("the program reads");
    }

    /// Waits until the screen shows these words.
    pub async fn until_shows(&self, words: &str) {
        self.until(words, |screen| screen.contains(words)).await;
    }

    /// Waits until the screen is as it should be.
    pub async fn until(&self, what: &str, fits: impl Fn(&str) -> bool) {
        let what_is_awaited = format!("the screen shows {what}");
        let seen = until(&what_is_awaited, || async { fits(&self.shows()).then_some(()) });
        if tokio::time::timeout(std::time::Duration::from_secs(29), seen)
            .await
            .is_err()
        {
            panic!(
                "waited in vain until the screen shows {what}; it shows:\n{}",
                self.shows()
            );
        }
    }

    /// The process.
    pub fn pid(&self) -> rustix::process::Pid {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(rustix::process::Pid::from_raw).expect("it runs")
    }

    /// Waits for its end, and for the screen to show what it said last.
    pub async fn until_ended(&mut self) -> ExitStatus {
        let ending = tokio::time::timeout(std::time::Duration::from_secs(60), self.child.wait());
        let status = ending.await.expect("it ends in time").expect("our child");
        while self.reading.join_next().await.is_some() {}
        status
    }
}
