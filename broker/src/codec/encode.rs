//! What we send beside PUBLISH: CONNACK, SUBACK, UNSUBACK, PUBACK, PUBCOMP, DISCONNECT.

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MaximumQos, Property, ReceiveMaximum,
    RetainAvailable, SessionExpiryInterval, SharedSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    PubcompReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use crate::codec::Version;
use crate::codec::connect::Refused;

/// Why encoding cannot fail: the values come from us and every one has been tested.
const VALID: &str = "our own packets are valid";

/// What an accepted MQTT 5 client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// The client identifier, where we chose it.
    pub(crate) assigned: Option<&'a str>,
    /// How many publishes it may have unacknowledged; at least 1.
    pub(crate) receive_maximum: u16,
    /// The largest packet we take, in bytes; at least 1.
    pub(crate) packet_bytes_max: usize,
    /// The session expiry it asked for, in seconds: it is answered if it is not 0.
    pub(crate) session_expiry_s: u32,
}

/// Appends the CONNACK of an accepted client.
pub(crate) fn accepted(version: Version, terms: Terms<'_>, out: &mut Vec<u8>) {
    match version {
        Version::V3 => {
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::Accepted)
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let packet = v5_0::Connack::builder()
                .session_present(false)
                .reason_code(ConnectReasonCode::Success)
                .props(offers(terms).expect(VALID))
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

fn offers(terms: Terms<'_>) -> Result<Vec<Property>, MqttError> {
    let packet_bytes_max = u32::try_from(terms.packet_bytes_max).unwrap_or(u32::MAX);
    let mut offers = vec![
        Property::ReceiveMaximum(ReceiveMaximum::new(terms.receive_maximum)?),
        Property::MaximumQos(MaximumQos::new(1)?),
        Property::RetainAvailable(RetainAvailable::new(0)?),
        Property::MaximumPacketSize(MaximumPacketSize::new(packet_bytes_max)?),
        Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0)?),
    ];
    if terms.session_expiry_s != 0 {
        offers.push(Property::SessionExpiryInterval(SessionExpiryInterval::new(0)?));
    }
    if let Some(assigned) = terms.assigned {
        let property = AssignedClientIdentifier::new(assigned)?;
        offers.push(Property::AssignedClientIdentifier(property));
    }
    Ok(offers)
}

/// Appends the CONNACK of a refused client, where its version has one for the reason.
pub(crate) fn refused(refused: Refused, out: &mut Vec<u8>) {
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
            let packet = v5_0::Connack::builder().session_present(false).reason_code(code).build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// Appends the PUBACK that says success: four bytes, the same in both versions.
#[inline]
pub(crate) fn puback(packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// Appends the PUBACK that says the publish will never be taken: MQTT 5 only.
pub(crate) fn puback_rejected(packet_id: u16, out: &mut Vec<u8>) {
    let packet = v5_0::Puback::builder()
        .packet_id(packet_id)
        .reason_code(PubackReasonCode::QuotaExceeded)
        .build();
    out.extend(packet.expect(VALID).to_continuous_buffer());
}

/// Appends the answer to a PUBREL of which we know nothing: QoS 2 is not offered.
pub(crate) fn pubcomp(version: Version, packet_id: u16, out: &mut Vec<u8>) {
    match version {
        Version::V3 => {
            let packet = v3_1_1::Pubcomp::builder().packet_id(packet_id).build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
        Version::V5 => {
            let packet = v5_0::Pubcomp::builder()
                .packet_id(packet_id)
                .reason_code(PubcompReasonCode::PacketIdentifierNotFound)
                .build();
            out.extend(packet.expect(VALID).to_continuous_buffer());
        }
    }
}

/// Appends a SUBACK with one code of MQTT 5 per filter; MQTT 3.1.1 has 0x80 for every failure.
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

/// Appends an UNSUBACK; `codes` has one code of MQTT 5 per filter.
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

/// Appends PINGRESP.
pub(crate) fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

/// Appends a DISCONNECT with `reason_code`: MQTT 5 only.
pub(crate) fn disconnect(reason_code: u8, out: &mut Vec<u8>) {
    let code = DisconnectReasonCode::try_from(reason_code).expect(VALID);
    let packet = v5_0::Disconnect::builder().reason_code(code).build();
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
                assert_eq!(bytes(|out| disconnect(code, out)), [0xE0, 1, code], "{kind:?}");
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
            QosNotSupported,
            RetainNotSupported,
        ] {
            let v5 = bytes(|out| refused(Refused { version: Version::V5, refusal }, out));
            assert_eq!(v5, [0x20, 3, 0, refusal.reason_code(), 0]);
            let v3 = bytes(|out| refused(Refused { version: Version::V3, refusal }, out));
            let expected = refusal.return_code().map(|code| vec![0x20, 2, 0, code]);
            assert_eq!(v3, expected.unwrap_or_default());
        }
    }

    #[test]
    fn an_accepted_client_is_told_what_is_not_offered() {
        let terms = Terms {
            assigned: None,
            receive_maximum: 10,
            packet_bytes_max: 100,
            session_expiry_s: 60,
        };
        let v5 = bytes(|out| accepted(Version::V5, terms, out));
        let offers = [
            &[0x21, 0, 10][..],
            &[0x24, 1],
            &[0x25, 0],
            &[0x27, 0, 0, 0, 100],
            &[0x2A, 0],
            &[0x11, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(v5[..5], [0x20, 22, 0, 0, 19]);
        assert_eq!(v5[5..], offers);
        assert_eq!(bytes(|out| accepted(Version::V3, terms, out)), [0x20, 2, 0, 0]);
    }

    #[test]
    fn acknowledgements_are_as_the_standard_writes_them() {
        assert_eq!(bytes(|out| puback(0x1234, out)), [0x40, 2, 0x12, 0x34]);
        assert_eq!(bytes(|out| puback_rejected(7, out)), [0x40, 3, 0, 7, 0x97]);
        assert_eq!(bytes(|out| pubcomp(Version::V3, 7, out)), [0x70, 2, 0, 7]);
        assert_eq!(bytes(|out| pubcomp(Version::V5, 7, out)), [0x70, 3, 0, 7, 0x92]);
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
