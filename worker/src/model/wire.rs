//! What both providers have in common on the wire: one POST, an answer in server-sent events, errors.
//!
//! An answer counts only when its last event has come: one that breaks off is a fault, and what it
//! has used so far is said with it. Its size is bounded, and so is the silence between two pieces
//! (by the client's read time-out).

use std::io::Cursor;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use millstream::domain::Usage;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use sse_stream::SseStream;

use super::hosted::Provider;
use super::price::Metered;
use super::{Block, StopReason};
use crate::fault::{Fault, STEP_PAUSE};
use crate::http;

/// The longest answer with everything around it; ten times what the highest limit of tokens makes.
const LONGEST_STREAM: usize = 8 << 20;

/// The longest pause that a provider can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Words and calls.
    pub blocks: Vec<Block>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What it used.
    pub metered: Metered,
    /// The model that answered, in the provider's spelling.
    pub model: String,
}

/// A request that came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// What went wrong.
    pub fault: Fault,
    /// In words.
    pub message: String,
    /// How long the provider asks to wait.
    pub pause: Option<Duration>,
    /// What it used all the same.
    pub metered: Metered,
}

impl Broken {
    /// One that used nothing.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            pause: None,
            metered: Metered::default(),
        }
    }
}

/// Who hears how many characters of an answer have come in, and what it has used so far.
pub type Growing<'a> = dyn Fn(usize, Metered) + Send + Sync + 'a;

/// Puts the events of an answer together.
pub trait Fold: Send {
    /// Takes the data of one event in; answers whether it was the last.
    ///
    /// # Errors
    /// When it is not what the provider documents, or says that something went wrong.
    fn take(&mut self, data: &str) -> Result<bool, Broken>;

    /// How many characters of the answer have come in.
    fn heard(&self) -> usize;

    /// What was used so far, as far as it is known.
    fn metered(&self) -> Metered;

    /// The whole answer.
    ///
    /// # Errors
    /// When it is empty, refused, cut or has not ended.
    fn finish(self: Box<Self>) -> Result<Reply, Broken>;
}

/// Reads an answer to its end.
///
/// # Errors
/// When it breaks off or is not what it should be; what was used so far is in the error.
pub async fn read(
    provider: Provider,
    response: Response,
    mut fold: Box<dyn Fold>,
    heard: &Growing<'_>,
) -> Result<Reply, Broken> {
    let status = response.status();
    if !status.is_success() {
        let headers = response.headers().clone();
        return Err(refused(
            provider,
            status,
            &headers,
            &http::beginning(response).await,
        ));
    }
    let ended = drain(provider, response, &mut *fold, heard).await;
    let metered = fold.metered();
    let whole = match ended {
        Ok(()) => fold.finish(),
        Err(broken) => Err(broken),
    };
    whole.map_err(|broken| Broken { metered, ..broken })
}

async fn drain(
    provider: Provider,
    response: Response,
    fold: &mut dyn Fold,
    heard: &Growing<'_>,
) -> Result<(), Broken> {
    let mut events = Box::pin(SseStream::from_bytes_stream(pieces(response)));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| broken_off(provider, &error))?;
        let Some(data) = event.data.filter(|data| !data.is_empty()) else {
            continue;
        };
        if fold.take(&data)? {
            return Ok(());
        }
        heard(fold.heard(), fold.metered());
    }
    // OpenAI's end is a word that not every server behind the same format sends: the fold decides.
    Ok(())
}

/// Why no more pieces come.
#[derive(Debug, thiserror::Error)]
enum PieceError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer is longer than {LONGEST_STREAM} bytes")]
    Long,
}

fn pieces(response: Response) -> impl Stream<Item = Result<Cursor<Vec<u8>>, PieceError>> {
    stream::try_unfold((response, LONGEST_STREAM), |(mut response, left)| async move {
        let Some(piece) = response.chunk().await? else {
            return Ok(None);
        };
        let left = left.checked_sub(piece.len()).ok_or(PieceError::Long)?;
        Ok(Some((Cursor::new(piece.to_vec()), (response, left))))
    })
}

