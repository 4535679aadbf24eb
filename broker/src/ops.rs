//! What changes the sessions that outlive connections, as bytes for the log: so that a restart finds
//! them as they were. To the log they are opaque.
//!
//! Reading them again over a state that has some of them already gives the same state: each names a
//! session by a number that is never used twice, and a message by its number in the session.

use std::borrow::Cow;
use std::sync::Arc;

use bellwire_model::{Outcome, QoS, Timestamp};
use serde::{Deserialize, Serialize};

use crate::codec::control::{Own, RetainFlag};
use crate::flow::Seq;
use crate::message::{Message, Outgoing, Routed};
use crate::outbox::Outbox;
use crate::session::exchange::SubscribeOptions;

/// A change. The order of the variants is on disk: new ones go to the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Op<'a> {
    /// A session begins.
    Begin { number: u64, client: &'a str, expiry_s: u32 },
    /// It lives so long after its connection from now on.
    Lifetime { number: u64, expiry_s: u32 },
    /// Its client is away since then.
    Left { number: u64, at: i64 },
    /// It is over.
    End { number: u64 },
    /// It subscribes.
    Subscribe { number: u64, filter: &'a str, options: WireOptions },
    /// It does no longer.
    Unsubscribe { number: u64, filter: &'a str },
    /// Sessions are to get a message.
    Message { message: WireMessage<'a>, targets: Vec<Target> },
    /// A message is retained, or taken away if it is empty.
    Retain { message: WireMessage<'a>, qos: u8 },
    /// A message to the client is over.
    Over { number: u64, seq: u64 },
    /// The client has a QoS 2 message, and is told that it is released.
    Released { number: u64, seq: u64 },
    /// The client's QoS 2 publish is taken.
    Take { number: u64, packet_id: u16 },
    /// The client released it.
    Give { number: u64, packet_id: u16 },
}

/// Who gets a message, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) number: u64,
    pub(crate) seq: u64,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) share: Option<String>,
}

impl Target {
    pub(crate) fn new(number: u64, seq: Seq, outgoing: &Outgoing) -> Self {
        Self {
            number,
            seq: seq.0,
            qos: outgoing.qos as u8,
            retain: outgoing.retain,
            subscription_ids: outgoing.subscription_ids.clone(),
            share: outgoing.share.as_deref().map(str::to_owned),
        }
    }

    pub(crate) fn outgoing(self, message: Arc<Message>) -> Option<(u64, Seq, Outgoing)> {
        let outgoing = Outgoing {
            message,
            qos: QoS::from_bits(self.qos)?,
            retain: self.retain,
            subscription_ids: self.subscription_ids,
            share: self.share.map(Into::into),
        };
        Some((self.number, Seq(self.seq), outgoing))
    }
}

/// A message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WireMessage<'a> {
    topic: Cow<'a, str>,
    properties: Cow<'a, [u8]>,
    payload: Cow<'a, [u8]>,
    expires_at: Option<i64>,
}

impl<'a> WireMessage<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let (properties, payload) = message.parts();
        Self {
            topic: message.topic().into(),
            properties: properties.into(),
            payload: payload.into(),
            expires_at: message.expires_at().map(Timestamp::as_micros),
        }
    }

    pub(crate) fn into_owned(self) -> WireMessage<'static> {
        WireMessage {
            topic: self.topic.into_owned().into(),
            properties: self.properties.into_owned().into(),
            payload: self.payload.into_owned().into(),
            expires_at: self.expires_at,
        }
    }

    pub(crate) fn message(&self) -> Arc<Message> {
        Message::new(&Routed {
            topic: &self.topic,
            properties: &self.properties,
            payload: &self.payload,
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: self.expires_at.map(Timestamp::from_micros),
        })
    }
}

/// How a subscription wants its messages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct WireOptions {
    qos: u8,
    own: Own,
    retain: RetainFlag,
    id: Option<u32>,
}

impl From<SubscribeOptions> for WireOptions {
    fn from(options: SubscribeOptions) -> Self {
        let SubscribeOptions { qos, own, retain, id } = options;
        Self { qos: qos as u8, own, retain, id }
    }
}

impl From<WireOptions> for SubscribeOptions {
    fn from(options: WireOptions) -> Self {
        let WireOptions { qos, own, retain, id } = options;
        Self { qos: QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce), own, retain, id }
    }
}

/// What a connection has done that must be durable, and what happens once it is.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    bytes: Vec<u8>,
    messages: Vec<(Arc<Outbox>, Seq, Outgoing)>,
    taken: Vec<(Arc<Outbox>, u16)>,
    released: Vec<(Arc<Outbox>, Seq)>,
}

impl Effects {
    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Notes a change.
    pub(crate) fn note(&mut self, op: &Op<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(op, bytes).expect("a buffer in memory takes everything");
    }

    /// Leaves a message for a session once it is durable.
    pub(crate) fn deliver(&mut self, outbox: Arc<Outbox>, seq: Seq, outgoing: Outgoing) {
        self.messages.push((outbox, seq, outgoing));
    }

    /// Tells a session once its client's QoS 2 publish is durable.
    pub(crate) fn take(&mut self, outbox: Arc<Outbox>, packet_id: u16) {
        self.taken.push((outbox, packet_id));
    }

    /// Tells a session once it is durable that its client has a QoS 2 message.
    pub(crate) fn release(&mut self, outbox: Arc<Outbox>, seq: Seq) {
        self.released.push((outbox, seq));
    }

    /// The bytes for the log.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The log has said how it ended.
    pub(crate) fn settle(self, outcome: Outcome) {
        for (outbox, seq, outgoing) in self.messages {
            if outcome == Outcome::Durable {
                outbox.confirm(seq, outgoing);
            } else {
                outbox.with(|state| state.flow.cancel(seq));
            }
        }
        if outcome == Outcome::Durable {
            for (outbox, packet_id) in self.taken {
                outbox.with(|state| state.flow.taken_durably(packet_id));
            }
            for (outbox, seq) in self.released {
                outbox.release(seq);
            }
        }
    }
}

/// Reads the changes in `bytes` one by one.
///
/// # Errors
/// If they are not what this version writes.
pub(crate) fn read(mut bytes: &[u8], mut each: impl FnMut(Op<'_>)) -> Result<(), postcard::Error> {
    while !bytes.is_empty() {
        let (op, rest) = postcard::take_from_bytes(bytes)?;
        each(op);
        bytes = rest;
    }
    Ok(())
}
