//! Checks the properties of MQTT 5 that clients send, beyond what the crate checks.

use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse, Property};

use crate::close::{Close, CloseKind};
use crate::codec::{Parsed, refused};

/// Whether a text has U+0000, which no string of MQTT may have. [MQTT-1.5.4-2]
fn has_nul(property: &Property) -> bool {
    match property {
        Property::ContentType(text) => text.val().contains('\0'),
        Property::ResponseTopic(text) => text.val().contains('\0'),
        Property::AuthenticationMethod(text) => text.val().contains('\0'),
        Property::ReasonString(text) => text.val().contains('\0'),
        Property::UserProperty(pair) => pair.key().contains('\0') || pair.val().contains('\0'),
        _ => false,
    }
}

/// Checks what the crate does not: U+0000 in texts, wildcards in a response topic.
pub(crate) fn check_values(properties: &[Property]) -> Parsed<()> {
    for property in properties {
        if has_nul(property) {
            return Err(Close::malformed("property has the character U+0000"));
        }
        if let Property::ResponseTopic(topic) = property
            && (topic.val().is_empty() || topic.val().contains(['+', '#']))
        {
            return Err(Close::protocol("response topic is no topic name"));
        }
    }
    Ok(())
}

/// Reads `bytes`, a property length and the properties, and checks that a client's PUBLISH may
/// carry them.
pub(crate) fn check_publish(bytes: &[u8]) -> Parsed<()> {
    let (properties, _) = Properties::parse(bytes).map_err(refused)?;
    let mut seen = 0_u64;
    for property in &properties {
        match property {
            Property::UserProperty(_) => continue,
            Property::PayloadFormatIndicator(_)
            | Property::MessageExpiryInterval(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_) => {}
            Property::TopicAlias(_) => return Err(CloseKind::TopicAliasInvalid.into()),
            _ => return Err(Close::protocol("property is not allowed in PUBLISH")),
        }
        let bit = 1 << (property.id().as_u8() & 63);
        if seen & bit != 0 {
            return Err(Close::protocol("property stands twice in PUBLISH"));
        }
        seen |= bit;
    }
    check_values(&properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_properties_are_checked() {
        assert_eq!(check_publish(&[5, 0x02, 0, 0, 0, 9]), Ok(()));
        assert_eq!(check_publish(&[7, 0x26, 0, 1, b'a', 0, 1, b'b']), Ok(()));
        for (wrong, kind) in [
            (&[4, 0x01, 0, 0x01, 0][..], CloseKind::Protocol),
            (&[3, 0x23, 0, 1], CloseKind::TopicAliasInvalid),
            (&[2, 0x0B, 1], CloseKind::Protocol),
            (&[4, 0x08, 0, 1, b'#'], CloseKind::Protocol),
            (&[4, 0x03, 0, 1, 0], CloseKind::Malformed),
            (&[2, 0x7F, 1], CloseKind::Malformed),
            (&[9, 0x01], CloseKind::Malformed),
        ] {
            assert_eq!(check_publish(wrong).map_err(|close| close.kind), Err(kind), "{wrong:x?}");
        }
    }
}
