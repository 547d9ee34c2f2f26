//! A real terminal: the built binary in a pseudo-terminal, keys that a person types, and what the screen
//! shows then.

use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pty_process::{Command, OwnedWritePty, Size};
use rustix::io::ioctl_fionread;
use rustix::termios::{LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vt100::{Callbacks, MouseProtocolMode, Parser};

use super::processes::Home;
use super::wait::{PATIENCE, within};

/// Rows and columns of the terminal.
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

/// Whether the kernel has stopped a process.
pub fn is_stopped(pid: rustix::process::Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).expect("it is there");
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('T'))
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
    /// All that was sent to it.
    sent: Arc<Mutex<Vec<u8>>>,
    /// Nobody reads what is sent to it, as when a connection stands still.
    held: watch::Sender<bool>,
    /// Its modes before anything ran in it.
    before: Termios,
    /// Its folder stays for as long as the program may write into it.
    home: Home,
    /// Feeds the screen for as long as there is output.
    reading: JoinSet<()>,
}

impl Terminal {
    /// Starts the binary with these arguments.
    pub fn start(home: Home, args: &[&str]) -> Self {
        let binary = home.binary_and_vars().0.to_owned();
        Self::run(home, &binary, args)
    }

    /// Starts a shell that has jobs, as a person does who works in it; answers it with the words that start the binary.
    pub fn shell(home: Home) -> (Self, String) {
        let binary = home.binary_and_vars().0.display().to_string();
        let shell = Self::run(home, Path::new("/bin/sh"), &["-i"]);
        (shell, binary)
    }

    fn run(home: Home, program: &Path, args: &[&str]) -> Self {
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal can be had");
        pty.resize(Size::new(ROWS, COLUMNS))
            .expect("a fresh terminal takes a size");
        let vars = home.binary_and_vars().1;
        let before = tcgetattr(&pty).expect("a fresh terminal has modes");
        let child = Command::new(program)
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
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (fed, kept) = (screen.clone(), sent.clone());
        let (held, mut holding) = watch::channel(false);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            loop {
                // Whoever could hold it is gone with the terminal.
                let _gone = holding.wait_for(|held| !held).await.is_err();
                let read = tokio::select! {
                    biased;
                    Ok(()) = holding.changed() => continue,
                    read = output.read(&mut bytes) => read,
                };
                // The end of a terminal's output is an error on Linux.
                let Ok(count @ 1..) = read else { return };
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&bytes[..count]);
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
            sent,
            held,
            before,
            home,
            reading,
        }
    }

    /// All that was sent to it by now.
    pub fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nobody reads what is sent to it.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// What was sent is read again.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Bytes that were sent and that nobody has read.
    pub fn unread(&self) -> u64 {
        ioctl_fionread(&self.line).expect("the terminal is there")
    }

    /// What a shell does that takes the terminal from a job: its own modes, and a screen of its own.
    pub fn take_away(&self) {
        tcsetattr(&self.line, OptionalActions::Now, &self.before).expect("the terminal is there");
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.process(b"\x1bc$ ");
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
        let modes = tcgetattr(&self.line).expect("the terminal is there");
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && !screen.bracketed_paste()
            && screen.mouse_protocol_mode() == MouseProtocolMode::None
            && modes
                .local_modes
                .contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
            && modes.local_modes == self.before.local_modes
            && modes.input_modes == self.before.input_modes
            && modes.output_modes == self.before.output_modes
            && modes.control_modes == self.before.control_modes
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
            ..
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
        screen
            .screen_mut()
            .set_size(cells(rows.max(1)), cells(columns.max(1)));
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
        let seen = within(PATIENCE, || async { fits(&self.shows()).then_some(()) });
        if seen.await.is_none() {
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

    /// Whether the terminal is in raw mode.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("the terminal is there");
        !modes
            .local_modes
            .intersects(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// The process that this one has started, as a shell starts its job.
    pub fn job(&self) -> Option<rustix::process::Pid> {
        let pid = self.pid().as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let child = children.split_whitespace().next()?.parse().ok()?;
        rustix::process::Pid::from_raw(child)
    }

    /// Waits for its end, whatever is unread.
    pub async fn until_gone(&mut self) -> ExitStatus {
        let ending = tokio::time::timeout(std::time::Duration::from_secs(60), self.child.wait());
        ending.await.expect("it ends in time").expect("our child")
    }

    /// Leaves the console by its key: it ends well, and gives the terminal back.
    pub async fn leave(mut self) {
        self.press("q").await;
        assert!(self.until_ended().await.success(), "{}", self.shows());
        assert!(self.is_given_back(), "{}", self.shows());
    }

    /// Waits for its end, and for the screen to show what it said last.
    pub async fn until_ended(&mut self) -> ExitStatus {
        let status = self.until_gone().await;
        while self.reading.join_next().await.is_some() {}
        status
    }
}
