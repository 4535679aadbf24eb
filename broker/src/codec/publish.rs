//! PUBLISH, by hand: read in place, written straight to the buffer that goes to the socket.

use bellwire_model::QoS;

use crate::close::Close;
use crate::codec::properties::{self, PublishProperties};
use crate::codec::{Parsed, Version, packet_id, packet_type};

/// A client's PUBLISH, borrowed from the bytes it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    /// The topic as it came: neither UTF-8 nor wildcards are checked yet.
    pub(crate) topic: &'a [u8],
    /// What else MQTT 5 says of it.
    pub(crate) properties: PublishProperties<'a>,
    /// What is published.
    pub(crate) payload: &'a [u8],
    /// The quality of service asked for.
    pub(crate) qos: QoS,
    /// The client says this may be a repetition.
    pub(crate) dup: bool,
    /// The client asks for it to be retained.
    pub(crate) retain: bool,
    /// The packet identifier; 0 with QoS 0 and only there.
    pub(crate) packet_id: u16,
}

/// Reads a PUBLISH. [MQTT-3.3.2-1], [MQTT-2.2.1-2]
///
/// # Errors
/// If it is malformed, or has packet identifier 0 or properties that are not allowed.
#[inline]
pub(crate) fn parse(version: Version, first: u8, body: &[u8]) -> Parsed<Publish<'_>> {
    const SHORT: Close = Close::malformed("PUBLISH ends too early");
    let qos = QoS::from_bits(first >> 1 & 3).ok_or(Close::malformed("QoS is 3"))?; // [MQTT-3.3.1-4]
    let dup = first & 8 != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(Close::malformed("DUP is set with QoS 0")); // [MQTT-3.3.1-2]
    }
    let (topic_bytes, rest) = body.split_first_chunk().ok_or(SHORT)?;
    let topic_bytes = usize::from(u16::from_be_bytes(*topic_bytes));
    let (topic, mut rest) = rest.split_at_checked(topic_bytes).ok_or(SHORT)?;
    let mut id = 0;
    if qos != QoS::AtMostOnce {
        let (bytes, after) = rest.split_first_chunk().ok_or(SHORT)?;
        id = packet_id(u16::from_be_bytes(*bytes))?;
        rest = after;
    }
    let mut properties = PublishProperties::default();
    if version == Version::V5 {
        (properties, rest) = match rest {
            [0, payload @ ..] => (PublishProperties::default(), payload),
            _ => split_properties(rest)?,
        };
    }
    Ok(Publish {
        topic,
        properties,
        payload: rest,
        qos,
        dup,
        retain: first & 1 != 0,
        packet_id: id,
    })
}

/// Splits checked properties from the payload behind them.
#[cold]
fn split_properties(bytes: &[u8]) -> Parsed<(PublishProperties<'_>, &[u8])> {
    const BAD: Close = Close::malformed("property length cannot be read");
    let mut length = 0_usize;
    for (index, &byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let (head, payload) = bytes.split_at_checked(index + 1 + length).ok_or(BAD)?;
            return Ok((properties::of_publish(head, index + 1)?, payload));
        }
    }
    Err(BAD)
}

/// Properties that we write by hand.
mod property {
    pub(super) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(super) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(super) const TOPIC_ALIAS: u8 = 0x23;
}

/// A PUBLISH to a subscriber. Its DUP is its own: [MQTT-3.3.1-3]; without properties their length
/// is 0: [MQTT-2.2.2-1].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound<'a> {
    /// Where it was published; empty if the alias alone says it.
    pub(crate) topic: &'a str,
    /// The topic alias, for MQTT 5 subscribers; 0 is none.
    pub(crate) alias: u16,
    /// The message expiry in seconds, for MQTT 5 subscribers.
    pub(crate) expiry_s: Option<u32>,
    /// The publisher's other properties, for MQTT 5 subscribers.
    pub(crate) properties: &'a [u8],
    /// What was published.
    pub(crate) payload: &'a [u8],
    /// The quality of service.
    pub(crate) qos: QoS,
    /// It may have been sent before.
    pub(crate) dup: bool,
    /// RETAIN, as the subscriber shall see it.
    pub(crate) retain: bool,
    /// The packet identifier; of no meaning with QoS 0.
    pub(crate) packet_id: u16,
    /// The subscription identifiers, for MQTT 5 subscribers.
    pub(crate) subscription_ids: &'a [u32],
}

