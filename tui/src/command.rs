//! The vocabulary: everything a person can do in the console, in words.
//!
//! Keys, palette, footer, help and the README's table all read this list; [`crate::keymap`] says which key
//! is which command in which view. What a command does is in [`crate::update`].

use serde::{Deserialize, Serialize};

use crate::model::view::View;
use crate::model::{Access, Model};

/// How much harm a command can do, as a rung of the safety ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Danger {
    /// It looks.
    Look,
    /// It changes one thing, and that can be made good.
    Write,
    /// It changes many things, or kills one.
    Confirm,
}

impl Danger {
    /// The rung as people are told it.
    pub const fn rung(self) -> u8 {
        match self {
            Self::Look => 1,
            Self::Write => 2,
            Self::Confirm => 3,
        }
    }
}

/// The group a command stands under in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Group {
    /// From view to view, from row to row.
    Move,
    /// What is shown, and how.
    See,
    /// On rows.
    Act,
    /// On the demo's processes.
    Demo,
    /// On the console itself.
    Console,
}

impl Group {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Move, Self::See, Self::Act, Self::Demo, Self::Console];

    /// Its heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Move => "MOVE",
            Self::See => "SEE",
            Self::Act => "ACT ON ROWS",
            Self::Demo => "DEMO",
            Self::Console => "CONSOLE",
        }
    }
}

/// A command by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandId {
    /// Show the overview.
    Overview,
    /// Show the jobs.
    Jobs,
    /// Show what is pending.
    Pending,
    /// Show the workers.
    Workers,
    /// Show the dead by their cause.
    Dead,
    /// Show the streams of the whole server.
    Streams,
    /// Show the operators' book.
    Activity,
    /// Show a trace.
    Trace,
    /// Go into the row under the cursor.
    Enter,
    /// Go back out.
    Out,
    /// Back to the view before.
    Previous,
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// One page down.
    PageDown,
    /// One page up.
    PageUp,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// To the next pane.
    NextPane,
    /// Type a filter.
    Filter,
    /// Sort by the next column.
    Sort,
    /// Turn the sort round.
    Turn,
    /// Stop the screen.
    Freeze,
    /// Ask the servers now.
    Refresh,
    /// Refresh more or less often.
    Interval,
    /// Tell the critical path apart.
    CriticalPath,
    /// Hide short spans.
    HideShort,
    /// Show a shorter time, larger.
    ZoomIn,
    /// Show a longer time, smaller.
    ZoomOut,
    /// Show an earlier time.
    PanLeft,
    /// Show a later time.
    PanRight,
    /// Show what went in.
    SpanInput,
    /// Show what came out.
    SpanOutput,
    /// Show what else is known.
    SpanAttributes,
    /// Show the job's trace.
    ShowTrace,
    /// Show the job.
    ShowJob,
    /// Mark a row.
    Mark,
    /// Mark all rows that the filter matches.
    MarkAll,
    /// Take all marks away.
    Unmark,
    /// Submit one demo diff.
    Submit,
    /// Submit fifty.
    Burst,
    /// Start a worker.
    AddWorker,
    /// Let a worker finish and leave.
    DrainWorker,
    /// Kill a worker.
    KillWorker,
    /// Show the help.
    Help,
    /// Show the commands that were sent.
    Sent,
    /// Type a command.
    Palette,
    /// Another palette of colours.
    Theme,
    /// Record what is seen, or end the recording.
    Record,
    /// Leave the console.
    Quit,
}

/// What there is to know about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub id: CommandId,
    /// The word that is typed behind `:`.
    pub word: &'static str,
    /// One or two words for the footer.
    pub short: &'static str,
    /// What it does, for help and palette.
    pub about: &'static str,
    /// Where it stands in the help.
    pub group: Group,
    /// How much harm it can do.
    pub danger: Danger,
}

const fn look(
    id: CommandId,
    group: Group,
    word: &'static str,
    short: &'static str,
    about: &'static str,
) -> Command {
    Command {
        id,
        word,
        short,
        about,
        group,
        danger: Danger::Look,
    }
}

const fn write(
    id: CommandId,
    danger: Danger,
    word: &'static str,
    short: &'static str,
    about: &'static str,
) -> Command {
    Command {
        id,
        word,
        short,
        about,
        group: Group::Demo,
        danger,
    }
}

