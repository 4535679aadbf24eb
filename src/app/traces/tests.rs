//! What spans come of what happened, and what becomes of what is too much.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{AnsweredRequest, RequestWitness, TransitionWitness};
use bellwire_model::{
    Alert, AlertId, AlertState, Clock, LogId, LogPosition, RuleName, Severity, StageTimes, Step,
    StepKind, Target, Timestamp, Transition,
};
use prometheus::Registry;
use tokio::sync::mpsc;

use super::event::Event;
use super::ids::Sample;
use super::metrics::Metrics;
use super::otlp::{Span, Value};
use super::spans;
use super::tracer::{Tracer, Writes};

const LOG: LogId = LogId(7 << 64);
const AT: Timestamp = Timestamp::from_secs(1_000);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        AT
    }
}

fn transition(to: AlertState) -> Transition {
    let rule = RuleName::new("too-hot").unwrap();
    let device = Target::new("oven-1").unwrap();
    let begun = LogPosition(10);
    let alert = Alert {
        id: AlertId::of(&rule, &device, begun, 0),
        rule,
        device,
        severity: Severity::Critical,
        state: to,
        since: AT,
        fired_at: None,
        resolved_at: None,
        value: None,
        summary: String::new(),
        labels: None,
        handling: None,
    };
    Transition {
        position: if to == AlertState::Firing { begun } else { LogPosition(20) },
        ordinal: 0,
        alert,
        from: AlertState::Inactive,
        to,
        at: AT,
        received_at: AT,
        rule_version: 1,
        reason: "temperature > 90".into(),
        correction: None,
        historical: false,
        step: None,
    }
}

fn spans_of(transition: Transition, times: StageTimes, sent: Timestamp) -> Vec<Span> {
    let mut out = Vec::new();
    let event = Event::Transition(Box::new(transition), times, sent);
    spans::add(&event, LOG, &mut out);
    assert_eq!(out.len(), event.n_spans());
    out
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn times(durable: i64, judged: i64) -> StageTimes {
    let after = |micros| AT + Duration::from_micros(u64::try_from(micros).unwrap());
    StageTimes { received: AT, durable: after(durable), judged: after(judged) }
}

#[test]
fn the_first_transition_is_the_root_and_its_stages_are_in_it_without_gaps() {
    let sent = AT + Duration::from_micros(9);
    let first = spans_of(transition(AlertState::Firing), times(3, 5), sent);
    let [whole, stages @ ..] = first.as_slice() else { panic!("{first:?}") };
    assert!(whole.parent_span_id.is_empty());
    assert_eq!(
        (whole.name.as_str(), text(whole, "bellwire.rule")),
        ("alert firing", Some("too-hot"))
    );
    let length = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
    let named: Vec<_> = stages.iter().map(|it| (it.name.as_str(), length(it))).collect();
    assert_eq!(named, [("log", 3_000), ("judge", 2_000), ("feed", 4_000)]);
    assert!(stages.iter().all(|it| it.parent_span_id == whole.span_id));
    assert!(first.iter().all(|it| it.trace_id == whole.trace_id && it.trace_id[7] == 7));

    let later = spans_of(transition(AlertState::Resolved), times(3, 5), sent);
    assert_eq!(later[0].parent_span_id, whole.span_id);
    assert_eq!(later[0].trace_id, whole.trace_id);
}

#[test]
fn a_clock_that_was_set_back_makes_no_span_that_ends_before_it_begins() {
    let back = StageTimes { durable: Timestamp::EPOCH, ..times(0, 9) };
    let spans = spans_of(transition(AlertState::Firing), back, Timestamp::EPOCH);
    assert!(spans.iter().all(|it| it.start_time_unix_nano == it.end_time_unix_nano), "{spans:?}");
}

#[test]
fn what_an_operator_said_is_not_told() {
    let step =
        Step { kind: StepKind::Commented, by: Some("ada".into()), text: Some("hush".into()) };
    let reason = "commented by ada: hush".into();
    let commented =
        Transition { step: Some(Box::new(step)), reason, ..transition(AlertState::Resolved) };
    let spans = spans_of(commented, times(1, 2), AT);
    assert_eq!(spans[0].name, "alert commented");
    assert_eq!(text(&spans[0], "bellwire.operator"), Some("ada"));
    assert!(!format!("{spans:?}").contains("hush"));
}

fn tracer(queue_max: usize) -> (Tracer, mpsc::Receiver<Event>, Metrics) {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let (sender, queue) = mpsc::channel(queue_max);
    let tracer = Tracer::new(sender, Sample::new(1.0), Arc::new(Fixed), metrics.clone());
    (tracer, queue, metrics)
}

fn request<'a>(method: &'a str, route: Option<&'a str>, status: u16) -> AnsweredRequest<'a> {
    let took = Duration::from_millis(2);
    AnsweredRequest { method, route, status, scheme: "http", traceparent: None, took }
}

#[test]
fn requests_leave_half_of_the_queue_to_alerts_and_what_is_dropped_is_counted() {
    let (tracer, mut queue, metrics) = tracer(8);
    for _ in 0..6 {
        tracer.answered(request("GET", Some("/api/v1/alerts"), 200));
    }
    tracer.answered(request("GET", Some("/healthz"), 200));
    assert_eq!((queue.len(), metrics.queue_full.get()), (4, 2));
    for _ in 0..5 {
        tracer.sent(transition(AlertState::Firing), times(1, 2), AT);
    }
    assert_eq!((queue.len(), metrics.queue_full.get()), (8, 2 + 4));
    assert!(matches!(queue.try_recv(), Ok(Event::Request(_))));
}

#[test]
fn a_request_has_the_names_of_the_conventions_and_nothing_of_its_path() {
    let (tracer, mut queue, _) = tracer(8);
    let line = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let known = AnsweredRequest {
        traceparent: Some(line),
        ..request("GET", Some("/api/v1/devices/{id}"), 503)
    };
    tracer.answered(known);
    tracer.answered(request("BREW", None, 405));
    let mut spans = Vec::new();
    while let Ok(event) = queue.try_recv() {
        spans::add(&event, LOG, &mut spans);
    }
    let [known, unknown] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(known.name, "GET /api/v1/devices/{id}");
    assert_eq!(known.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(text(known, "error.type"), Some("503"));
    assert_eq!(known.status.as_ref().map(|it| it.code), Some(2));
    assert_eq!(known.flags, 0x301);
    assert_eq!(known.end_time_unix_nano - known.start_time_unix_nano, 2_000_000);
    assert_eq!(
        (unknown.name.as_str(), text(unknown, "http.request.method")),
        ("HTTP", Some("_OTHER"))
    );
    assert!(unknown.status.is_none() && unknown.parent_span_id.is_empty());
}

#[test]
fn a_batch_that_is_tried_again_is_one_transaction() {
    let (tracer, mut queue, _) = tracer(8);
    let mut writes = Writes::new(tracer);
    let batch = bellwire_model::KeepBatch { n_publishes: 3, ..Default::default() };
    for _ in 0..2 {
        writes.begin(&batch);
        writes.failed();
    }
    writes.begin(&batch);
    writes.done(&batch);
    let Ok(Event::Write(write)) = queue.try_recv() else { panic!("one is there") };
    assert_eq!((write.n_retries, write.n_publishes), (2, 3));
    assert!(queue.try_recv().is_err());
}
