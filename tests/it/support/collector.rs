//! An OpenTelemetry collector: takes spans by OTLP over HTTP, and reads them as OpenTelemetry itself has
//! written the messages down.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message as _;

use super::receiver::Receiver;
use super::service::{PATIENCE, poll};

pub(crate) use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// A span, as a test looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    /// Hexadecimal, all three; no parent is the empty text.
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    /// Nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: HashMap<String, String>,
    /// That of whoever sent it.
    pub(crate) resource: HashMap<String, String>,
    pub(crate) is_error: bool,
}

impl Span {
    /// An attribute as text; empty if it is not there.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// A collector; it ends with the test.
#[derive(Clone)]
pub(crate) struct Collector(pub(crate) Receiver);

impl Collector {
    pub(crate) async fn start() -> Self {
        Self(Receiver::start().await)
    }

    pub(crate) fn endpoint(&self) -> String {
        self.0.url_of("v1/traces")
    }

    /// Every span that it took.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for message in self.0.taken() {
            assert_eq!(
                (message.path.as_str(), &*message.headers["content-type"]),
                ("/v1/traces", "application/x-protobuf")
            );
            let request = ExportTraceServiceRequest::decode(message.bytes.as_slice());
            for of_service in request.expect("it is OTLP").resource_spans {
                let resource = texts(of_service.resource.unwrap_or_default().attributes);
                let all = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| Span {
                    kind: span.kind(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    attributes: texts(span.attributes),
                    resource: resource.clone(),
                    is_error: span.status.is_some_and(|status| status.code == 2),
                }));
            }
        }
        spans
    }

    /// All spans, as soon as there is one that is `wanted`.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        wanted: impl Fn(&Span) -> bool + Send + Sync,
    ) -> Vec<Span> {
        let looking = async {
            let mut poll = poll();
            loop {
                let spans = self.spans();
                if spans.iter().any(&wanted) {
                    return spans;
                }
                poll.tick().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("no span {what} among {:#?}", self.spans()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("we send no such attribute: {other:?}"),
    };
    attributes.into_iter().map(|it| (it.key, text(it.value))).collect()
}
