//! The machine under the console: everything that waits, blocks or has a clock is here.
//!
//! One bounded, ordered channel carries every message to one loop: it updates the model, does the effects and
//! draws. [`painter`] makes a frame's bytes, `line` carries them, `terminal` owns the screen and gives it back on every
//! path, `stop` lets a shell's Ctrl-Z stop us, `input` reads keys, `feed` asks the servers for what is on the screen,
//! [`link`] is the way to the demo's processes, `effects` does what the update asks for, [`orders`] carries an
//! operator's orders out, `drive` goes through a run, [`log`] keeps what would
//! otherwise be written over the screen. `recorder` writes what is recorded, [`replay`] plays it.

mod drive;
mod effects;
mod export;
mod feed;
mod input;
mod line;
pub mod link;
pub mod log;
pub mod orders;
pub mod painter;
mod plan;
mod recorder;
pub mod replay;
mod stop;
mod terminal;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use millstream::clock;
use millstream::queue::Queue;
use millstream::store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

#[cfg(debug_assertions)]
use crate::keymap::Key;
use crate::model::Model;
use crate::model::notice::Tone;
use crate::msg::Msg;
use crate::theme::Theme;
use crate::update::update;
use crate::view;
use effects::Doer;
use feed::Feed;
use link::DemoLink;
use orders::{Office, Pen};
use recorder::Recorder;
use stop::Stops;
use terminal::Screen;

/// Messages on the way: a held key fills it in no time and then waits.
const CAPACITY: usize = 1_024;
/// Orders on the way: a person gives no more before the first is carried out.
const ORDERS: usize = 16;
/// How often time is told: a running clock has a figure behind the point.
const TICK: Duration = Duration::from_millis(250);
/// Data is drawn at most ten times a second.
const DATA_FRAME: Duration = Duration::from_millis(100);
/// What a person did is drawn at once, and no more often than a screen can show.
const KEY_FRAME: Duration = Duration::from_millis(16);

/// Why the console could not run.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// There is no terminal, or it refused.
    #[error("use the terminal: {0}")]
    Terminal(#[from] std::io::Error),
    /// A part of it panicked, which has been told by then.
    #[error("go on: a part of the console panicked")]
    Panicked,
}

/// What the console looks at.
pub struct Console {
    /// The model before the first message.
    pub model: Model,
    /// The queue.
    pub queue: Queue,
    /// The store.
    pub store: Store,
    /// How often a job may be started.
    pub attempts_allowed: u32,
    /// How long a silent worker keeps its jobs.
    pub lease: Duration,
    /// Who may write; nothing where the console only looks.
    pub pen: Option<Pen>,
    /// Where exports are written.
    pub folder: PathBuf,
    /// The demo's processes, if it is a demo.
    pub link: Option<DemoLink>,
    /// Where its log is, if it could be written.
    pub log: Option<PathBuf>,
    /// Whether the mouse is heard.
    pub mouse: bool,
    /// The folder for what is recorded.
    pub recordings: PathBuf,
}

/// Runs the console until its user leaves it or a signal ends it.
///
/// # Errors
/// When the terminal cannot be used. A server that is away is no error: it is shown.
pub async fn run(console: Console) -> Result<(), ConsoleError> {
    let Console {
        mut model,
        queue,
        store,
        attempts_allowed,
        lease,
        pen,
        folder,
        link,
        log,
        mouse,
        recordings,
    } = console;
    let mut screen = Screen::enter(log, mouse)?;
    model.size = screen.size()?;
    let (sender, mut inbox) = mpsc::channel(CAPACITY);
    let mut tasks = JoinSet::new();
    let (asks, ours) = match link {
        Some(link) => {
            tasks.spawn(link::carry_news(link.news, sender.clone()));
            (Some(link.asks), Some(link.ours))
        }
        None => (None, None),
    };
    let (order, asked) = mpsc::channel(ORDERS);
    let office = Office {
        pen,
        queue: queue.clone(),
        store: store.clone(),
        folder,
        asks: asked,
        sender: sender.clone(),
        plans: BTreeMap::new(),
        drives: JoinSet::new(),
    };
    tasks.spawn(office.run());
    let (feed, control) = Feed::new(queue, store, (attempts_allowed, lease), ours, sender.clone());
    tasks.spawn(feed.run());
    tasks.spawn(input::read(sender.clone()));
    tasks.spawn(tell_time(sender.clone()));
    tasks.spawn(stop::hear(sender.clone())?);
    tasks.spawn(hear_signals(sender.clone())?);
    let doer = Doer::new(control, asks, order);
    doer.begin(&model);
    let mut recorder = Recorder::new(recordings, sender);
    let running = Loop {
        model,
        screen,
        doer,
        recorder: &mut recorder,
        stops: Stops::listen()?,
        stopping: false,
    }
    .run(&mut inbox);
    let ended = tokio::select! {
        // Unwinding further would end a demo without its drain.
        ended = AssertUnwindSafe(running).catch_unwind() => ended.unwrap_or(Err(ConsoleError::Panicked)),
        () = first_panic(&mut tasks) => Err(ConsoleError::Panicked),
    };
    // Whatever still waits for a server waits for nobody now.
    tasks.shutdown().await;
    // The screen is given back by now.
    recorder.leave(ended.is_ok());
    ended
}

