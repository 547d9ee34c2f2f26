//! What an operator orders: a verb of the queue, what it is about by its ids, and what came of it.
//!
//! Orders carry ids and never "the selected row": rows move under the cursor while a question is open.

use millstream::domain::JobState;
use millstream::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use super::Model;
use super::dead::{DeadKey, DeadRow};
use super::pending::{Hold, PendingLine};
use super::view::View;

/// What is done. The words are those of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// Retrying and scheduled jobs run now.
    Retry,
    /// Jobs are called off.
    Cancel,
    /// Jobs are given up.
    Bury,
    /// Entries are taken from who holds them.
    Claim,
    /// The dead wait again.
    Requeue,
    /// The dead are forgotten.
    Drop,
    /// The dead are written to a file.
    Export,
    /// Nothing new starts.
    Pause,
    /// Jobs start again.
    Resume,
    /// Something is submitted.
    Submit,
    /// A dead review gets another input.
    Edit,
    /// There shall be so many workers.
    Scale,
    /// An action is taken back.
    Undo,
    /// A run goes on.
    ResumeRun,
    /// A run halts.
    PauseRun,
    /// A run ends before its time.
    AbortRun,
}

impl Verb {
    /// What is pressed: the word on the button.
    pub const fn button(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Cancel => "Call off",
            Self::Bury => "Bury",
            Self::Claim => "Claim",
            Self::Requeue => "Re-queue",
            Self::Drop => "Drop",
            Self::Export => "Export",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Submit => "Submit",
            Self::Edit => "Re-queue",
            Self::Scale => "Scale",
            Self::Undo => "Undo",
            Self::ResumeRun => "Resume",
            Self::PauseRun => "Pause",
            Self::AbortRun => "Abort",
        }
    }

    /// What happens to them, for the dialog's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Retry => "Retry now",
            Self::Cancel => "Call off",
            Self::Bury => "Bury",
            Self::Claim => "Claim",
            Self::Requeue => "Re-queue plan",
            Self::Drop => "Drop for good",
            Self::Export => "Export",
            Self::Pause => "Pause the queue",
            Self::Resume => "Resume the queue",
            Self::Submit => "Submit",
            Self::Edit => "Edit, then re-queue",
            Self::Scale => "Scale the workers",
            Self::Undo => "Undo",
            Self::ResumeRun => "Resume a run",
            Self::PauseRun => "Pause a run",
            Self::AbortRun => "Abort a run",
        }
    }

    /// What they are afterwards.
    pub const fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Cancel => "cancelled",
            Self::Bury => "buried",
            Self::Claim => "claimed",
            Self::Requeue => "re-queued",
            Self::Drop => "dropped",
            Self::Export => "exported",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Submit => "submitted",
            Self::Edit => "edited and re-queued",
            Self::Scale => "scaled",
            Self::Undo => "taken back",
            Self::ResumeRun => "resumed",
            Self::PauseRun => "paused",
            Self::AbortRun => "aborted",
        }
    }
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The queue as a whole.
    Queue,
    /// Jobs and entries by their names, and the dead that match a filter.
    These {
        /// Ids of jobs or entries.
        ids: Vec<String>,
        /// Filters as they are typed behind `--match`; the empty one matches all.
        matching: Vec<String>,
    },
    /// What is to be reviewed: an address or a file.
    Input(String),
    /// An action in the book; nothing means one's own last one.
    Action(Option<i64>),
    /// A run by its name, `r-41`.
    Run(String),
    /// So many workers.
    Workers(u32),
}

