//! What is recorded, and how a recording is played: where it stands, how fast, whether it runs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// A recording that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Since when.
    pub since: DateTime<Utc>,
    /// How much of the room for it is used, in hundredths.
    pub used_percent: u32,
}

/// Why a recording ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It was ended by its key.
    Stopped,
    /// The console was left.
    Left,
    /// It had grown as large as a recording may.
    Bound,
    /// Nothing tells: the console was killed, or the end of the file was cut off between two lines.
    Unknown,
}

impl Ending {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Stopped => "ended by its key",
            Self::Left => "ended with the console",
            Self::Bound => "ended when it was as large as it may be",
            Self::Unknown => "has no end: the console was killed, or the file was cut",
        }
    }
}

/// Something worth a look, on the slider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// When, since the beginning.
    pub at: Duration,
}

/// How fast a recording may be played, as quarters of its own speed.
pub const SPEEDS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A recording while it is played.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Where it stands.
    pub at: Duration,
    /// How long it is.
    pub length: Duration,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// Whether it runs.
    pub playing: bool,
    /// How fast, as a place in [`SPEEDS`].
    pub speed: usize,
    /// Why it ends where it does.
    pub ending: Ending,
    /// Servers that went away and workers that ended, oldest first.
    pub incidents: Vec<Incident>,
    /// The time that is being typed, to go there.
    pub typing: Option<String>,
    /// The file.
    pub file: Untrusted,
    /// What has to be said.
    pub notice: Option<String>,
    /// Its viewer wants to leave.
    pub leaving: bool,
}

/// What is to be done with the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Show this time.
    To(Duration),
    /// Show the change before what is shown, or the one behind it.
    Step(Direction),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the beginning.
    Back,
    /// Towards the end.
    Forward,
}

impl Replay {
    /// A recording that is about to be played from its beginning.
    pub const fn new(file: Untrusted, began_at: DateTime<Utc>, length: Duration, ending: Ending) -> Self {
        Self {
            at: Duration::ZERO,
            length,
            began_at,
            playing: true,
            speed: 2,
            ending,
            incidents: Vec::new(),
            typing: None,
            file,
            notice: None,
            leaving: false,
        }
    }

    /// `1x`, `1/4x`, `64x`.
    pub fn speed_words(&self) -> String {
        match SPEEDS.get(self.speed).copied().unwrap_or(4) {
            1 => "1/4x".to_owned(),
            2 => "1/2x".to_owned(),
            quarters => format!("{}x", quarters / 4),
        }
    }

    /// Where it stands when so much time has gone by, if it runs; it stops at its end.
    pub fn later(&mut self, elapsed: Duration) -> Option<Duration> {
        if !self.playing {
            return None;
        }
        let quarters = SPEEDS.get(self.speed).copied().unwrap_or(4);
        let there = self.at + elapsed.saturating_mul(quarters) / 4;
        if there >= self.length {
            self.playing = false;
            self.notice = Some(format!("the recording {}", self.ending.words()));
        }
        Some(there.min(self.length))
    }
}
