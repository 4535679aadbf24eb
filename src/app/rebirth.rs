//! *Judge* → Sparkplug's edge nodes: those whose messages were lost, or are not understood, are asked
//! to tell all again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::BrokerHandle;
use bellwire_broker::bridge::BridgeHandle;
use bellwire_ingest::sparkplug::rebirth_request;
use bellwire_model::{Clock, QoS};
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::info;

/// How many requests wait for the broker. Full: the node is asked because of its next message.
const QUEUE: usize = 1_024;
/// A node is asked again after this long at the earliest: births are large, and take their time.
const PAUSE: Duration = Duration::from_secs(10);
/// The most nodes of which it is remembered when they were asked.
const NODES_MAX: usize = 100_000;

/// Where *judge* says which nodes to ask, by the topic of their commands.
#[derive(Clone, Debug)]
pub(super) struct Asking(mpsc::Sender<Box<str>>);

/// What *judge* has said.
pub(super) type Asked = mpsc::Receiver<Box<str>>;

/// A queue from *judge* to the broker.
pub(super) fn queue() -> (Asking, Asked) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Asking(sender), receiver)
}

impl Asking {
    /// Asks the node whose commands are on `topic`, soon.
    pub(super) fn ask(&self, topic: &str) {
        let _full_or_ended = self.0.try_send(topic.into());
    }
}

/// Publishes the requests until *judge* has ended.
///
/// # Errors
/// If the metric cannot be registered.
pub(super) fn follow(
    asked: Asked,
    (broker, bridges): (BrokerHandle, Arc<[BridgeHandle]>),
    clock: Arc<dyn Clock>,
    (tracker, registry): (&TaskTracker, &Registry),
) -> Result<(), prometheus::Error> {
    let sent = IntCounter::new(
        "bellwire_sparkplug_rebirths_total",
        "Requests to Sparkplug's edge nodes to tell all again.",
    )?;
    registry.register(Box::new(sent.clone()))?;
    tracker.spawn(run(asked, (broker, bridges), clock, sent));
    Ok(())
}

async fn run(
    mut asked: Asked,
    (broker, bridges): (BrokerHandle, Arc<[BridgeHandle]>),
    clock: Arc<dyn Clock>,
    sent: IntCounter,
) {
    let mut pauses = Pauses::default();
    while let Some(topic) = asked.recv().await {
        if !pauses.may_ask(&topic, Instant::now()) {
            continue;
        }
        // Its levels are those of a topic that a client has published on.
        let request = rebirth_request(clock.now());
        let is_here = matches!(broker.publish(&topic, &request, QoS::AtMostOnce), Ok(1..));
        // Who has not subscribed with us may be behind any of the bridges.
        let n_outside =
            bridges.iter().filter(|bridge| !is_here && bridge.publish(&topic, &request));
        if is_here || n_outside.count() > 0 {
            info!("Asked a node of Sparkplug to tell all again, on {topic}.");
            sent.inc();
        }
    }
}

/// When nodes were asked.
#[derive(Debug, Default)]
struct Pauses(HashMap<Box<str>, Instant>);

impl Pauses {
    /// Whether the node may be asked now; it then is.
    fn may_ask(&mut self, topic: &str, now: Instant) -> bool {
        if self.0.get(topic).is_some_and(|last| now.duration_since(*last) < PAUSE) {
            return false;
        }
        if self.0.len() >= NODES_MAX {
            self.0.retain(|_, last| now.duration_since(*last) < PAUSE);
        }
        self.0.len() < NODES_MAX && {
            self.0.insert(topic.into(), now);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_time_to_answer() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        assert!(pauses.may_ask("a", now) && pauses.may_ask("b", now));
        assert!(!pauses.may_ask("a", now + PAUSE / 2));
        assert!(pauses.may_ask("a", now + PAUSE));
    }
}
