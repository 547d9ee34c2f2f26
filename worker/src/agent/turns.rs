//! The conversation of one agent: turns of a model and calls of tools until there is an answer.
//!
//! Each turn that ended is written down under `<agent>/<turn>`: the model's answer with what its
//! tools yielded. A later attempt reads these instead of paying for them again, so at most the turn
//! in flight at a crash is paid twice. A checkpoint counts only for the very conversation it was
//! made in: when the pull request or the prompt has changed since, its fingerprint differs. What a
//! failed turn has cost is kept under `<agent>/lost`, so that no number of attempts outspends the
//! budget.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream::domain::{Failure, FailureClass, Progress, SpanKind, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::budget::{Budget, Limits, Purse, Spent};
use super::roster::Agent;
use super::trace::{self, Span, Trace};
use crate::aside::aside;
use crate::diff::Diff;
use crate::fault::{Fault, Outcome};
use crate::model::{
    Block, Message, Model, RunId, ToolCall, ToolResult, ToolSpec, TurnAnswer, TurnFault, TurnRequest,
    Underway,
};
use crate::reach::Reach;
use crate::review::sinks::Sinks;
use crate::tools::Tool;

/// Calls of one turn that are answered; a model that asks for more is told so.
const CALLS_PER_TURN: usize = 32;

/// Characters of a tool's answer or of a model's text that are kept.
const LONGEST_TEXT: usize = 100_000;

/// A conversation may grow by what a model's prompt may hold, divided by this. A prompt is half of what the smallest model
/// reads, so a quarter is left for what is not counted: instructions, schemas, and tokens of fewer characters.
const GROWTH: usize = 2;

/// What a model hears when its conversation has grown so far that its tools answer no more.
const FULL: &str =
    "the answers of this conversation's tools are as long as they may be: answer with what you have";

/// What a model hears in the next attempt of a call for which this one had no time.
const LATE: &str = "the time of this attempt was over: call again if you still need it";

/// How often a growing answer is told of.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// What a model hears whose answer cannot be read.
const AGAIN: &str =
    "This is not the JSON that was asked for. Answer again with that JSON and nothing around it.";

/// What the agents of one review share.
pub struct Stage<'a> {
    /// Who answers.
    pub model: &'a dyn Model,
    /// Who is told.
    pub sinks: &'a dyn Sinks,
    /// The attempt.
    pub run: RunId,
    /// What each agent may spend.
    pub limits: Limits,
    /// What all of them have spent.
    pub purse: &'a Purse,
    /// What the tools work on.
    pub diff: Arc<Diff>,
    /// What reaches beyond it.
    pub reach: &'a Reach,
    /// Characters of a diff that a conversation may hold.
    pub prompt_chars: usize,
    /// Set when a request was longer than the model reads.
    pub too_long: &'a AtomicBool,
}

/// What an agent has answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its words, secrets masked.
    pub text: String,
    /// Tokens that this attempt paid for it.
    pub usage: Usage,
}

/// A turn as its checkpoint keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    /// The conversation it belongs to.
    conversation: String,
    answer: TurnAnswer,
    results: Vec<ToolResult>,
}

impl Turn {
    /// Characters by which it makes the conversation longer.
    fn chars(&self) -> usize {
        let results = self.results.iter().map(|result| result.content.chars().count());
        chars(&self.answer) + results.sum::<usize>()
    }
}

/// Characters of an answer, as the next turn repeats it.
fn chars(answer: &TurnAnswer) -> usize {
    let of_block = |block: &Block| match block {
        Block::Text { text } => text.chars().count(),
        Block::ToolCall(call) => call.arguments.to_string().chars().count(),
    };
    answer.blocks.iter().map(of_block).sum()
}

impl Stage<'_> {
    /// Runs an agent to its answer, on what is left of its budget.
    ///
    /// # Errors
    /// When the model fails, the budget is used up or a checkpoint cannot be kept.
    pub async fn run(
        &self,
        agent: &'static Agent,
        opening: Arc<str>,
        span_input: &Value,
        budget: &mut Budget<'_>,
    ) -> Result<Answer, Failure> {
        let trace = Trace::new(self.sinks);
        let span = trace.begin(SpanKind::Agent, agent.name, None, span_input);
        let conversation = Conversation::new(self, agent, opening, budget);
        let result = conversation.hold(&span).await;
        trace.settle(
            &span,
            &result,
            |answer| json!({ "text": answer.text, "usage": answer.usage }),
        );
        result
    }
}

