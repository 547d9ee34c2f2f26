//! Follows a tape to and fro: what the model was at any moment of it.
//!
//! Messages only lead forward, so on the way models are kept, and whoever goes back starts from the nearest one.

use std::time::Duration;

use crate::keymap::Key;
use crate::model::Model;
use crate::model::replay::{Direction, Incident, Replay};
use crate::model::view::Size;
use crate::msg::Msg;
use crate::recording::tape::Tape;
use crate::update::update;

/// Models that are kept along a tape: going anywhere costs a part of the way only.
const KEPT: usize = 24;
/// Marks on a slider that is at most a few hundred cells wide.
const INCIDENTS: usize = 200;

/// A tape with the model of one moment of it.
pub struct Player {
    tape: Tape,
    /// Models along the way, each with the number of messages before it.
    kept: Vec<(usize, Model)>,
    /// The model as it was, at the size that its screen had: pages were as long as that.
    model: Model,
    /// Messages that the model has seen.
    seen: usize,
    /// The same at the size of the viewer's screen, and as far as that viewer has looked around.
    shown: Model,
    size: Size,
    /// What is shown is not what was recorded.
    looked_around: bool,
}

impl Player {
    /// Winds a tape to its end and back to its beginning, for a screen of this size.
    pub fn new(tape: Tape, size: Size) -> Self {
        let model = tape.model.clone();
        let mut player = Self {
            kept: vec![(0, model.clone())],
            tape,
            shown: model.clone(),
            model,
            seen: 0,
            size,
            looked_around: false,
        };
        let every = player.tape.messages.len() / KEPT + 1;
        while player.seen < player.tape.messages.len() {
            player.follow();
            if player.seen.is_multiple_of(every) {
                player.kept.push((player.seen, player.model.clone()));
            }
        }
        player.wind(0);
        player
    }

    /// How the recording is played at first.
    pub fn replay(&self, file: millstream::untrusted::Untrusted) -> Replay {
        let mut replay = Replay::new(file, self.tape.model.now, self.tape.length(), self.tape.ending);
        replay.incidents = self.incidents();
        replay
    }

    /// Servers that went away and workers that ended.
    fn incidents(&self) -> Vec<Incident> {
        let mut incidents: Vec<Incident> = Vec::new();
        let mut down = [false; 2];
        for (nth, moment) in self.tape.messages.iter().enumerate() {
            let is_one = match self.tape.message(nth) {
                Some(Msg::Down { server, .. }) => !std::mem::replace(&mut down[server as usize], true),
                Some(Msg::Up { server, .. }) => {
                    down[server as usize] = false;
                    false
                }
                Some(Msg::WorkerEnded { in_order, .. }) => !in_order,
                _ => false,
            };
            if is_one && incidents.len() < INCIDENTS {
                incidents.push(Incident { at: moment.at });
            }
        }
        incidents
    }

    /// What is shown.
    #[expect(
        clippy::misnamed_getters,
        reason = "the model that whoever draws is to see is the one that is shown"
    )]
    pub const fn model(&self) -> &Model {
        &self.shown
    }

    /// Where it stands.
    pub fn at(&self) -> Duration {
        match self
            .seen
            .checked_sub(1)
            .and_then(|last| self.tape.messages.get(last))
        {
            Some(moment) => moment.at,
            None => Duration::ZERO,
        }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.tape.length()
    }

    /// Shows what was known at this time.
    pub fn go(&mut self, there: Duration) {
        self.wind(self.tape.messages.partition_point(|moment| moment.at <= there));
    }

    /// Goes on to the next change that a person could have seen, or back to the one before.
    pub fn step(&mut self, direction: Direction) {
        let is_change = |nth: usize| self.tape.message(nth).is_some_and(|msg| shows(&msg));
        let there = match direction {
            Direction::Forward => (self.seen..self.tape.messages.len())
                .find(|nth| is_change(*nth))
                .map_or(self.tape.messages.len(), |nth| nth + 1),
            Direction::Back => (0..self.seen.saturating_sub(1))
                .rev()
                .find(|nth| is_change(*nth))
                .map_or(0, |nth| nth + 1),
        };
        self.wind(there);
    }

    /// A key of somebody who looks around in what is shown. Nothing that it asks for is done.
    pub fn look_around(&mut self, key: Key) {
        self.looked_around = true;
        self.shown.replayed = true;
        let _nothing_is_done = update(&mut self.shown, Msg::Key(key));
        if self.shown.leaving {
            // `:q` leaves what was looked at, not the recording.
            self.show();
        }
    }

    /// Whether its viewer has something open that takes keys, like the help.
    pub const fn takes_keys(&self) -> bool {
        self.looked_around && (self.shown.overlay.is_some() || self.shown.typing.is_some())
    }

    /// The screen has another size.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        let _nothing_is_done = update(&mut self.shown, Msg::Resize(size));
    }

    /// Shows the model after so many messages.
    fn wind(&mut self, there: usize) {
        if there < self.seen {
            let nearest = self.kept.partition_point(|(seen, _)| *seen <= there) - 1;
            let (seen, model) = &self.kept[nearest];
            (self.seen, self.model) = (*seen, model.clone());
        }
        while self.seen < there {
            self.follow();
        }
        self.show();
    }

    /// Shows what was recorded.
    fn show(&mut self) {
        self.looked_around = false;
        self.shown = self.model.clone();
        self.resize(self.size);
    }

    fn follow(&mut self) {
        let msg = self.tape.message(self.seen);
        self.seen += 1;
        match msg {
            // Whoever left the console is watched no further, and what it recorded is this.
            None | Some(Msg::Quit | Msg::Recording(_)) => {}
            Some(msg) => {
                let _nothing_is_done = update(&mut self.model, msg);
                self.model.leaving = false;
            }
        }
    }
}

