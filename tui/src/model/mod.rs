//! Everything the console knows and shows, as plain data: it can be compared, saved and replayed.
//!
//! Nothing here talks to a server or reads a clock; time comes in with the messages. The views draw it, the
//! update changes it, neither knows the other. Text from outside is `Untrusted` from its first line here.
//!
//! * [`remote`]: a value on a server with its age; [`connection`]: the lamps and our own load.
//! * [`overview`], [`jobs`], [`job`], [`pending`], [`workers`], [`dead`], [`trace`], [`streams`], [`activity`]: a screen each.
//! * [`list`]: cursor and scroll by row id; [`filter`]: what is typed behind `/`; [`view`]: where we are.
//! * [`figures`], [`history`], [`happening`], [`need`]: what the overview is made of.
//! * [`trouble`]: what is wrong with a worker.
//! * [`skew`]: how far clocks are off, as a trace shows it.
//! * [`replay`]: what is recorded, and how a recording is played.
//! * [`overlay`], [`order`], [`notice`], [`look`], [`time`]: what floats, what is ordered, what is said, how it is drawn, clocks.

pub mod activity;
pub mod connection;
pub mod dead;
pub mod figures;
pub mod filter;
pub mod happening;
pub mod history;
pub mod job;
pub mod jobs;
pub mod list;
pub mod look;
pub mod need;
pub mod notice;
pub mod order;
pub mod overlay;
pub mod overview;
pub mod pending;
pub mod remote;
pub mod replay;
pub mod skew;
pub mod streams;
pub mod time;
pub mod trace;
pub mod trouble;
pub mod view;
pub mod workers;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use activity::Activity;
use connection::{Connection, Lamp, Load, Sent};
use dead::Dead;
use happening::Happenings;
use history::History;
use job::Job;
use jobs::Jobs;
use look::{Look, Tint};
use notice::Notice;
use overlay::Overlay;
use overview::Overview;
use pending::Pending;
use replay::Recording;
use streams::Streams;
use trace::Trace;
use view::{Size, View};
use workers::Workers;

use crate::keymap::Keys;
use crate::msg::Answer;
use crate::zone::Zone;

/// What the console may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It looks, since nobody said that it may do more.
    ReadOnly,
    /// It looks, since the profile of its servers says so.
    OnlyRead,
    /// It changes things.
    ReadWrite,
}

impl Access {
    /// Whether it may change things.
    pub const fn may_write(self) -> bool {
        matches!(self, Self::ReadWrite)
    }
}

/// The system that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name: `demo`, `local`, or what the environment says.
    pub name: Untrusted,
    /// The queue.
    pub queue: Untrusted,
    /// Its consumer group.
    pub group: Untrusted,
    /// The colour of its name.
    #[serde(default)]
    pub tint: Option<Tint>,
    /// Whether people depend on it: the header says so.
    #[serde(default)]
    pub is_production: bool,
}

/// The processes that this process started: only the demo has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// Workers that run, those that finish included.
    pub workers: u32,
    /// Where the producer is.
    pub web_url: Untrusted,
}

/// The screen stands still while data goes on coming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// Since when.
    pub since: DateTime<Utc>,
    /// The newest answer of each kind since.
    pub held: Vec<Answer>,
    /// How many things have happened since.
    pub new: u64,
}

/// What is typed into the line of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// The text.
    pub text: String,
    /// What the filter was before: Esc brings it back.
    pub before: String,
}