struct Conversation<'a, 'p> {
    stage: &'a Stage<'a>,
    trace: Trace<'a>,
    agent: &'static Agent,
    fingerprint: String,
    messages: Vec<Message>,
    budget: &'a mut Budget<'p>,
    /// Characters by which the conversation may still grow.
    room: usize,
    /// What failed turns have cost, in this attempt and before.
    lost: Spent,
    paid: Usage,
    /// Checkpoints may follow. After the first that is missing none can be of this conversation.
    resuming: bool,
    /// The model was told once that its answer cannot be read.
    asked_again: bool,
}

impl<'a, 'p> Conversation<'a, 'p> {
    fn new(
        stage: &'a Stage<'a>,
        agent: &'static Agent,
        opening: Arc<str>,
        budget: &'a mut Budget<'p>,
    ) -> Self {
        Self {
            stage,
            trace: Trace::new(stage.sinks),
            agent,
            fingerprint: fingerprint(&[agent.prompt, &opening]),
            messages: vec![Message::User(opening)],
            budget,
            room: stage.prompt_chars / GROWTH,
            lost: Spent::default(),
            paid: Usage::default(),
            // The first attempt has nothing to resume: it spares itself the questions.
            resuming: stage.run.attempt > 1,
            asked_again: false,
        }
    }

    async fn hold(mut self, span: &Span) -> Result<Answer, Failure> {
        self.recall().await?;
        for number in 0.. {
            let turn = match self.resumed(number).await? {
                Some(turn) => turn,
                None => self.paid_turn(number, span).await?,
            };
            self.budget
                .count(Spent::of(turn.answer.usage, turn.answer.cost_usd));
            self.room = self.room.saturating_sub(turn.chars());
            let next = if turn.answer.calls().next().is_some() {
                Message::ToolResults(turn.results)
            } else if self.wants_repair(number, &turn.answer) {
                self.asked_again = true;
                Message::User(AGAIN.into())
            } else {
                return Ok(Answer {
                    text: turn.answer.text(),
                    usage: self.paid,
                });
            };
            self.messages.push(Message::Assistant(turn.answer.blocks));
            self.messages.push(next);
        }
        // The budget ends the loop long before the numbers do.
        Err(self.budget.late())
    }

    /// Whether the model is told, once, that its answer cannot be read: [`Fault::BadAnswer`].
    fn wants_repair(&self, number: u32, answer: &TurnAnswer) -> bool {
        !self.asked_again
            && Fault::BadAnswer.rule().outcome == Outcome::Tell
            && self.budget.allows(number + 1).is_ok()
            && !self.agent.form.fits(&answer.text())
    }

    /// What failed turns of earlier attempts have cost.
    async fn recall(&mut self) -> Result<(), Failure> {
        if self.stage.run.attempt > 1
            && let Some(kept) = self.stage.sinks.load_checkpoint(&self.lost_step()).await?
        {
            self.lost = serde_json::from_value(kept).unwrap_or_default();
            self.budget.count(self.lost);
        }
        Ok(())
    }

    /// Takes down a turn that came to nothing and was paid all the same.
    async fn lose(&mut self, fault: &TurnFault) -> Result<(), Failure> {
        let spent = Spent::of(fault.usage, fault.cost_usd);
        if spent == Spent::default() {
            return Ok(());
        }
        self.budget.count(spent);
        self.budget.pay(fault.usage, fault.cost_usd);
        self.lost += spent;
        let kept = json!(self.lost);
        self.stage.sinks.save_checkpoint(&self.lost_step(), &kept).await
    }

    /// The turn as an earlier attempt has left it.
    async fn resumed(&mut self, number: u32) -> Result<Option<Turn>, Failure> {
        if !self.resuming {
            return Ok(None);
        }
        let kept = self.stage.sinks.load_checkpoint(&self.step(number)).await?;
        let turn = kept
            .and_then(|value| serde_json::from_value::<Turn>(value).ok())
            .filter(|turn| turn.conversation == self.fingerprint);
        self.resuming = turn.is_some();
        Ok(turn)
    }

