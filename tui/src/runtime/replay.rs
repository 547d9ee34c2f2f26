//! Plays a recording: a screen, keys and a clock, and no server.

use std::path::PathBuf;
use std::time::Duration;

use millstream::untrusted::Untrusted;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::stop::{self, Stops};
use super::terminal::Screen;
use super::{CAPACITY, ConsoleError, hear_signals, input};
use crate::model::look::Look;
use crate::model::replay::{Move, Replay};
use crate::msg::Msg;
use crate::recording::{Player, Tape};
use crate::theme::Theme;
use crate::update::replay::{KEYS, Pressed, press};
use crate::view::replay as view;

/// Fast enough for a slider, slow enough for a line over an ocean.
const FRAME: Duration = Duration::from_millis(100);

/// Plays a tape until its viewer leaves.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn run(tape: Tape, file: Untrusted, look: Look, log: Option<PathBuf>) -> Result<(), ConsoleError> {
    // Winding through a long tape takes a moment, in which the terminal is still a shell's.
    let any_size = crate::model::view::Size {
        width: 80,
        height: 24,
    };
    let player = Player::new(tape, any_size);
    let mut screen = Screen::enter(log, false)?;
    let size = screen.size()?;
    let replay = player.replay(file);
    let (sender, mut inbox) = mpsc::channel(CAPACITY);
    let mut tasks = JoinSet::new();
    tasks.spawn(input::read(sender.clone()));
    tasks.spawn(stop::hear(sender.clone())?);
    tasks.spawn(hear_signals(sender)?);
    let mut seat = Seat {
        player,
        replay,
        screen,
        theme: Theme::of(&look),
        stops: Stops::listen()?,
        stopping: false,
    };
    seat.player.resize(view::model_size(size));
    let ended = seat.watch(&mut inbox).await;
    drop(seat);
    tasks.shutdown().await;
    ended
}

/// Somebody in front of a recording.
struct Seat {
    player: Player,
    replay: Replay,
    screen: Screen,
    theme: Theme,
    stops: Stops,
    /// We are to stop.
    stopping: bool,
}

impl Seat {
    async fn watch(&mut self, inbox: &mut mpsc::Receiver<Msg>) -> Result<(), ConsoleError> {
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut before = Instant::now();
        while !self.replay.leaving {
            self.draw()?;
            tokio::select! {
                msg = inbox.recv() => match msg {
                    Some(msg) => self.take(&msg),
                    None => return Ok(()),
                },
                () = self.stops.continued() => {
                    let size = stop::come_back(&mut self.screen)?;
                    self.resize(size);
                }
                now = frames.tick() => {
                    let elapsed = now.saturating_duration_since(before);
                    before = now;
                    if let Some(there) = self.replay.later(elapsed) {
                        self.player.go(there);
                        self.replay.at = there;
                    }
                    self.follow_size();
                }
            }
            if std::mem::take(&mut self.stopping) {
                self.stop().await?;
                // The tape has stood still meanwhile.
                before = Instant::now();
            }
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), ConsoleError> {
        match self.stops.stop(&mut self.screen).await? {
            Some(size) => self.resize(size),
            None => self.replay.notice = Some(stop::NO_SHELL.to_owned()),
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), ConsoleError> {
        if !self.screen.is_ours() {
            return Err(ConsoleError::Panicked);
        }
        if !self.screen.is_free()? {
            // What is drawn with one of the next frames is newer than what would be drawn now.
            return Ok(());
        }
        let (model, replay, theme) = (self.player.model(), &self.replay, &self.theme);
        self.screen
            .draw(|buffer| view::draw((model, replay), &KEYS, theme, buffer))?;
        Ok(())
    }

    /// A size that changes in the moment of a key is lost on its way, so it is asked for as well.
    fn follow_size(&mut self) {
        if let Ok(size) = Screen::measure() {
            let wanted = view::model_size(size);
            if wanted != self.player.model().size {
                self.resize(size);
            }
        }
    }

    fn resize(&mut self, size: crate::model::view::Size) {
        self.screen.resized(size);
        self.player.resize(view::model_size(size));
    }

    fn take(&mut self, msg: &Msg) {
        match *msg {
            Msg::Quit => self.replay.leaving = true,
            Msg::Resize(size) => self.resize(size),
            Msg::Key(crate::keymap::Key::Ctrl('z')) => self.stopping = true,
            // What its viewer has opened takes keys first, but nothing keeps anybody here.
            Msg::Key(key) if self.player.takes_keys() && key != crate::keymap::Key::Ctrl('c') => {
                self.player.look_around(key);
            }
            Msg::Key(key) => match press(&mut self.replay, key) {
                Pressed::Moved(moved) => self.turn_to(moved),
                Pressed::Taken => {}
                Pressed::NotOurs if self.replay.playing => {
                    self.replay.notice =
                        Some("Space stops it; then every key of a view looks around".to_owned());
                }
                Pressed::NotOurs => self.player.look_around(key),
            },
            _ => {}
        }
    }

    fn turn_to(&mut self, moved: Move) {
        match moved {
            Move::To(there) => {
                self.player.go(there);
                self.replay.at = there;
            }
            Move::Step(direction) => {
                self.player.step(direction);
                self.replay.at = self.player.at();
            }
        }
    }
}