/// All state of the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The terminal's size.
    pub size: Size,
    /// The time of the last message, by our clock.
    pub now: DateTime<Utc>,
    /// When the console started.
    pub started_at: DateTime<Utc>,
    /// Where we are, with the way there; the last one is shown. It is never empty.
    pub path: Vec<View>,
    /// What floats over it. A recording begins without it.
    #[serde(skip)]
    pub overlay: Option<Overlay>,
    /// What is being typed behind `/`.
    pub typing: Option<Typing>,
    /// Both servers.
    pub connection: Connection,
    /// What may be done.
    pub access: Access,
    /// What is looked at.
    pub profile: Profile,
    /// Which key is which command.
    #[serde(default, skip_serializing_if = "Keys::are_usual")]
    pub keys: Keys,
    /// The demo's own processes.
    pub fleet: Option<Fleet>,
    /// How often the screen is refreshed; nothing when it is off.
    pub interval: Option<Duration>,
    /// The screen stands still.
    pub frozen: Option<Frozen>,
    /// How it is drawn.
    pub look: Look,
    /// The zone of its clocks.
    #[serde(default)]
    pub zone: Zone,
    /// The first screen.
    pub overview: Overview,
    /// The jobs.
    pub jobs: Jobs,
    /// The job that was opened last.
    pub job: Option<Job>,
    /// What is pending.
    pub pending: Pending,
    /// The dead by their cause.
    pub dead: Dead,
    /// The streams of the whole server.
    pub streams: Streams,
    /// The operators' book.
    pub activity: Activity,
    /// The trace that was opened last.
    pub trace: Trace,
    /// The workers.
    pub workers: Workers,
    /// What just happened.
    pub happenings: Happenings,
    /// The last minutes.
    pub history: History,
    /// The message of the moment.
    pub notice: Option<Notice>,
    /// What the console sent, newest first.
    pub sent: VecDeque<Sent>,
    /// The number of the last order.
    #[serde(default)]
    pub orders: u64,
    /// What was typed behind `:`, newest first. A recording begins without it.
    #[serde(skip)]
    pub typed: VecDeque<String>,
    /// What is being recorded.
    #[serde(skip)]
    pub recording: Option<Recording>,
    /// This was recorded, and somebody looks around in it: nothing can be changed.
    #[serde(skip)]
    pub replayed: bool,
    /// The console ends.
    pub leaving: bool,
}

impl Model {
    /// The console before its first answer.
    pub fn new(size: Size, profile: Profile, now: DateTime<Utc>) -> Self {
        Self {
            size,
            now,
            started_at: now,
            path: vec![View::Overview],
            overlay: None,
            typing: None,
            connection: Connection {
                valkey: Lamp::new(Untrusted::default()),
                postgres: Lamp::new(Untrusted::default()),
                load: Load::default(),
                clock_ahead_ms: 0,
            },
            access: Access::ReadWrite,
            profile,
            keys: Keys::default(),
            fleet: None,
            interval: Some(Duration::from_secs(1)),
            frozen: None,
            look: Look::default(),
            zone: Zone::default(),
            overview: Overview::new(now),
            jobs: Jobs::new(now),
            job: None,
            pending: Pending::new(now),
            dead: Dead::new(now),
            streams: Streams::new(now),
            activity: Activity::new(now),
            trace: Trace::new(None, now),
            workers: Workers::new(now),
            happenings: Happenings::default(),
            history: History::default(),
            notice: None,
            sent: VecDeque::new(),
            orders: 0,
            typed: VecDeque::new(),
            recording: None,
            replayed: false,
            leaving: false,
        }
    }

    /// The view that is shown.
    pub fn view(&self) -> View {
        self.path.last().copied().unwrap_or_default()
    }

    /// The time by Postgres's clock, which all times of jobs are read from.
    pub fn server_now(&self) -> DateTime<Utc> {
        let shown = self.frozen.as_ref().map_or(self.now, |frozen| frozen.since);
        shown + chrono::TimeDelta::milliseconds(self.connection.clock_ahead_ms)
    }

    /// Whether the queue is paused, as far as that is known.
    pub fn is_paused(&self) -> Option<bool> {
        self.overview.queue.fresh().map(|queue| queue.paused)
    }

    /// How many refreshes may be missed before data is old: three.
    pub fn stale_after(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_secs(20)) * 3
    }
}
