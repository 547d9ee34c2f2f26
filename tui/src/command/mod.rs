//! The vocabulary: everything a person can do in the console, in words.
//!
//! Keys, palette, footer, help and the README's table all read this list; [`crate::keymap`] says which key
//! is which command in which view. What a command does is in [`crate::update`].

use serde::{Deserialize, Serialize};

use crate::model::Model;

mod refusal;
mod table;

pub use refusal::{no_order, why_not};
pub use table::COMMANDS;

/// How much harm a command can do, as a rung of the safety ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Danger {
    /// It looks.
    Look,
    /// It changes one thing, and that can be made good.
    Write,
    /// It changes many things, or kills one.
    Confirm,
    /// It cannot be taken back.
    Forever,
}

impl Danger {
    /// The rung as people are told it.
    pub const fn rung(self) -> u8 {
        match self {
            Self::Look => 1,
            Self::Write => 2,
            Self::Confirm => 3,
            Self::Forever => 4,
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
    /// Make up for clocks that are off, or stop it.
    Skew,
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
    /// Run what waits for its next attempt now.
    Retry,
    /// Let the dead wait again.
    Requeue,
    /// Call jobs off.
    Cancel,
    /// Give jobs up.
    Bury,
    /// Take entries from who holds them.
    Claim,
    /// Give a dead job another input.
    Edit,
    /// Take an action back.
    Undo,
    /// End a run before its time.
    Abort,
    /// Write the dead to a file.
    Export,
    /// Forget the dead.
    Drop,
    /// Let nothing new start.
    Pause,
    /// Let jobs start again.
    Resume,
    /// Put a row's id on the clipboard.
    CopyId,
    /// Put a row on the clipboard.
    CopyJson,
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
    /// Have so many workers.
    Scale,
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
        refusal::of(self, model)
    }

    /// The rung it stands on now: what is one thing for one row is many for several.
    pub fn rung(self, model: &Model) -> u8 {
        match self.command().danger {
            Danger::Write if refusal::means_many(self, model) => Danger::Confirm.rung(),
            danger => danger.rung(),
        }
    }

    /// Whether it can be done now.
    pub fn is_available(self, model: &Model) -> bool {
        self.refusal(model).is_none()
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
            assert_eq!(command.id.command(), command);
        }
    }
}
