//! What we send beside PUBLISH: CONNACK, SUBACK, UNSUBACK, acknowledgements, DISCONNECT.

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, Property, ReasonString, ReceiveMaximum,
    ServerKeepAlive, SessionExpiryInterval, TopicAliasMaximum, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

use crate::codec::Version;
use crate::codec::connect::Refused;

/// Why encoding cannot fail: the values come from us and every one has been tested.
const VALID: &str = "our own packets are valid";

/// What an accepted client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Whether it goes on with an earlier session.
    pub(crate) session: SessionPresent,
    /// The client identifier, where we chose it.
    pub(crate) assigned: Option<&'a str>,
    /// How many publishes it may have unacknowledged; at least 1.
    pub(crate) receive_maximum: u16,
    /// The largest packet we take, in bytes; at least 1.
    pub(crate) packet_bytes_max: usize,
    /// The greatest topic alias we take; 0 is none.
    pub(crate) topic_alias_max: u16,
    /// The keepalive in seconds, where it is not what the client said.
    pub(crate) keep_alive_s: Option<u16>,
    /// The session expiry in seconds, where it is not what the client asked for.
    pub(crate) session_expiry_s: Option<u32>,
}

/// Whether a client goes on with an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPresent {
    /// It does. [MQTT-3.2.2-3]
    Yes,
    /// It does not. [MQTT-3.2.2-2]
    No,
}