/// Every command.
pub const COMMANDS: [Command; 49] = [
    look(
        CommandId::Overview,
        Group::Move,
        "overview",
        "overview",
        "is it keeping up, and what needs me?",
    ),
    look(
        CommandId::Jobs,
        Group::Move,
        "jobs",
        "jobs",
        "where is mine, why did it end so?",
    ),
    look(
        CommandId::Pending,
        Group::Move,
        "pending",
        "pending",
        "who holds what, is it stuck?",
    ),
    look(
        CommandId::Workers,
        Group::Move,
        "workers",
        "workers",
        "who works, who is slow, who is gone?",
    ),
    look(
        CommandId::Dead,
        Group::Move,
        "dead",
        "dead",
        "which one cause makes most of it?",
    ),
    look(
        CommandId::Trace,
        Group::Move,
        "trace",
        "trace",
        "what is it doing now, what did it cost?",
    ),
    look(
        CommandId::Streams,
        Group::Move,
        "streams",
        "streams",
        "which group falls behind, can the figure be trusted?",
    ),
    look(
        CommandId::Activity,
        Group::Move,
        "activity",
        "activity",
        "who did that, and what came of it?",
    ),
    look(
        CommandId::Enter,
        Group::Move,
        "open",
        "open",
        "go into the row under the cursor",
    ),
    look(
        CommandId::Out,
        Group::Move,
        "out",
        "back",
        "close what floats, take the filter back, go out",
    ),
    look(
        CommandId::Previous,
        Group::Move,
        "previous",
        "last view",
        "back to the view before",
    ),
    look(CommandId::Down, Group::Move, "down", "down", "one row down"),
    look(CommandId::Up, Group::Move, "up", "up", "one row up"),
    look(
        CommandId::PageDown,
        Group::Move,
        "page-down",
        "page",
        "one page down",
    ),
    look(CommandId::PageUp, Group::Move, "page-up", "page", "one page up"),
    look(
        CommandId::First,
        Group::Move,
        "first",
        "top",
        "to the first row; a sort that waited is taken",
    ),
    look(CommandId::Last, Group::Move, "last", "end", "to the last row"),
    look(
        CommandId::NextPane,
        Group::Move,
        "pane",
        "pane",
        "to the next pane",
    ),
    look(
        CommandId::Filter,
        Group::See,
        "filter",
        "filter",
        "narrow the rows: words, status: class: worker: id: idle>5m",
    ),
    look(
        CommandId::Sort,
        Group::See,
        "sort",
        "sort",
        "sort by the next column",
    ),
    look(CommandId::Turn, Group::See, "turn", "turn", "turn the sort round"),
    look(
        CommandId::Freeze,
        Group::See,
        "freeze",
        "freeze",
        "stop the screen; again to catch up",
    ),
    look(
        CommandId::Refresh,
        Group::See,
        "refresh",
        "refresh",
        "ask the servers now",
    ),
    look(
        CommandId::Interval,
        Group::See,
        "interval",
        "interval",
        "refresh every 1 s, 5 s, 30 s, not at all",
    ),
    look(
        CommandId::CriticalPath,
        Group::See,
        "critical",
        "critical path",
        "tell apart what decided the run time",
    ),
    look(
        CommandId::HideShort,
        Group::See,
        "hide",
        "hide shorter",
        "hide spans under 0.1 s, 1 s, 5 s, none",
    ),
    look(
        CommandId::ZoomIn,
        Group::See,
        "zoom-in",
        "zoom",
        "a shorter time, larger",
    ),
    look(
        CommandId::ZoomOut,
        Group::See,
        "zoom-out",
        "zoom",
        "a longer time, smaller",
    ),
    look(
        CommandId::PanLeft,
        Group::See,
        "earlier",
        "pan",
        "an earlier time",
    ),
    look(CommandId::PanRight, Group::See, "later", "pan", "a later time"),
    look(
        CommandId::SpanInput,
        Group::See,
        "input",
        "input",
        "what went into the span",
    ),
    look(
        CommandId::SpanOutput,
        Group::See,
        "output",
        "output",
        "what came out of it",
    ),
    look(
        CommandId::SpanAttributes,
        Group::See,
        "attributes",
        "attributes",
        "what else is known about it",
    ),
    look(
        CommandId::ShowTrace,
        Group::Act,
        "show-trace",
        "trace",
        "the trace of the job under the cursor",
    ),
    look(
        CommandId::ShowJob,
        Group::Act,
        "show-job",
        "job",
        "the job of this trace or entry",
    ),
    look(
        CommandId::Mark,
        Group::Act,
        "mark",
        "mark",
        "mark the row, or take its mark away",
    ),
    look(
        CommandId::MarkAll,
        Group::Act,
        "mark-all",
        "all",
        "mark all rows that are listed",
    ),
    look(
        CommandId::Unmark,
        Group::Act,
        "unmark",
        "unmark",
        "take all marks away",
    ),
    write(
        CommandId::Submit,
        Danger::Write,
        "submit",
        "submit",
        "submit one of the demo's diffs",
    ),
    write(
        CommandId::Burst,
        Danger::Write,
        "burst",
        "burst",
        "submit fifty of them",
    ),
    write(
        CommandId::AddWorker,
        Danger::Write,
        "add-worker",
        "worker",
        "start a worker process",
    ),
    write(
        CommandId::DrainWorker,
        Danger::Write,
        "drain-worker",
        "drain",
        "let a worker finish what it has and leave",
    ),
    write(
        CommandId::KillWorker,
        Danger::Confirm,
        "kill-worker",
        "kill",
        "kill -9 a worker process, and see its jobs taken over",
    ),
    look(
        CommandId::Help,
        Group::Console,
        "help",
        "help",
        "the keys that work here, and why others do not",
    ),
    look(
        CommandId::Sent,
        Group::Console,
        "sent",
        "sent",
        "every command that the console sent",
    ),
    look(
        CommandId::Palette,
        Group::Console,
        "palette",
        "command",
        "type a command",
    ),
    look(
        CommandId::Theme,
        Group::Console,
        "theme",
        "theme",
        "dark, light, colour-blind, mono",
    ),
    look(
        CommandId::Record,
        Group::Console,
        "record",
        "record",
        "record what is seen for millstream --replay; again to end it",
    ),
    look(CommandId::Quit, Group::Console, "q", "quit", "leave the console"),
];

