//! The way to the collector: a bounded queue, batches, a few tries, and an end within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use super::attempt::text;
use super::settings::OtlpSettings;
use crate::http;

/// Spans that wait: the specification's own default. A review has about fifteen.
const CAPACITY: usize = 2_048;

/// Spans of one request: the specification's own default.
const BATCH: usize = 512;

/// How long a span waits for others to travel with.
const GATHER: Duration = Duration::from_secs(1);

/// How often a batch is sent before it is given up.
const TRIES: u32 = 4;

/// The pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that a collector can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a collector may take to answer: the specification's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a collector's answer is read.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Where spans are handed in. Cheap to clone; it never waits.
#[derive(Clone)]
pub struct Exporter {
    spans: mpsc::Sender<Span>,
    shared: Arc<Shared>,
}

struct Shared {
    queue: String,
    group: String,
    /// Spans that found no room.
    dropped: AtomicU64,
    /// Spans that no collector took.
    lost: AtomicU64,
}

impl Exporter {
    /// Hands a span in; it is counted if there is no room for it.
    pub(super) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The queue that jobs come from.
    pub(super) fn queue(&self) -> &str {
        &self.shared.queue
    }

    /// Its consumer group.
    pub(super) fn group(&self) -> &str {
        &self.shared.group
    }

    /// How many spans have not left: those that found no room, and those that no collector took.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed) + self.shared.lost.load(Ordering::Relaxed)
    }
}

/// The task that sends.
pub struct Shipper {
    task: JoinSet<()>,
    closing: CancellationToken,
    shared: Arc<Shared>,
}

impl Shipper {
    /// Begins to send.
    ///
    /// # Errors
    /// When TLS or the client cannot be set up.
    pub fn start(settings: OtlpSettings) -> Result<(Exporter, Self), String> {
        let OtlpSettings {
            traces,
            headers,
            service,
            queue,
            group,
        } = settings;
        let mut builder = http::builder()
            .map_err(|error| error.to_string())?
            .default_headers(headers)
            // Headers may hold a key, which is for this collector alone.
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT);
        if http::is_loopback(&traces) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        let (spans, inbox) = mpsc::channel(CAPACITY);
        let shared = Arc::new(Shared {
            queue,
            group,
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let closing = CancellationToken::new();
        let sending = Sending {
            client,
            traces,
            resource: resource(service),
            inbox,
            closing: closing.clone(),
            shared: Arc::clone(&shared),
        };
        let mut task = JoinSet::new();
        task.spawn(sending.run());
        let exporter = Exporter {
            spans,
            shared: Arc::clone(&shared),
        };
        let shipper = Self {
            task,
            closing,
            shared,
        };
        Ok((exporter, shipper))
    }

    /// Sends what is left, for at most so long.
    pub async fn finish(mut self, within: Duration) {
        self.closing.cancel();
        let sent = async { while self.task.join_next().await.is_some() {} };
        if tokio::time::timeout(within, sent).await.is_err() {
            warn!("the collector did not take the last spans within {within:?}: they are dropped");
        }
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if dropped + lost > 0 {
            warn!(dropped, lost, "{} spans have not left by OTLP", dropped + lost);
        }
    }
}

struct Sending {
    client: Client,
    traces: Url,
    resource: Resource,
    inbox: mpsc::Receiver<Span>,
    closing: CancellationToken,
    shared: Arc<Shared>,
}

/// What became of a request.
enum Sent {
    Taken,
    /// Another try can help, after this long if the collector said so.
    Later(String, Option<Duration>),
    Refused(String),
}

impl Sending {
    async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if !batch.is_empty() {
                self.ship(batch).await;
            } else if self.closing.is_cancelled() || self.inbox.is_closed() {
                return;
            }
        }
    }

    /// Waits for a span, and a little for those that follow. Empty only when nothing will follow.
    async fn gather(&mut self) -> Vec<Span> {
        let mut batch = Vec::new();
        let closing = self.closing.clone();
        tokio::select! {
            biased;
            _ = self.inbox.recv_many(&mut batch, BATCH) => {}
            () = closing.cancelled() => self.inbox.close(),
        }
        let due = tokio::time::sleep(GATHER);
        tokio::pin!(due);
        while !batch.is_empty() && batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                biased;
                more = self.inbox.recv_many(&mut batch, room) => if more == 0 { break },
                () = closing.cancelled() => break,
                () = &mut due => break,
            }
        }
        batch
    }

    /// Sends a batch, with a few tries.
    async fn ship(&self, batch: Vec<Span>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = self.encoded(batch);
        let mut pause = FIRST_PAUSE;
        for tried in 1..=TRIES {
            match self.post(body.clone()).await {
                Sent::Taken => return,
                Sent::Later(why, asked) if tried < TRIES => {
                    debug!("the collector did not take {count} spans: {why}");
                    let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                }
                Sent::Later(why, _) | Sent::Refused(why) => {
                    self.lose(count, &why);
                    return;
                }
            }
        }
    }

    fn lose(&self, count: u64, why: &str) {
        let before = self.shared.lost.fetch_add(count, Ordering::Relaxed);
        let lost = before + count;
        warn!(lost, "the collector did not take {count} spans: {why}");
    }

    fn encoded(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "millstream".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope),
            spans,
            ..ScopeSpans::default()
        }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans,
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }

    async fn post(&self, body: Vec<u8>) -> Sent {
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let request = self.client.post(self.traces.clone());
        let response = match request.header(CONTENT_TYPE, protobuf).body(body).send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => {
                return Sent::Later("it did not answer in time".to_owned(), None);
            }
            Err(error) => return Sent::Later(http::cause(&error), None),
        };
        let status = response.status();
        if status.is_success() {
            let bytes = beginning(response).await;
            let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
            if let Some(partly) = answer.partial_success.filter(|partly| partly.rejected_spans > 0) {
                let rejected = u64::try_from(partly.rejected_spans).unwrap_or(0);
                self.lose(rejected, &http::one_line(&partly.error_message));
            }
            return Sent::Taken;
        }
        let asked = http::number(response.headers(), RETRY_AFTER.as_str());
        let asked = asked
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        let why = format!("it answered {}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Sent::Later(why, asked),
            _ => Sent::Refused(why),
        }
    }
}

/// The beginning of an answer, as bytes.
async fn beginning(mut response: reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST_ANSWER {
            return Vec::new();
        }
    }
    bytes
}

/// Who sends. Each process is an instance of its own.
fn resource(service: String) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ],
        ..Resource::default()
    }
}
