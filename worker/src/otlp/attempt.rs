//! The spans of one attempt, in the words of OpenTelemetry's conventions.
//!
//! The attempt itself is the `process` span of the messaging conventions; agents, model turns and
//! calls of tools hang below it, as in Postgres. What has not ended when the attempt is dropped ends
//! with it, as an error.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use millstream::domain::{Failure, ReviewResult, SpanEnd, SpanId, SpanKind, SpanStart, SpanStatus};
use millstream::store::Lease;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::shipper::Exporter;
use super::traceparent::Origin;
use crate::agent::trace;

/// The flags of a span that is recorded.
const SAMPLED: u32 = 1;

/// Why a span has no end of its own.
const GIVEN_UP: &str = "the attempt was given up";

/// An attempt whose spans leave.
pub struct Traced {
    exporter: Exporter,
    origin: Origin,
    lease: Lease,
    began: DateTime<Utc>,
    open: Mutex<HashMap<SpanId, Begun>>,
    /// The attempt has ended and said how.
    ended: bool,
}

/// What is known of a span before it ends.
struct Begun {
    parent: Option<SpanId>,
    kind: SpanKind,
    name: String,
    at: DateTime<Utc>,
    /// Who is asked, for a turn; for an agent, who its turns ask.
    asked: Option<Asked>,
    /// The fault that its last turn came to.
    fault: Option<String>,
}

/// The provider and the model that a turn asks.
#[derive(Clone)]
struct Asked {
    provider: String,
    model: String,
}

impl Asked {
    /// As the input of a turn's span has it.
    fn of(input: &Value) -> Option<Self> {
        let word = |name: &str| Some(input[name].as_str()?.to_owned());
        Some(Self {
            provider: word("provider")?,
            model: word("model")?,
        })
    }

    fn attributes(&self) -> [KeyValue; 2] {
        [
            text("gen_ai.provider.name", &self.provider),
            text("gen_ai.request.model", &self.model),
        ]
    }
}

impl Traced {
    /// Begins the span of an attempt. None if who submitted it does not record its trace.
    #[must_use]
    pub fn begin(exporter: &Exporter, lease: Lease, traceparent: Option<&str>) -> Option<Self> {
        let origin = Origin::of(lease.job, traceparent);
        origin.sampled.then(|| Self {
            exporter: exporter.clone(),
            origin,
            lease,
            began: trace::now(),
            open: Mutex::default(),
            ended: false,
        })
    }

    /// A span begins.
    pub fn start(&self, span: &SpanStart) {
        let asked = Some(&span.input)
            .filter(|_| span.kind == SpanKind::Llm)
            .and_then(Asked::of);
        let begun = Begun {
            parent: span.parent,
            kind: span.kind,
            name: span.name.clone(),
            at: span.at,
            asked: asked.clone(),
            fault: None,
        };
        let mut open = self.open();
        if let Some(agent) = span.parent.and_then(|parent| open.get_mut(&parent)) {
            agent.asked = asked.or(agent.asked.take());
        }
        open.insert(span.id, begun);
    }

    /// A span ends, and leaves.
    pub fn end(&self, span: &SpanEnd) {
        let mut open = self.open();
        let Some(mut begun) = open.remove(&span.id) else {
            return;
        };
        if begun.kind == SpanKind::Llm {
            begun.fault = span.output["fault"].as_str().map(str::to_owned);
            if let Some(agent) = begun.parent.and_then(|parent| open.get_mut(&parent)) {
                agent.fault.clone_from(&begun.fault);
            }
        }
        drop(open);
        self.exporter.send(self.span(&begun, span));
    }

    /// The attempt ends.
    pub fn finish(mut self, outcome: &Result<ReviewResult, Failure>) {
        let (error, mut more) = match outcome {
            Ok(result) => {
                let verdict = text("millstream.verdict", result.verdict.word());
                (
                    None,
                    vec![verdict, number("millstream.findings", result.findings.len())],
                )
            }
            Err(failure) => (
                Some(trace::excerpt(&failure.message, 1_000)),
                vec![text("error.type", failure.class.word())],
            ),
        };
        self.close(error, &mut more);
    }

    /// Sends what has not ended, and the attempt's own span.
    fn close(&mut self, error: Option<String>, more: &mut Vec<KeyValue>) {
        self.ended = true;
        let left: Vec<(SpanId, Begun)> = self.open().drain().collect();
        let at = trace::now();
        for (id, begun) in left {
            let end = SpanEnd {
                id,
                status: SpanStatus::Error,
                output: Value::Null,
                error: Some(GIVEN_UP.to_owned()),
                usage: millstream::domain::Usage::default(),
                cost_usd: 0.0,
                model: None,
                at,
            };
            self.exporter.send(self.span(&begun, &end));
        }
        let mut attributes = self.messaging();
        attributes.append(more);
        let span = Span {
            name: format!("process {}", self.exporter.queue()),
            kind: Kind::Consumer.into(),
            attributes,
            status: error.map(failed),
            ..self.plain(self.root(), self.origin.parent, self.began, at)
        };
        self.exporter.send(span);
    }

