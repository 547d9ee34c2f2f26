//! The reviewer that needs no key and no network, and tells nothing it has not seen.
//!
//! It holds the same conversation as a hosted model: its first turn calls the agent's real tool on
//! the real diff, its second reads the result and writes findings, its judge counts them. What it
//! says rests on the added lines alone and is the same every time. Latency and failures can be set,
//! so that scale-out, retries and dead letters can be shown without a key.

mod judge;
mod performance;
mod security;
mod ux;

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::{Failure, FailureClass, Severity, Usage};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Block, Heard, Message, Model, StopReason, ToolCall, ToolResult, TurnAnswer, TurnFault, TurnRequest,
};
use crate::agent::prompt;
use crate::aside::aside;

/// The offline reviewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offline {
    latency: Duration,
    failure_rate: f64,
}

impl Offline {
    /// Answers each turn after this long and fails this share of them, from 0 to 1.
    #[must_use]
    pub const fn new(latency: Duration, failure_rate: f64) -> Self {
        Self {
            latency,
            failure_rate,
        }
    }

    /// Whether this turn is one of those that fail. The same turn of the same attempt always does,
    /// and the next attempt draws anew.
    fn fails(&self, request: &TurnRequest) -> bool {
        let mut hash = Sha256::new();
        hash.update(request.run.job.0.as_bytes());
        hash.update(request.run.attempt.to_be_bytes());
        hash.update(request.agent.as_bytes());
        hash.update(request.turn.to_be_bytes());
        let digest = hash.finalize();
        let drawn = digest
            .iter()
            .take(4)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(drawn) / (f64::from(u32::MAX) + 1.0) < self.failure_rate
    }
}

impl Model for Offline {
    fn turn<'a>(
        &'a self,
        request: &'a TurnRequest,
        _heard: &'a Heard<'a>,
    ) -> BoxFuture<'a, Result<TurnAnswer, TurnFault>> {
        Box::pin(async move {
            tokio::time::sleep(self.latency).await;
            if self.fails(request) {
                let message = "offline model: simulated failure (OFFLINE_FAILURE_RATE)";
                return Err(Failure::passing(FailureClass::Model, message).into());
            }
            // A copy of a request shares the diff with it.
            let request = request.clone();
            Ok(aside(move || answer(&request)).await?)
        })
    }

    fn name(&self) -> &'static str {
        "offline"
    }

    /// It has no context to fill; a million characters keep its memory within bounds.
    fn prompt_chars(&self) -> usize {
        1_000_000
    }
}

/// A finding as the reviewers are asked to write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Remark {
    severity: Severity,
    file: Option<String>,
    line: Option<u32>,
    note: String,
}

impl Remark {
    fn at(severity: Severity, file: &str, line: u32, note: impl Into<String>) -> Self {
        Self {
            severity,
            file: Some(file.to_owned()),
            line: Some(line),
            note: note.into(),
        }
    }

    fn overall(severity: Severity, note: impl Into<String>) -> Self {
        Self {
            severity,
            file: None,
            line: None,
            note: note.into(),
        }
    }
}

/// The calls with which a reviewer begins, as arguments; the tool is the one it was offered.
fn first_calls(agent: &str, opening: &str) -> Vec<Value> {
    match agent {
        "security" | "performance" => vec![Value::Object(serde_json::Map::new())],
        "ux" => ux::calls(&prompt::files(opening)),
        _ => Vec::new(),
    }
}

