//! The task that makes spans of what happened and sends them. Only the queue before it may fill.

use std::time::Duration;

use bellwire_model::LogId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::collector::{Answer, Collector};
use super::event::Event;
use super::metrics::Metrics;
use super::otlp::Span;
use super::spans;

/// How long the first waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);
/// The most spans in one request, about 200 KB; and what is enough for one.
const SPANS_MAX: usize = 512;
/// The first pause while the collector is away, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Sends what is in the queue.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) queue: mpsc::Receiver<Event>,
    pub(super) collector: Collector,
    pub(super) log: LogId,
    pub(super) metrics: Metrics,
    /// What is to be sent next.
    pub(super) spans: Vec<Span>,
    pub(super) mood: Mood,
}

/// How the collector fares, as it was said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Unwell,
}

impl Exporter {
    /// Sends until it is told to stop; then what waits, as far as that takes no longer than `last`.
    pub(super) async fn run(mut self, stopping: CancellationToken, last: Duration) {
        tokio::select! {
            () = self.follow() => {}
            () = stopping.cancelled() => {}
        }
        self.queue.close();
        // Whoever does not answer now is not waited for.
        let _ = timeout(last, self.send_all()).await;
        let n_queued = std::iter::from_fn(|| self.queue.try_recv().ok());
        let n_left = self.spans.len() + n_queued.map(|event| event.n_spans()).sum::<usize>();
        if n_left > 0 {
            self.metrics.stopped.inc_by(n_left as u64);
            info!(n_left, "{n_left} spans of traces were not sent.");
        }
    }

    /// # Cancel safety
    /// Safe: what was not sent yet stays in `spans`. What is on its way may be sent again.
    async fn follow(&mut self) {
        let mut pause = PAUSE_MIN;
        while self.gather().await {
            while !self.spans.is_empty() {
                pause = match self.send().await {
                    None => PAUSE_MIN,
                    Some(after) => {
                        sleep(after.unwrap_or(pause).clamp(PAUSE_MIN, PAUSE_MAX)).await;
                        (pause * 2).min(PAUSE_MAX)
                    }
                };
            }
        }
    }

    /// Waits for something to send; false if there will be no more.
    async fn gather(&mut self) -> bool {
        let Some(first) = self.queue.recv().await else { return false };
        spans::add(&first, self.log, &mut self.spans);
        let until = Instant::now() + GATHER;
        while self.spans.len() < SPANS_MAX
            && let Ok(Some(event)) = timeout_at(until, self.queue.recv()).await
        {
            spans::add(&event, self.log, &mut self.spans);
        }
        true
    }

    /// Sends what is there, until there is no more or it is not taken.
    async fn send_all(&mut self) {
        loop {
            while self.spans.len() < SPANS_MAX
                && let Ok(event) = self.queue.try_recv()
            {
                spans::add(&event, self.log, &mut self.spans);
            }
            if self.spans.is_empty() || self.send().await.is_some() {
                return;
            }
        }
    }

    /// Sends a request's worth; if they are to be sent again, when the collector wants them, if it says so.
    async fn send(&mut self) -> Option<Option<Duration>> {
        let n_spans = self.spans.len().min(SPANS_MAX);
        let body = self.collector.body(self.spans[..n_spans].to_vec());
        match self.collector.post(body).await {
            Answer::Taken(n_refused, why) => {
                let n_refused = n_refused.min(n_spans);
                self.metrics.exported.inc_by((n_spans - n_refused) as u64);
                self.metrics.refused.inc_by(n_refused as u64);
                if n_refused > 0 {
                    self.unwell(&format!("does not take some of it: {why}"));
                } else if std::mem::replace(&mut self.mood, Mood::Well) == Mood::Unwell {
                    info!("Traces are sent again.");
                }
            }
            Answer::Refused(why) => {
                self.metrics.refused.inc_by(n_spans as u64);
                self.unwell(&format!("does not take them: {why}"));
            }
            Answer::Away(why, after) => {
                self.unwell(&format!("is away: {why}"));
                return Some(after);
            }
        }
        self.spans.drain(..n_spans);
        None
    }

    /// Says it once.
    fn unwell(&mut self, what: &str) {
        if std::mem::replace(&mut self.mood, Mood::Unwell) == Mood::Well {
            warn!("Traces are not sent; their collector {what}");
        }
    }
}
