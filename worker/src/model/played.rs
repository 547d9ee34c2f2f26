//! A provider for tests and measurements: real HTTP on loopback, both wire formats, every fault.
//!
//! What it answers is decided by a function of the request; without one, reviewers find nothing and
//! the judge approves. It keeps what it was asked, and it is gone when it is dropped.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::hosted::Provider;

/// The largest request that is read.
const LONGEST: usize = 16 << 20;

/// Tokens that an answer says it has used: read, written.
pub const TURN: (u64, u64) = (100, 20);

/// A request as it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// In which format.
    pub provider: Provider,
    /// The headers, in small letters.
    pub head: String,
    /// The body.
    pub body: Value,
}

impl Seen {
    /// The agent that asks, told by its prompt's heading.
    #[must_use]
    pub fn agent(&self) -> &'static str {
        let system = match self.provider {
            Provider::Anthropic => &self.body["system"][0]["text"],
            Provider::OpenAi => &self.body["messages"][0]["content"],
        };
        let heading = system
            .as_str()
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        match heading {
            "# Security reviewer" => "security",
            "# Performance reviewer" => "performance",
            "# UX reviewer" => "ux",
            "# Judge" => "judge",
            _ => "nobody",
        }
    }

    /// The number of the turn: how often the model has answered before.
    #[must_use]
    pub fn turn(&self) -> usize {
        let said = self.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        said.iter().filter(|one| one["role"] == "assistant").count()
    }
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Words.
    Says(String),
    /// Calls: name and arguments, as the model wrote them.
    Calls(Vec<(String, String)>),
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for ever.
    Silence,
    /// Half an answer, then nothing for ever.
    HalfSilence,
    /// Half an answer, and the connection is gone.
    Truncated,
    /// The connection is gone before an answer.
    HangsUp,
    /// An answer that is no JSON.
    Garbled,
    /// An answer that breaks off with this kind of error.
    ErrorEvent(&'static str),
    /// The model refuses.
    Refusal,
    /// An answer without a word.
    Empty,
    /// An answer cut by the limit of tokens.
    Cut,
}

impl Act {
    /// What an agent says that has found nothing.
    #[must_use]
    pub fn usual(seen: &Seen) -> Self {
        Self::Says(if seen.agent() == "judge" {
            r#"{"verdict":"approve","reason":"nothing found"}"#.to_owned()
        } else {
            "[]".to_owned()
        })
    }

    /// A status without more.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }
}

/// Tokens that the provider has said were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
    /// Answers that ended before they had told everything: of these the rest is for whoever asked to guess.
    pub unfinished: u64,
}

impl Told {
    /// What the events of one answer say, as far as they can be read.
    fn by(events: &[String]) -> Self {
        let mut told = Self {
            unfinished: 1,
            ..Self::default()
        };
        for event in events {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let Some(data) = data.and_then(|data| serde_json::from_str::<Value>(data).ok()) else {
                break;
            };
            let used = if data["message"]["usage"].is_object() {
                &data["message"]["usage"]
            } else {
                &data["usage"]
            };
            let number = |name: &str| used[name].as_u64();
            told.read = number("input_tokens")
                .or(number("prompt_tokens"))
                .unwrap_or(told.read);
            told.written = number("output_tokens")
                .or(number("completion_tokens"))
                .unwrap_or(told.written);
            if data["type"] == "message_delta" || data["usage"]["prompt_tokens"].is_number() {
                told.unfinished = 0;
            }
        }
        told
    }
}

impl std::ops::AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.unfinished += other.unfinished;
    }
}

type Director = dyn Fn(&Seen) -> Act + Send + Sync;

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    told: Told,
    director: Option<Arc<Director>>,
}

/// The provider.
pub struct Played {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Played")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Played {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            _accepting: accepting,
        })
    }

    /// Decides from now on what is answered.
    pub fn direct(&self, director: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        lock(&self.state).director = Some(Arc::new(director));
    }

    /// Answers each request with the next of these, then as usual.
    pub fn script(&self, acts: Vec<Act>) {
        let acts = Mutex::new(acts.into_iter());
        self.direct(move |seen| {
            let next = acts.lock().unwrap_or_else(PoisonError::into_inner).next();
            next.unwrap_or_else(|| Act::usual(seen))
        });
    }

    /// The address, as a base URL.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// What all answers so far have said that was used.
    #[must_use]
    pub fn told(&self) -> Told {
        lock(&self.state).told
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        lock(&self.state).seen.clear();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A director that panicked has failed its test; the others may go on.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Pieces are small and follow each other: none may wait for the other side's answer.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        open.spawn(async move {
            // A client that leaves in the middle is part of the play.
            let _left = serve(stream, &state).await;
        });
        while open.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = request(&mut stream).await? {
        let act = {
            let mut state = lock(state);
            state.seen.push(seen.clone());
            state.director.clone()
        }
        .map_or_else(|| Act::usual(&seen), |director| director(&seen));
        if !answer(&mut stream, &seen, act, state).await? {
            break;
        }
    }
    Ok(())
}

