//! The few MQTT packets a publishing device needs, encoded and read by hand.

use bellwire_model::QoS;

use crate::{Login, Protocol};

/// The longest packet a server may send us, in bytes: we subscribe to nothing.
const INCOMING_BYTES_MAX: usize = 16 * 1024;

/// Why bytes from the server make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The length field is malformed, or longer than anything we could be sent.
    #[error("packet length from the server is malformed or too long")]
    Length,
    /// A packet ends before its fields do.
    #[error("packet of type {0} from the server is too short")]
    Short(u8),
    /// A packet that no server sends to a client that only publishes.
    #[error("unexpected packet of type {0} from the server")]
    Unexpected(u8),
}

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to CONNECT: 0 is yes. `receive_maximum` is 65,535 where the server names none.
    ConnAck { reason: u8, receive_maximum: u16 },
    /// The answer to a QoS 1 publish; a reason of 0x80 or more is no.
    PubAck { packet_id: u16, reason: u8 },
    /// The answer to PINGREQ.
    PingResp,
    /// The server closes the connection, and why.
    Disconnect { reason: u8 },
}

/// PINGREQ, in both versions.
pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
/// DISCONNECT without a reason, in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Appends a CONNECT that asks for the session to be kept, so that a DUP after it makes sense.
pub(crate) fn connect(
    out: &mut Vec<u8>,
    protocol: Protocol,
    client_id: &str,
    login: Option<&Login>,
    keepalive_s: u16,
) {
    // [MQTT-3.1.2-16], [MQTT-3.1.2-19]: user name and password, and no clean session
    let flags = if login.is_some() { 0xC0 } else { 0 };
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', protocol.level(), flags];
    body.extend_from_slice(&keepalive_s.to_be_bytes());
    if protocol == Protocol::V5 {
        // Session Expiry Interval: an hour, longer than any run.
        body.extend_from_slice(&[5, 0x11]);
        body.extend_from_slice(&3600_u32.to_be_bytes());
    }
    push_text(&mut body, client_id);
    if let Some(login) = login {
        push_text(&mut body, &login.user);
        push_text(&mut body, &login.password);
    }
    out.push(0x10);
    push_length(out, body.len());
    out.extend_from_slice(&body);
}

/// What stands before a publish's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishHead<'a> {
    /// The version spoken.
    pub(crate) protocol: Protocol,
    /// 0 or 1.
    pub(crate) qos: QoS,
    /// Whether it was sent before.
    pub(crate) sent: Sent,
    /// 1 to 65,535; ignored with QoS 0.
    pub(crate) packet_id: u16,
    /// Where to.
    pub(crate) topic: &'a str,
}

/// Whether a publish is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The first time.
    First,
    /// Again, on a new connection, so with DUP. [MQTT-3.3.1-1]
    Again,
}

/// Appends a PUBLISH.
pub(crate) fn publish(out: &mut Vec<u8>, head: PublishHead<'_>, payload: &[u8]) {
    let acknowledged = head.qos != QoS::AtMostOnce;
    let fixed = 2 + if acknowledged { 2 } else { 0 } + usize::from(head.protocol == Protocol::V5);
    let dup = if head.sent == Sent::Again { 0x08 } else { 0 };
    out.push(0x30 | dup | (head.qos as u8) << 1);
    push_length(out, fixed + head.topic.len() + payload.len());
    push_text(out, head.topic);
    if acknowledged {
        out.extend_from_slice(&head.packet_id.to_be_bytes());
    }
    if head.protocol == Protocol::V5 {
        out.push(0);
    }
    out.extend_from_slice(payload);
}

/// Reads the packet that `bytes` begin with; gives it and its length, or `None` if more bytes are
/// needed.
///
/// # Errors
/// [`PacketError`] if no server may send this.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Incoming, usize)>, PacketError> {
    let [first, rest @ ..] = bytes else { return Ok(None) };
    let Some((length, length_bytes)) = variable(rest)? else { return Ok(None) };
    if length > INCOMING_BYTES_MAX {
        return Err(PacketError::Length);
    }
    let Some(body) = rest.get(length_bytes..length_bytes + length) else { return Ok(None) };
    Ok(Some((parse(first >> 4, body)?, 1 + length_bytes + length)))
}