/// The bytes a variable byte integer of `value` takes.
const fn varint_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// As short as can be. [MQTT-1.5.5-1]
fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

impl Outbound<'_> {
    fn properties_bytes(&self) -> usize {
        let ids = self.subscription_ids.iter().map(|&id| 1 + varint_bytes(id as usize));
        let alias = if self.alias == 0 { 0 } else { 3 };
        let expiry = if self.expiry_s.is_some() { 5 } else { 0 };
        self.properties.len() + ids.sum::<usize>() + alias + expiry
    }

    fn body_bytes(&self, version: Version) -> usize {
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let fixed = 2 + self.topic.len() + id + self.payload.len();
        match version {
            Version::V3 => fixed,
            Version::V5 => {
                let properties = self.properties_bytes();
                fixed + varint_bytes(properties) + properties
            }
        }
    }

    /// The size of the whole packet.
    pub(crate) fn packet_bytes(&self, version: Version) -> usize {
        let body = self.body_bytes(version);
        1 + varint_bytes(body) + body
    }

    /// Writes the packet behind what `out` holds.
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        out.push(packet_type::PUBLISH << 4 | flags);
        push_varint(out, self.body_bytes(version));
        let topic_bytes = u16::try_from(self.topic.len()).expect("MQTT limits topics to u16");
        out.extend_from_slice(&topic_bytes.to_be_bytes());
        out.extend_from_slice(self.topic.as_bytes());
        if self.qos != QoS::AtMostOnce {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version == Version::V5 {
            push_varint(out, self.properties_bytes());
            if self.alias != 0 {
                out.push(property::TOPIC_ALIAS);
                out.extend_from_slice(&self.alias.to_be_bytes());
            }
            if let Some(expiry_s) = self.expiry_s {
                out.push(property::MESSAGE_EXPIRY);
                out.extend_from_slice(&expiry_s.to_be_bytes());
            }
            for &id in self.subscription_ids {
                out.push(property::SUBSCRIPTION_ID);
                push_varint(out, id as usize);
            }
            out.extend_from_slice(self.properties);
        }
        out.extend_from_slice(self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseKind;

    #[test]
    fn what_is_written_reads_back() {
        for version in [Version::V3, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let sent = Outbound {
                    topic: "a/ü",
                    alias: 9,
                    expiry_s: Some(300),
                    properties: if version == Version::V5 { &[0x01, 0x01] } else { &[] },
                    payload: &[b'x'; 200],
                    qos,
                    dup: qos != QoS::AtMostOnce,
                    retain: false,
                    packet_id: 7,
                    subscription_ids: &[],
                };
                let mut bytes = Vec::new();
                sent.encode(version, &mut bytes);
                assert_eq!(bytes.len(), sent.packet_bytes(version));
                let (frame, size) =
                    crate::codec::frame::split(&bytes, 1000).expect("valid").expect("whole");
                assert_eq!(size, bytes.len());
                let read = parse(version, frame.first, frame.body).expect("valid");
                assert_eq!(read.topic, sent.topic.as_bytes());
                assert_eq!(&*read.properties.others, sent.properties);
                if version == Version::V5 {
                    assert_eq!(
                        (read.properties.alias, read.properties.expiry_s),
                        (Some(9), Some(300))
                    );
                }
                assert_eq!((read.qos, read.dup), (sent.qos, sent.dup));
                assert_eq!(read.payload, sent.payload);
                assert_eq!(read.packet_id, if qos == QoS::AtMostOnce { 0 } else { 7 });
            }
        }
    }

    #[test]
    fn wrong_publishes_are_refused() {
        for (first, body, kind) in [
            (0x36, &[0, 1, b'a', 0, 1][..], CloseKind::Malformed),
            (0x38, &[0, 1, b'a'], CloseKind::Malformed),
            (0x32, &[0, 1, b'a', 0, 0], CloseKind::Protocol),
            (0x32, &[0, 1, b'a', 0], CloseKind::Malformed),
            (0x30, &[0, 9, b'a'], CloseKind::Malformed),
            (0x30, &[0], CloseKind::Malformed),
        ] {
            let found = parse(Version::V3, first, body).map_err(|close| close.kind);
            assert_eq!(found, Err(kind), "{first:x} {body:x?}");
        }
        assert!(parse(Version::V5, 0x30, &[0, 1, b'a']).is_err(), "no property length");
        assert!(parse(Version::V5, 0x30, &[0, 1, b'a', 200]).is_err(), "cut property length");
    }
}
