//! Makes spans of what happened, with the names that OpenTelemetry's conventions have for it.

use std::time::Duration;

use bellwire_model::{AlertId, LogId, StageTimes, Timestamp, Transition};
use bellwire_notify::deliveries::{self, Delivery};

use super::event::{Event, Request, STAGES, Write};
use super::ids::{Context, SpanId, TraceId};
use super::otlp::{KeyValue, Span, SpanKind, Status, Value};

/// Methods that a span may be named after: others could be anything.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// Adds what comes of `event` in the service whose log it is.
pub(super) fn add(event: &Event, log: LogId, out: &mut Vec<Span>) {
    match event {
        Event::Transition(transition, times, sent) => {
            add_transition(transition, *times, *sent, log, out);
        }
        Event::Delivery(delivery) => add_delivery(delivery, log, out),
        Event::Request(request) => out.push(of_request(request)),
        Event::Write(write) => out.push(of_write(write)),
    }
}

fn span(
    Context { trace, span, parent }: Context,
    name: String,
    kind: SpanKind,
    (start, end): (Timestamp, Timestamp),
) -> Span {
    Span {
        trace_id: trace.0.to_vec(),
        span_id: span.0.to_vec(),
        parent_span_id: parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        name,
        kind: kind.into(),
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(end.max(start)),
        attributes: Vec::new(),
        status: None,
        flags: Span::SAMPLED | Span::HAS_IS_REMOTE,
    }
}

/// Nanoseconds since the Unix epoch; before that there were no services.
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1_000)
}

impl Span {
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }
}

/// A transition, and below it the parts of its way: until it is on disk, decided, in the live feed.
fn add_transition(
    transition: &Transition,
    times: StageTimes,
    sent: Timestamp,
    log: LogId,
    out: &mut Vec<Span>,
) {
    let Transition { position, ordinal, alert, .. } = transition;
    let trace = TraceId::of_alert(log, alert.id);
    let root = SpanId::of_alert(alert.id);
    // It is named after the transition that began it.
    let is_first = AlertId::of(&alert.rule, &alert.device, *position, *ordinal) == alert.id;
    let (id, parent) = if is_first {
        (root, None)
    } else {
        (SpanId::of_transition(*position, *ordinal), Some(root))
    };
    let what = match &transition.step {
        Some(step) => step.kind.label(),
        None => transition.to.label(),
    };
    let received = times.received;
    let sent = sent.max(received);
    let context = Context { trace, span: id, parent };
    let mut whole = span(context, format!("alert {what}"), SpanKind::Internal, (received, sent))
        .with("bellwire.alert.id", alert.id.to_string())
        .with("bellwire.rule", alert.rule.as_str())
        .with("bellwire.device", alert.device.as_str())
        .with("bellwire.severity", alert.severity.label())
        .with("bellwire.alert.from", transition.from.label())
        .with("bellwire.alert.to", transition.to.label())
        .with("bellwire.log.position", *position);
    match &transition.step {
        None => whole = whole.with("bellwire.reason", transition.reason.as_ref()),
        // Its reason has what was said, which may be meant for few.
        Some(step) => {
            whole = whole.with("bellwire.alert.step", step.kind.label());
            if let Some(by) = &step.by {
                whole = whole.with("bellwire.operator", by.as_ref());
            }
        }
    }
    if let Some(correction) = transition.correction {
        whole = whole.with("bellwire.alert.correction", correction.label());
    }
    if transition.historical {
        whole = whole.with("bellwire.alert.historical", true);
    }
    out.push(whole);
    let durable = times.durable.clamp(received, sent);
    let judged = times.judged.clamp(durable, sent);
    let edges = [received, durable, judged, sent];
    for (name, edge) in STAGES.into_iter().zip(edges.windows(2)) {
        let context = Context { trace, span: SpanId::of_part(id, name), parent: Some(id) };
        let during = (edge[0], edge[1]);
        out.push(span(context, name.to_owned(), SpanKind::Internal, during));
    }
}

/// An attempt to send a message, once for each alert that it tells of: in the alert's own trace.
fn add_delivery(delivery: &Delivery, log: LogId, out: &mut Vec<Span>) {
    let end = delivery.ended_at();
    let during = (end - Duration::from_millis(delivery.took_ms), end);
    for &alert in &delivery.alerts {
        let alert = AlertId(alert);
        let context = Context {
            trace: TraceId::of_alert(log, alert),
            span: SpanId::of_attempt(&delivery.message, delivery.address, delivery.at),
            parent: Some(SpanId::of_alert(alert)),
        };
        let name = format!("send {}", delivery.channel);
        let mut sent = span(context, name, SpanKind::Client, during)
            .with("bellwire.alert.id", alert.to_string())
            .with("bellwire.channel", delivery.channel.as_str())
            .with("bellwire.message.id", delivery.message.as_str())
            .with("bellwire.message.result", delivery.result.label())
            .with("bellwire.message.alerts", delivery.alerts.len());
        if delivery.result != deliveries::Result::Delivered {
            sent.status = Some(Status::error(delivery.said.clone()));
        }
        out.push(sent);
    }
}

/// Semantic conventions for HTTP servers, without `url.path`, which may name devices.
fn of_request(request: &Request) -> Span {
    let known = METHODS.contains(&request.method.as_str());
    let method = if known { request.method.as_str() } else { "HTTP" };
    let name = match &request.route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    let during = (request.start, request.end);
    let mut span = span(request.context, name, SpanKind::Server, during)
        .with("http.request.method", if known { method } else { "_OTHER" })
        .with("url.scheme", request.scheme)
        .with("http.response.status_code", i64::from(request.status));
    if request.context.parent.is_some() {
        span.flags |= Span::IS_REMOTE;
    }
    if let Some(route) = &request.route {
        span = span.with("http.route", route.as_str());
    }
    if request.status >= 500 {
        span = span.with("error.type", request.status.to_string());
        span.status = Some(Status::error(String::new()));
    }
    span
}

fn of_write(write: &Write) -> Span {
    let (from, to) = write.extent;
    span(write.context, "keep".to_owned(), SpanKind::Client, (write.start, write.end))
        .with("db.system.name", "postgresql")
        .with("bellwire.readings", write.n_readings)
        .with("bellwire.publishes", write.n_publishes)
        .with("bellwire.quarantined", write.n_quarantined)
        .with("bellwire.transitions", write.n_transitions)
        .with("bellwire.retries", i64::from(write.n_retries))
        .with("bellwire.log.from", from)
        .with("bellwire.log.position", to)
}