fn parse(kind: u8, body: &[u8]) -> Result<Incoming, PacketError> {
    match (kind, body) {
        (2, [_, reason, properties @ ..]) => {
            Ok(Incoming::ConnAck { reason: *reason, receive_maximum: receive_maximum(properties) })
        }
        (4, [high, low, rest @ ..]) => {
            let packet_id = u16::from_be_bytes([*high, *low]);
            Ok(Incoming::PubAck { packet_id, reason: rest.first().copied().unwrap_or(0) })
        }
        (13, _) => Ok(Incoming::PingResp),
        (14, _) => Ok(Incoming::Disconnect { reason: body.first().copied().unwrap_or(0) }),
        (2 | 4, _) => Err(PacketError::Short(kind)),
        _ => Err(PacketError::Unexpected(kind)),
    }
}

/// Receive Maximum among a version 5 CONNACK's properties.
fn receive_maximum(properties: &[u8]) -> u16 {
    let mut rest = match variable(properties) {
        Ok(Some((_, length_bytes))) => &properties[length_bytes..],
        _ => return u16::MAX,
    };
    while let [id, value @ ..] = rest {
        let size = match id {
            0x21 if value.len() >= 2 => return u16::from_be_bytes([value[0], value[1]]),
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x26 => text_bytes(value) + text_bytes(value.get(text_bytes(value)..).unwrap_or(&[])),
            _ => text_bytes(value),
        };
        rest = value.get(size..).unwrap_or(&[]);
    }
    u16::MAX
}

fn text_bytes(value: &[u8]) -> usize {
    match value {
        [high, low, ..] => 2 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => value.len(),
    }
}

/// A Variable Byte Integer and how many bytes it takes. [MQTT-1.5.5]
pub(crate) fn variable(bytes: &[u8]) -> Result<Option<(usize, usize)>, PacketError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() >= 4 { Err(PacketError::Length) } else { Ok(None) }
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("names and topics are shorter than 65536 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_looks_as_the_standard_says() {
        let head = PublishHead {
            protocol: Protocol::V4,
            qos: QoS::AtLeastOnce,
            sent: Sent::Again,
            packet_id: 10,
            topic: "a/b",
        };
        let mut out = Vec::new();
        publish(&mut out, head, b"x");
        assert_eq!(out, [0x3a, 8, 0, 3, b'a', b'/', b'b', 0, 10, b'x']);
        out.clear();
        let head = PublishHead { protocol: Protocol::V5, sent: Sent::First, ..head };
        publish(&mut out, PublishHead { qos: QoS::AtMostOnce, ..head }, &[b'y'; 130]);
        assert_eq!(out[..9], [0x30, 0x88, 1, 0, 3, b'a', b'/', b'b', 0]);
        assert_eq!(out.len(), 3 + 136);
    }

    #[test]
    fn answers_are_read_wherever_they_are_cut() {
        let check = |bytes: &[u8], expected: Incoming| {
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
            assert_eq!(read(bytes), Ok(Some((expected, bytes.len()))));
        };
        check(&[0x20, 2, 0, 5], Incoming::ConnAck { reason: 5, receive_maximum: 65_535 });
        let properties = [0x20, 11, 0, 0, 8, 0x12, 0, 1, b'c', 0x21, 0, 20, 0x25];
        check(&properties, Incoming::ConnAck { reason: 0, receive_maximum: 20 });
        check(&[0x40, 2, 1, 2], Incoming::PubAck { packet_id: 258, reason: 0 });
        check(&[0x40, 4, 0, 1, 0x87, 0], Incoming::PubAck { packet_id: 1, reason: 0x87 });
        check(&[0xd0, 0], Incoming::PingResp);
        check(&[0xe0, 1, 0x8e], Incoming::Disconnect { reason: 0x8e });
    }

    #[test]
    fn nonsense_is_an_error() {
        assert_eq!(read(&[0x40, 1, 0]), Err(PacketError::Short(4)));
        assert_eq!(read(&[0x30, 2, 0, 0]), Err(PacketError::Unexpected(3)));
        assert_eq!(read(&[0x40, 0xff, 0xff, 0xff, 0xff]), Err(PacketError::Length));
        assert_eq!(read(&[0x40, 0xff, 0xff, 0x7f]), Err(PacketError::Length));
    }
}
