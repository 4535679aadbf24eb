//! What the broker does by itself, once a second: ends sessions and publishes wills whose time has
//! come, and says how it is under `$SYS/broker`.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::QoS;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::courier;
use crate::desk::Shared;
use crate::listener::Inlet;
use crate::message::Routed;
use crate::ops::Effects;

/// How exact expiry is.
const EVERY: Duration = Duration::from_secs(1);
/// Of how many of these one tells how the broker is.
const STATISTICS_EVERY: u64 = 10;

/// Runs until `shutdown`.
pub(crate) async fn run<I: Inlet>(shared: Arc<Shared<I>>, shutdown: CancellationToken) {
    let mut pulse = interval(EVERY);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n_pulses = 0_u64;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = pulse.tick() => {}
        }
        let mut effects = Effects::default();
        // [MQTT-4.1.0-2], [MQTT-3.1.2-23]
        let partings = shared.hub.expire(shared.clock.now(), &mut effects);
        tokio::select! {
            // What has not found room is in the log as a session that may end: it will, later.
            () = shutdown.cancelled() => return,
            () = courier::part(&shared, partings, effects) => {}
        }
        if n_pulses.is_multiple_of(STATISTICS_EVERY) {
            tell(&shared);
        }
        n_pulses += 1;
    }
}

/// Says how the broker is, by the names that other brokers use as well.
fn tell<I>(shared: &Shared<I>) {
    let metrics = &shared.metrics;
    let uptime_s = shared.clock.now().since(shared.started_at).as_secs();
    let n_connected = metrics.connections.get();
    let n_kept = i64::try_from(shared.hub.n_kept()).unwrap_or(i64::MAX);
    let received = metrics.publishes_telemetry.get() + metrics.publishes_other.get();
    for (name, value) in [
        ("version", concat!("bellwire ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("uptime", format!("{uptime_s} seconds")),
        ("clients/connected", n_connected.to_string()),
        ("clients/total", n_connected.max(n_kept).to_string()),
        ("subscriptions/count", shared.hub.n_subscriptions().to_string()),
        ("retained messages/count", metrics.retained.get().to_string()),
        ("publish/messages/received", received.to_string()),
        ("publish/messages/sent", metrics.messages_sent.get().to_string()),
        ("publish/messages/dropped", metrics.dropped_outbox_full.get().to_string()),
        ("bytes/received", metrics.received_bytes.get().to_string()),
        ("bytes/sent", metrics.sent_bytes.get().to_string()),
    ] {
        shared.hub.retain_own(&Routed {
            topic: &format!("$SYS/broker/{name}"),
            properties: &[],
            payload: value.as_bytes(),
            qos: QoS::AtMostOnce,
            retain: true,
            expires_at: None,
        });
    }
}
