//! What floats over a view: help, a question, the palette, the list of commands sent.

use millstream::domain::run::{MOST_AT_ONCE, MOST_CANARY, SLOWEST};
use millstream::untrusted::Untrusted;
use serde::Serialize;

use super::order::{Order, Typed};
use super::workers::WorkerName;
use crate::command::CommandId;

/// What is to be done once it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Intent {
    /// Kill a worker's process.
    KillWorker(WorkerName),
    /// Let a worker finish what it has and leave.
    DrainWorker(WorkerName),
    /// Ask what would come of an order.
    Foresee(Order),
    /// Carry an order out; what was typed goes with it.
    Carry(Order),
}

/// What stands in a field when it is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Want {
    /// Why it is done.
    Reason,
    /// Why it is done, if anybody wants to say.
    ReasonOrNothing,
    /// This number: so many things it will be done to.
    Count(usize),
    /// This name.
    Name(String),
    /// What is to be reviewed: an address or a file.
    Input,
    /// How many go first.
    Canary,
    /// How many go in a second; `all` means as fast as it goes.
    Pace,
}

/// A line to type into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What stands before it.
    pub label: String,
    /// What is wanted.
    pub want: Want,
    /// What was typed.
    pub text: String,
}

impl Field {
    /// The longest text that is taken.
    pub const LONGEST: usize = millstream::ops::jobs::LONGEST_REASON;

    /// An empty one.
    pub fn new(label: impl Into<String>, want: Want) -> Self {
        Self {
            label: label.into(),
            want,
            text: String::new(),
        }
    }

    /// Whether it may be done as it stands.
    pub fn is_right(&self) -> bool {
        let text = self.text.trim();
        match &self.want {
            Want::Reason => !text.is_empty(),
            Want::ReasonOrNothing => true,
            Want::Count(count) => text.replace(',', "") == count.to_string(),
            Want::Name(name) => text == name,
            Want::Input => !text.is_empty(),
            Want::Canary => text.parse().is_ok_and(|count: u32| count <= MOST_CANARY),
            Want::Pace => {
                let rate = text.parse::<f64>();
                text == "all" || rate.is_ok_and(|rate| (SLOWEST..=f64::from(MOST_AT_ONCE)).contains(&rate))
            }
        }
    }

    /// Why not, in few words; nothing while nothing was typed.
    pub fn complaint(&self) -> Option<String> {
        let text = self.text.trim();
        if self.is_right() || text.is_empty() {
            return None;
        }
        Some(match &self.want {
            Want::Count(count) => format!("you typed {text}, {count} will run"),
            Want::Name(name) => format!("you typed {text}, the name is {name}"),
            Want::Canary => format!("a number up to {MOST_CANARY}"),
            Want::Pace => format!("{SLOWEST} to {MOST_AT_ONCE}, or all"),
            Want::Reason | Want::ReasonOrNothing | Want::Input => return None,
        })
    }
}

/// A button that does something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The word on it.
    pub word: String,
    /// What is done.
    pub intent: Intent,
    /// Whether all fields must be right before.
    pub guarded: bool,
}

impl Choice {
    /// A button that waits for the fields.
    pub fn new(word: impl Into<String>, intent: Intent) -> Self {
        Self {
            word: word.into(),
            intent,
            guarded: true,
        }
    }
}

/// What Enter and the keys of a text are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Focus {
    /// Nothing happens.
    #[default]
    Cancel,
    /// A text is typed there.
    Field(usize),
    /// It is done.
    Choice(usize),
}

/// A question before something is done. The focus begins on Cancel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dialog {
    /// What it is about.
    pub title: Untrusted,
    /// What will happen, line by line.
    pub lines: Vec<Untrusted>,
    /// What is known about it, each behind its name.
    pub facts: Vec<(Untrusted, Untrusted)>,
    /// What has to be typed.
    pub fields: Vec<Field>,
    /// What can be done; the first is what the question is about.
    pub choices: Vec<Choice>,
    /// The rung of the safety ladder, 2 to 4.
    pub rung: u8,
    /// Where the focus is.
    pub focus: Focus,
    /// The number of the order whose dry run is waited for.
    pub awaits: Option<u64>,
}

