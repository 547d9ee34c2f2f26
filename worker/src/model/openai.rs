//! OpenAI's chat completions: the request as it is sent, and its answer put together from chunks.
//!
//! Many other servers speak this format, so nothing is asked for that an older one would refuse, as
//! far as OpenAI itself allows.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::hosted::{Asked, Provider};
use super::price::Metered;
use super::wire::{self, Broken, Fold, Reply};
use super::{Block, Message, StopReason, ToolCall, TurnRequest};
use crate::fault::Fault;

/// Where requests go by default.
pub const HOME: &str = "https://api.openai.com/v1";

/// The word after the last chunk.
const DONE: &str = "[DONE]";

/// Calls of one answer; a number beyond it is a fault of the server, not a call.
const CALLS: usize = 128;

const US: Provider = Provider::OpenAi;

/// Where a request goes. The base is spelt as OpenAI's own clients have it, with `/v1`.
#[must_use]
pub fn address(base: &Url) -> Url {
    let mut address = base.clone();
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().extend(["chat", "completions"]);
    }
    address
}

/// The headers of every request; none if the key cannot be one.
#[must_use]
pub fn headers(key: &SecretString) -> Option<HeaderMap> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    Some(headers)
}

/// Whether a model can be held to a schema.
#[must_use]
pub fn holds_schema(model: &str) -> bool {
    !["gpt-3.5", "gpt-4-", "o1-mini", "o1-preview"]
        .iter()
        .any(|name| model.starts_with(name))
        && model != "gpt-4"
}

/// Whether a model reasons in hidden tokens: those take no `max_tokens`.
#[must_use]
pub fn reasons(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"]
        .iter()
        .any(|name| model.starts_with(name))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
    messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct Tool<'a> {
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct Format<'a> {
    json_schema: Strict<'a>,
}

#[derive(Serialize)]
struct Strict<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a RawValue,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Said<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct Call<'a> {
    id: &'a str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: String,
}

/// The body of a request.
///
/// # Errors
/// When the schema is no JSON, which only a mistake of ours can cause.
pub fn body(request: &TurnRequest, asked: Asked<'_>) -> serde_json::Result<Vec<u8>> {
    let mut messages = vec![Said::System {
        content: request.system,
    }];
    messages.extend(request.messages.iter().flat_map(said));
    let response_format = asked
        .schema
        .map(|schema| {
            serde_json::from_str(schema.json).map(|json| Format {
                json_schema: Strict {
                    name: schema.name,
                    strict: true,
                    schema: json,
                },
            })
        })
        .transpose()?;
    let reasons = reasons(asked.model) != asked.other_limit;
    serde_json::to_vec(&Body {
        model: asked.model,
        max_tokens: (!reasons).then_some(asked.max_tokens),
        max_completion_tokens: reasons.then_some(asked.max_tokens),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        messages,
        tools: request
            .tools
            .iter()
            .map(|tool| Tool {
                function: Function {
                    name: &tool.name,
                    description: &tool.description,
                    parameters: &tool.parameters,
                },
            })
            .collect(),
        tool_choice: (!request.tools.is_empty() && request.must_answer).then_some("none"),
        response_format,
    })
}

fn said(message: &Message) -> Vec<Said<'_>> {
    match message {
        Message::User(text) => vec![Said::User { content: text }],
        Message::Assistant(blocks) => vec![assistant(blocks)],
        Message::ToolResults(results) => results
            .iter()
            .map(|result| Said::Tool {
                tool_call_id: &result.id,
                content: &result.content,
            })
            .collect(),
    }
}

