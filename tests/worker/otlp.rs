//! A whole review on real servers, and what a collector hears of it.

use std::sync::Arc;
use std::time::Duration;

use millstream::domain::JobState;
use millstream::ops::submit::{Source, Submission};
use millstream_worker::agent::Limits;
use millstream_worker::github::{Github, GithubSettings};
use millstream_worker::job::{ReviewHandler, ReviewJob};
use millstream_worker::model::Offline;
use millstream_worker::otlp::{OtlpSettings, Shipper};
use millstream_worker::review::Reviewer;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::World;
use crate::support::reviews::{COMMITTED_KEY, KEY};

#[tokio::test]
async fn the_trace_of_a_submission_reaches_the_collector_without_its_content() {
    let collector = MockServer::start().await;
    Mock::given(path("/v1/traces"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    let world = World::new().await;
    let otlp = OtlpSettings {
        traces: format!("{}/v1/traces", collector.uri())
            .parse()
            .expect("an address"),
        headers: Default::default(),
        service: "millstream-worker".into(),
        queue: world.settings.name.clone(),
        group: world.settings.group.clone(),
    };
    let (exporter, shipper) = Shipper::start(otlp).expect("a client");
    let github = GithubSettings::at("http://127.0.0.1:1".parse().expect("an address"));
    let github = Github::new(github).expect("settings that work");
    let model = Offline::new(Duration::ZERO, 0.0);
    let reviewer = Reviewer::new(Arc::new(model), github, Limits::default());
    let handler = ReviewHandler::new(reviewer).exporting(exporter);
    let worker = world.run::<ReviewJob, _>(handler, World::engine());

    let source = Source::Diff {
        label: None,
        text: COMMITTED_KEY.to_owned(),
    };
    let submission = Submission {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..Submission::now(source)
    };
    let id = world.submit_review(submission).await;
    world.until_state(id, JobState::Done).await;
    worker.drain().await;
    shipper.finish(Duration::from_secs(30)).await;

    let requests = collector.received_requests().await.unwrap_or_default();
    let spans: Vec<Span> = requests
        .iter()
        .map(|request| ExportTraceServiceRequest::decode(request.body.as_slice()).expect("protobuf"))
        .flat_map(|request| request.resource_spans)
        .flat_map(|of| of.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let stored = world.store.spans_of(id).await.expect("postgres is there");
    assert_eq!(
        spans.len(),
        stored.len() + 1,
        "as in Postgres, and the attempt's own"
    );
    for row in &stored {
        let span = spans
            .iter()
            .find(|span| span.span_id == row.span_id.as_bytes()[8..])
            .unwrap_or_else(|| panic!("{row:?} has not left"));
        assert_eq!(span.trace_id[..4], [0x0a, 0xf7, 0x65, 0x19]);
    }
    let sent = requests.iter().any(|request| {
        let needle = KEY.as_bytes();
        request.body.windows(needle.len()).any(|window| window == needle)
    });
    assert!(!sent, "the key has left");
}