impl Subject {
    /// Things by their names alone.
    pub const fn named(ids: Vec<String>) -> Self {
        Self::These {
            ids,
            matching: Vec::new(),
        }
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// By which its answer is known.
    pub number: u64,
    /// What is done.
    pub verb: Verb,
    /// To what.
    pub subject: Subject,
    /// What was typed to confirm it.
    pub typed: Typed,
    /// The order whose frozen list it is about.
    pub frozen: Option<u64>,
}

/// What a person typed to confirm an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    /// Why.
    pub reason: Option<String>,
    /// How many it will be.
    pub count: Option<u64>,
    /// The name of what goes for ever.
    pub name: Option<String>,
    /// What is to be reviewed instead.
    pub input: Option<String>,
    /// So many go first.
    pub canary: Option<String>,
    /// So many go in a second.
    pub pace: Option<String>,
}

/// What came of an order, or would come of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// What was done, by its ids.
    pub done: Vec<String>,
    /// What was not, and why.
    pub refused: Vec<(String, Untrusted)>,
    /// What else is to be known.
    pub notes: Vec<Untrusted>,
    /// How a plan would go about its list.
    pub offer: Option<Offer>,
    /// The action that would be taken back.
    pub action: Option<i64>,
}

/// How a plan would go about its list, as a person is offered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The beginning of the list's hash.
    pub list: String,
    /// So many go first, alone.
    pub canary: u32,
    /// So many a second.
    pub pace: String,
    /// What holds it back and what stops it, in words.
    pub brakes: String,
    /// What it will cost, in words.
    pub cost: String,
}

/// How far a run has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNews {
    /// Its name.
    pub run: String,
    /// Where it stands, in a word.
    pub state: String,
    /// Why it stands still.
    pub why: Option<Untrusted>,
    /// Jobs on its list.
    pub total: u32,
    /// Those that were put back.
    pub requeued: u32,
    /// Of these: done.
    pub done: u32,
    /// Of these: failed again.
    pub failed: u32,
    /// Those whose turn has not come.
    pub planned: u32,
}

impl Came {
    /// What was refused by its reasons, the most frequent first, each with its ids.
    pub fn reasons(&self) -> Vec<(&Untrusted, Vec<&str>)> {
        let mut reasons: Vec<(&Untrusted, Vec<&str>)> = Vec::new();
        for (id, why) in &self.refused {
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, ids)) => ids.push(id),
                None => reasons.push((why, vec![id])),
            }
        }
        reasons.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        reasons
    }
}

/// How a row stands, as far as it decides what may be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// A job in this state.
    Job(JobState),
    /// An entry in somebody's hands, whose job is known.
    Entry(Hold),
    /// An entry from which no job can be read.
    Nameless(Hold),
    /// All that died of one cause: so many.
    Cause(u64),
    /// What died before causes were told apart.
    NoCause,
    /// Letters that no row knows.
    Letters,
}

/// A row that an order would be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The id of the job or the entry; of a cause its fingerprint.
    pub name: String,
    /// In few words, for the dialog.
    pub words: Untrusted,
    /// What it works on, as submitted.
    pub input: Untrusted,
    /// How it stands.
    pub standing: Standing,
}

impl Model {
    /// The rows that an order would be about: the marked ones, else the one under the cursor.
    pub fn chosen(&self) -> Vec<Chosen> {
        match self.view() {
            View::Jobs => self.chosen_in_jobs(),
            View::Job => self.chosen_open_job().into_iter().collect(),
            View::Pending => self.chosen_in_pending(),
            View::Dead => self.chosen_in_dead(),
            View::Overview | View::Workers | View::Trace | View::Streams | View::Activity => Vec::new(),
        }
    }

    fn chosen_in_jobs(&self) -> Vec<Chosen> {
        let list = &self.jobs.list;
        let rows = self.jobs.page.value().map_or(&[][..], |page| &page.rows);
        let is_meant = |id| match list.marks.is_empty() {
            true => list.cursor == Some(id),
            false => list.marks.contains(&id),
        };
        let meant = rows.iter().filter(|line| is_meant(line.id));
        meant
            .map(|line| Chosen {
                name: line.id.to_string(),
                words: line.short_input(),
                input: line.input.clone(),
                standing: Standing::Job(line.state),
            })
            .collect()
    }

