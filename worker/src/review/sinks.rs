//! Where a review tells what it does and keeps what it has paid for.
//!
//! The pipeline knows no queue and no database: the engine hands it these. Progress and spans are
//! told and forgotten; checkpoints are answered, since a turn that is not kept is paid again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, Progress, SpanEnd, SpanStart};
use serde_json::Value;

/// What a review needs of the world around it.
pub trait Sinks: Send + Sync {
    /// An event for whoever watches. It must not block.
    fn progress(&self, event: Progress);

    /// A span begins. It must not block.
    fn span_start(&self, span: SpanStart);

    /// A span ends. It must not block.
    fn span_end(&self, span: SpanEnd);

    /// The commit under review is known: the head of the pull request when its files were listed.
    ///
    /// # Errors
    /// When that cannot be taken down.
    fn reviewing<'a>(&'a self, _head: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    /// What an earlier attempt kept under this step.
    fn load_checkpoint<'a>(&'a self, step: &'a str) -> BoxFuture<'a, Result<Option<Value>, Failure>>;

    /// Keeps a finished step; when it answers, the step is durable.
    fn save_checkpoint<'a>(&'a self, step: &'a str, value: &'a Value) -> BoxFuture<'a, Result<(), Failure>>;
}

/// The sinks of one part of a change: its steps are told apart from those of the other parts.
pub struct OfPart<'a> {
    /// The review's.
    pub sinks: &'a dyn Sinks,
    /// Which part, from 0. The steps of the first are called as those of a change in one part.
    pub part: usize,
}

impl OfPart<'_> {
    fn step(&self, step: &str) -> String {
        match self.part {
            0 => step.to_owned(),
            part => format!("part{}/{step}", part + 1),
        }
    }
}

impl Sinks for OfPart<'_> {
    fn progress(&self, event: Progress) {
        self.sinks.progress(event);
    }

    fn span_start(&self, span: SpanStart) {
        self.sinks.span_start(span);
    }

    fn span_end(&self, span: SpanEnd) {
        self.sinks.span_end(span);
    }

    fn load_checkpoint<'a>(&'a self, step: &'a str) -> BoxFuture<'a, Result<Option<Value>, Failure>> {
        Box::pin(async move { self.sinks.load_checkpoint(&self.step(step)).await })
    }

    fn save_checkpoint<'a>(&'a self, step: &'a str, value: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.sinks.save_checkpoint(&self.step(step), value).await })
    }
}

/// Sinks that remember everything, for tests.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    progress: Vec<Progress>,
    starts: Vec<SpanStart>,
    ends: Vec<SpanEnd>,
    checkpoints: BTreeMap<String, Value>,
}

impl Recorded {
    /// Sinks that have heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sinks of a later attempt: the checkpoints are there, nothing else.
    #[must_use]
    pub fn resumed(&self) -> Self {
        let checkpoints = self.state().checkpoints.clone();
        Self {
            state: Arc::new(Mutex::new(State {
                checkpoints,
                ..State::default()
            })),
        }
    }

    /// The events so far.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.state().progress.clone()
    }

    /// The spans that began.
    #[must_use]
    pub fn starts(&self) -> Vec<SpanStart> {
        self.state().starts.clone()
    }

    /// The spans that ended.
    #[must_use]
    pub fn ends(&self) -> Vec<SpanEnd> {
        self.state().ends.clone()
    }

    /// The steps that are kept.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.state().checkpoints.keys().cloned().collect()
    }

    /// Everything that was heard as one text, to search for what must not be in it.
    #[must_use]
    pub fn everything(&self) -> String {
        format!("{:?}", self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has already failed; what it left can be read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks for Recorded {
    fn progress(&self, event: Progress) {
        self.state().progress.push(event);
    }

    fn span_start(&self, span: SpanStart) {
        self.state().starts.push(span);
    }

    fn span_end(&self, span: SpanEnd) {
        self.state().ends.push(span);
    }

    fn load_checkpoint<'a>(&'a self, step: &'a str) -> BoxFuture<'a, Result<Option<Value>, Failure>> {
        Box::pin(async move { Ok(self.state().checkpoints.get(step).cloned()) })
    }

    fn save_checkpoint<'a>(&'a self, step: &'a str, value: &'a Value) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.state().checkpoints.insert(step.to_owned(), value.clone());
            Ok(())
        })
    }
}