/// Waits until a task has panicked, which a loop that is never told of it would not notice.
async fn first_panic(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// The one loop.
struct Loop<'a> {
    model: Model,
    screen: Screen,
    doer: Doer,
    recorder: &'a mut Recorder,
    stops: Stops,
    /// We are to stop.
    stopping: bool,
}

impl Loop<'_> {
    async fn run(mut self, inbox: &mut mpsc::Receiver<Msg>) -> Result<(), ConsoleError> {
        let mut theme = Theme::of(&self.model.look);
        let mut look = self.model.look;
        let mut draw_at = Some(Instant::now());
        let mut drawn = Instant::now();
        let line = self.screen.line();
        let mut is_held_up = false;
        while !self.model.leaving {
            let due = async {
                match draw_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => {
                    if !self.screen.is_ours() {
                        return Err(ConsoleError::Panicked);
                    }
                    draw_at = None;
                    if !self.screen.is_free()? {
                        // What is drawn once it is free is newer than what would be drawn now.
                        is_held_up = true;
                        continue;
                    }
                    if look != self.model.look {
                        look = self.model.look;
                        theme = Theme::of(&look);
                    }
                    self.screen.draw(|buffer| view::draw(&self.model, &theme, buffer))?;
                    drawn = Instant::now();
                }
                () = line.freed(), if is_held_up => {
                    is_held_up = false;
                    draw_at = Some(Instant::now());
                }
                () = self.stops.continued() => {
                    let size = stop::come_back(&mut self.screen)?;
                    self.follow(Msg::Resize(size));
                    draw_at = Some(Instant::now());
                }
                msg = inbox.recv() => {
                    let Some(msg) = msg else { break };
                    let gap = if is_by_hand(&msg) { KEY_FRAME } else { DATA_FRAME };
                    let next = drawn + gap;
                    draw_at = Some(draw_at.map_or(next, |at: Instant| at.min(next)));
                    self.take(msg);
                    if std::mem::take(&mut self.stopping) {
                        self.stop().await?;
                        draw_at = Some(Instant::now());
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, mut msg: Msg) {
        #[cfg(debug_assertions)]
        panic_on_demand(&msg);
        // A size that changes in the moment of a key is lost on its way: crossterm takes the key and forgets that a
        // signal came with it. So it is asked for with every tick.
        if let (Msg::Tick { .. }, Ok(size)) = (&msg, Screen::measure())
            && size != self.model.size
        {
            self.follow(Msg::Resize(size));
        }
        if let Msg::Mouse(pointed) = &mut msg {
            self.screen.tell_what_stands_there(pointed);
        }
        self.follow(msg);
    }

    /// Stops until the shell lets us go on, or says why not.
    async fn stop(&mut self) -> Result<(), ConsoleError> {
        let msg = match self.stops.stop(&mut self.screen).await? {
            Some(size) => Msg::Resize(size),
            None => Msg::Told {
                tone: Tone::Plain,
                text: stop::NO_SHELL.into(),
            },
        };
        self.follow(msg);
        Ok(())
    }

    fn follow(&mut self, msg: Msg) {
        self.recorder.hear(&msg);
        for effect in update(&mut self.model, msg) {
            match effect {
                crate::effect::Effect::Record => self.recorder.toggle(&self.model),
                crate::effect::Effect::Redraw => self.screen.resized(self.model.size),
                crate::effect::Effect::Stop => self.stopping = true,
                crate::effect::Effect::Copy(text) => self.screen.copy(&text),
                other => {
                    if let Some(order) = self.doer.perform(other) {
                        let came = Err("too many orders are on their way: wait for the first".into());
                        self.follow(Msg::Carried { order, came });
                    }
                }
            }
        }
    }
}

/// The key that ends other programs with a core dump ends a debug build of this one with a panic: the only way
/// to see in a real terminal what becomes of it then.
#[cfg(debug_assertions)]
fn panic_on_demand(msg: &Msg) {
    // Terminals send the byte 0x1c for it, which is named after another key.
    let is_asked_for = matches!(msg, Msg::Key(Key::Ctrl('4' | '\\')));
    assert!(!is_asked_for, "the panic that was asked for");
}

/// Whether a person waits for what comes of it.
const fn is_by_hand(msg: &Msg) -> bool {
    matches!(msg, Msg::Key(_) | Msg::Paste(_) | Msg::Mouse(_) | Msg::Resize(_))
}

async fn tell_time(sender: mpsc::Sender<Msg>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if sender.send(Msg::Tick { now: clock::now() }).await.is_err() {
            return;
        }
    }
}

/// The terminal that closes, the system that shuts down, and the other Ctrl-C.
fn hear_signals(
    sender: mpsc::Sender<Msg>,
) -> Result<impl Future<Output = ()> + Send + 'static, std::io::Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // With the loop gone there is nobody left to tell.
        let _ended = sender.send(Msg::Quit).await;
    })
}
