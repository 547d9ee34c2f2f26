//! What floats over a view: help, a question, the palette, the list of commands sent.

use millstream::untrusted::Untrusted;
use serde::Serialize;

use super::workers::WorkerName;
use crate::command::CommandId;

/// What is to be done once it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Intent {
    /// Kill a worker's process.
    KillWorker(WorkerName),
    /// Let a worker finish what it has and leave.
    DrainWorker(WorkerName),
    /// Submit so many demo diffs at once.
    Burst(u32),
}

/// A button of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Button {
    /// Nothing happens.
    #[default]
    Cancel,
    /// It is done.
    Confirm,
}

/// A question before something is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dialog {
    /// What it is about.
    pub title: Untrusted,
    /// What will happen, line by line.
    pub lines: Vec<Untrusted>,
    /// The word on the button that does it.
    pub confirm: &'static str,
    /// The rung of the safety ladder, 2 to 4.
    pub rung: u8,
    /// The button that Enter presses; Cancel at first.
    pub focus: Button,
    /// What is done.
    pub intent: Intent,
}

/// The command palette.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Palette {
    /// What was typed.
    pub text: String,
    /// Commands that fit, best first.
    pub found: Vec<CommandId>,
    /// Which of them is marked.
    pub at: usize,
}

/// What floats over the view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Overlay {
    /// The keys that work here, and those that do not, with the reason.
    Help,
    /// A question.
    Dialog(Dialog),
    /// The command palette.
    Palette(Palette),
    /// The commands that the console sent, newest first, from this one on.
    Sent {
        /// The first one shown.
        offset: usize,
    },
}
