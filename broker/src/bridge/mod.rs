//! A door beside the listeners: an existing MQTT broker, of which we are a client. What it sends
//! becomes a [`Delivery`](bellwire_model::Delivery), and is acknowledged to it when that is durable.
//!
//! A publish's way through: [`link`] opens TCP and TLS; [`exchange`] reads once and gives the bytes to
//! the [`session`], which cuts them with the broker's own [`codec`](crate::codec) into packets; what is
//! telemetry goes as one delivery through the [`BridgeInlet`], and what is [`owed`] for it is
//! acknowledged in order of arrival, with one write for all that is durable by then.
//!
//! The broker keeps a session for us, so what is published while we are away waits there. What it sends
//! again, because an acknowledgement was lost with the connection or with us, comes with DUP and its
//! old packet identifier, under a client name that is the bridge's own: by that the log's readers know
//! it again.
//!
//! **Invariant:** nothing is acknowledged before its receipt is settled. The session has no I/O, no
//! async and no clock.

mod address;
mod backoff;
mod config;
mod exchange;
mod filters;
mod link;
mod metrics;
mod owed;
mod packets;
mod session;
mod status;
mod tls;
mod version;

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{ClientId, PublishBatch};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use config::{BridgeConfig, Protocol, check};
pub use metrics::BridgeMetrics;
pub use status::BridgeStatus;

use crate::codec::Version;
use crate::codec::encode::SessionPresent;
use crate::handle::BrokerHandle;
use crate::listener::Inlet;
use backoff::Backoff;
use exchange::{End, Exchange};
use metrics::{OneBridge, Refusal};
use status::SharedStatus;

/// How many messages wait to be published on a broker. Full: a further one is dropped.
const OUTWARD_QUEUE: usize = 256;

/// Where telemetry goes, and what is subscribed to for it: the port that a bridge needs.
pub trait BridgeInlet: Inlet {
    /// MQTT's filters for all topics that [`Inlet::claims`] claims; others with them do no harm.
    fn filters(&self) -> Vec<String>;
}

/// What all bridges of a service share.
#[derive(Debug)]
pub struct BridgeParts<I> {
    /// Where telemetry goes.
    pub inlet: Arc<I>,
    /// Whose subscribers get what is durable.
    pub broker: BrokerHandle,
    /// What is counted.
    pub metrics: BridgeMetrics,
    /// Packets that are larger are passed over, in bytes.
    pub packet_bytes_max: usize,
    /// What tells this service from others, in client identifiers that are not configured.
    pub service: String,
}

/// A message for the broker's other clients.
#[derive(Clone, Debug)]
struct Outward {
    topic: Box<str>,
    payload: Vec<u8>,
}

/// A bridge, as the rest of the service sees it. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct BridgeHandle {
    name: Arc<str>,
    status: Arc<SharedStatus>,
    outward: mpsc::Sender<Outward>,
}

impl BridgeHandle {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> BridgeStatus {
        self.status.get()
    }

    /// Publishes on the broker with QoS 0, soon; `topic` is a valid topic name, without the prefix.
    /// False if the bridge is not connected, or too much waits.
    #[must_use]
    pub fn publish(&self, topic: &str, payload: &[u8]) -> bool {
        let is_there =
            matches!(self.status(), BridgeStatus::Connected | BridgeStatus::Incomplete(_));
        let outward = Outward { topic: topic.into(), payload: payload.to_vec() };
        is_there && self.outward.try_send(outward).is_ok()
    }
}

/// A bridge that runs.
#[derive(Debug)]
struct Bridge<I> {
    config: Arc<BridgeConfig>,
    client_id: String,
    /// Whom the log names as the client.
    source: ClientId,
    inlet: Arc<I>,
    broker: BrokerHandle,
    metrics: OneBridge,
    status: Arc<SharedStatus>,
    outward: mpsc::Receiver<Outward>,
    packet_bytes_max: usize,
    /// What the broker has understood since the service started.
    spoken: Option<Version>,
    /// The reasons of refusals that were logged since the last connect.
    said: Vec<Refusal>,
}

/// Starts a bridge, of a configuration that was checked; it ends when `stopping` is cancelled, having
/// acknowledged what is in the log by then.
///
/// # Panics
/// If the configuration was not checked.
pub fn start<I: BridgeInlet>(
    config: BridgeConfig,
    parts: &BridgeParts<I>,
    stopping: CancellationToken,
    tracker: &TaskTracker,
) -> BridgeHandle {
    let (sender, outward) = mpsc::channel(OUTWARD_QUEUE);
    let status = Arc::new(SharedStatus::default());
    let default_id = || format!("bellwire-{}-{}", config.name, parts.service);
    let source = ClientId::new(&format!("bridge/{}", config.name));
    let handle = BridgeHandle {
        name: config.name.as_str().into(),
        status: Arc::clone(&status),
        outward: sender,
    };
    let bridge = Bridge {
        client_id: config.client_id.clone().unwrap_or_else(default_id),
        source: source.expect("the configuration was checked: names are short and plain"),
        inlet: Arc::clone(&parts.inlet),
        broker: parts.broker.clone(),
        metrics: parts.metrics.of(&config.name),
        status,
        outward,
        packet_bytes_max: parts.packet_bytes_max,
        spoken: None,
        said: Vec::new(),
        config: Arc::new(config),
    };
    tracker.spawn(bridge.run(stopping));
    handle
}