    /// Asks the model, runs the tools it asks for and writes both down.
    async fn paid_turn(&mut self, number: u32, span: &Span) -> Result<Turn, Failure> {
        self.budget.allows(number)?;
        // A request that is given up as soon as it is sent may be paid all the same.
        if Instant::now() >= self.budget.deadline() {
            return Err(self.budget.late());
        }
        let (answer, llm) = self.answered(number, span).await?;
        self.budget.pay(answer.usage, answer.cost_usd);
        self.paid += answer.usage;
        self.trace.end_turn(&llm, &turn_output(&answer), &answer);
        let mut results = Vec::new();
        let mut room = self.room.saturating_sub(chars(&answer));
        for (place, call) in answer.calls().enumerate() {
            let result = self.call(place, call, room, &llm).await?;
            room = room.saturating_sub(result.content.chars().count());
            results.push(result);
        }
        let turn = Turn {
            conversation: self.fingerprint.clone(),
            answer: kept(answer),
            results,
        };
        let value = serde_json::to_value(&turn).map_err(|error| {
            Failure::lasting(FailureClass::Other, format!("cannot keep a model turn: {error}"))
        })?;
        self.stage
            .sinks
            .save_checkpoint(&self.step(number), &value)
            .await?;
        Ok(turn)
    }

    /// Asks the model, and once more without the tools of servers if the provider refuses a request with them: their
    /// names and schemas are other people's, and what one of them says must not end every review.
    async fn answered(&mut self, number: u32, span: &Span) -> Result<(TurnAnswer, Span), Failure> {
        loop {
            let asks = self.stage.model.asks(self.agent.tier);
            let input = json!({ "iteration": number, "provider": asks.provider, "model": asks.model });
            let llm = self.trace.begin(SpanKind::Llm, "llm", Some(span), &input);
            let with_servers = self.agent.tool.is_some() && self.stage.reach.offers_servers();
            let fault = match self.ask(number).await {
                Ok(answer) => return Ok((answer, llm)),
                Err(fault) => fault,
            };
            self.trace.fail_turn(&llm, &fault);
            self.lose(&fault).await?;
            if fault.fault == Some(Fault::TooLong) {
                self.stage.too_long.store(true, Ordering::Relaxed);
            }
            if !(fault.fault == Some(Fault::Rejected) && with_servers) {
                return Err(fault.failure);
            }
            self.stage.reach.leave_servers_out();
        }
    }

    async fn ask(&self, number: u32) -> Result<TurnAnswer, TurnFault> {
        let request = TurnRequest {
            run: self.stage.run,
            agent: self.agent.name,
            tier: self.agent.tier,
            turn: number,
            system: self.agent.prompt,
            messages: self.messages.clone(),
            tools: self.tools(),
            schema: Some(self.agent.form.schema()),
            must_answer: self.budget.is_last(number) || self.room == 0,
            max_tokens: self.stage.limits.answer_tokens,
        };
        let told = Mutex::new((Instant::now(), Underway::default()));
        let heard = |underway: Underway| {
            let now = Instant::now();
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.1 = underway;
            if underway.chars > 0 && now.duration_since(told.0) >= TOLD_EVERY {
                told.0 = now;
                self.stage.sinks.progress(Progress::AgentProgress {
                    agent: self.agent.name.to_owned(),
                    chars: u64::try_from(underway.chars).unwrap_or(u64::MAX),
                });
            }
        };
        let answer = self.stage.model.turn(&request, &heard);
        let answered = tokio::time::timeout_at(self.budget.deadline(), answer).await;
        answered.unwrap_or_else(|_| {
            let (_, known) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
            Err(TurnFault {
                failure: self.budget.late(),
                // What is known by now is paid, whatever the rest of it would have been.
                usage: known.usage,
                cost_usd: known.cost_usd,
                model: Some(self.stage.model.asks(self.agent.tier).model.to_owned()),
                fault: Some(Fault::OutOfTime),
            })
        })
    }

