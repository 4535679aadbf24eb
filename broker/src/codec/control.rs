//! What clients send beside CONNECT and PUBLISH: SUBSCRIBE, UNSUBSCRIBE, PUBACK, DISCONNECT.

use bellwire_model::QoS;
use mqtt_protocol_core::mqtt::packet::{MqttString, Property, Qos, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use crate::close::Close;
use crate::codec::{Parsed, Version, packet_id, properties, whole};

/// A SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    /// Its packet identifier.
    pub(crate) packet_id: u16,
    /// The identifier that MQTT 5 clients may give their subscriptions.
    pub(crate) subscription_id: Option<u32>,
    /// What is asked for, at least one; the filters are not yet checked.
    pub(crate) entries: Vec<SubscribeEntry>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeEntry {
    /// The filter as it came; UTF-8, else unchecked.
    pub(crate) filter: Box<str>,
    /// The highest quality of service asked for.
    pub(crate) qos: QoS,
    /// Whether what the client itself publishes comes back.
    pub(crate) own: Own,
    /// What becomes of RETAIN on messages passed on.
    pub(crate) retain: RetainFlag,
}

/// Whether a subscriber gets its own publishes: MQTT 5's *No Local*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// It gets them.
    Delivered,
    /// It does not.
    Skipped,
}

/// What becomes of RETAIN on messages passed on: MQTT 5's *Retain As Published*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetainFlag {
    /// It is cleared.
    Cleared,
    /// It stays as it was published.
    Kept,
}

fn entry(version: Version, entry: &SubEntry) -> Parsed<SubscribeEntry> {
    let options = entry.sub_opts();
    // [MQTT-3-8.3-4] MQTT 3.1.1 reserves all but the QoS.
    if version == Version::V3 && options.to_buffer()[0] & 0xFC != 0 {
        return Err(Close::malformed("reserved bits of SUBSCRIBE are set"));
    }
    Ok(SubscribeEntry {
        filter: entry.topic_filter().into(),
        qos: match options.qos() {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
            Qos::ExactlyOnce => QoS::ExactlyOnce,
        },
        own: if options.nl() { Own::Skipped } else { Own::Delivered },
        retain: if options.rap() { RetainFlag::Kept } else { RetainFlag::Cleared },
    })
}

/// Reads the body of a SUBSCRIBE.
///
/// # Errors
/// If it is malformed or breaks the protocol.
pub(crate) fn subscribe(version: Version, body: &[u8]) -> Parsed<Subscribe> {
    let (id, subscription_id, entries) = match version {
        Version::V3 => {
            let packet = whole(v3_1_1::Subscribe::parse(body), body)?;
            (packet.packet_id(), None, packet.entries().clone())
        }
        Version::V5 => {
            let packet = whole(v5_0::Subscribe::parse(body), body)?;
            properties::check_values(packet.props())?;
            let mut ids = packet.props().iter().filter_map(|property| match property {
                Property::SubscriptionIdentifier(id) => Some(id.val()),
                _ => None,
            });
            let first = ids.next();
            if ids.next().is_some() {
                return Err(Close::protocol("SUBSCRIBE has two subscription identifiers"));
            }
            (packet.packet_id(), first, packet.entries().clone())
        }
    };
    let entries = entries.iter().map(|it| entry(version, it)).collect::<Parsed<_>>()?;
    Ok(Subscribe { packet_id: packet_id(id)?, subscription_id, entries })
}

/// Reads the body of an UNSUBSCRIBE: packet identifier and filters, which are not yet checked.
///
/// # Errors
/// If it is malformed or breaks the protocol.
pub(crate) fn unsubscribe(version: Version, body: &[u8]) -> Parsed<(u16, Vec<MqttString>)> {
    let (id, entries) = match version {
        Version::V3 => {
            let packet = whole(v3_1_1::Unsubscribe::parse(body), body)?;
            (packet.packet_id(), packet.entries().clone())
        }
        Version::V5 => {
            let packet = whole(v5_0::Unsubscribe::parse(body), body)?;
            properties::check_values(packet.props())?;
            (packet.packet_id(), packet.entries().clone())
        }
    };
    Ok((packet_id(id)?, entries))
}

