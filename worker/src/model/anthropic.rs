//! Anthropic's messages: the request as it is sent, and its answer put together from events.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use super::hosted::{Asked, Provider};
use super::price::Metered;
use super::wire::{self, Broken, Fold, Reply};
use super::{Block, Message, StopReason, ToolCall, ToolResult, TurnRequest};
use crate::fault::Fault;

/// Where requests go by default.
pub const HOME: &str = "https://api.anthropic.com";

/// The version of the format.
const VERSION: &str = "2023-06-01";

const US: Provider = Provider::Anthropic;

/// Families of models from before structured output; every later one has it.
const WITHOUT_SCHEMA: [&str; 5] = [
    "claude-2",
    "claude-3",
    "claude-sonnet-4-2025",
    "claude-opus-4-2025",
    "claude-opus-4-1",
];

/// Where a request goes. The base is spelt as Anthropic's own clients have it, without `/v1`.
#[must_use]
pub fn address(base: &Url) -> Url {
    let mut address = base.clone();
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty();
        if !base.path().trim_end_matches('/').ends_with("/v1") {
            path.push("v1");
        }
        path.push("messages");
    }
    address
}

/// The headers of every request; none if the key cannot be one.
#[must_use]
pub fn headers(key: &SecretString) -> Option<HeaderMap> {
    let mut value = HeaderValue::from_str(key.expose_secret()).ok()?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-api-key"), value);
    headers.insert(
        HeaderName::from_static("anthropic-version"),
        HeaderValue::from_static(VERSION),
    );
    Some(headers)
}

/// Whether a model can be held to a schema.
#[must_use]
pub fn holds_schema(model: &str) -> bool {
    !WITHOUT_SCHEMA.iter().any(|name| model.starts_with(name))
}

/// A point up to which the provider keeps what it has read: later turns read it for a tenth.
#[derive(Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
struct Cache {}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    system: [Part<'a>; 1],
    messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct Format<'a> {
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(flatten)]
    what: What<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Cache>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Value,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: &'a str,
        is_error: bool,
    },
}

const fn part(what: What<'_>) -> Part<'_> {
    Part {
        what,
        cache_control: None,
    }
}

/// The body of a request.
///
/// # Errors
/// When the schema is no JSON, which only a mistake of ours can cause.
pub fn body(request: &TurnRequest, asked: Asked<'_>) -> serde_json::Result<Vec<u8>> {
    let mut system = part(What::Text { text: request.system });
    system.cache_control = Some(Cache {});
    let mut messages: Vec<Said<'_>> = request.messages.iter().map(said).collect();
    // The next turn repeats this one; the last turn of a conversation is not read again.
    let goes_on = !request.tools.is_empty() && !request.must_answer;
    if let Some(last) = messages.last_mut().and_then(|said| said.content.last_mut())
        && goes_on
    {
        last.cache_control = Some(Cache {});
    }
    let output_config = asked
        .schema
        .map(|schema| serde_json::from_str(schema.json))
        .transpose()?
        .map(|schema| OutputConfig {
            format: Format { schema },
        });
    serde_json::to_vec(&Body {
        model: asked.model,
        max_tokens: asked.max_tokens,
        stream: true,
        system: [system],
        messages,
        tools: request
            .tools
            .iter()
            .map(|tool| Tool {
                name: &tool.name,
                description: &tool.description,
                input_schema: &tool.parameters,
            })
            .collect(),
        tool_choice: (!request.tools.is_empty() && request.must_answer).then(|| json!({"type": "none"})),
        output_config,
    })
}

fn said(message: &Message) -> Said<'_> {
    match message {
        Message::User(text) => Said {
            role: "user",
            content: vec![part(What::Text { text })],
        },
        Message::Assistant(blocks) => Said {
            role: "assistant",
            content: blocks.iter().filter_map(repeated).collect(),
        },
        Message::ToolResults(results) => Said {
            role: "user",
            content: results.iter().map(result).collect(),
        },
    }
}

/// A block of an earlier answer. An empty text is refused, and so are arguments that are no object.
fn repeated(block: &Block) -> Option<Part<'_>> {
    match block {
        Block::Text { text } if text.trim().is_empty() => None,
        Block::Text { text } => Some(part(What::Text { text })),
        Block::ToolCall(call) => Some(part(What::ToolUse {
            id: &call.id,
            name: &call.name,
            input: if call.arguments.is_object() {
                call.arguments.clone()
            } else {
                json!({})
            },
        })),
    }
}

