//! The keys of somebody who watches a recording: whatever is no key of the player looks around in what is shown.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::keymap::Key;
use crate::model::replay::{Direction, Move, Replay, SPEEDS};

/// A jump.
const JUMP: Duration = Duration::from_secs(10);
/// A long one.
const LEAP: Duration = Duration::from_secs(60);
/// No time that is typed is longer.
const LONGEST: usize = 24;

/// The keys of the player and what they do, for its footer and the README.
pub const KEYS: [(&str, &str); 7] = [
    ("Space", "play"),
    ("← →", "step"),
    (", .", "10 s"),
    ("( )", "1 min"),
    ("[ ]", "speed"),
    ("=", "go to"),
    ("q", "leave"),
];

/// What a key means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// The recording moves.
    Moved(Move),
    /// Something about the player has changed, and the picture has not.
    Taken,
    /// It is no key of the player.
    NotOurs,
}

/// A key was pressed.
pub fn press(replay: &mut Replay, key: Key) -> Pressed {
    if key == Key::Ctrl('c') {
        replay.leaving = true;
        return Pressed::Taken;
    }
    replay.notice = None;
    if replay.typing.is_some() {
        return type_time(replay, key);
    }
    let moved = |replay: &mut Replay, there: Duration| {
        replay.playing &= there < replay.length;
        Pressed::Moved(Move::To(there.min(replay.length)))
    };
    match key {
        Key::Char(' ') if !replay.playing && replay.at >= replay.length => {
            replay.playing = true;
            return Pressed::Moved(Move::To(Duration::ZERO));
        }
        Key::Char(' ') => replay.playing = !replay.playing,
        Key::Left => return step(replay, Direction::Back),
        Key::Right => return step(replay, Direction::Forward),
        Key::Char(',') => return moved(replay, replay.at.saturating_sub(JUMP)),
        Key::Char('.') => return moved(replay, replay.at + JUMP),
        Key::Char('(') => return moved(replay, replay.at.saturating_sub(LEAP)),
        Key::Char(')') => return moved(replay, replay.at + LEAP),
        Key::Home => return moved(replay, Duration::ZERO),
        Key::End => return moved(replay, replay.length),
        Key::Char('[') => replay.speed = replay.speed.saturating_sub(1),
        Key::Char(']') => replay.speed = (replay.speed + 1).min(SPEEDS.len() - 1),
        Key::Char('=') => replay.typing = Some(String::new()),
        Key::Char('q') => replay.leaving = true,
        _ => return Pressed::NotOurs,
    }
    Pressed::Taken
}

/// A step is for looking closely: it stops what runs.
fn step(replay: &mut Replay, direction: Direction) -> Pressed {
    replay.playing = false;
    Pressed::Moved(Move::Step(direction))
}

fn type_time(replay: &mut Replay, key: Key) -> Pressed {
    let Some(text) = &mut replay.typing else {
        return Pressed::NotOurs;
    };
    match key {
        Key::Esc => replay.typing = None,
        Key::Backspace if text.is_empty() => replay.typing = None,
        Key::Backspace => {
            text.pop();
        }
        Key::Enter => {
            let text = replay.typing.take().unwrap_or_default();
            match moment(&text, replay.began_at) {
                Some(there) if there <= replay.length => return Pressed::Moved(Move::To(there)),
                Some(_) => replay.notice = Some(format!("{text} is not in this recording")),
                None => replay.notice = Some("a time is wanted, like 1m30s, 90 or 14:03:27".to_owned()),
            }
        }
        Key::Char(c) if text.chars().count() < LONGEST => text.push(c),
        _ => {}
    }
    Pressed::Taken
}

/// `1m30s` and `90` since the beginning, or `14:03:27` by the clock of the recording, which may pass midnight.
fn moment(text: &str, began_at: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim().trim_end_matches('Z');
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    if let Ok(time) = NaiveTime::parse_from_str(text, "%H:%M:%S") {
        let same_day = began_at.date_naive().and_time(time).and_utc();
        let at = if same_day < began_at {
            same_day.checked_add_signed(TimeDelta::days(1))?
        } else {
            same_day
        };
        return (at - began_at).to_std().ok();
    }
    humantime::parse_duration(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keymap;
    use crate::model::replay::Ending;

    fn replay() -> Replay {
        let began_at = DateTime::from_timestamp(1_795_269_807, 0).unwrap();
        Replay::new("a".into(), began_at, Duration::from_secs(300), Ending::Stopped)
    }

    fn type_in(replay: &mut Replay, script: &str) -> Vec<Pressed> {
        let keys = keymap::parse(script).unwrap();
        keys.into_iter().map(|key| press(replay, key)).collect()
    }

    #[test]
    fn a_typed_time_is_since_the_beginning_or_by_the_clock() {
        for (text, seconds) in [("90", 90), ("1m30s", 90), ("14:04:57", 90), ("14:04:57Z", 90)] {
            let mut replay = replay();
            let last = type_in(&mut replay, &format!("={text}<enter>")).pop();
            assert_eq!(
                last,
                Some(Pressed::Moved(Move::To(Duration::from_secs(seconds)))),
                "{text}"
            );
        }
        for wrong in ["soon", "14:03:26", "301", "", "-1"] {
            let mut replay = replay();
            let last = type_in(&mut replay, &format!("={wrong}<enter>")).pop();
            assert_eq!(last, Some(Pressed::Taken), "{wrong}");
            assert!(replay.notice.is_some(), "{wrong}");
        }
    }

    #[test]
    fn it_stops_at_its_end_and_space_begins_anew() {
        let mut replay = replay();
        replay.speed = SPEEDS.len() - 1;
        replay.at = replay.later(Duration::from_secs(10)).unwrap();
        assert_eq!((replay.at, replay.playing), (replay.length, false));
        assert_eq!(replay.later(Duration::from_secs(1)), None);
        let pressed = press(&mut replay, Key::Char(' '));
        assert_eq!(pressed, Pressed::Moved(Move::To(Duration::ZERO)));
        assert!(replay.playing);
    }

    #[test]
    fn a_key_of_a_view_is_not_the_players() {
        for key in ['j', '2', '/', 'R'] {
            assert_eq!(press(&mut replay(), Key::Char(key)), Pressed::NotOurs, "{key}");
        }
    }
}