impl<I: BridgeInlet> Bridge<I> {
    async fn run(mut self, stopping: CancellationToken) {
        let mut backoff = Backoff::new(self.config.reconnect_max());
        let mut version = version::first(self.config.protocol);
        if self.config.is_in_clear() {
            let (name, url) = (&self.config.name, &self.config.url);
            warn!(
                "Bridge `{name}` to {url} is not encrypted: passwords and readings can be read on the way."
            );
        }
        while !stopping.is_cancelled() {
            let since = Instant::now();
            let end = self.connect(version, &stopping).await;
            self.metrics.connected.set(0);
            version = version::next(self.config.protocol, version, &end, self.spoken);
            let why = match end {
                End::Stopped => return,
                End::Failed(why) | End::Mute(why) => why,
                End::WrongVersion => "it does not know this version of MQTT".to_owned(),
            };
            backoff.ended(since.elapsed());
            let pause = backoff.pause(backoff::throw());
            self.went_away(why, pause);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn connect(&mut self, version: Version, stopping: &CancellationToken) -> End {
        let opened = tokio::select! {
            () = stopping.cancelled() => return End::Stopped,
            opened = link::open(&self.config) => opened,
        };
        match opened {
            Ok(stream) => Exchange::new(self, stream, version).run(stopping).await,
            Err(why) => End::Failed(why),
        }
    }

    /// The broker has accepted us.
    fn came_in(&mut self, version: Version, session: SessionPresent) {
        self.metrics.connects.inc();
        self.said.clear();
        let name = &self.config.name;
        if self.spoken.is_some() && session == SessionPresent::No {
            self.metrics.lost_sessions.inc();
            warn!(
                bridge = name,
                "The broker of bridge `{name}` has forgotten our session: what was published while \
                 we were away, or was not acknowledged, does not come."
            );
        }
        self.spoken = Some(version);
        if session == SessionPresent::Yes {
            info!(bridge = name, "The broker of bridge `{name}` has kept our session.");
        }
    }

    /// The connection has ended, or did not come about. Said once for each reason in a row.
    fn went_away(&self, why: String, pause: Duration) {
        self.metrics.failures.inc();
        let BridgeConfig { name, url, .. } = &*self.config;
        let (said, pause_ms) = (why.clone(), pause.as_millis());
        if self.status.set(BridgeStatus::Away(why)) {
            warn!(
                bridge = name,
                pause_ms,
                "Bridge `{name}` is not connected to {url}: {said}. It tries again and again."
            );
        } else {
            debug!(bridge = name, pause_ms, "Bridge `{name}` is still not connected: {said}.");
        }
    }

    /// What is to be subscribed to, as the broker knows it.
    fn wanted(&self) -> Vec<String> {
        let config = &*self.config;
        let wanted =
            if config.topics.is_empty() { self.inlet.filters() } else { config.topics.clone() };
        let outside = wanted.iter().map(|filter| config.outside(filter)).collect();
        let shared = |filter: String| match &config.share {
            Some(group) => format!("$share/{group}/{filter}"),
            None => filter,
        };
        filters::distinct(outside).into_iter().map(shared).collect()
    }

    /// Counts a publish that does not go to the log; the first of a reason is logged.
    fn refuse(&mut self, reason: Refusal, topic: &str) {
        self.metrics.rejected(reason).inc();
        if self.said.contains(&reason) {
            return;
        }
        self.said.push(reason);
        let (name, label) = (&self.config.name, reason.label());
        if reason == Refusal::NoTelemetry {
            // A filter may match more than is telemetry.
            info!(
                bridge = name,
                topic,
                "Bridge `{name}` gets more than telemetry, `{topic}` for one: it is dropped, and counted \
                 in bellwire_bridge_rejected_total."
            );
            return;
        }
        warn!(
            bridge = name,
            reason = label,
            topic,
            "Bridge `{name}` drops a publish on `{topic}` ({label}); further ones are counted in \
             bellwire_bridge_rejected_total."
        );
    }

    /// Passes on to subscribers of our own listener what is durable.
    fn echo(&self, publishes: Option<&PublishBatch>) {
        for publish in publishes.into_iter().flatten().flatten() {
            // It is a topic name: the session has looked.
            let _subscribers = self.broker.publish(publish.topic, publish.payload, publish.qos);
        }
    }
}
