//! Writes a recording beside the console: a disk that is slow or full ends the recording, never the console.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use tokio::sync::mpsc;
use tracing::warn;

use crate::format;
use crate::model::Model;
use crate::model::notice::Tone;
use crate::model::replay::{Ending, Recording};
use crate::msg::Msg;
use crate::recording::Writer;
use crate::recording::tape::{MOST_BYTES, Room};

/// Messages that wait for the disk: some seconds of a busy console.
const WAITING: usize = 2_048;
/// As many recordings may begin within one second.
const SAME_SECOND: u32 = 100;

/// How long the end of the console waits for a disk that stands still.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// Nothing is ever sent: that its sender is gone says enough.
#[derive(PartialEq)]
enum Never {}

/// What the writing thread is told.
enum Order {
    Write(Box<Msg>),
    End(Ending),
}

/// A recording that runs.
struct Running {
    path: PathBuf,
    since: DateTime<Utc>,
    orders: SyncSender<Order>,
    written: Arc<AtomicU64>,
    /// Closed when the disk has all of it, or will never have.
    ended: Receiver<Never>,
    used_percent: u32,
}

/// Whoever records, if it is asked to.
pub struct Recorder {
    folder: PathBuf,
    sender: mpsc::Sender<Msg>,
    running: Option<Running>,
    /// Recordings that were made, for the last word, and when each is written.
    made: Vec<(PathBuf, Receiver<Never>)>,
}

impl Recorder {
    /// One that records into a folder and tells the console about it.
    pub const fn new(folder: PathBuf, sender: mpsc::Sender<Msg>) -> Self {
        Self {
            folder,
            sender,
            running: None,
            made: Vec::new(),
        }
    }

    /// A message is about to be taken in.
    pub fn hear(&mut self, msg: &Msg) {
        if matches!(msg, Msg::Recording(_)) {
            return;
        }
        let Some(running) = &mut self.running else { return };
        match running.orders.try_send(Order::Write(Box::new(msg.clone()))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                warn!("the disk does not keep up with a recording");
                self.finish(None, "the disk does not keep up");
                return;
            }
            // The thread has ended by itself: at the bound, or because the disk is full.
            Err(TrySendError::Disconnected(_)) => {
                self.finish(None, "");
                return;
            }
        }
        let used = running.written.load(Ordering::Relaxed) * 100 / MOST_BYTES;
        let used = u32::try_from(used).unwrap_or(100);
        if used != running.used_percent {
            running.used_percent = used;
            let recording = Recording {
                since: running.since,
                used_percent: used,
            };
            self.tell(Msg::Recording(Some(recording)));
        }
    }

    /// The key was pressed.
    pub fn toggle(&mut self, model: &Model) {
        if self.running.is_some() {
            self.finish(Some(Ending::Stopped), "");
            return;
        }
        match self.begin(model) {
            Ok(running) => {
                self.tell(Msg::Recording(Some(Recording {
                    since: running.since,
                    used_percent: 0,
                })));
                self.say(
                    Tone::Good,
                    format!("recording to {}; Ctrl-r ends it", running.path.display()),
                );
                self.running = Some(running);
            }
            Err(error) => self.say(
                Tone::Bad,
                format!("nothing is recorded: {}: {error}", self.folder.display()),
            ),
        }
    }

    fn begin(&self, model: &Model) -> io::Result<Running> {
        // Titles, prompts and answers of a system are nobody else's business.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let (file, path) = fresh(&self.folder, model.now)?;
        let writer = Writer::begin(BufWriter::new(file), model, MOST_BYTES)?;
        let (orders, inbox) = sync_channel(WAITING);
        let written = Arc::new(AtomicU64::new(writer.bytes()));
        let counted = Arc::clone(&written);
        let (ends, ended) = channel();
        let (sender, shown) = (self.sender.clone(), path.display().to_string());
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let end = write(writer, &inbox, &counted);
                if let Some(msg) = how_it_went(&end, &shown, counted.load(Ordering::Relaxed)) {
                    // A console that is gone, or too busy to hear it, has the file all the same.
                    let _unheard = sender.try_send(msg);
                }
                drop(ends);
            })?;
        Ok(Running {
            path,
            since: model.now,
            orders,
            written,
            ended,
            used_percent: 0,
        })
    }

    /// Ends the recording that runs. Its thread says how it went once the disk has all of it: nobody waits for that
    /// here, since a disk that stands still would hold up every key.
    fn finish(&mut self, why: Option<Ending>, reason: &str) {
        let Some(running) = self.running.take() else {
            return;
        };
        if let Some(why) = why {
            // A thread that is gone has ended the recording itself.
            let _gone = running.orders.try_send(Order::End(why));
        }
        if !reason.is_empty() {
            let path = running.path.display();
            self.say(Tone::Bad, format!("the recording has ended, {reason}: {path}"));
        }
        self.made.push((running.path, running.ended));
        self.tell(Msg::Recording(None));
    }

    /// The console ends: so does its recording, and whoever made one is told how to play it.
    pub fn leave(&mut self, in_order: bool) {
        let reason = if in_order { "" } else { "the console has failed" };
        self.finish(in_order.then_some(Ending::Left), reason);
        let until = Instant::now() + WRITTEN_WITHIN;
        for (path, ended) in &self.made {
            let left = until.saturating_duration_since(Instant::now());
            let is_whole = ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected);
            let note = if is_whole {
                ""
            } else {
                " (the disk has not taken all of it)"
            };
            // With the terminal gone nobody reads it.
            let _unheard = writeln!(
                io::stderr(),
                "recorded: millstream --replay {}{note}",
                millstream::untrusted::visible(&path.display().to_string())
            );
        }
    }

    fn say(&self, tone: Tone, text: String) {
        self.tell(Msg::Told {
            tone,
            text: Untrusted::new(text),
        });
    }

    fn tell(&self, msg: Msg) {
        // The loop that would take it may be the one that is busy here: it never waits for itself.
        if self.sender.try_send(msg).is_err() {
            warn!("the console is too busy to hear of its recording");
        }
    }
}