fn assistant(blocks: &[Block]) -> Said<'_> {
    let (mut words, mut tool_calls) = (String::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Text { text } => words.push_str(text),
            Block::ToolCall(call) => tool_calls.push(Call {
                id: &call.id,
                function: Called {
                    name: &call.name,
                    // What could not be read goes back as it came.
                    arguments: match &call.arguments {
                        Value::String(text) => text.clone(),
                        value => value.to_string(),
                    },
                },
            }),
        }
    }
    Said::Assistant {
        content: (!words.is_empty() || tool_calls.is_empty()).then_some(words),
        tool_calls,
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Used>,
    error: Option<Named>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    #[serde(default)]
    index: usize,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Used {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<Value>,
    #[serde(default)]
    message: String,
}

#[derive(Default)]
struct Growing {
    id: String,
    name: String,
    arguments: String,
}

/// An answer as far as it has come.
#[derive(Default)]
pub struct Answer {
    text: String,
    refusal: String,
    calls: Vec<Growing>,
    model: String,
    /// What the request is likely to have cost, until the server tells.
    guessed: u64,
    metered: Option<Metered>,
    chars: usize,
    stop: Option<String>,
}

impl Answer {
    /// Nothing has come yet to a request of so many bytes.
    #[must_use]
    pub fn new(request_bytes: usize) -> Self {
        Self {
            guessed: wire::estimate(request_bytes),
            ..Self::default()
        }
    }

    fn grow(&mut self, delta: Delta) -> Result<(), Broken> {
        let words = delta.content.unwrap_or_default();
        let refusal = delta.refusal.unwrap_or_default();
        self.chars += words.len() + refusal.len();
        self.text.push_str(&words);
        self.refusal.push_str(&refusal);
        for piece in delta.tool_calls.unwrap_or_default() {
            if piece.index > self.calls.len() || piece.index >= CALLS {
                return Err(garbled("a call is missing"));
            }
            if piece.index == self.calls.len() {
                self.calls.push(Growing::default());
            }
            let call = &mut self.calls[piece.index];
            if let Some(id) = piece.id.filter(|_| call.id.is_empty()) {
                call.id = id;
            }
            if let Some(function) = piece.function {
                call.name.push_str(&function.name.unwrap_or_default());
                let arguments = function.arguments.unwrap_or_default();
                self.chars += arguments.len();
                call.arguments.push_str(&arguments);
            }
        }
        Ok(())
    }
}

impl Fold for Answer {
    fn take(&mut self, data: &str) -> Result<bool, Broken> {
        if data.trim() == DONE {
            return Ok(true);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| garbled(&error.to_string()))?;
        if let Some(error) = chunk.error {
            let kind = match error.code {
                Some(Value::String(code)) => code,
                _ => error.kind.unwrap_or_default(),
            };
            return Err(wire::named(US, &kind, &error.message));
        }
        if self.model.is_empty() {
            self.model = chunk.model;
        }
        if let Some(used) = chunk.usage {
            let cached = used
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0)
                .min(used.prompt_tokens);
            self.metered = Some(Metered {
                input: used.prompt_tokens - cached,
                cached,
                cache_write: 0,
                output: used.completion_tokens,
            });
        }
        for choice in chunk.choices.into_iter().take(1) {
            self.stop = choice.finish_reason.or(self.stop.take());
            self.grow(choice.delta)?;
        }
        Ok(false)
    }

    fn heard(&self) -> usize {
        self.chars
    }

    fn metered(&self) -> Metered {
        // A server that counts nothing, or has not got that far, leaves a guess.
        self.metered.unwrap_or_else(|| Metered {
            input: self.guessed,
            output: wire::estimate(self.chars),
            ..Metered::default()
        })
    }

    fn finish(self: Box<Self>) -> Result<Reply, Broken> {
        let metered = self.metered();
        let Some(stop) = self.stop else {
            return Err(Broken::new(
                Fault::Truncated,
                "OpenAI's answer ended before its last chunk",
            ));
        };
        let refused = match (stop.as_str(), self.refusal) {
            (_, words) if !words.is_empty() => Some(words),
            ("content_filter", _) => Some("its content filter stopped it".to_owned()),
            _ => None,
        };
        let mut blocks = Vec::with_capacity(1 + self.calls.len());
        if !self.text.is_empty() {
            blocks.push(Block::Text { text: self.text });
        }
        for (place, call) in self.calls.into_iter().enumerate() {
            blocks.push(Block::ToolCall(ToolCall {
                // Some servers give calls no name; the result has to repeat one.
                id: if call.id.is_empty() {
                    format!("call-{place}")
                } else {
                    call.id
                },
                name: call.name,
                arguments: wire::arguments(&call.arguments),
            }));
        }
        let stop = match stop.as_str() {
            "stop" => StopReason::EndTurn,
            "tool_calls" | "function_call" => StopReason::ToolUse,
            "length" => StopReason::MaxTokens,
            other => StopReason::Other(other.chars().take(60).collect()),
        };
        let reply = Reply {
            blocks,
            stop,
            metered,
            model: self.model,
        };
        wire::whole(US, reply, refused.as_deref())
    }
}

fn garbled(why: &str) -> Broken {
    Broken::new(
        Fault::Garbled,
        format!("OpenAI's answer cannot be read: {}", crate::http::one_line(why)),
    )
}
