//! What sending counts.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

/// Seconds that a receiver takes to answer.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Counters and gauges of all channels; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    sent: IntCounterVec,
    failed: IntCounterVec,
    waiting: IntGaugeVec,
    oldest: IntGaugeVec,
    seconds: HistogramVec,
    /// Alerts that are followed.
    pub(crate) alerts: IntGauge,
    lost: IntCounterVec,
    /// Bytes of the state, as last written.
    pub(crate) state_bytes: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sent = Opts::new("bellwire_notify_sent_total", "Messages that their receivers have.");
        let failed = Opts::new(
            "bellwire_notify_failed_total",
            "Messages that did not arrive, by why: away is tried again, rejected after a while.",
        );
        let waiting = Opts::new("bellwire_notify_waiting", "Messages that could be sent now.");
        let oldest = Opts::new(
            "bellwire_notify_oldest_seconds",
            "For how long the oldest message that waits could have been sent.",
        );
        let seconds = HistogramOpts::new(
            "bellwire_notify_send_seconds",
            "How long receivers take to answer a message.",
        )
        .buckets(BUCKETS.to_vec());
        let lost = Opts::new(
            "bellwire_notify_lost_total",
            "What nobody will be told: alerts beyond the limit, and ends of alerts given up.",
        );
        let lost = register_int_counter_vec_with_registry!(lost, &["reason"], registry)?;
        for reason in ["not_taken", "given_up"] {
            lost.with_label_values(&[reason]);
        }
        Ok(Self {
            sent: register_int_counter_vec_with_registry!(sent, &["channel"], registry)?,
            failed: register_int_counter_vec_with_registry!(
                failed,
                &["channel", "reason"],
                registry
            )?,
            waiting: register_int_gauge_vec_with_registry!(waiting, &["channel"], registry)?,
            oldest: register_int_gauge_vec_with_registry!(oldest, &["channel"], registry)?,
            seconds: register_histogram_vec_with_registry!(seconds, &["channel"], registry)?,
            alerts: register_int_gauge_with_registry!(
                Opts::new("bellwire_notify_alerts", "Alerts that are followed for sending."),
                registry
            )?,
            lost,
            state_bytes: register_int_gauge_with_registry!(
                Opts::new("bellwire_notify_state_bytes", "Bytes of what was told to whom."),
                registry
            )?,
        })
    }

    /// Those of one channel.
    pub(crate) fn of(&self, channel: &str) -> OneChannel {
        OneChannel {
            sent: self.sent.with_label_values(&[channel]),
            away: self.failed.with_label_values(&[channel, "away"]),
            rejected: self.failed.with_label_values(&[channel, "rejected"]),
            waiting: self.waiting.with_label_values(&[channel]),
            oldest: self.oldest.with_label_values(&[channel]),
            seconds: self.seconds.with_label_values(&[channel]),
        }
    }

    pub(crate) fn lost(&self, reason: &str, n: u64) {
        self.lost.with_label_values(&[reason]).inc_by(n);
    }
}

/// Those of one channel.
#[derive(Clone, Debug)]
pub(crate) struct OneChannel {
    pub(crate) sent: IntCounter,
    pub(crate) away: IntCounter,
    pub(crate) rejected: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) oldest: IntGauge,
    pub(crate) seconds: Histogram,
}