/// A file that was not there before, which only this account can read.
fn fresh(folder: &Path, now: DateTime<Utc>) -> io::Result<(File, PathBuf)> {
    let stamp = now.format("%Y%m%dT%H%M%SZ");
    for nth in 0..SAME_SECOND {
        let more = if nth == 0 {
            String::new()
        } else {
            format!("-{nth}")
        };
        let path = folder.join(format!("console-{stamp}{more}.replay"));
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (file, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What there is to say of a recording that has ended; of one that was cut off it has been said before.
fn how_it_went(end: &io::Result<Ending>, path: &str, bytes: u64) -> Option<Msg> {
    let size = format::bytes(bytes);
    let (tone, text) = match end {
        Ok(Ending::Unknown) => return None,
        Ok(Ending::Bound) => {
            let text = format!("the recording is as large as it may be, {size}: {path}");
            (Tone::Bad, text)
        }
        Ok(Ending::Stopped | Ending::Left) => (Tone::Good, format!("recorded {size} to {path}")),
        Err(error) => (Tone::Bad, format!("the recording has ended: {error}: {path}")),
    };
    Some(Msg::Told {
        tone,
        text: Untrusted::new(text),
    })
}

/// Writes until it is told to end, until there is no room left, or until the console is gone.
fn write(
    mut writer: Writer<BufWriter<File>>,
    inbox: &Receiver<Order>,
    written: &AtomicU64,
) -> io::Result<Ending> {
    let mut waiting = None;
    loop {
        let order = match waiting.take() {
            Some(order) => order,
            None => match inbox.recv() {
                Ok(order) => order,
                // Whoever gave the orders has failed: what is written is whole, and has no last line.
                Err(_) => return writer.flush().map(|()| Ending::Unknown),
            },
        };
        match order {
            Order::Write(msg) => {
                let room = writer.write(&msg)?;
                written.store(writer.bytes(), Ordering::Relaxed);
                if room == Room::Used {
                    return Ok(Ending::Bound);
                }
            }
            Order::End(why) => {
                writer.end(why)?;
                return Ok(why);
            }
        }
        waiting = inbox.try_recv().ok();
        if waiting.is_none() {
            // Killed from here on, the console leaves whole lines behind.
            writer.flush()?;
        }
    }
}
