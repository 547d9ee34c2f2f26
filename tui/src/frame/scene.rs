//! The scenes that can be drawn without a system: a view of the sample story, in one of its states.

use clap::ValueEnum;

use crate::model::Model;
use crate::model::overlay::{Overlay, Palette};
use crate::model::view::{Size, View};
use crate::sample;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// The first screen.
    Overview,
    /// The list of jobs.
    Jobs,
    /// One job in full.
    Job,
    /// The waterfall of a job that runs.
    Trace,
    /// The same where a worker's clock is off and a span is missing.
    TraceSkewed,
    /// What is pending.
    Pending,
    /// The workers.
    Workers,
    /// Two hundred of them.
    Fleet,
    /// The dead by their cause.
    Dead,
    /// Letters that no row knows.
    DeadLetters,
    /// The streams of the whole server.
    Streams,
    /// One stream in full.
    Stream,
    /// The consumers of one of its groups.
    StreamConsumers,
    /// All its groups.
    StreamGroups,
    /// The operators' book.
    Activity,
    /// The help over the jobs.
    Help,
    /// The question before a worker is killed.
    Dialog,
    /// The command palette.
    Palette,
    /// The commands that were sent.
    Sent,
}

/// How the system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum State {
    /// It runs.
    #[default]
    Normal,
    /// Nothing was ever submitted.
    Empty,
    /// No server has answered yet.
    Loading,
    /// Nothing passes the filter.
    NoMatch,
    /// No answer for 12 s.
    Stale,
    /// Valkey is away.
    ValkeyLost,
    /// Both servers are away.
    BothLost,
    /// The first question was refused.
    Failed,
    /// The console only looks, at a system elsewhere.
    ReadOnly,
    /// The screen was stopped.
    Frozen,
}

/// The model of a scene.
#[must_use]
pub fn model(shown: Shown, state: State, size: Size) -> Model {
    let mut model = match state {
        State::Normal => story(shown),
        State::Empty => sample::empty(),
        State::Loading => sample::loading(),
        State::NoMatch => sample::no_match(),
        State::Stale => sample::stale(),
        State::ValkeyLost => sample::valkey_lost(),
        State::BothLost => sample::both_lost(),
        State::Failed => sample::failed(),
        State::ReadOnly => sample::read_only(),
        State::Frozen => sample::frozen(),
    };
    model.size = size;
    if state != State::Normal {
        model.path = path(shown);
        model.overlay = overlay(shown, model.overlay);
    }
    model
}

fn story(shown: Shown) -> Model {
    match shown {
        Shown::Overview => sample::story(),
        Shown::Jobs => sample::jobs(),
        Shown::Job => sample::job(),
        Shown::Trace => sample::trace(),
        Shown::TraceSkewed => sample::skewed_trace(),
        Shown::Workers => sample::workers(),
        Shown::Fleet => sample::fleet(),
        Shown::Pending => sample::pending(),
        Shown::Dead => sample::dead(),
        Shown::DeadLetters => sample::dead_letters(),
        Shown::Streams => sample::streams(),
        Shown::Stream => sample::stream(),
        Shown::StreamConsumers => sample::stream_consumers(),
        Shown::StreamGroups => sample::stream_groups(),
        Shown::Activity => sample::activity(),
        Shown::Help => sample::help(),
        Shown::Dialog => sample::dialog(),
        Shown::Palette | Shown::Sent => Model {
            overlay: overlay(shown, None),
            ..sample::story()
        },
    }
}

fn path(shown: Shown) -> Vec<View> {
    match shown {
        Shown::Overview | Shown::Palette | Shown::Sent => vec![View::Overview],
        Shown::Jobs | Shown::Help => vec![View::Overview, View::Jobs],
        Shown::Job => vec![View::Overview, View::Jobs, View::Job],
        Shown::Pending => vec![View::Overview, View::Pending],
        Shown::Dead | Shown::DeadLetters => vec![View::Overview, View::Dead],
        Shown::Streams | Shown::Stream | Shown::StreamConsumers | Shown::StreamGroups => {
            vec![View::Overview, View::Streams]
        }
        Shown::Activity => vec![View::Overview, View::Activity],
        Shown::Trace | Shown::TraceSkewed => vec![View::Overview, View::Trace],
        Shown::Workers | Shown::Fleet | Shown::Dialog => vec![View::Overview, View::Workers],
    }
}

fn overlay(shown: Shown, before: Option<Overlay>) -> Option<Overlay> {
    match shown {
        Shown::Help => Some(Overlay::Help),
        Shown::Dialog => sample::dialog().overlay,
        Shown::Sent => Some(Overlay::Sent { offset: 0 }),
        Shown::Palette => {
            let commands = crate::command::COMMANDS
                .iter()
                .filter(|command| command.word.contains("wo"));
            Some(Overlay::Palette(Palette {
                text: "wo".to_owned(),
                found: commands.map(|command| command.id).collect(),
                at: 0,
                back: 0,
            }))
        }
        _ => before,
    }
}