/// Reads the packet identifier of a PUBACK; its reason does not matter to us.
///
/// # Errors
/// If it is malformed.
pub(crate) fn puback(version: Version, body: &[u8]) -> Parsed<u16> {
    match (version, body) {
        (_, [high, low]) => packet_id(u16::from_be_bytes([*high, *low])),
        (Version::V3, _) => Err(Close::malformed("PUBACK is not two bytes long")),
        (Version::V5, _) => Ok(whole(v5_0::Puback::parse(body), body)?.packet_id()),
    }
}

/// Reads the packet identifier of a PUBREL.
///
/// # Errors
/// If it is malformed.
pub(crate) fn pubrel(version: Version, body: &[u8]) -> Parsed<u16> {
    match version {
        Version::V3 => Ok(whole(v3_1_1::Pubrel::parse(body), body)?.packet_id()),
        Version::V5 => Ok(whole(v5_0::Pubrel::parse(body), body)?.packet_id()),
    }
}

/// What becomes of the will after a client's DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDisconnect {
    /// It is forgotten. [MQTT-3.14.4-3]
    ForgetWill,
    /// The client asks for it.
    PublishWill,
}

/// Reads the body of a DISCONNECT.
///
/// # Errors
/// If it is malformed, or sets a session expiry although CONNECT said 0.
pub(crate) fn disconnect(
    version: Version,
    body: &[u8],
    session_expiry_s: u32,
) -> Parsed<AfterDisconnect> {
    if body.is_empty() {
        return Ok(AfterDisconnect::ForgetWill);
    }
    if version == Version::V3 {
        return Err(Close::malformed("DISCONNECT has a body"));
    }
    let packet = whole(v5_0::Disconnect::parse(body), body)?;
    for property in packet.props().iter().flatten() {
        if let Property::SessionExpiryInterval(it) = property
            && session_expiry_s == 0
            && it.val() != 0
        {
            return Err(Close::protocol("DISCONNECT sets a session expiry")); // 3.14.2.2.2
        }
    }
    match packet.reason_code() {
        None | Some(DisconnectReasonCode::NormalDisconnection) => Ok(AfterDisconnect::ForgetWill),
        Some(_) => Ok(AfterDisconnect::PublishWill),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseKind;

    #[test]
    fn a_subscribe_is_read() {
        let read = subscribe(Version::V5, b"\0\x05\x02\x0B\x07\0\x01a\x0D").expect("valid");
        assert_eq!((read.packet_id, read.subscription_id), (5, Some(7)));
        let entry = &read.entries[0];
        assert_eq!((entry.qos, entry.own), (QoS::AtLeastOnce, Own::Skipped));
        assert_eq!(entry.retain, RetainFlag::Kept);
    }

    #[test]
    fn wrong_subscribes_are_refused() {
        for (version, body, kind) in [
            (Version::V3, &b"\0\0\0\x01a\0"[..], CloseKind::Protocol),
            (Version::V3, b"\0\x01", CloseKind::Protocol),
            (Version::V3, b"\0\x01\0\x01a\x03", CloseKind::Malformed),
            (Version::V3, b"\0\x01\0\x01a\x04", CloseKind::Malformed),
            (Version::V3, b"\0\x01\0\x01\xFF\0", CloseKind::Malformed),
            (Version::V5, b"\0\x01\x02\x0B\0\0\x01a\0", CloseKind::Protocol),
            (Version::V5, b"\0\x01\x04\x0B\x01\x0B\x02\0\x01a\0", CloseKind::Protocol),
            (Version::V5, b"\0\x01\0\0\x01a\x40", CloseKind::Malformed),
        ] {
            let found = subscribe(version, body).map_err(|close| close.kind);
            assert_eq!(found, Err(kind), "{body:x?}");
        }
    }

    #[test]
    fn a_disconnect_says_what_becomes_of_the_will() {
        let v5 = |body: &[u8]| disconnect(Version::V5, body, 0).map_err(|close| close.kind);
        assert_eq!(v5(&[]), Ok(AfterDisconnect::ForgetWill));
        assert_eq!(v5(&[0]), Ok(AfterDisconnect::ForgetWill));
        assert_eq!(v5(&[4]), Ok(AfterDisconnect::PublishWill));
        assert_eq!(v5(&[0, 5, 0x11, 0, 0, 0, 9]), Err(CloseKind::Protocol));
        assert_eq!(v5(&[3]), Err(CloseKind::Malformed));
    }
}