    /// The span of the attempt: each attempt has one of its own, the same whoever asks.
    fn root(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(self.lease.job.0.as_bytes());
        hash.update(self.lease.attempt.to_be_bytes());
        let digest = hash.finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        // An id of nothing but zeros means none.
        id[7] |= 1;
        id
    }

    fn messaging(&self) -> Vec<KeyValue> {
        vec![
            text("messaging.system", "redis"),
            text("messaging.operation.name", "process"),
            text("messaging.operation.type", "process"),
            text("messaging.destination.name", self.exporter.queue()),
            text("messaging.consumer.group.name", self.exporter.group()),
            text("messaging.message.id", self.lease.job.to_string()),
            text("messaging.client.id", self.lease.worker.to_string()),
            number("millstream.attempt", self.lease.attempt),
        ]
    }

    fn span(&self, begun: &Begun, end: &SpanEnd) -> Span {
        let parent = begun.parent.map_or_else(|| self.root(), short);
        let (name, kind, mut attributes) = match begun.kind {
            SpanKind::Agent => (
                format!("invoke_agent {}", begun.name),
                Kind::Internal,
                vec![
                    text("gen_ai.operation.name", "invoke_agent"),
                    text("gen_ai.agent.name", &begun.name),
                ],
            ),
            SpanKind::Tool => (
                format!("execute_tool {}", begun.name),
                Kind::Internal,
                vec![
                    text("gen_ai.operation.name", "execute_tool"),
                    text("gen_ai.tool.name", &begun.name),
                    text("gen_ai.tool.type", "function"),
                ],
            ),
            SpanKind::Llm => {
                // Named after what was asked for: what answers may call itself otherwise, or not answer at all.
                let asked = begun.asked.as_ref().map_or("", |asked| asked.model.as_str());
                let name = format!("chat {asked}").trim_end().to_owned();
                (name, Kind::Client, chat(end))
            }
        };
        attributes.extend(begun.asked.iter().flat_map(Asked::attributes));
        attributes.push(text("gen_ai.conversation.id", self.lease.job.to_string()));
        let failure = (end.status == SpanStatus::Error).then(|| end.error.clone().unwrap_or_default());
        if failure.is_some() {
            attributes.push(text("error.type", begun.fault.as_deref().unwrap_or("_OTHER")));
        }
        Span {
            name,
            kind: kind.into(),
            attributes,
            status: failure.map(failed),
            ..self.plain(short(end.id), Some(parent), begun.at, end.at)
        }
    }

    fn plain(&self, id: [u8; 8], parent: Option<[u8; 8]>, from: DateTime<Utc>, to: DateTime<Utc>) -> Span {
        Span {
            trace_id: self.origin.trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            flags: SAMPLED,
            start_time_unix_nano: nanos(from),
            end_time_unix_nano: nanos(to),
            ..Span::default()
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<SpanId, Begun>> {
        // Whoever panicked while it held the lock has left a map that can be read.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.ended {
            let mut more = vec![text("error.type", "given_up")];
            self.close(Some(GIVEN_UP.to_owned()), &mut more);
        }
    }
}

/// What a model turn has used.
fn chat(end: &SpanEnd) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("gen_ai.operation.name", "chat"),
        number("gen_ai.usage.input_tokens", end.usage.input_tokens),
        number("gen_ai.usage.output_tokens", end.usage.output_tokens),
        attribute("millstream.cost_usd", Any::DoubleValue(end.cost_usd)),
    ];
    // A turn that failed has the name that was asked for, and nothing has answered.
    if let Some(model) = end.model.as_deref().filter(|_| end.status == SpanStatus::Ok) {
        attributes.push(text("gen_ai.response.model", model));
    }
    if let Some(stop) = end.output["stopReason"].as_str() {
        let value = Some(Any::StringValue(stop.to_owned()));
        let values = vec![AnyValue { value }];
        let reasons = Any::ArrayValue(ArrayValue { values });
        attributes.push(attribute("gen_ai.response.finish_reasons", reasons));
    }
    attributes
}

fn failed(message: String) -> Status {
    Status {
        message,
        code: StatusCode::Error.into(),
    }
}

/// The span's id of half the length: the end of a random UUID, whose first bits there are never all zero.
fn short(id: SpanId) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&id.0.as_bytes()[8..]);
    half
}

fn nanos(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_nanos_opt().unwrap_or_default()).unwrap_or_default()
}

/// An attribute that is text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Any::StringValue(value.into()))
}

fn number(key: &str, value: impl TryInto<i64>) -> KeyValue {
    attribute(key, Any::IntValue(value.try_into().unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
