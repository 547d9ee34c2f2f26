//! A model for tests: it answers what it is told to, counts its calls and can be held at a gate.
//!
//! Without a script a reviewer answers that it found nothing and the judge approves, so a test says
//! only what it is about. Nothing here sleeps: a test waits until a gate is reached and opens it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, Usage};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Block, Heard, Model, StopReason, ToolCall, TurnAnswer, TurnFault, TurnRequest};

/// The stub. Clones share script, gates and counts, so a test keeps one beside the reviewer's.
#[derive(Debug, Clone, Default)]
pub struct Stub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    script: HashMap<String, VecDeque<Result<TurnAnswer, Failure>>>,
    gates: HashMap<(String, u32), Gate>,
    calls: Vec<TurnRequest>,
}

/// Holds one turn of one agent until it is opened; then it stays open.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: Arc<Semaphore>,
    passage: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            passage: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until one more call stands at the gate.
    pub async fn reached(&self) {
        if let Ok(permit) = self.reached.acquire().await {
            permit.forget();
        }
    }

    /// Lets every call through, those that wait and those to come.
    pub fn open(&self) {
        self.passage.close();
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        // The semaphore has no permits: waiting on it ends only when the gate is opened.
        let _ = self.passage.acquire().await;
    }
}

impl Stub {
    /// A stub without a script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what an agent's next call answers, once.
    pub fn answer(&self, agent: &str, answer: TurnAnswer) -> &Self {
        self.state()
            .script
            .entry(agent.to_owned())
            .or_default()
            .push_back(Ok(answer));
        self
    }

    /// Adds that an agent's next call fails, once.
    pub fn fail(&self, agent: &str, failure: Failure) -> &Self {
        self.state()
            .script
            .entry(agent.to_owned())
            .or_default()
            .push_back(Err(failure));
        self
    }

    /// Puts a gate before one turn of one agent.
    #[must_use]
    pub fn gate(&self, agent: &str, turn: u32) -> Gate {
        self.state()
            .gates
            .entry((agent.to_owned(), turn))
            .or_insert_with(Gate::closed)
            .clone()
    }

    /// Every call so far, also those that were cancelled at a gate.
    #[must_use]
    pub fn calls(&self) -> Vec<TurnRequest> {
        self.state().calls.clone()
    }

    /// How often a turn of an agent was asked for.
    #[must_use]
    pub fn count(&self, agent: &str, turn: u32) -> usize {
        self.state()
            .calls
            .iter()
            .filter(|call| call.agent == agent && call.turn == turn)
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has already failed; the others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the call and yields the gate it has to pass.
    fn enter(&self, request: &TurnRequest) -> Option<Gate> {
        let mut state = self.state();
        state.calls.push(request.clone());
        state
            .gates
            .get(&(request.agent.to_owned(), request.turn))
            .cloned()
    }

    /// Taken after the gate, so a call cancelled there leaves the script as it was.
    fn next(&self, agent: &str) -> Result<TurnAnswer, Failure> {
        let scripted = self.state().script.get_mut(agent).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| Ok(unscripted(agent)))
    }
}

impl Model for Stub {
    fn turn<'a>(
        &'a self,
        request: &'a TurnRequest,
        _heard: &'a Heard<'a>,
    ) -> BoxFuture<'a, Result<TurnAnswer, TurnFault>> {
        Box::pin(async move {
            if let Some(gate) = self.enter(request) {
                gate.pass().await;
            }
            Ok(self.next(request.agent)?)
        })
    }

    fn name(&self) -> &'static str {
        "stub"
    }
}

fn unscripted(agent: &str) -> TurnAnswer {
    says(if agent == "judge" {
        r#"{"verdict":"approve","reason":"nothing found"}"#
    } else {
        "[]"
    })
}

/// A final answer of that text, for 100 tokens read and 20 written.
#[must_use]
pub fn says(text: &str) -> TurnAnswer {
    answer(
        vec![Block::Text {
            text: text.to_owned(),
        }],
        StopReason::EndTurn,
    )
}

/// A turn that calls tools, each with its arguments, for 100 tokens read and 20 written.
#[must_use]
pub fn asks(calls: &[(&str, Value)]) -> TurnAnswer {
    let call = |(number, (name, arguments)): (usize, &(&str, Value))| {
        Block::ToolCall(ToolCall {
            id: format!("call-{number}"),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
        })
    };
    answer(calls.iter().enumerate().map(call).collect(), StopReason::ToolUse)
}

fn answer(blocks: Vec<Block>, stop: StopReason) -> TurnAnswer {
    let usage = Usage {
        input_tokens: 100,
        output_tokens: 20,
    };
    TurnAnswer {
        blocks,
        stop,
        usage,
        cached_tokens: 0,
        cost_usd: 0.001,
        model: "stub".to_owned(),
    }
}
