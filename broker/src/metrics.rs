//! What the MQTT server counts.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, Registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::close::CloseKind;
use crate::door::metrics::DoorMetrics;

/// Counters and gauges of the MQTT server; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) connections_opened: IntCounter,
    pub(crate) accept_errors: IntCounter,
    pub(crate) connections_held: IntGauge,
    pub(crate) subscriptions: IntGauge,
    pub(crate) sessions: IntGauge,
    pub(crate) retained: IntGauge,
    pub(crate) retained_refused: IntCounter,
    pub(crate) received_bytes: IntCounter,
    pub(crate) sent_bytes: IntCounter,
    pub(crate) writes: IntCounter,
    pub(crate) deliveries: IntCounter,
    pub(crate) publishes_telemetry: IntCounter,
    pub(crate) publishes_other: IntCounter,
    pub(crate) acknowledged: IntCounter,
    pub(crate) publishes_rejected: IntCounter,
    pub(crate) publishes_refused: IntCounter,
    pub(crate) publishes_lost: IntCounter,
    pub(crate) messages_sent: IntCounter,
    pub(crate) dropped_outbox_full: IntCounter,
    pub(crate) dropped_too_large: IntCounter,
    pub(crate) dropped_not_allowed: IntCounter,
    pub(crate) wills_published: IntCounter,
    closed: Vec<IntCounter>,
    pub(crate) door: DoorMetrics,
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register_int_counter_with_registry!(Opts::new(name, help), registry)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register_int_gauge_with_registry!(Opts::new(name, help), registry)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    register_int_counter_vec_with_registry!(Opts::new(name, help), &[label], registry)
}

fn publishes(registry: &Registry) -> Result<[IntCounter; 2], prometheus::Error> {
    let name = "bellwire_mqtt_publishes_received_total";
    let help = "PUBLISH packets read: telemetry goes to the log, the others to subscribers only.";
    let publishes = counters(registry, name, help, "kind")?;
    Ok(["telemetry", "other"].map(|kind| publishes.with_label_values(&[kind])))
}

fn dropped(registry: &Registry) -> Result<[IntCounter; 3], prometheus::Error> {
    let name = "bellwire_mqtt_messages_dropped_total";
    let help = "Messages not sent to a subscriber, by why.";
    let dropped = counters(registry, name, help, "reason")?;
    Ok(["outbox_full", "too_large_for_client", "not_allowed"]
        .map(|reason| dropped.with_label_values(&[reason])))
}

/// How publishes end.
fn answers(registry: &Registry) -> Result<[IntCounter; 4], prometheus::Error> {
    let count = |name: &str, help: &str| counter(registry, name, help);
    Ok([
        count(
            "bellwire_mqtt_publishes_acknowledged_total",
            "QoS 1 and 2 publishes acknowledged with success.",
        )?,
        count(
            "bellwire_mqtt_publishes_rejected_total",
            "QoS 1 and 2 publishes that the log will never take, told to the client.",
        )?,
        count(
            "bellwire_mqtt_publishes_refused_total",
            "Publishes on topics that the client may not publish to.",
        )?,
        count(
            "bellwire_mqtt_publishes_lost_total",
            "QoS 0 telemetry that the log did not take: nobody sends it again.",
        )?,
    ])
}

/// What outlives connections.
fn kept(registry: &Registry) -> Result<[IntGauge; 2], prometheus::Error> {
    Ok([
        gauge(
            registry,
            "bellwire_mqtt_sessions_kept",
            "Sessions that outlive their connections, of clients that are there or away.",
        )?,
        gauge(registry, "bellwire_mqtt_retained_messages", "Retained messages.")?,
    ])
}

/// One counter per [`CloseKind`], in its order.
fn closed(registry: &Registry) -> Result<Vec<IntCounter>, prometheus::Error> {
    let name = "bellwire_mqtt_connections_closed_total";
    let closed = counters(registry, name, "Connections that ended, by why.", "reason")?;
    Ok(CloseKind::ALL.iter().map(|kind| closed.with_label_values(&[kind.label()])).collect())
}

impl Metrics {
    /// Makes the metrics and adds them to `registry`.
    ///
    /// # Errors
    /// If `registry` has one of the names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let r = registry;
        let [publishes_telemetry, publishes_other] = publishes(r)?;
        let [dropped_outbox_full, dropped_too_large, dropped_not_allowed] = dropped(r)?;
        let [acknowledged, publishes_rejected, publishes_refused, publishes_lost] = answers(r)?;
        let [sessions, retained] = kept(r)?;
        let count = |name: &str, help: &str| counter(r, name, help);
        let gauge = |name: &str, help: &str| gauge(r, name, help);
        Ok(Self {
            connections: gauge("bellwire_mqtt_connections", "Open connections.")?,
            connections_opened: count(
                "bellwire_mqtt_connections_opened_total",
                "Connections taken.",
            )?,
            accept_errors: count(
                "bellwire_mqtt_accept_errors_total",
                "Connections the system could not hand over, for want of descriptors say.",
            )?,
            connections_held: gauge(
                "bellwire_mqtt_connections_held",
                "Connections not read from because the log has no room.",
            )?,
            subscriptions: gauge("bellwire_mqtt_subscriptions", "Subscriptions.")?,
            sessions,
            retained,
            retained_refused: count(
                "bellwire_mqtt_retained_refused_total",
                "Messages not retained because there are as many as there may be.",
            )?,
            received_bytes: count(
                "bellwire_mqtt_received_bytes_total",
                "Bytes read from clients.",
            )?,
            sent_bytes: count("bellwire_mqtt_sent_bytes_total", "Bytes written to clients.")?,
            writes: count("bellwire_mqtt_writes_total", "Writes to clients' sockets.")?,
            deliveries: count(
                "bellwire_mqtt_deliveries_total",
                "Deliveries handed to the log; each has the telemetry of one read.",
            )?,
            publishes_telemetry,
            publishes_other,
            acknowledged,
            publishes_rejected,
            publishes_refused,
            publishes_lost,
            messages_sent: count(
                "bellwire_mqtt_messages_sent_total",
                "Messages sent to subscribers.",
            )?,
            dropped_outbox_full,
            dropped_too_large,
            dropped_not_allowed,
            wills_published: count("bellwire_mqtt_wills_total", "Wills published.")?,
            closed: closed(r)?,
            door: DoorMetrics::register(r)?,
        })
    }

    /// The counter of connections that ended like this.
    pub(crate) fn closed(&self, kind: CloseKind) -> &IntCounter {
        &self.closed[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_has_its_own_counter() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("fresh registry");
        for &kind in CloseKind::ALL {
            metrics.closed(kind).inc();
        }
        for &kind in CloseKind::ALL {
            assert_eq!(metrics.closed(kind).get(), 1, "{kind:?}");
        }
        assert!(Metrics::register(&registry).is_err(), "names are taken");
    }
}
