//! The ladder: who may write at all, and what a person has to type before many jobs move or one goes for ever.
//!
//! It is asked here, in the path of every write, and not where keys are read: a caller without the right is refused
//! however it calls.

use super::operator::Operator;

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Look. Every write is refused.
    ReadOnly,
    /// Write, as somebody who presses keys: one job at a time is enough said; more than one wants a reason and their
    /// number typed, and what goes for ever wants the name of the queue and an export.
    Guarded,
    /// Write, as somebody who has typed a whole command: ids that are named are meant. What a filter finds wants a
    /// reason and its number all the same.
    Explicit,
}

/// Who acts: for the book, and for what is written on jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// As `cli:ada@laptop`.
    pub actor: String,
    /// The profile of servers that they chose, if they did.
    pub profile: Option<String>,
}

impl From<&str> for Who {
    fn from(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            profile: None,
        }
    }
}

impl From<String> for Who {
    fn from(actor: String) -> Self {
        Self { actor, profile: None }
    }
}

/// What a person has typed to say that they mean it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consent {
    /// Why it is done.
    pub reason: Option<String>,
    /// How many jobs will move.
    pub count: Count,
    /// The name of what goes for ever.
    pub name: Option<String>,
}

/// What was said about the number of jobs that will move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// Nothing.
    #[default]
    Untold,
    /// It was typed.
    Typed(u64),
    /// Any number is meant: a script says so beforehand. A guarded operator cannot.
    Any,
}

/// Why the ladder lets nobody pass; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller may only look.
    #[error("read-only: start with --write")]
    ReadOnly,
    /// More than one job moves, and nobody said why.
    #[error("{0} will move: a reason is wanted")]
    NoReason(u64),
    /// More than one job moves, and nobody typed how many.
    #[error("{0} will move: type the number to confirm it")]
    NoCount(u64),
    /// Another number was typed.
    #[error("you typed {typed}, {will} will run")]
    WrongCount {
        /// What was typed.
        typed: u64,
        /// What would have happened.
        will: u64,
    },
    /// It cannot be taken back, and its name was not typed.
    #[error("this cannot be taken back: type the name of the queue, {0}")]
    WrongName(String),
    /// Nothing of what was chosen can be moved.
    #[error("nothing can be moved: {0}")]
    Nothing(String),
    /// The numbers of a run make no sense.
    #[error("{0}")]
    Terms(#[from] crate::domain::run::NotTerms),
    /// There is no such run on this queue.
    #[error("there is no run {0}")]
    NoRun(crate::domain::RunId),
    /// The state of the run does not allow it.
    #[error("{0} is {1}")]
    RunState(crate::domain::RunId, crate::domain::RunState),
    /// Somebody else drives it.
    #[error("{0} is driven by {1}")]
    Driven(crate::domain::RunId, String),
    /// There is no such action in the book of this queue.
    #[error("there is no action {0}")]
    NoAction(i64),
    /// Nothing was done that could be taken back.
    #[error("there is nothing of yours to undo")]
    NothingToUndo,
    /// The glass is to be broken, and nobody said why.
    #[error("with Postgres away a reason is wanted")]
    NoGlassReason,
    /// There is no fleet in reach.
    #[error("nobody starts workers here: there is no demo, and no service is named")]
    NoFleet,
    /// The move has no way back.
    #[error("`{0}` cannot be taken back")]
    NoWayBack(String),
}

impl Operator {
    /// Whether any write is allowed.
    pub(super) fn may_write(&self) -> Result<(), Refused> {
        match self.rights {
            Rights::ReadOnly => Err(Refused::ReadOnly),
            Rights::Guarded | Rights::Explicit => Ok(()),
        }
    }

    /// Whether so many jobs that were named may be moved.
    pub(super) fn may_move(&self, jobs: usize) -> Result<(), Refused> {
        self.may_write()?;
        if jobs > 1 && self.rights == Rights::Guarded {
            self.may_move_many(jobs)?;
        }
        Ok(())
    }

    /// Whether so many jobs may be moved that a filter or a plan has found.
    pub(super) fn may_move_many(&self, jobs: usize) -> Result<(), Refused> {
        self.may_write()?;
        let will = jobs as u64;
        if self.reason().is_none() {
            return Err(Refused::NoReason(will));
        }
        match self.consent.count {
            Count::Typed(typed) if typed == will => Ok(()),
            Count::Typed(typed) => Err(Refused::WrongCount { typed, will }),
            Count::Any if self.rights == Rights::Explicit => Ok(()),
            Count::Any | Count::Untold => Err(Refused::NoCount(will)),
        }
    }

    /// Whether something may go for ever.
    pub(super) fn may_destroy(&self) -> Result<(), Refused> {
        self.may_write()?;
        let named = self.consent.name.as_deref() == Some(self.name());
        if self.rights == Rights::Guarded && !named {
            return Err(Refused::WrongName(self.name().to_owned()));
        }
        Ok(())
    }

    /// Why it is done, if anything was said.
    pub(super) fn reason(&self) -> Option<&str> {
        let reason = self.consent.reason.as_deref().map(str::trim);
        reason.filter(|reason| !reason.is_empty())
    }
}
