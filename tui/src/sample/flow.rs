//! Ten minutes by the second: a quiet queue, a burst of 200, and a worker that is lost.

use chrono::TimeDelta;

use super::{ago, now};
use crate::model::history::{Flow, History, KEPT_SECONDS, MarkKind, TimeMark};

/// When the burst came, in seconds before now.
const BURST: i64 = 97;
/// When the worker was lost.
const LOST: i64 = 11;

/// The charts' past.
pub fn history() -> History {
    let mut history = History::default();
    let mut waiting = 6_i64;
    let last = KEPT_SECONDS as i64 - 1;
    for back in (0..=last).rev() {
        let at = now() - TimeDelta::seconds(back);
        let accepted = arrivals(back);
        let ended = ends(back, waiting);
        waiting += i64::from(accepted) - i64::from(ended);
        let flow = Flow {
            second: at.timestamp(),
            accepted,
            ended,
        };
        history.take_flow(&[flow], at);
        // The last figure is the one of the tiles.
        let shown = if back == 0 { 128 } else { waiting.max(0) };
        history.take_waiting(shown.unsigned_abs(), at);
        history.take_slots(slots(back), at);
    }
    marks(&mut history);
    history
}

fn marks(history: &mut History) {
    for (seconds, kind, label) in [
        (553.0, MarkKind::Joined, "w-7f3a"),
        (553.0, MarkKind::Joined, "w-91bc"),
        (240.0, MarkKind::Joined, "w-02de"),
        (BURST as f64, MarkKind::Burst, "200"),
        (LOST as f64, MarkKind::Lost, "w-02de"),
    ] {
        history.mark(TimeMark {
            at: ago(seconds),
            kind,
            label: label.into(),
        });
    }
}

/// A little noise, the same every time.
const fn noise(back: i64, below: i64) -> i64 {
    (back * 7_919 + back * back * 31) % 1_009 % below
}

const fn arrivals(back: i64) -> u32 {
    match back {
        BURST => 200,
        // While the burst is worked off hardly anything comes.
        0..BURST => (noise(back, 9) == 0) as u32,
        _ => 1 + (noise(back, 5) == 0) as u32,
    }
}

const fn ends(back: i64, waiting: i64) -> u32 {
    let usual = if waiting < 4 { 0 } else { 1 };
    match back {
        0..LOST => (noise(back, 5) != 0) as u32,
        _ => usual + (noise(back, 4) == 0 && waiting > 10) as u32,
    }
}

const fn slots(back: i64) -> u32 {
    match back {
        0..LOST => 8,
        LOST..240 => 12,
        240..=553 => 8,
        _ => 0,
    }
}
