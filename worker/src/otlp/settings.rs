//! Where spans go: the variables that OpenTelemetry's specification names.

use millstream::settings::{QueueSettings, Reader};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::{Url, form_urlencoded};

/// How spans leave.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Where spans are posted to: `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`.
    pub traces: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`. Their values are not shown.
    pub headers: HeaderMap,
    /// `OTEL_SERVICE_NAME`.
    pub service: String,
    /// The queue that jobs come from.
    pub queue: String,
    /// Its consumer group.
    pub group: String,
}

impl OtlpSettings {
    /// Reads the part; none if no endpoint is set.
    pub fn read(reader: &mut Reader<'_>, queue: &QueueSettings) -> Option<Self> {
        let headers = headers(reader);
        protocol(reader);
        let service = reader.text("OTEL_SERVICE_NAME");
        let traces = endpoint(reader)?;
        Some(Self {
            traces,
            headers,
            service: service.unwrap_or_else(|| "millstream-worker".to_owned()),
            queue: queue.name.clone(),
            group: queue.group.clone(),
        })
    }
}

fn endpoint(reader: &mut Reader<'_>) -> Option<Url> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let text = reader.text(NAME)?;
    let parsed = Url::parse(&text).ok();
    let Some(mut url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    else {
        reader.fault(NAME, "not an address that starts with https:// and names a host");
        return None;
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    Some(url)
}

/// Only one protocol is spoken; another one would be answered with silence, so it is refused here.
fn protocol(reader: &mut Reader<'_>) {
    const NAME: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    if reader
        .text(NAME)
        .is_some_and(|protocol| protocol != "http/protobuf")
    {
        reader.fault(NAME, "only http/protobuf is spoken");
    }
}

/// Reads `name=value,name=value`, the values percent-encoded.
fn headers(reader: &mut Reader<'_>) -> HeaderMap {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    let text = reader.text(NAME).unwrap_or_default();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let Some((name, value)) = header(pair) else {
            reader.fault(NAME, "not a list like name=value,name=value");
            break;
        };
        headers.insert(name, value);
    }
    headers
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let name = HeaderName::try_from(name.trim()).ok()?;
    // Forms spell a space as `+`, headers do not; `=` and `&` are part of the value.
    let escaped = value
        .trim()
        .replace('+', "%2B")
        .replace('=', "%3D")
        .replace('&', "%26");
    let (value, _) = form_urlencoded::parse(escaped.as_bytes()).next()?;
    let mut value = HeaderValue::try_from(value.as_ref()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream::settings::Faults;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<OtlpSettings>, Faults> {
        let vars = |name: &str| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut reader = Reader::new(&vars);
        let queue = QueueSettings::read(&mut reader);
        let read = OtlpSettings::read(&mut reader, &queue);
        reader.finish(read)
    }

    #[test]
    fn nothing_leaves_unless_an_endpoint_is_set() {
        assert!(read(&[("OTEL_SERVICE_NAME", "x")]).is_ok_and(|read| read.is_none()));
        let all = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp/"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Basic%20YTpi==, x-scope = a+b",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ]);
        let all = all.expect("right").expect("set");
        assert_eq!(all.traces.as_str(), "https://collector.example/otlp/v1/traces");
        assert_eq!(all.headers["authorization"], "Basic YTpi==");
        assert_eq!(all.headers["x-scope"], "a+b");
        assert_eq!(
            (all.service.as_str(), all.group.as_str()),
            ("millstream-worker", "reviewers")
        );
        assert!(!format!("{all:?}").contains("YTpi"));
    }

    #[test]
    fn what_cannot_work_is_a_fault() {
        let faults = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ]);
        let names: Vec<&str> = faults
            .expect_err("wrong")
            .0
            .iter()
            .map(|fault| fault.name)
            .collect();
        assert_eq!(
            names,
            [
                "OTEL_EXPORTER_OTLP_HEADERS",
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ]
        );
    }
}