/// Appends the CONNACK of an accepted client. [MQTT-3.1.4-5], [MQTT-3.2.2-1]
pub(crate) fn accepted(version: Version, terms: Terms<'_>, out: &mut Vec<u8>) {
    let present = terms.session == SessionPresent::Yes;
    match version {
        Version::V3 => {
            let packet = v3_1_1::Connack::builder()
                .session_present(present)
                .return_code(ConnectReturnCode::Accepted)
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let packet = v5_0::Connack::builder()
                .session_present(present)
                .reason_code(ConnectReasonCode::Success)
                .props(offers(terms).expect(VALID))
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// What differs from what the standard takes for granted: QoS 2, RETAIN, shared subscriptions and
/// subscription identifiers do not. [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-12],
/// [MQTT-3.2.2-13]; nor is there response information, [MQTT-3.1.2-28].
fn offers(terms: Terms<'_>) -> Result<Vec<Property>, MqttError> {
    let packet_bytes_max = u32::try_from(terms.packet_bytes_max).unwrap_or(u32::MAX);
    let mut offers = vec![
        Property::ReceiveMaximum(ReceiveMaximum::new(terms.receive_maximum)?),
        Property::MaximumPacketSize(MaximumPacketSize::new(packet_bytes_max)?),
    ];
    if terms.topic_alias_max != 0 {
        let property = TopicAliasMaximum::new(terms.topic_alias_max)?;
        offers.push(Property::TopicAliasMaximum(property));
    }
    if let Some(keep_alive_s) = terms.keep_alive_s {
        offers.push(Property::ServerKeepAlive(ServerKeepAlive::new(keep_alive_s)?));
    }
    if let Some(session_expiry_s) = terms.session_expiry_s {
        let property = SessionExpiryInterval::new(session_expiry_s)?;
        offers.push(Property::SessionExpiryInterval(property));
    }
    if let Some(assigned) = terms.assigned {
        let property = AssignedClientIdentifier::new(assigned)?; // [MQTT-3.2.2-16]
        offers.push(Property::AssignedClientIdentifier(property));
    }
    Ok(offers)
}

/// Appends the CONNACK of a refused client, where its version has one for the reason; with the reason
/// in words if the client takes a packet that large.
/// [MQTT-3.2.2-6], [MQTT-3.2.2-8], [MQTT3-3.2.2-6]; without user properties, [MQTT-3.2.2-20].
pub(crate) fn refused(refused: Refused, packet_bytes_max: usize, out: &mut Vec<u8>) {
    match refused.version {
        Version::V3 => {
            let Some(code) = refused.refusal.return_code() else { return };
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::try_from(code).expect(VALID))
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let code = ConnectReasonCode::try_from(refused.refusal.reason_code()).expect(VALID);
            let detail = refused.refusal.detail();
            let packet = v5_0::Connack::builder().session_present(false).reason_code(code);
            // [MQTT-3.2.2-19] 9: headers, flags, reason code and the lengths
            let packet = if detail.len() + 9 > packet_bytes_max {
                packet.build()
            } else {
                packet.props(vec![reason(detail)]).build()
            };
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// The reason in words.
fn reason(text: &'static str) -> Property {
    Property::ReasonString(ReasonString::new(text).expect(VALID))
}

/// Which acknowledgement it is; the numbers are the packets' first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ack {
    /// A QoS 1 publish is taken.
    Puback = 0x40,
    /// A QoS 2 publish is taken.
    Pubrec = 0x50,
    /// What was sent with QoS 2 is released.
    Pubrel = 0x62,
    /// A QoS 2 publish is over.
    Pubcomp = 0x70,
}

/// Appends an acknowledgement that says success: four bytes, the same in both versions.
/// [MQTT-2.2.1-5]
#[inline]
pub(crate) fn ack(ack: Ack, packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[ack as u8, 2, high, low]);
}

/// Appends an acknowledgement with a reason code of MQTT 5; in MQTT 3.1.1 it has none. The codes
/// are those of its packet: [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]. Reason
/// strings and user properties, which could be too large, it never has: [MQTT-3.4.2-2],
/// [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2],
/// [MQTT-3.7.2-3].
#[inline]
pub(crate) fn ack_with(version: Version, ack: Ack, packet_id: u16, reason: u8, out: &mut Vec<u8>) {
    if reason == 0 || version == Version::V3 {
        return self::ack(ack, packet_id, out);
    }
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[ack as u8, 3, high, low, reason]);
}

/// Appends a SUBACK with one code of MQTT 5 per filter; MQTT 3.1.1 has 0x80 for every failure.
/// [MQTT-2.2.1-6], [MQTT-3.8.4-2], [MQTT-3.8.4-6], [MQTT-3.9.3-1], [MQTT-3.9.3-2],
/// [MQTT3-3.9.3-2]; nothing else is in it: [MQTT-3.9.2-1], [MQTT-3.9.2-2].
pub(crate) fn suback(version: Version, packet_id: u16, codes: &[u8], out: &mut Vec<u8>) {
    match version {
        Version::V3 => {
            let codes = codes
                .iter()
                .map(|&code| SubackReturnCode::try_from(code).unwrap_or(SubackReturnCode::Failure));
            let packet = v3_1_1::Suback::builder()
                .packet_id(packet_id)
                .return_codes(codes.collect())
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let codes = codes.iter().map(|&code| SubackReasonCode::try_from(code).expect(VALID));
            let packet = v5_0::Suback::builder()
                .packet_id(packet_id)
                .reason_codes(codes.collect::<Vec<_>>())
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// Appends an UNSUBACK; `codes` has one code of MQTT 5 per filter. [MQTT-3.10.4-5],
/// [MQTT-3.11.3-1], [MQTT-3.11.3-2]; nothing else is in it: [MQTT-3.11.2-1], [MQTT-3.11.2-2].
pub(crate) fn unsuback(version: Version, packet_id: u16, codes: &[u8], out: &mut Vec<u8>) {
    match version {
        Version::V3 => {
            let packet = v3_1_1::Unsuback::builder().packet_id(packet_id).build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let codes = codes.iter().map(|&code| UnsubackReasonCode::try_from(code).expect(VALID));
            let packet = v5_0::Unsuback::builder()
                .packet_id(packet_id)
                .reason_codes(codes.collect::<Vec<_>>())
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// Appends PINGRESP. [MQTT-3.12.4-1]
pub(crate) fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

/// Appends a DISCONNECT with `reason_code`, and the reason in words unless `detail` is empty or the
/// client takes no packet that large: MQTT 5 only. [MQTT-3.14.2-1]; with no session expiry and no
/// user property: [MQTT-3.14.2-2], [MQTT-3.14.2-4].
pub(crate) fn disconnect(
    reason_code: u8,
    detail: &'static str,
    packet_bytes_max: usize,
    out: &mut Vec<u8>,
) {
    let code = DisconnectReasonCode::try_from(reason_code).expect(VALID);
    let packet = v5_0::Disconnect::builder().reason_code(code);
    // [MQTT-3.14.2-3] 8: headers, reason code and the lengths
    let packet = if detail.is_empty() || detail.len() + 8 > packet_bytes_max {
        packet.build()
    } else {
        packet.props(vec![reason(detail)]).build()
    };
    out.extend(packet.expect(VALID).to_continuous_buffer());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseKind;
    use crate::codec::connect::Refusal;

    fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn every_close_that_is_told_encodes() {
        for &kind in CloseKind::ALL {
            if let Some(code) = kind.reason_code() {
                let plain = bytes(|out| disconnect(code, "", 100, out));
                assert_eq!(plain, [0xE0, 1, code], "{kind:?}");
                let words = bytes(|out| disconnect(code, "no", 100, out));
                assert_eq!(words, [0xE0, 7, code, 5, 0x1F, 0, 2, b'n', b'o'], "{kind:?}");
                assert_eq!(bytes(|out| disconnect(code, "no", 9, out)), plain);
            }
        }
    }

    #[test]
    fn every_refusal_encodes() {
        use Refusal::*;
        for refusal in [
            UnsupportedVersion,
            Malformed,
            Protocol,
            ClientIdInvalid,
            BadAuthMethod,
            TopicInvalid,
            QuotaExceeded,
            BadCredentials,
            NotAuthorized,
            Unavailable,
        ] {
            let v5 = Refused { version: Version::V5, refusal };
            let short = bytes(|out| refused(v5, refusal.detail().len() + 8, out));
            assert_eq!(short, [0x20, 3, 0, refusal.reason_code(), 0]);
            let v5 = bytes(|out| refused(v5, refusal.detail().len() + 9, out));
            let words = refusal.detail().len() as u8;
            assert_eq!(v5[..7], [0x20, words + 6, 0, refusal.reason_code(), words + 3, 0x1F, 0]);
            assert_eq!(&v5[8..], refusal.detail().as_bytes());
            let v3 = bytes(|out| refused(Refused { version: Version::V3, refusal }, 100, out));
            let expected = refusal.return_code().map(|code| vec![0x20, 2, 0, code]);
            assert_eq!(v3, expected.unwrap_or_default());
        }
    }

    #[test]
    fn an_accepted_client_is_told_the_terms() {
        let terms = Terms {
            session: SessionPresent::Yes,
            assigned: None,
            receive_maximum: 10,
            packet_bytes_max: 100,
            topic_alias_max: 4,
            keep_alive_s: None,
            session_expiry_s: Some(60),
        };
        let v5 = bytes(|out| accepted(Version::V5, terms, out));
        let offers =
            [&[0x21, 0, 10][..], &[0x27, 0, 0, 0, 100], &[0x22, 0, 4], &[0x11, 0, 0, 0, 60]]
                .concat();
        assert_eq!(v5[..5], [0x20, 19, 1, 0, 16]);
        assert_eq!(v5[5..], offers);
        assert_eq!(bytes(|out| accepted(Version::V3, terms, out)), [0x20, 2, 1, 0]);
    }

    #[test]
    fn acknowledgements_are_as_the_standard_writes_them() {
        assert_eq!(bytes(|out| ack(Ack::Puback, 0x1234, out)), [0x40, 2, 0x12, 0x34]);
        let with = |version, reason| bytes(|out| ack_with(version, Ack::Pubrel, 7, reason, out));
        assert_eq!(with(Version::V5, 0), [0x62, 2, 0, 7]);
        assert_eq!(with(Version::V5, 0x92), [0x62, 3, 0, 7, 0x92]);
        assert_eq!(with(Version::V3, 0x92), [0x62, 2, 0, 7]);
        let codes = [1, 0x8F, 0x97];
        assert_eq!(
            bytes(|out| suback(Version::V3, 7, &codes, out)),
            [0x90, 5, 0, 7, 1, 0x80, 0x80]
        );
        assert_eq!(
            bytes(|out| suback(Version::V5, 7, &codes, out)),
            [0x90, 6, 0, 7, 0, 1, 0x8F, 0x97]
        );
        assert_eq!(bytes(|out| unsuback(Version::V3, 7, &[0], out)), [0xB0, 2, 0, 7]);
        assert_eq!(bytes(|out| unsuback(Version::V5, 7, &[0x11], out)), [0xB0, 4, 0, 7, 0, 0x11]);
    }
}