    fn chosen_open_job(&self) -> Option<Chosen> {
        let job = self.job.as_ref()?;
        let line = &job.known()?.line;
        Some(Chosen {
            name: job.id.to_string(),
            words: line.short_input(),
            input: line.input.clone(),
            standing: Standing::Job(line.state),
        })
    }

    fn chosen_in_pending(&self) -> Vec<Chosen> {
        let list = &self.pending.list;
        let rows = self.pending.page.value().map_or(&[][..], |page| &page.rows);
        let is_meant = |line: &PendingLine| match list.marks.is_empty() {
            true => list.cursor == Some(line.key()),
            false => list.marks.contains(&line.key()),
        };
        let meant = rows.iter().filter(|line| is_meant(line));
        meant
            .map(|line| Chosen {
                name: line
                    .job
                    .map_or_else(|| line.entry.to_string(), |job| job.to_string()),
                words: super::pending::input_words(line),
                input: line.input.clone().unwrap_or_default(),
                standing: match line.job {
                    Some(_) => Standing::Entry(line.hold),
                    None => Standing::Nameless(line.hold),
                },
            })
            .collect()
    }

    /// A job whose cause is marked, too, is meant once.
    fn chosen_in_dead(&self) -> Vec<Chosen> {
        let list = &self.dead.list;
        let marked = list.order.iter().filter(|key| list.marks.contains(key));
        let mut keys: Vec<&DeadKey> = marked.collect();
        if keys.is_empty() {
            keys.extend(&list.cursor);
        }
        let unfolded = self.dead.unfolded.clone().map(DeadKey::Cause);
        let covered = unfolded.is_some_and(|cause| list.marks.contains(&cause));
        let rows = keys.into_iter().filter_map(|key| self.dead.row(key));
        rows.filter_map(|row| match row {
            DeadRow::Cause(cause) => Some(Chosen {
                name: cause.fingerprint.clone(),
                words: cause.form(),
                input: Untrusted::default(),
                standing: if cause.fingerprint.is_empty() {
                    Standing::NoCause
                } else if cause.is_of_letters() {
                    Standing::Letters
                } else {
                    Standing::Cause(cause.count)
                },
            }),
            DeadRow::Letter(line) => Some(Chosen {
                name: line.id.to_string(),
                words: line.error.clone(),
                input: Untrusted::default(),
                standing: Standing::Letters,
            }),
            DeadRow::Job(_) if covered => None,
            DeadRow::Job(line) => Some(Chosen {
                name: line.id.to_string(),
                words: line.short_input(),
                input: line.input.clone(),
                standing: Standing::Job(JobState::Dead),
            }),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_rows_are_meant_else_the_one_under_the_cursor() {
        let mut model = crate::sample::jobs();
        assert_eq!(model.chosen().len(), 2);
        model.jobs.list.marks.clear();
        let chosen = model.chosen();
        assert_eq!(chosen.len(), 1);
        assert!(chosen[0].name.starts_with("77ab3e"), "{chosen:?}");
    }

    #[test]
    fn a_marked_cause_covers_its_jobs() {
        let mut model = crate::sample::dead();
        model.dead.list.marks = model.dead.list.order.iter().cloned().collect();
        let chosen = model.chosen();
        assert_eq!(chosen.len(), 3, "{chosen:?}");
        assert!(
            chosen
                .iter()
                .all(|one| matches!(one.standing, Standing::Cause(_)))
        );
    }

    #[test]
    fn reasons_are_counted_and_the_most_frequent_comes_first() {
        let refused = [("a", "it is done"), ("b", "it runs"), ("c", "it runs")];
        let came = Came {
            refused: refused.map(|(id, why)| (id.to_owned(), why.into())).into(),
            ..Came::default()
        };
        let reasons = came.reasons();
        assert_eq!(reasons[0].1, ["b", "c"]);
        assert_eq!(reasons.len(), 2);
    }
}