fn answer(request: &TurnRequest) -> TurnAnswer {
    let opening = request.messages.iter().find_map(|message| match message {
        Message::User(text) => Some(text.as_ref()),
        _ => None,
    });
    let opening = opening.unwrap_or_default();
    let results: Vec<&ToolResult> = request
        .messages
        .iter()
        .flat_map(|message| match message {
            Message::ToolResults(results) => results.as_slice(),
            _ => &[],
        })
        .collect();
    let tool = request
        .tools
        .first()
        .filter(|_| request.turn == 0 && !request.must_answer);
    let calls = tool
        .map(|_| first_calls(request.agent, opening))
        .unwrap_or_default();
    let name = tool.map(|tool| tool.name.clone()).unwrap_or_default();
    let blocks: Vec<Block> = if calls.is_empty() {
        vec![Block::Text {
            text: last_words(request.agent, opening, &results),
        }]
    } else {
        let call = |(place, arguments)| ToolCall {
            id: format!("call-{place}"),
            name: name.clone(),
            arguments,
        };
        calls
            .into_iter()
            .enumerate()
            .map(call)
            .map(Block::ToolCall)
            .collect()
    };
    let stop = if blocks.iter().any(|block| matches!(block, Block::ToolCall(_))) {
        StopReason::ToolUse
    } else {
        StopReason::EndTurn
    };
    let usage = estimate(request, &blocks);
    TurnAnswer {
        blocks,
        stop,
        usage,
        cached_tokens: 0,
        cost_usd: 0.0,
        model: "offline".to_owned(),
    }
}

fn last_words(agent: &str, opening: &str, results: &[&ToolResult]) -> String {
    let remarks = match agent {
        "judge" => return judge::decide(opening),
        "security" => security::review(&prompt::files(opening), results),
        "performance" => performance::review(&prompt::files(opening), results),
        "ux" => ux::review(&prompt::files(opening), results),
        _ => Vec::new(),
    };
    serde_json::to_string(&remarks).unwrap_or_else(|_| "[]".to_owned())
}

/// Tokens as an estimate, four characters each: nothing counts them here, but the figures must grow
/// with the work as a hosted model's would.
fn estimate(request: &TurnRequest, answer: &[Block]) -> Usage {
    let blocks = |blocks: &[Block]| -> usize {
        let length = |block: &Block| match block {
            Block::Text { text } => text.len(),
            Block::ToolCall(call) => call.name.len() + call.arguments.to_string().len(),
        };
        blocks.iter().map(length).sum()
    };
    let read: usize = request
        .messages
        .iter()
        .map(|message| match message {
            Message::User(text) => text.len(),
            Message::Assistant(said) => blocks(said),
            Message::ToolResults(results) => results.iter().map(|result| result.content.len()).sum(),
        })
        .sum();
    let tokens = |chars: usize| u64::try_from(chars / 4).unwrap_or(u64::MAX);
    Usage {
        input_tokens: tokens(request.system.len() + read),
        output_tokens: tokens(blocks(answer)).max(1),
    }
}

/// The ending of a file's name, in small letters.
fn extension(path: &str) -> String {
    path.rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'))
        .map_or("", |(_, end)| end)
        .to_lowercase()
}

/// Whether a file holds a program.
fn is_code(path: &str) -> bool {
    const CODE: [&str; 33] = [
        "rs", "py", "js", "mjs", "cjs", "ts", "mts", "jsx", "tsx", "vue", "svelte", "astro", "go", "java",
        "kt", "kts", "scala", "rb", "php", "cs", "c", "h", "cc", "cpp", "hpp", "swift", "m", "sql", "sh",
        "ex", "exs", "dart", "lua",
    ];
    CODE.contains(&extension(path).as_str())
}

/// Whether a file explains rather than runs.
fn is_documentation(path: &str) -> bool {
    let path_lower = path.to_lowercase();
    ["md", "mdx", "rst", "adoc", "txt"].contains(&extension(path).as_str())
        || path_lower.split('/').any(|part| part == "docs" || part == "doc")
        || path_lower.ends_with(".example")
        || path_lower.ends_with(".sample")
}

/// Whether a file only runs in tests.
fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    parts.iter().any(|part| {
        [
            "test",
            "tests",
            "__tests__",
            "spec",
            "fixtures",
            "testdata",
            "testing",
        ]
        .contains(part)
    }) || name.contains(".test.")
        || name.contains(".spec.")
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem == "conftest"
}

/// Whether a line is only a comment.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["//", "#", "/*", "* ", "--", "<!--", "\"\"\""]
        .iter()
        .any(|start| line.starts_with(start))
        && !line.starts_with("#[")
        && !line.starts_with("--[[")
}

/// `1 warning`, `3 warnings`.
fn counted(count: usize, word: &str) -> String {
    if count == 1 {
        format!("1 {word}")
    } else {
        format!("{count} {word}s")
    }
}

#[cfg(test)]
mod tests;
