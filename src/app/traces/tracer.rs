//! Takes notice of what is to be traced, and waits for nobody: what finds the queue full is dropped and
//! counted.

use std::sync::Arc;

use bellwire_api::ports::{AnsweredRequest, RequestWitness, TransitionWitness};
use bellwire_model::{Clock, KeepBatch, LogPosition, StageTimes, Timestamp, Transition};
use bellwire_notify::Witness;
use bellwire_notify::deliveries::Delivery;
use tokio::sync::mpsc;

use super::event::{Event, Request, Write};
use super::ids::{Parent, Sample};
use super::metrics::Metrics;

/// Routes of which there are no traces: what watches us asks them all the time.
const WATCHED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Clones share the queue.
#[derive(Clone, Debug)]
pub(in crate::app) struct Tracer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Event>,
    sample: Sample,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Tracer {
    pub(super) fn new(
        queue: mpsc::Sender<Event>,
        sample: Sample,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner { queue, sample, clock, metrics }))
    }

    /// Something of an alert.
    fn tell(&self, event: Event) {
        let n_spans = event.n_spans();
        if self.0.queue.try_send(event).is_err() {
            self.0.metrics.queue_full.inc_by(n_spans as u64);
        }
    }

    /// One of many; half of the queue is kept for alerts.
    fn tell_sampled(&self, event: Event) {
        if self.0.queue.capacity() <= self.0.queue.max_capacity() / 2 {
            self.0.metrics.queue_full.inc_by(event.n_spans() as u64);
        } else {
            self.tell(event);
        }
    }
}

impl TransitionWitness for Tracer {
    fn sent(&self, transition: Transition, times: StageTimes, sent: Timestamp) {
        self.tell(Event::Transition(Box::new(transition), times, sent));
    }
}

impl Witness for Tracer {
    fn attempted(&self, delivery: &Delivery) {
        if !delivery.alerts.is_empty() {
            self.tell(Event::Delivery(Box::new(delivery.clone())));
        }
    }
}

impl RequestWitness for Tracer {
    fn answered(&self, request: AnsweredRequest<'_>) {
        if request.route.is_some_and(|route| WATCHED.contains(&route)) {
            return;
        }
        let parent = request.traceparent.and_then(Parent::parse);
        let Some(context) = self.0.sample.place(parent) else { return };
        let end = self.0.clock.now();
        self.tell_sampled(Event::Request(Box::new(Request {
            context,
            method: request.method.to_owned(),
            route: request.route.map(str::to_owned),
            status: request.status,
            scheme: request.scheme,
            start: end - request.took,
            end,
        })));
    }
}

/// Follows what *keep* writes. A batch that it tries again is one transaction that took longer.
#[derive(Debug)]
pub(in crate::app) struct Writes {
    tracer: Tracer,
    trying: Option<Trying>,
}

/// The batch that is being written.
#[derive(Clone, Copy, Debug)]
struct Trying {
    from: LogPosition,
    start: Timestamp,
    n_failed: u32,
}

impl Writes {
    pub(in crate::app) const fn new(tracer: Tracer) -> Self {
        Self { tracer, trying: None }
    }

    /// A batch is about to be written, perhaps again.
    pub(in crate::app) fn begin(&mut self, batch: &KeepBatch) {
        if self.trying.is_none_or(|trying| trying.from != batch.start) {
            let start = self.tracer.0.clock.now();
            self.trying = Some(Trying { from: batch.start, start, n_failed: 0 });
        }
    }

    /// It was not.
    pub(in crate::app) const fn failed(&mut self) {
        if let Some(trying) = &mut self.trying {
            trying.n_failed = trying.n_failed.saturating_add(1);
        }
    }

    /// It was. What had to be tried again is traced in any case.
    pub(in crate::app) fn done(&mut self, batch: &KeepBatch) {
        let Some(Trying { start, n_failed, .. }) = self.trying.take() else { return };
        let place =
            if n_failed > 0 { Sample::place_always() } else { self.tracer.0.sample.place(None) };
        let Some(context) = place else { return };
        self.tracer.tell_sampled(Event::Write(Box::new(Write {
            context,
            extent: (batch.start, batch.end),
            n_publishes: batch.n_publishes,
            n_readings: batch.readings.len(),
            n_quarantined: batch.quarantined.len(),
            n_transitions: batch.transitions.len(),
            n_retries: n_failed,
            start,
            end: self.tracer.0.clock.now(),
        })));
    }
}
