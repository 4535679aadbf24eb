//! A message on its way from publisher to subscribers.

use std::sync::Arc;

use bellwire_model::{QoS, Timestamp};

use crate::codec::publish::Outbound;

/// A publish as it is routed, borrowed from where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routed<'a> {
    /// Where it was published; a valid topic name.
    pub(crate) topic: &'a str,
    /// The publisher's encoded properties for MQTT 5 subscribers, without alias and expiry.
    pub(crate) properties: &'a [u8],
    /// What was published.
    pub(crate) payload: &'a [u8],
    /// The quality of service it was published with.
    pub(crate) qos: QoS,
    /// RETAIN as it was published.
    pub(crate) retain: bool,
    /// When it is no longer to be sent; `None` is never.
    pub(crate) expires_at: Option<Timestamp>,
}

/// What subscribers share of a message: one copy however many they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    topic: Box<str>,
    /// The properties, then the payload.
    rest: Box<[u8]>,
    properties_bytes: usize,
    expires_at: Option<Timestamp>,
    /// Of a letter, which.
    letter: Option<u128>,
}

impl Message {
    /// Copies what `routed` borrows.
    pub(crate) fn new(routed: &Routed<'_>) -> Arc<Self> {
        Arc::new(Self {
            topic: routed.topic.into(),
            rest: [routed.properties, routed.payload].concat().into_boxed_slice(),
            properties_bytes: routed.properties.len(),
            expires_at: routed.expires_at,
            letter: None,
        })
    }

    /// The same, as a letter.
    pub(crate) fn new_letter(routed: &Routed<'_>, id: u128) -> Arc<Self> {
        let mut message = Self::new(routed);
        if let Some(message) = Arc::get_mut(&mut message) {
            message.letter = Some(id);
        }
        message
    }

    /// Which letter it is, if it is one.
    pub(crate) const fn letter(&self) -> Option<u128> {
        self.letter
    }

    /// Where it was published.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The properties and the payload.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        self.rest.split_at(self.properties_bytes)
    }

    /// When it is no longer to be sent.
    pub(crate) const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it is no longer to be sent at `now`. [MQTT-3.3.2-5]
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What it counts against a bound, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.rest.len()
    }
}

/// A message waiting for one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The message.
    pub(crate) message: Arc<Message>,
    /// The quality of service it is sent with.
    pub(crate) qos: QoS,
    /// RETAIN as this subscriber shall see it.
    pub(crate) retain: bool,
    /// The identifiers of the subscriptions it matched; empty if they have none.
    pub(crate) subscription_ids: Vec<u32>,
    /// The shared subscription through which it came, if it did.
    pub(crate) share: Option<Arc<str>>,
}

/// How a message is put into a packet for one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wrapping {
    /// The packet identifier; 0 with QoS 0.
    pub(crate) packet_id: u16,
    /// It may have been sent before.
    pub(crate) dup: bool,
    /// The topic alias; 0 is none.
    pub(crate) alias: u16,
    /// The alias stands alone, without the topic's name.
    pub(crate) alias_only: bool,
}

impl Outgoing {
    /// What it counts against the subscriber's bound, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.message.bytes()
    }

    /// The packet it becomes at `now`.
    pub(crate) fn outbound(&self, wrapping: Wrapping, now: Timestamp) -> Outbound<'_> {
        let (properties, payload) = self.message.parts();
        // [MQTT-3.3.2-6] what is left of the expiry, in whole seconds
        let expiry_s = self.message.expires_at.map(|at| {
            let left = at.since(now).as_millis().div_ceil(1000);
            u32::try_from(left).unwrap_or(u32::MAX)
        });
        Outbound {
            topic: if wrapping.alias_only { "" } else { self.message.topic() },
            alias: wrapping.alias,
            expiry_s,
            properties,
            payload,
            qos: self.qos,
            dup: wrapping.dup,
            retain: self.retain,
            packet_id: wrapping.packet_id,
            subscription_ids: &self.subscription_ids,
        }
    }
}
