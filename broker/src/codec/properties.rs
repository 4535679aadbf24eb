//! Checks the properties of MQTT 5 that clients send, beyond what the crate checks.

use std::borrow::Cow;

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

/// Checks what the crate does not: U+0000 in texts, also in both of a pair, [MQTT-1.5.7-1]; wildcards
/// in a response topic, [MQTT-3.3.2-14]. That they are texts it sees to: [MQTT-3.3.2-13],
/// [MQTT-3.3.2-19].
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

/// What MQTT 5 says of a client's PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishProperties<'a> {
    /// The topic alias; not 0.
    pub(crate) alias: Option<u16>,
    /// The message expiry, in seconds.
    pub(crate) expiry_s: Option<u32>,
    /// All others, as they came.
    pub(crate) others: Cow<'a, [u8]>,
}

/// Reads `bytes`, a property length of `length_bytes` and the properties, and checks that a client's
/// PUBLISH may carry them.
pub(crate) fn of_publish(bytes: &[u8], length_bytes: usize) -> Parsed<PublishProperties<'_>> {
    let (properties, _) = Properties::parse(bytes).map_err(|error| {
        // [MQTT-3.3.2-8] and 3.3.4: 0 is as invalid as one that is too great
        if has_alias_zero(&bytes[length_bytes..]) {
            return CloseKind::TopicAliasInvalid.into();
        }
        refused(error)
    })?;
    let mut found = PublishProperties::default();
    let mut seen = 0_u64;
    for property in &properties {
        match property {
            Property::UserProperty(_) => continue,
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_) => {}
            Property::MessageExpiryInterval(it) => found.expiry_s = Some(it.val()),
            Property::TopicAlias(it) => found.alias = Some(it.val()),
            // [MQTT-3.3.4-6] a subscription identifier, say
            _ => return Err(Close::protocol("property is not allowed in PUBLISH")),
        }
        let bit = 1 << (property.id().as_u8() & 63);
        if seen & bit != 0 {
            return Err(Close::protocol("property stands twice in PUBLISH"));
        }
        seen |= bit;
    }
    check_values(&properties)?;
    found.others = if found.alias.is_none() && found.expiry_s.is_none() {
        Cow::Borrowed(&bytes[length_bytes..])
    } else {
        let is_other = |it: &&Property| {
            !matches!(it, Property::TopicAlias(_) | Property::MessageExpiryInterval(_))
        };
        // [MQTT-3.3.2-17] and [MQTT-3.3.2-18]: user properties stay, in their order; and the others
        // [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-20]
        let others = properties.iter().filter(is_other);
        Cow::Owned(others.flat_map(Property::to_continuous_buffer).collect())
    };
    Ok(found)
}

/// Whether what makes `properties` unreadable is a topic alias of 0: the crate does not say.
fn has_alias_zero(mut properties: &[u8]) -> bool {
    while let Ok((_, n_bytes)) = Property::parse(properties) {
        properties = &properties[n_bytes..];
    }
    properties.starts_with(&[0x23, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Parsed<PublishProperties<'_>> {
        of_publish(bytes, 1)
    }

    #[test]
    fn publish_properties_are_read() {
        let expiring = read(&[7, 0x02, 0, 0, 0, 9, 0x01, 1]).expect("valid");
        assert_eq!((expiring.expiry_s, &*expiring.others), (Some(9), &[0x01, 1][..]));
        let user = read(&[7, 0x26, 0, 1, b'a', 0, 1, b'b']).expect("valid");
        assert!(matches!(user.others, Cow::Borrowed([0x26, ..])));
        let alias = read(&[3, 0x23, 0, 1]).expect("valid");
        assert_eq!((alias.alias, alias.others.len()), (Some(1), 0));
    }

    #[test]
    fn wrong_publish_properties_are_refused() {
        for (wrong, kind) in [
            (&[4, 0x01, 0, 0x01, 0][..], CloseKind::Protocol),
            (&[3, 0x23, 0, 0], CloseKind::TopicAliasInvalid),
            (&[5, 0x01, 1, 0x23, 0, 0], CloseKind::TopicAliasInvalid),
            (&[5, 0x01, 7, 0x23, 0, 0], CloseKind::Protocol),
            (&[2, 0x0B, 1], CloseKind::Protocol),
            (&[4, 0x08, 0, 1, b'#'], CloseKind::Protocol),
            (&[4, 0x03, 0, 1, 0], CloseKind::Malformed),
            (&[2, 0x7F, 1], CloseKind::Malformed),
            (&[9, 0x01], CloseKind::Malformed),
        ] {
            assert_eq!(read(wrong).map_err(|close| close.kind), Err(kind), "{wrong:x?}");
        }
    }
}
