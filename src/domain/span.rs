//! Spans: what an agent, a model turn or a tool did and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SpanId;

/// What a span measures; the reference's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// One agent from its first turn to its answer.
    Agent,
    /// One turn of a model.
    Llm,
    /// One call of a tool.
    Tool,
}

impl SpanKind {
    /// The word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Llm => "llm",
            Self::Tool => "tool",
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// It has not ended.
    Running,
    /// It did what it should.
    Ok,
    /// It failed.
    Error,
}

impl SpanStatus {
    /// The word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Tokens that a model read and wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// A span begins.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanStart {
    /// Its identity.
    pub id: SpanId,
    /// The span it is part of.
    pub parent: Option<SpanId>,
    /// What it measures.
    pub kind: SpanKind,
    /// The agent's or the tool's name; `llm` for a turn.
    pub name: String,
    /// What went in, secrets masked.
    pub input: Value,
    /// When.
    pub at: DateTime<Utc>,
}

/// A span ends.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEnd {
    /// Its identity.
    pub id: SpanId,
    /// How.
    pub status: SpanStatus,
    /// What came out, secrets masked; null when it failed.
    pub output: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// What it used, for a model turn.
    pub usage: Usage,
    /// What that cost, for a model turn.
    pub cost_usd: f64,
    /// The model that answered, for a model turn.
    pub model: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
