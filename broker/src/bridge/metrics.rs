//! What bridges count.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
};

/// Why a publish does not go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its topic is no telemetry, or lacks the prefix.
    NoTelemetry,
    /// The packet is larger than `mqtt.packet_bytes_max`.
    TooLarge,
    /// The broker had retained it: when it was published is not known.
    Retained,
    /// The log does not take the record.
    NotTaken,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::NoTelemetry, Self::TooLarge, Self::Retained, Self::NotTaken];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoTelemetry => "no_telemetry",
            Self::TooLarge => "too_large",
            Self::Retained => "retained",
            Self::NotTaken => "not_taken",
        }
    }
}

/// Counters and gauges of all bridges; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct BridgeMetrics {
    connected: IntGaugeVec,
    received: IntCounterVec,
    acknowledged: IntCounterVec,
    connects: IntCounterVec,
    failures: IntCounterVec,
    lost_sessions: IntCounterVec,
    rejected: IntCounterVec,
    sent: IntCounterVec,
}

impl BridgeMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            register_int_counter_vec_with_registry!(Opts::new(name, help), &["bridge"], registry)
        };
        let connected = Opts::new(
            "bellwire_bridge_connected",
            "Whether a bridge is connected to its broker and subscribed.",
        );
        let rejected = Opts::new(
            "bellwire_bridge_rejected_total",
            "PUBLISH packets that a bridge acknowledged without putting them into the log, by why.",
        );
        Ok(Self {
            connected: register_int_gauge_vec_with_registry!(connected, &["bridge"], registry)?,
            received: counter(
                "bellwire_bridge_received_total",
                "PUBLISH packets that a bridge has received.",
            )?,
            acknowledged: counter(
                "bellwire_bridge_acknowledged_total",
                "PUBLISH packets that a bridge has acknowledged.",
            )?,
            connects: counter(
                "bellwire_bridge_connects_total",
                "How often a bridge was connected, the first time included.",
            )?,
            failures: counter(
                "bellwire_bridge_failures_total",
                "Connections of a bridge that ended or did not come about.",
            )?,
            lost_sessions: counter(
                "bellwire_bridge_lost_sessions_total",
                "How often a broker had forgotten the session of a bridge.",
            )?,
            rejected: register_int_counter_vec_with_registry!(
                rejected,
                &["bridge", "reason"],
                registry
            )?,
            sent: counter(
                "bellwire_bridge_sent_total",
                "Messages that a bridge has published on its broker.",
            )?,
        })
    }

    /// Those of one bridge.
    pub(crate) fn of(&self, bridge: &str) -> OneBridge {
        let of = |all: &IntCounterVec| all.with_label_values(&[bridge]);
        OneBridge {
            connected: self.connected.with_label_values(&[bridge]),
            received: of(&self.received),
            acknowledged: of(&self.acknowledged),
            connects: of(&self.connects),
            failures: of(&self.failures),
            lost_sessions: of(&self.lost_sessions),
            rejected: Refusal::ALL
                .map(|reason| self.rejected.with_label_values(&[bridge, reason.label()])),
            sent: of(&self.sent),
        }
    }
}

/// Counters and gauges of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct OneBridge {
    pub(crate) connected: IntGauge,
    pub(crate) received: IntCounter,
    pub(crate) acknowledged: IntCounter,
    pub(crate) connects: IntCounter,
    pub(crate) failures: IntCounter,
    pub(crate) lost_sessions: IntCounter,
    rejected: [IntCounter; 4],
    pub(crate) sent: IntCounter,
}

impl OneBridge {
    pub(crate) fn rejected(&self, reason: Refusal) -> &IntCounter {
        &self.rejected[reason as usize]
    }
}