async fn request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut head = String::new();
    loop {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; std::cmp::min(length, LONGEST)];
    stream.read_exact(&mut body).await?;
    let provider = if head.starts_with("post /v1/messages ") {
        Provider::Anthropic
    } else {
        Provider::OpenAi
    };
    Ok(Some(Seen {
        provider,
        head,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}

/// Answers; says whether the connection goes on.
async fn answer(
    stream: &mut BufReader<TcpStream>,
    seen: &Seen,
    act: Act,
    state: &Mutex<State>,
) -> std::io::Result<bool> {
    let events = match act {
        Act::Silence => return silence(stream).await,
        Act::HangsUp => return Ok(false),
        Act::Status(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                let _ = write!(text, "{name}: {value}\r\n");
            }
            text.push_str("\r\n");
            text.push_str(&body);
            stream.write_all(text.as_bytes()).await?;
            return Ok(true);
        }
        Act::Truncated | Act::HalfSilence => {
            let events = spelt(
                seen,
                &Act::Says("[{\"severity\":\"info\",\"note\":\"half an ans".into()),
            );
            let half = &events[..events.len() / 2];
            lock(state).told += Told::by(half);
            begin(stream, half).await?;
            return if act == Act::Truncated {
                Ok(false)
            } else {
                silence(stream).await
            };
        }
        act => spelt(seen, &act),
    };
    // Before it is sent: who has it all can ask at once.
    lock(state).told += Told::by(&events);
    begin(stream, &events).await?;
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(true)
}

async fn silence(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    // It ends when the client hangs up.
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(false)
}

async fn begin(stream: &mut BufReader<TcpStream>, events: &[String]) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for event in events {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await?;
    }
    stream.flush().await
}

/// The events of an answer.
fn spelt(seen: &Seen, act: &Act) -> Vec<String> {
    let events = match seen.provider {
        Provider::Anthropic => anthropic(seen, act),
        Provider::OpenAi => openai(seen, act),
    };
    let mut spelt: Vec<String> = events
        .iter()
        .map(|event| match event["type"].as_str() {
            Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
            None => format!("data: {event}\n\n"),
        })
        .collect();
    match act {
        Act::Garbled => spelt.insert(1, "data: {\"type\":\n\n".to_owned()),
        _ if seen.provider == Provider::OpenAi => spelt.push("data: [DONE]\n\n".to_owned()),
        _ => {}
    }
    spelt
}

/// A text in three pieces, as it streams in.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(3).max(1);
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}

fn anthropic(seen: &Seen, act: &Act) -> Vec<Value> {
    let mut events = vec![json!({"type": "message_start", "message": {
        "id": "msg_1", "model": seen.body["model"], "role": "assistant", "content": [],
        "usage": {"input_tokens": TURN.0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1},
    }})];
    events.push(json!({"type": "ping"}));
    let mut block = |index: usize, begun: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    };
    let text = |piece: String| json!({"type": "text_delta", "text": piece});
    let stop = match act {
        Act::Says(words) => {
            block(
                0,
                json!({"type": "text", "text": ""}),
                pieces(words).into_iter().map(text).collect(),
            );
            "end_turn"
        }
        Act::Calls(calls) => {
            for (index, (name, arguments)) in calls.iter().enumerate() {
                let begun =
                    json!({"type": "tool_use", "id": format!("toolu_{index}"), "name": name, "input": {}});
                let json = |piece: String| json!({"type": "input_json_delta", "partial_json": piece});
                block(index, begun, pieces(arguments).into_iter().map(json).collect());
            }
            "tool_use"
        }
        Act::ErrorEvent(kind) => {
            block(0, json!({"type": "text", "text": ""}), vec![text("half".into())]);
            events.push(json!({"type": "error", "error": {"type": kind, "message": "played"}}));
            return events;
        }
        Act::Refusal => "refusal",
        Act::Cut => {
            block(0, json!({"type": "text", "text": ""}), vec![text("[{".into())]);
            "max_tokens"
        }
        _ => "end_turn",
    };
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": TURN.1}}),
    );
    events.push(json!({"type": "message_stop"}));
    events
}

fn openai(seen: &Seen, act: &Act) -> Vec<Value> {
    let model = &seen.body["model"];
    let chunk = |delta: Value, finish: Option<&str>| json!({"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    let finish = match act {
        Act::Says(words) => {
            chunks.extend(
                pieces(words)
                    .iter()
                    .map(|piece| chunk(json!({"content": piece}), None)),
            );
            "stop"
        }
        Act::Calls(calls) => {
            for (index, (name, arguments)) in calls.iter().enumerate() {
                let begun = json!({"index": index, "id": format!("call_{index}"), "type": "function",
                                   "function": {"name": name, "arguments": ""}});
                chunks.push(chunk(json!({"tool_calls": [begun]}), None));
                for piece in pieces(arguments) {
                    let grown = json!({"index": index, "function": {"arguments": piece}});
                    chunks.push(chunk(json!({"tool_calls": [grown]}), None));
                }
            }
            "tool_calls"
        }
        Act::ErrorEvent(kind) => {
            chunks.push(chunk(json!({"content": "half"}), None));
            chunks.push(json!({"error": {"type": kind, "message": "played"}}));
            return chunks;
        }
        Act::Refusal => {
            chunks.push(chunk(json!({"refusal": "I cannot help with that."}), None));
            "stop"
        }
        Act::Cut => {
            chunks.push(chunk(json!({"content": "[{"}), None));
            "length"
        }
        _ => "stop",
    };
    chunks.push(chunk(json!({}), Some(finish)));
    chunks.push(json!({"model": model, "choices": [], "usage": {
        "prompt_tokens": TURN.0, "completion_tokens": TURN.1, "prompt_tokens_details": {"cached_tokens": 0},
    }}));
    chunks
}