/// Whether a message changes more than a clock and a latency.
const fn shows(msg: &Msg) -> bool {
    !matches!(
        msg,
        Msg::Tick { .. }
            | Msg::Up { .. }
            | Msg::Load(_)
            | Msg::Sent(_)
            | Msg::Unchanged { .. }
            | Msg::Resize(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replay::Ending;
    use crate::model::view::View;
    use crate::recording::tape::{MOST_BYTES, Writer};
    use crate::sample;
    use chrono::TimeDelta;

    /// A minute in which somebody goes through the views.
    fn player() -> Player {
        let mut text = Vec::new();
        let mut writer = Writer::begin(&mut text, &sample::story(), MOST_BYTES).unwrap();
        for second in 0..=60_i64 {
            let now = sample::now() + TimeDelta::seconds(second);
            writer.write(&Msg::Tick { now }).unwrap();
            if second % 10 == 5 {
                let digit = char::from_digit(u32::try_from(second / 10).unwrap() + 2, 10).unwrap();
                writer.write(&Msg::Key(Key::Char(digit))).unwrap();
            }
        }
        writer.end(Ending::Left).unwrap();
        let size = Size {
            width: 80,
            height: 24,
        };
        Player::new(Tape::read(text).unwrap(), size)
    }

    #[test]
    fn any_moment_is_the_same_from_both_sides() {
        let mut player = player();
        let mut forward = Vec::new();
        for second in 0..=60 {
            player.go(Duration::from_secs(second));
            forward.push(player.model().clone());
        }
        for second in (0..=60).rev() {
            player.go(Duration::from_secs(second));
            assert!(*player.model() == forward[second as usize], "{second}");
        }
        assert_eq!(player.at(), Duration::ZERO);
    }

    #[test]
    fn a_step_goes_from_change_to_change() {
        let mut player = player();
        player.step(Direction::Forward);
        assert_eq!((player.at().as_secs(), player.model().view()), (5, View::Jobs));
        player.step(Direction::Forward);
        assert_eq!(
            (player.at().as_secs(), player.model().view()),
            (15, View::Pending)
        );
        player.step(Direction::Back);
        assert_eq!((player.at().as_secs(), player.model().view()), (5, View::Jobs));
        player.step(Direction::Back);
        assert_eq!(
            (player.at().as_secs(), player.model().view()),
            (0, View::Overview)
        );
    }

    #[test]
    fn whoever_looks_around_changes_nothing_and_comes_back_to_what_was_recorded() {
        let mut player = player();
        player.go(Duration::from_secs(7));
        let recorded = player.model().clone();
        for key in ['4', 'K', '?'] {
            player.look_around(Key::Char(key));
        }
        assert_eq!(player.model().view(), View::Workers);
        assert!(player.takes_keys(), "the help is open");
        player.go(Duration::from_secs(7));
        assert!(*player.model() == recorded);
        assert!(!player.takes_keys());
    }
}
