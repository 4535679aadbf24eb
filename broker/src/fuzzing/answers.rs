//! Whether what the broker answers is MQTT, in the words of a parser that is not ours: whole
//! packets of the client's version, CONNACK first and once, nothing behind DISCONNECT.

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

const CONNACK: u8 = 2;
const DISCONNECT: u8 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V3,
    V5,
}

/// Checks all that one connection was sent.
///
/// # Errors
/// What is wrong.
pub(super) fn check(answer: &[u8]) -> Result<(), String> {
    let mut rest = answer;
    // The CONNACK of MQTT 3.1.1 has two bytes, that of MQTT 5 has properties as well.
    let version = if answer.get(1) == Some(&2) { Version::V3 } else { Version::V5 };
    let mut last = None;
    while let Some((first, body, behind)) = split(rest)? {
        let kind = first >> 4;
        if (kind == CONNACK) != last.is_none() {
            return Err(format!("packet type {kind} came after {last:?}"));
        }
        if last == Some(DISCONNECT) {
            return Err("something came after DISCONNECT".to_owned());
        }
        let parsed_bytes = parse(version, first, body)
            .map_err(|error| format!("{first:x} {body:x?} is no packet: {error:?}"))?;
        if parsed_bytes != body.len() {
            return Err(format!("{first:x} {body:x?} has bytes behind its end"));
        }
        last = Some(kind);
        rest = behind;
    }
    Ok(())
}

/// A packet: its first byte, its body, and what comes behind it.
type Split<'a> = (u8, &'a [u8], &'a [u8]);

/// The first packet, if there is one.
fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, String> {
    let Some((&first, mut rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let Some((&byte, behind)) = rest.split_first() else { break };
        rest = behind;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let whole = rest.split_at_checked(length);
            let (body, behind) = whole.ok_or_else(|| format!("{first:x} is cut short"))?;
            return Ok(Some((first, body, behind)));
        }
    }
    Err(format!("{first:x} has no remaining length"))
}

fn parse(version: Version, first: u8, body: &[u8]) -> Result<usize, MqttError> {
    let flags = first & 0x0F;
    match (version, first >> 4) {
        (Version::V3, 4..=7 | 11) if body.len() != 2 => Err(MqttError::MalformedPacket),
        (Version::V3, 2) => v3_1_1::Connack::parse(body).map(|it| it.1),
        (Version::V3, 3) => v3_1_1::Publish::parse(flags, body.into()).map(|it| it.1),
        (Version::V3, 4) => v3_1_1::Puback::parse(body).map(|it| it.1),
        (Version::V3, 5) => v3_1_1::Pubrec::parse(body).map(|it| it.1),
        (Version::V3, 6) => v3_1_1::Pubrel::parse(body).map(|it| it.1),
        (Version::V3, 7) => v3_1_1::Pubcomp::parse(body).map(|it| it.1),
        (Version::V3, 9) => v3_1_1::Suback::parse(body).map(|it| it.1),
        (Version::V3, 11) => v3_1_1::Unsuback::parse(body).map(|it| it.1),
        (Version::V3, 13) => v3_1_1::Pingresp::parse(body).map(|it| it.1),
        (Version::V5, 2) => v5_0::Connack::parse(body).map(|it| it.1),
        (Version::V5, 3) => v5_0::Publish::parse(flags, body.into()).map(|it| it.1),
        (Version::V5, 4) => v5_0::Puback::parse(body).map(|it| it.1),
        (Version::V5, 5) => v5_0::Pubrec::parse(body).map(|it| it.1),
        (Version::V5, 6) => v5_0::Pubrel::parse(body).map(|it| it.1),
        (Version::V5, 7) => v5_0::Pubcomp::parse(body).map(|it| it.1),
        (Version::V5, 9) => v5_0::Suback::parse(body).map(|it| it.1),
        (Version::V5, 11) => v5_0::Unsuback::parse(body).map(|it| it.1),
        (Version::V5, 13) => v5_0::Pingresp::parse(body).map(|it| it.1),
        (Version::V5, DISCONNECT) => v5_0::Disconnect::parse(body).map(|it| it.1),
        (Version::V5, 15) => v5_0::Auth::parse(body).map(|it| it.1),
        _ => Err(MqttError::MalformedPacket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mqtt_is_caught() {
        let connack = [0x20, 2, 0, 0];
        for (behind, is_good) in [
            (&[][..], true),
            (&[0x40, 2, 0, 1], true),
            (&[0x40, 2, 0], false),
            (&[0x40, 3, 0, 1, 0], false),
            (&[0x20, 2, 0, 0], false),
            (&[0xE0, 0], false),
            (&[0x30, 0xFF], false),
        ] {
            let answer = [&connack[..], behind].concat();
            assert_eq!(check(&answer).is_ok(), is_good, "{answer:x?}");
        }
        assert!(check(&[0xD0, 0]).is_err(), "CONNACK comes first");
        assert!(check(&[0x20, 3, 0, 0, 0, 0xE0, 1, 0x81]).is_ok());
        assert!(check(&[0x20, 3, 0, 0, 0, 0xE0, 1, 0x81, 0xD0, 0]).is_err());
    }
}
