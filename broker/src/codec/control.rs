//! What clients send beside CONNECT and PUBLISH: SUBSCRIBE, UNSUBSCRIBE, acknowledgements,
//! DISCONNECT.

use bellwire_model::QoS;
use mqtt_protocol_core::mqtt::packet::{
    MqttString, Property, Qos, RetainHandling, SubEntry, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use serde::{Deserialize, Serialize};

use crate::close::Close;
use crate::codec::{Parsed, Version, packet_id, packet_type, properties, whole};

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
    /// Whether retained messages are sent at once.
    pub(crate) retained: SendRetained,
}

/// Whether the retained messages that a subscription matches are sent when it is made: MQTT 5's
/// *Retain Handling*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendRetained {
    /// They are. [MQTT-3.3.1-9]
    Always,
    /// Unless there was the subscription already. [MQTT-3.3.1-10]
    IfNew,
    /// They are not. [MQTT-3.3.1-11]
    Never,
}

/// Whether a subscriber gets its own publishes: MQTT 5's *No Local*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Own {
    /// It gets them.
    Delivered,
    /// It does not.
    Skipped,
}

/// What becomes of RETAIN on messages passed on: MQTT 5's *Retain As Published*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RetainFlag {
    /// It is cleared.
    Cleared,
    /// It stays as it was published.
    Kept,
}

fn entry(version: Version, entry: &SubEntry) -> Parsed<SubscribeEntry> {
    let options = entry.sub_opts();
    // [MQTT3-3.8.3-4] MQTT 3.1.1 reserves all but the QoS; [MQTT-3.8.3-5] the rest the crate checks
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
        retained: match options.rh() {
            RetainHandling::SendRetained => SendRetained::Always,
            RetainHandling::SendRetainedIfNotExists => SendRetained::IfNew,
            RetainHandling::DoNotSendRetained => SendRetained::Never,
        },
    })
}

/// Reads the body of a SUBSCRIBE. [MQTT-3.8.3-1], [MQTT-3.8.3-2]
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
/// [MQTT-3.10.3-1], [MQTT-3.10.3-2]
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

/// What a client acknowledges: PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The packet identifier.
    pub(crate) packet_id: u16,
    /// Whether it was taken: its reason code is below 0x80.
    pub(crate) taken: Taken,
}

/// Whether a client took what we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It did.
    Yes,
    /// It refuses it, and will refuse it again.
    No,
}

/// Reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP, which `kind` says.
///
/// # Errors
/// If it is malformed.
pub(crate) fn answered(version: Version, kind: u8, body: &[u8]) -> Parsed<Answered> {
    if let [high, low] = body {
        let packet_id = packet_id(u16::from_be_bytes([*high, *low]))?;
        return Ok(Answered { packet_id, taken: Taken::Yes });
    }
    if version == Version::V3 {
        return Err(Close::malformed("acknowledgement is not two bytes long"));
    }
    let id = match kind {
        packet_type::PUBACK => whole(v5_0::Puback::parse(body), body)?.packet_id(),
        packet_type::PUBREC => whole(v5_0::Pubrec::parse(body), body)?.packet_id(),
        packet_type::PUBREL => whole(v5_0::Pubrel::parse(body), body)?.packet_id(),
        _ => whole(v5_0::Pubcomp::parse(body), body)?.packet_id(),
    };
    let refused = body.get(2).is_some_and(|&reason| reason >= 0x80);
    let taken = if refused { Taken::No } else { Taken::Yes };
    Ok(Answered { packet_id: packet_id(id)?, taken })
}

/// What becomes of the will after a client's DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDisconnect {
    /// It is forgotten. [MQTT-3.14.4-3]
    ForgetWill,
    /// The client asks for it.
    PublishWill,
}

/// A client's DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// What becomes of its will.
    pub(crate) will: AfterDisconnect,
    /// The session expiry in seconds, if it sets another than CONNECT.
    pub(crate) session_expiry_s: Option<u32>,
}

/// Reads the body of a DISCONNECT.
///
/// # Errors
/// If it is malformed, or sets a session expiry although CONNECT said 0.
pub(crate) fn disconnect(version: Version, body: &[u8], session_expiry_s: u32) -> Parsed<Farewell> {
    let mut farewell = Farewell { will: AfterDisconnect::ForgetWill, session_expiry_s: None };
    if body.is_empty() {
        return Ok(farewell);
    }
    if version == Version::V3 {
        return Err(Close::malformed("DISCONNECT has a body"));
    }
    let packet = whole(v5_0::Disconnect::parse(body), body)?;
    for property in packet.props().iter().flatten() {
        if let Property::SessionExpiryInterval(it) = property {
            if session_expiry_s == 0 && it.val() != 0 {
                return Err(Close::protocol("DISCONNECT sets a session expiry")); // 3.14.2.2.2
            }
            farewell.session_expiry_s = Some(it.val());
        }
        if matches!(property, Property::ServerReference(_)) {
            return Err(Close::protocol("DISCONNECT of a client has a server reference"));
        }
    }
    if !matches!(packet.reason_code(), None | Some(DisconnectReasonCode::NormalDisconnection)) {
        farewell.will = AfterDisconnect::PublishWill;
    }
    Ok(farewell)
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
    fn acknowledgements_of_all_kinds_are_read() {
        let read = |kind, body: &[u8]| answered(Version::V5, kind, body);
        for kind in [packet_type::PUBACK, packet_type::PUBREC, packet_type::PUBREL] {
            let taken = |taken| Ok(Answered { packet_id: 7, taken });
            assert_eq!(read(kind, &[0, 7]), taken(Taken::Yes));
            assert_eq!(read(kind, &[0, 7, 0]), taken(Taken::Yes));
        }
        let refused = read(packet_type::PUBREC, &[0, 7, 0x97, 0]).expect("valid");
        assert_eq!(refused.taken, Taken::No);
        assert!(read(packet_type::PUBACK, &[0, 7, 0x91]).is_ok());
        assert!(read(packet_type::PUBCOMP, &[0, 0]).is_err());
        assert!(answered(Version::V3, packet_type::PUBACK, &[0, 7, 0]).is_err());
    }

    #[test]
    fn a_disconnect_says_what_becomes_of_the_will_and_the_session() {
        let v5 = |body: &[u8]| disconnect(Version::V5, body, 0).map_err(|close| close.kind);
        let will = |body: &[u8]| v5(body).map(|farewell| farewell.will);
        assert_eq!(will(&[]), Ok(AfterDisconnect::ForgetWill));
        assert_eq!(will(&[0]), Ok(AfterDisconnect::ForgetWill));
        assert_eq!(will(&[4]), Ok(AfterDisconnect::PublishWill));
        assert_eq!(will(&[0, 5, 0x11, 0, 0, 0, 9]), Err(CloseKind::Protocol));
        assert_eq!(will(&[3]), Err(CloseKind::Malformed));
        let farewell = disconnect(Version::V5, &[0, 5, 0x11, 0, 0, 0, 9], 60).expect("valid");
        assert_eq!(farewell.session_expiry_s, Some(9));
    }
}