impl CommandId {
    /// What there is to know about it.
    pub fn command(self) -> &'static Command {
        COMMANDS
            .iter()
            .find(|command| command.id == self)
            .expect("every command is in the table; a test looks")
    }

    /// Why it cannot be done now; nothing when it can.
    pub fn refusal(self, model: &Model) -> Option<&'static str> {
        let command = self.command();
        if model.replayed && (command.danger > Danger::Look || self == Self::Record) {
            return Some("this was recorded: nothing can be done about it here");
        }
        if command.danger > Danger::Look && model.access == Access::ReadOnly {
            return Some("read-only: start without --read-only");
        }
        if command.group == Group::Demo && model.fleet.is_none() {
            return Some("only the demo starts and feeds workers: ./demo");
        }
        match self {
            Self::KillWorker | Self::DrainWorker => no_worker(model),
            Self::ShowTrace if model.chosen_job().is_none() => Some("no job is under the cursor"),
            Self::ShowJob if model.chosen_job().is_none() => Some("no job is under the cursor"),
            Self::Trace if model.trace.id.is_none() && model.chosen_job().is_none() => {
                Some("no job is chosen: 2, a row, t")
            }
            _ => None,
        }
    }

    /// Whether it can be done now.
    pub fn is_available(self, model: &Model) -> bool {
        self.refusal(model).is_none()
    }
}

fn no_worker(model: &Model) -> Option<&'static str> {
    if !matches!(model.view(), View::Overview | View::Workers) {
        return Some("go to 1 Overview or 4 Workers");
    }
    match model.workers.selected() {
        None => Some("no worker is under the cursor"),
        Some(worker) if worker.state == crate::model::workers::WorkerState::Lost => {
            Some("that worker is gone already")
        }
        Some(worker) if !worker.is_ours => Some("that worker is no process of this demo"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_command_stands_in_the_table_once() {
        let ids: HashSet<CommandId> = COMMANDS.iter().map(|command| command.id).collect();
        let words: HashSet<&str> = COMMANDS.iter().map(|command| command.word).collect();
        assert_eq!((ids.len(), words.len()), (COMMANDS.len(), COMMANDS.len()));
        for command in COMMANDS {
            assert_eq!(command.id.command(), &command);
        }
    }
}
