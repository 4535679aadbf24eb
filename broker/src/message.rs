//! A message on its way from a publisher to subscribers.

use std::sync::Arc;

use bellwire_model::QoS;

use crate::codec::publish::Outbound;

/// A publish as it is routed, borrowed from where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routed<'a> {
    /// Where it was published; a valid topic name.
    pub(crate) topic: &'a str,
    /// The publisher's encoded properties for MQTT 5 subscribers.
    pub(crate) properties: &'a [u8],
    /// What was published.
    pub(crate) payload: &'a [u8],
    /// The quality of service it was published with.
    pub(crate) qos: QoS,
    /// RETAIN as it was published.
    pub(crate) retain: bool,
}

/// What subscribers share of a message: one copy however many they are.
#[derive(Debug)]
pub(crate) struct Message {
    topic: Box<str>,
    /// The properties, then the payload.
    rest: Box<[u8]>,
    properties_bytes: usize,
}

impl Message {
    /// Copies what `routed` borrows.
    pub(crate) fn new(routed: &Routed<'_>) -> Arc<Self> {
        Arc::new(Self {
            topic: routed.topic.into(),
            rest: [routed.properties, routed.payload].concat().into_boxed_slice(),
            properties_bytes: routed.properties.len(),
        })
    }
}

/// A message waiting for one subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The message.
    pub(crate) message: Arc<Message>,
    /// The quality of service it is sent with: 0 or 1.
    pub(crate) qos: QoS,
    /// RETAIN as this subscriber shall see it.
    pub(crate) retain: bool,
    /// The identifiers of the subscriptions it matched; empty if they have none.
    pub(crate) subscription_ids: Vec<u32>,
}

impl Outgoing {
    /// What it counts against the subscriber's bound, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.message.topic.len() + self.message.rest.len()
    }

    /// The packet it becomes.
    pub(crate) fn outbound(&self, packet_id: Option<u16>) -> Outbound<'_> {
        let (properties, payload) = self.message.rest.split_at(self.message.properties_bytes);
        Outbound {
            topic: &self.message.topic,
            properties,
            payload,
            retain: self.retain,
            packet_id,
            subscription_ids: &self.subscription_ids,
        }
    }
}