    /// Runs one call, whose answer has so much room. What goes wrong in it is an answer to the model, not a failure of
    /// the review; so is that its time is over, since the turn that asked for it is paid and must be kept.
    async fn call(
        &self,
        place: usize,
        call: &ToolCall,
        room: usize,
        llm: &Span,
    ) -> Result<ToolResult, Failure> {
        let span = self
            .trace
            .begin(SpanKind::Tool, &call.name, Some(llm), &call.arguments);
        let deadline = self.budget.deadline();
        let outcome = if place >= CALLS_PER_TURN {
            Err(format!("more than {CALLS_PER_TURN} calls in one turn"))
        } else if room == 0 {
            Err(FULL.to_owned())
        } else if Instant::now() >= deadline {
            Err(LATE.to_owned())
        } else {
            match tokio::time::timeout_at(deadline, self.outcome(call)).await {
                Ok(outcome) => outcome?
                    .map(|text| fitting(text, room))
                    .map_err(|text| fitting(text, room)),
                Err(_) => Err(LATE.to_owned()),
            }
        };
        // As the answer keeps it, so that the two still belong together.
        let id = kept_id(&call.id);
        Ok(match outcome {
            Ok(content) => {
                self.trace.end(&span, &Value::String(content.clone()));
                ToolResult {
                    id,
                    content,
                    is_error: false,
                }
            }
            Err(content) => {
                self.trace.fail(&span, &content);
                ToolResult {
                    id,
                    content,
                    is_error: true,
                }
            }
        })
    }

    /// What a call comes to: the tool's text, or what went wrong, in words for the model.
    async fn outcome(&self, call: &ToolCall) -> Result<Result<String, String>, Failure> {
        match self.agent.tool.filter(|tool| tool.name() == call.name) {
            None => self.reached(call).await,
            Some(_) if call.arguments.is_string() => Ok(Err(
                "the arguments are not valid JSON: call again with a JSON object".to_owned(),
            )),
            Some(tool) => self.invoke(tool, &call.arguments).await,
        }
    }

    /// The agent's own tool, and those that reach beyond the diff. An agent without a tool judges words.
    fn tools(&self) -> Vec<ToolSpec> {
        let own = self.agent.tool.map(Tool::spec);
        let beyond = own.as_ref().map(|_| self.stage.reach.specs());
        own.into_iter().chain(beyond.into_iter().flatten()).collect()
    }

    /// Runs a call of a tool that is not the agent's own.
    async fn reached(&self, call: &ToolCall) -> Result<Result<String, String>, Failure> {
        let unknown = || Err(format!("unknown tool \"{}\"", trace::excerpt(&call.name, 100)));
        if self.agent.tool.is_none() {
            return Ok(unknown());
        }
        let Some(answer) = self.stage.reach.call(&call.name, &call.arguments).await else {
            return Ok(unknown());
        };
        // Masking a long text takes a while.
        let masked = |text: String| trace::excerpt(&text, LONGEST_TEXT);
        aside(move || answer.map(masked).map_err(masked)).await
    }

    async fn invoke(&self, tool: Tool, arguments: &Value) -> Result<Result<String, String>, Failure> {
        let (diff, arguments) = (Arc::clone(&self.stage.diff), arguments.clone());
        let answer = aside(move || tool.call(&arguments, &diff)).await?;
        Ok(answer
            .map(|text| trace::excerpt(&text, LONGEST_TEXT))
            .map_err(|wrong| wrong.to_string()))
    }

    fn step(&self, number: u32) -> String {
        format!("{}/{number}", self.agent.name)
    }

    fn lost_step(&self) -> String {
        format!("{}/lost", self.agent.name)
    }
}

/// As much of a tool's text as has room.
fn fitting(text: String, room: usize) -> String {
    match text.char_indices().nth(room) {
        Some((end, _)) => format!("{}… (cut: there is no more room)", &text[..end]),
        None => text,
    }
}

/// The answer as it may be kept: a model can repeat a secret that no scanner of ours found in its
/// place in the diff, or write a NUL that Postgres refuses.
fn kept(answer: TurnAnswer) -> TurnAnswer {
    let presentable = |block: Block| match block {
        Block::Text { text } => Block::Text {
            text: trace::excerpt(&text, LONGEST_TEXT),
        },
        Block::ToolCall(call) => Block::ToolCall(ToolCall {
            id: kept_id(&call.id),
            name: trace::excerpt(&call.name, 200),
            arguments: trace::presentable_json(&call.arguments),
        }),
    };
    TurnAnswer {
        blocks: answer.blocks.into_iter().map(presentable).collect(),
        ..answer
    }
}

/// A model's name for a call as it may be kept.
fn kept_id(id: &str) -> String {
    trace::excerpt(id, 200)
}

/// The reference's two shapes of a turn's output.
fn turn_output(answer: &TurnAnswer) -> Value {
    let stop = answer.stop.word();
    match answer.calls().count() {
        0 => json!({ "stopReason": stop, "usage": answer.usage, "final": true }),
        tools => json!({ "stopReason": stop, "tools": tools }),
    }
}

/// Tells conversations apart.
fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