fn broken_off(provider: Provider, error: &sse_stream::Error) -> Broken {
    let sse_stream::Error::Body(inner) = error else {
        return Broken::new(
            Fault::Garbled,
            format!("{provider}'s answer cannot be read: {error}"),
        );
    };
    match inner.downcast_ref::<PieceError>() {
        Some(PieceError::Http(error)) if error.is_timeout() => {
            Broken::new(Fault::Silent, format!("{provider} fell silent in its answer"))
        }
        Some(PieceError::Http(error)) => Broken::new(
            Fault::Truncated,
            format!("{provider}'s answer broke off: {}", http::cause(error)),
        ),
        Some(long @ PieceError::Long) => Broken::new(Fault::Garbled, format!("{provider}: {long}")),
        None => Broken::new(Fault::Truncated, format!("{provider}'s answer broke off")),
    }
}

/// What a request comes to that got no answer at all.
#[must_use]
pub fn unanswered(provider: Provider, error: &reqwest::Error) -> Broken {
    if error.is_timeout() {
        Broken::new(Fault::Silent, format!("{provider} did not answer in time"))
    } else {
        Broken::new(
            Fault::Unreachable,
            format!("cannot reach {provider}: {}", http::cause(error)),
        )
    }
}

/// What an answer comes to that is an error.
fn refused(provider: Provider, status: StatusCode, headers: &HeaderMap, body: &str) -> Broken {
    let pause = pause(headers);
    let told = if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    };
    Broken {
        pause,
        ..Broken::new(
            fault(status, pause, body),
            format!("{provider} answered {}{told}", status.as_u16()),
        )
    }
}

fn fault(status: StatusCode, pause: Option<Duration>, body: &str) -> Fault {
    let body = body.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| body.contains(word));
    let long = pause.is_some_and(|pause| pause > STEP_PAUSE);
    match status.as_u16() {
        402 => Fault::NoCredit,
        400 | 429 if says(&["insufficient_quota", "credit balance"]) => Fault::NoCredit,
        // Whatever it calls the trouble, it says when to come back: a slot is not for waiting that long.
        408 | 429 | 500..=599 if long => Fault::RateLimitedLong,
        429 => Fault::RateLimited,
        503 | 529 => Fault::Overloaded,
        408 => Fault::Silent,
        500..=599 => Fault::ServerError,
        401 | 403 => Fault::BadKey,
        404 => Fault::NoModel,
        413 => Fault::TooLong,
        400 | 422
            if says(&[
                "prompt is too long",
                "context_length_exceeded",
                "maximum context length",
                "context window",
            ]) =>
        {
            Fault::TooLong
        }
        400 | 422 if says(&["max_completion_tokens"]) => Fault::OtherLimit,
        400 | 422 if says(&["output_config", "response_format", "json_schema"]) => Fault::NoSchema,
        _ => Fault::Rejected,
    }
}

/// The fault that an error event names, inside an answer that began well.
#[must_use]
pub fn named(provider: Provider, kind: &str, message: &str) -> Broken {
    let fault = match kind {
        "rate_limit_error" | "rate_limit_exceeded" => Fault::RateLimited,
        "overloaded_error" => Fault::Overloaded,
        "insufficient_quota" | "billing_error" => Fault::NoCredit,
        "authentication_error" | "permission_error" => Fault::BadKey,
        "not_found_error" => Fault::NoModel,
        "request_too_large" => Fault::TooLong,
        "invalid_request_error" => Fault::Rejected,
        _ => Fault::ServerError,
    };
    let words = http::one_line(&format!("{kind}: {message}"));
    Broken::new(fault, format!("{provider} broke its answer off: {words}"))
}