fn result(result: &ToolResult) -> Part<'_> {
    part(What::ToolResult {
        tool_use_id: &result.id,
        content: &result.content,
        is_error: result.is_error,
    })
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Opening,
    },
    ContentBlockStart {
        index: usize,
        content_block: Begun,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    MessageDelta {
        delta: Ending,
        usage: Option<Used>,
    },
    MessageStop,
    Error {
        error: Named,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Opening {
    model: String,
    #[serde(default)]
    usage: Used,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Used {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Begun {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Json { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Ending {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

enum Growing {
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    Ignored,
}

/// An answer as far as it has come.
#[derive(Default)]
pub struct Answer {
    blocks: Vec<Growing>,
    model: String,
    metered: Metered,
    chars: usize,
    stop: Option<String>,
    ended: bool,
}

impl Answer {
    /// Nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn meter(&mut self, used: Used) {
        let set = |to: &mut u64, value: Option<u64>| {
            if let Some(value) = value {
                *to = value;
            }
        };
        set(&mut self.metered.input, used.input_tokens);
        set(&mut self.metered.cached, used.cache_read_input_tokens);
        set(&mut self.metered.cache_write, used.cache_creation_input_tokens);
        set(&mut self.metered.output, used.output_tokens);
    }

    fn grow(&mut self, index: usize, piece: &Delta) -> Result<(), Broken> {
        match (self.blocks.get_mut(index), piece) {
            (Some(Growing::Text(text)), Delta::Text { text: piece }) => {
                self.chars += piece.len();
                text.push_str(piece);
            }
            (Some(Growing::Call { arguments, .. }), Delta::Json { partial_json }) => {
                self.chars += partial_json.len();
                arguments.push_str(partial_json);
            }
            (Some(_), Delta::Other) | (Some(Growing::Ignored), _) => {}
            _ => return Err(garbled("a piece belongs to no block")),
        }
        Ok(())
    }
}

impl Fold for Answer {
    fn take(&mut self, data: &str) -> Result<bool, Broken> {
        let event: Event = serde_json::from_str(data).map_err(|error| garbled(&error.to_string()))?;
        match event {
            Event::MessageStart { message } => {
                self.model = message.model;
                self.meter(message.usage);
            }
            Event::ContentBlockStart { index, content_block } => {
                if index != self.blocks.len() {
                    return Err(garbled("a block is missing"));
                }
                self.blocks.push(match content_block {
                    Begun::Text { text } => Growing::Text(text),
                    Begun::ToolUse { id, name } => Growing::Call {
                        id,
                        name,
                        arguments: String::new(),
                    },
                    Begun::Other => Growing::Ignored,
                });
            }
            Event::ContentBlockDelta { index, delta } => self.grow(index, &delta)?,
            Event::MessageDelta { delta, usage } => {
                self.stop = delta.stop_reason.or(self.stop.take());
                self.meter(usage.unwrap_or_default());
            }
            Event::MessageStop => self.ended = true,
            Event::Error { error } => return Err(wire::named(US, &error.kind, &error.message)),
            Event::Other => {}
        }
        Ok(self.ended)
    }

    fn heard(&self) -> usize {
        self.chars
    }

    fn metered(&self) -> Metered {
        if self.ended {
            return self.metered;
        }
        // The count of what was written comes at the end; until then it is a guess.
        Metered {
            output: self.metered.output.max(wire::estimate(self.chars)),
            ..self.metered
        }
    }

    fn finish(self: Box<Self>) -> Result<Reply, Broken> {
        if !self.ended {
            return Err(Broken::new(
                Fault::Truncated,
                "Anthropic's answer ended before its last event",
            ));
        }
        let refused = self.stop.as_deref() == Some("refusal");
        let blocks: Vec<Block> = self
            .blocks
            .into_iter()
            .filter_map(|block| match block {
                Growing::Text(text) => Some(Block::Text { text }),
                Growing::Call { id, name, arguments } => Some(Block::ToolCall(ToolCall {
                    id,
                    name,
                    arguments: wire::arguments(&arguments),
                })),
                Growing::Ignored => None,
            })
            .collect();
        let stop = match self.stop.as_deref() {
            Some("end_turn" | "stop_sequence") | None => StopReason::EndTurn,
            Some("tool_use") => StopReason::ToolUse,
            Some("max_tokens") => StopReason::MaxTokens,
            Some(other) => StopReason::Other(other.chars().take(60).collect()),
        };
        let reply = Reply {
            blocks,
            stop,
            metered: self.metered,
            model: self.model,
        };
        wire::whole(US, reply, refused.then_some("its safety rules stopped it"))
    }
}

fn garbled(why: &str) -> Broken {
    Broken::new(
        Fault::Garbled,
        format!(
            "Anthropic's answer cannot be read: {}",
            crate::http::one_line(why)
        ),
    )
}
