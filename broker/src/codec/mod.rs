//! Packets to bytes and back: framing, what the packet module of `mqtt-protocol-core` reads and
//! writes, and by hand what is hot.
//!
//! By hand, on purpose: the fixed header, PUBLISH in both directions, and the PUBACK that says
//! success. A PUBLISH is read in place without an allocation in a few nanoseconds, against 52–195
//! with the crate. Everything else goes through the crate, whose packets fuzzed clean; what it
//! accepts although MQTT forbids it is checked here.

pub(crate) mod connect;
pub(crate) mod control;
pub(crate) mod encode;
pub(crate) mod frame;
pub(crate) mod properties;
pub(crate) mod publish;

use mqtt_protocol_core::mqtt::result_code::MqttError;

use crate::close::{Close, CloseKind};

/// What a parser gives: a packet, or why the connection must end.
pub(crate) type Parsed<T> = Result<T, Close>;

/// The protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// Packet types by the upper four bits of the first byte.
pub(crate) mod packet_type {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const DISCONNECT: u8 = 14;
    pub(crate) const AUTH: u8 = 15;
}

/// What the crate's refusal of a packet means for the connection.
fn refused(error: MqttError) -> Close {
    match error {
        MqttError::ProtocolError => Close::protocol("packet breaks the protocol"),
        MqttError::TopicNameInvalid => CloseKind::TopicInvalid.into(),
        _ => Close::malformed("packet cannot be read"),
    }
}

/// Passes `parsed` if the packet's body ended with it.
fn whole<T>(parsed: Result<(T, usize), MqttError>, body: &[u8]) -> Parsed<T> {
    match parsed {
        Ok((packet, consumed)) if consumed == body.len() => Ok(packet),
        Ok(_) => Err(Close::malformed("packet has bytes behind its end")),
        Err(error) => Err(refused(error)),
    }
}

/// Passes `id` if it may be a packet identifier. [MQTT-2.2.1-3]
fn packet_id(id: u16) -> Parsed<u16> {
    if id == 0 { Err(Close::protocol("packet identifier is 0")) } else { Ok(id) }
}