/// How long a provider asks to wait: `retry-after-ms`, or `retry-after` in seconds. A date is not
/// read: the provider's clock and ours are not the same, and both providers send seconds.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = || {
        headers
            .get(RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
    };
    let pause = match http::number(headers, "retry-after-ms") {
        Some(ms) => Duration::from_millis(u64::try_from(ms).ok()?),
        None => Duration::try_from_secs_f64(seconds()?).ok()?,
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// A model's arguments, which it may have written badly: then they stay text, and the model is told.
#[must_use]
pub fn arguments(text: &str) -> serde_json::Value {
    if text.trim().is_empty() {
        return serde_json::Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
}

/// Tokens of a text whose count nobody has told: four characters each.
#[must_use]
pub fn estimate(chars: usize) -> u64 {
    u64::try_from(chars.div_ceil(4)).unwrap_or(u64::MAX)
}

/// What is counted of the tokens: the two sums that spans and reviews have.
#[must_use]
pub const fn usage(metered: Metered) -> Usage {
    Usage {
        input_tokens: metered.read(),
        output_tokens: metered.output,
    }
}

/// Whether a whole answer may be used.
///
/// # Errors
/// When it is refused, cut or says nothing.
pub fn whole(provider: Provider, reply: Reply, refused: Option<&str>) -> Result<Reply, Broken> {
    if let Some(words) = refused {
        let words = http::one_line(words);
        return Err(Broken::new(
            Fault::Refused,
            format!("{provider}'s model refused: {words}"),
        ));
    }
    let says_nothing = reply.blocks.iter().all(|block| match block {
        Block::Text { text } => text.trim().is_empty(),
        Block::ToolCall(_) => false,
    });
    if reply.stop == StopReason::MaxTokens {
        return Err(Broken::new(
            Fault::Cut,
            format!("{provider}'s answer was cut by the limit of tokens"),
        ));
    }
    if says_nothing {
        return Err(Broken::new(
            Fault::Empty,
            format!("{provider}'s answer was empty"),
        ));
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_status_has_its_fault() {
        let (short, long) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(60)));
        for (status, pause, body, expected) in [
            (429, None, "", Fault::RateLimited),
            (429, short, "", Fault::RateLimited),
            (429, long, "", Fault::RateLimitedLong),
            (
                429,
                None,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Fault::NoCredit,
            ),
            (400, None, "Your credit balance is too low", Fault::NoCredit),
            (402, None, "", Fault::NoCredit),
            (529, None, "overloaded_error", Fault::Overloaded),
            (529, long, "", Fault::RateLimitedLong),
            (500, long, "", Fault::RateLimitedLong),
            (504, long, "", Fault::RateLimitedLong),
            (408, long, "", Fault::RateLimitedLong),
            (502, short, "", Fault::ServerError),
            (503, None, "", Fault::Overloaded),
            (500, None, "", Fault::ServerError),
            (502, None, "", Fault::ServerError),
            (408, None, "", Fault::Silent),
            (401, None, "", Fault::BadKey),
            (403, None, "", Fault::BadKey),
            (404, None, "", Fault::NoModel),
            (413, None, "", Fault::TooLong),
            (
                400,
                None,
                "prompt is too long: 200001 tokens > 200000 maximum",
                Fault::TooLong,
            ),
            (400, None, "context_length_exceeded", Fault::TooLong),
            (
                400,
                None,
                "output_config: Extra inputs are not permitted",
                Fault::NoSchema,
            ),
            (
                400,
                None,
                "'response_format' of type 'json_schema' is not supported",
                Fault::NoSchema,
            ),
            (
                400,
                None,
                "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
                Fault::OtherLimit,
            ),
            (400, None, "messages: at least one", Fault::Rejected),
            (302, None, "", Fault::Rejected),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(fault(status, pause, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_pause_is_read_in_seconds_or_milliseconds_and_bounded() {
        let asked = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a value"));
            pause(&headers)
        };
        assert_eq!(asked("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(
            asked("retry-after-ms", "1500"),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(asked("retry-after", "999999"), Some(LONGEST_PAUSE));
        for wrong in ["-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "nan"] {
            assert_eq!(asked("retry-after", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn broken_arguments_stay_text() {
        assert_eq!(arguments(r#"{"a":1}"#), json!({"a": 1}));
        assert_eq!(arguments(" "), json!({}));
        assert_eq!(arguments(r#"{"a":"#), json!("{\"a\":"));
    }
}