impl Dialog {
    /// A question of the second rung with one button.
    pub fn new(title: impl Into<String>, lines: Vec<Untrusted>, choice: Choice) -> Self {
        Self {
            title: Untrusted::new(title),
            lines,
            facts: Vec::new(),
            fields: Vec::new(),
            choices: vec![choice],
            rung: 2,
            focus: Focus::Cancel,
            awaits: None,
        }
    }

    /// The first field that is not right yet.
    pub fn first_wrong(&self) -> Option<usize> {
        self.fields.iter().position(|field| !field.is_right())
    }

    /// Whether a button does something when it is pressed.
    pub fn is_armed(&self, nth: usize) -> bool {
        let Some(choice) = self.choices.get(nth) else {
            return false;
        };
        !choice.guarded || self.first_wrong().is_none()
    }

    /// Every place that the focus can have, in the order of Tab.
    fn places(&self) -> Vec<Focus> {
        let fields = (0..self.fields.len()).map(Focus::Field);
        let choices = (0..self.choices.len()).map(Focus::Choice);
        fields.chain(choices).chain([Focus::Cancel]).collect()
    }

    /// Moves the focus on or back. From Cancel it goes on to the first thing that is missing, so that Tab and Enter do it
    /// where nothing is.
    pub fn step(&mut self, forward: bool) {
        if forward && self.focus == Focus::Cancel {
            self.focus = match self.first_wrong() {
                Some(nth) => Focus::Field(nth),
                None if self.choices.is_empty() => Focus::Cancel,
                None => Focus::Choice(0),
            };
            return;
        }
        let places = self.places();
        let here = places.iter().position(|place| *place == self.focus).unwrap_or(0);
        let by = if forward { 1 } else { places.len() - 1 };
        self.focus = places[(here + by) % places.len()];
    }

    /// What was typed.
    pub fn typed(&self) -> Typed {
        let mut typed = Typed::default();
        for field in &self.fields {
            let text = Some(field.text.trim().to_owned()).filter(|text| !text.is_empty());
            match &field.want {
                Want::Reason | Want::ReasonOrNothing => typed.reason = text,
                Want::Count(count) => typed.count = text.map(|_| *count as u64).filter(|_| field.is_right()),
                Want::Name(_) => typed.name = text,
                Want::Input => typed.input = text,
                Want::Canary => typed.canary = text,
                Want::Pace => typed.pace = text,
            }
        }
        typed
    }
}

/// A line of the palette: a command, with what is typed behind its word.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Palette {
    /// What was typed.
    pub text: String,
    /// Commands that fit, best first.
    pub found: Vec<CommandId>,
    /// Which of them is marked.
    pub at: usize,
    /// How far back in what was typed before.
    pub back: usize,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Dialog {
        let intent = || Intent::KillWorker(WorkerName::new("w"));
        let again = Choice {
            guarded: false,
            ..Choice::new("Dry run again", intent())
        };
        Dialog {
            fields: vec![
                Field::new("reason", Want::Reason),
                Field::new("type 3", Want::Count(3)),
            ],
            choices: vec![Choice::new("Re-queue 3", intent()), again],
            rung: 3,
            ..Dialog::new("Plan", Vec::new(), Choice::new("", intent()))
        }
    }

    #[test]
    fn tab_goes_to_what_is_missing_and_then_to_the_button() {
        let mut dialog = plan();
        let mut places = Vec::new();
        for _ in 0..5 {
            dialog.step(true);
            places.push(dialog.focus);
        }
        let expected = [
            Focus::Field(0),
            Focus::Field(1),
            Focus::Choice(0),
            Focus::Choice(1),
            Focus::Cancel,
        ];
        assert_eq!(places, expected);
        dialog.step(false);
        assert_eq!(dialog.focus, Focus::Choice(1));
    }

    #[test]
    fn a_button_is_dead_until_count_and_reason_are_right() {
        let mut dialog = plan();
        assert!(!dialog.is_armed(0) && dialog.is_armed(1));
        dialog.fields[0].text = "model was slow".to_owned();
        dialog.fields[1].text = "4".to_owned();
        assert!(!dialog.is_armed(0));
        assert_eq!(
            dialog.fields[1].complaint().as_deref(),
            Some("you typed 4, 3 will run")
        );
        dialog.fields[1].text = "3".to_owned();
        assert!(dialog.is_armed(0));
        let typed = dialog.typed();
        assert_eq!(typed.reason.as_deref(), Some("model was slow"));
        assert_eq!((typed.count, typed.name), (Some(3), None));
    }
}
