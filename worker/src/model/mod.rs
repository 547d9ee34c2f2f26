//! Who answers an agent: the seam behind which a hosted model, the offline reviewer and the test
//! suite's stub stand.
//!
//! A conversation is a list of [`Message`]s. A turn sends all of it and yields blocks of text and
//! calls of tools; the agent answers the calls and takes the next turn. That is the common part of
//! Anthropic's messages and OpenAI's chat completions, so an adapter only changes the spelling.

pub mod anthropic;
pub mod breaker;
pub mod choice;
pub mod context;
pub mod hosted;
pub mod offline;
pub mod openai;
pub mod played;
pub mod price;
pub mod stub;
pub mod wire;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, JobId, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Fault;
pub use hosted::Hosted;
pub use offline::Offline;
pub use stub::Stub;

/// What is known of a turn while it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Underway {
    /// Characters of the answer that have come in.
    pub chars: usize,
    /// What the turn has used so far, failed tries with it. For an answer on its way it is an estimate.
    pub usage: Usage,
    /// What that cost in US dollars.
    pub cost_usd: f64,
}

/// Who hears how a turn goes: if it is given up, this is what is known of its cost. It must not block.
pub type Heard<'a> = dyn Fn(Underway) + Send + Sync + 'a;

/// Who is asked, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks<'a> {
    /// Whose API it is.
    pub provider: &'static str,
    /// The model.
    pub model: &'a str,
}

/// What answers turns.
pub trait Model: Send + Sync {
    /// Answers one turn, and tells how it goes: how the answer grows, and what failed tries have cost.
    ///
    /// It is cancelled by being dropped. A failure says whether asking again can help, and what was
    /// paid for it all the same.
    fn turn<'a>(
        &'a self,
        request: &'a TurnRequest,
        heard: &'a Heard<'a>,
    ) -> BoxFuture<'a, Result<TurnAnswer, TurnFault>>;

    /// Its name, as spans and the log show it.
    fn name(&self) -> &str;

    /// Who is asked for a turn of this tier.
    fn asks(&self, _tier: Tier) -> Asks<'_> {
        Asks {
            provider: "millstream",
            model: self.name(),
        }
    }

    /// How many characters of a diff one conversation of a reviewer may hold; more is read in parts.
    fn prompt_chars(&self) -> usize {
        400_000
    }
}

/// The attempt that a turn belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId {
    /// The job.
    pub job: JobId,
    /// The number of the attempt, from 1.
    pub attempt: i32,
}

/// How able a model has to be. Which one that is, is a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// For the reviewers.
    Medium,
    /// For the judge.
    Large,
}

/// The shape that an answer must have, for a provider that can hold a model to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: &'static str,
    /// The JSON schema, as text.
    pub json: &'static str,
}

/// A turn that came to nothing, with what it has cost.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnFault {
    /// Why, and what follows.
    pub failure: Failure,
    /// What it used. For an answer that broke off it is an estimate.
    pub usage: Usage,
    /// What that cost in US dollars.
    pub cost_usd: f64,
    /// The model that was asked.
    pub model: Option<String>,
    /// Which fault it was, where the provider or the budget says so.
    pub fault: Option<Fault>,
}

impl From<Failure> for TurnFault {
    /// One that cost nothing.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            usage: Usage::default(),
            cost_usd: 0.0,
            model: None,
            fault: None,
        }
    }
}

/// One turn to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRequest {
    /// The attempt it is paid in.
    pub run: RunId,
    /// The agent that asks.
    pub agent: &'static str,
    /// How able the model has to be.
    pub tier: Tier,
    /// The number of the turn in the conversation, from 0.
    pub turn: u32,
    /// The agent's instructions.
    pub system: &'static str,
    /// The conversation so far; the first message is the user's.
    pub messages: Vec<Message>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// The shape of the answer, where it has one.
    pub schema: Option<Schema>,
    /// The last turn of the budget: an adapter forbids tools (`tool_choice: none`).
    pub must_answer: bool,
    /// The longest answer, in tokens.
    pub max_tokens: u32,
}

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// What the agent says. Shared, since all reviewers send the same diff.
    User(Arc<str>),
    /// What the model answered.
    Assistant(Vec<Block>),
    /// What its calls yielded, in the order of the calls.
    ToolResults(Vec<ToolResult>),
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A tool is to be called.
    ToolCall(ToolCall),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's name for the call, repeated in its result.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, whatever the model made of them.
    pub arguments: Value,
}

/// What a call yielded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call's name.
    pub id: String,
    /// The tool's text, or what went wrong.
    pub content: String,
    /// It went wrong.
    pub is_error: bool,
}

/// What a model is told about a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// When and how to use it.
    pub description: String,
    /// The JSON schema of its arguments.
    pub parameters: Value,
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It has said what it wanted to say.
    EndTurn,
    /// It waits for its tools.
    ToolUse,
    /// The answer was cut at `max_tokens`.
    MaxTokens,
    /// Anything else, in the vendor's word.
    Other(String),
}

impl StopReason {
    /// The word in a span.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::Other(word) => word,
        }
    }
}

/// The answer to one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnAnswer {
    /// Words and calls, in the model's order.
    pub blocks: Vec<Block>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What it read and wrote.
    pub usage: Usage,
    /// How much of what was read came from the provider's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// What that cost in US dollars, estimated.
    pub cost_usd: f64,
    /// The model that answered.
    pub model: String,
}

impl TurnAnswer {
    /// Its words, joined and trimmed.
    #[must_use]
    pub fn text(&self) -> String {
        let words: Vec<&str> = self
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Text { text } => Some(text.as_str()),
                Block::ToolCall(_) => None,
            })
            .collect();
        words.join("\n").trim().to_owned()
    }

    /// The calls it asks for.
    pub fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolCall(call) => Some(call),
            Block::Text { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_survives_being_written_down() {
        let answer = TurnAnswer {
            blocks: vec![
                Block::Text { text: " look".into() },
                Block::ToolCall(ToolCall {
                    id: "1".into(),
                    name: "t".into(),
                    arguments: json!({"a": 1}),
                }),
                Block::Text {
                    text: "again ".into(),
                },
            ],
            stop: StopReason::Other("pause_turn".into()),
            usage: Usage {
                input_tokens: 3,
                output_tokens: 4,
            },
            cached_tokens: 2,
            cost_usd: 0.5,
            model: "m".into(),
        };
        let text = serde_json::to_string(&answer).expect("plain data");
        assert_eq!(
            serde_json::from_str::<TurnAnswer>(&text).expect("own spelling"),
            answer
        );
        assert_eq!(
            (answer.text().as_str(), answer.calls().count()),
            ("look\nagain", 1)
        );
    }
}
