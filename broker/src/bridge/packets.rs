//! The packets of a client, beside PUBLISH: what we write, and the broker's answers.

use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse, Property};

use crate::codec::Version;
use crate::codec::encode::SessionPresent;

/// The reason code with which MQTT 5 says that another client has our name.
pub(crate) const TAKEN_OVER: u8 = 0x8E;

/// What a CONNECT says.
#[derive(Clone, Debug)]
pub(crate) struct Connect<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) keep_alive_s: u16,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_max: u16,
}

/// Appends a packet of these flags and this body.
fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    varint(out, body.len());
    out.extend_from_slice(body);
}

fn varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push((n & 0x7F) as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("the configuration was checked: texts are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a CONNECT that goes on with the session that the broker keeps.
pub(crate) fn connect(out: &mut Vec<u8>, version: Version, connect: &Connect<'_>) {
    let mut body = b"\0\x04MQTT".to_vec();
    let user = u8::from(connect.user.is_some()) << 7;
    let password = u8::from(connect.password.is_some()) << 6;
    body.push(if version == Version::V3 { 4 } else { 5 });
    body.push(user | password);
    body.extend_from_slice(&connect.keep_alive_s.to_be_bytes());
    if version == Version::V5 {
        body.extend_from_slice(&[8, 0x11]);
        body.extend_from_slice(&connect.session_expiry_s.to_be_bytes());
        body.push(0x21);
        body.extend_from_slice(&connect.receive_max.to_be_bytes());
    }
    text(&mut body, connect.client_id);
    for it in [connect.user, connect.password].into_iter().flatten() {
        text(&mut body, it);
    }
    packet(out, 0x10, &body);
}

/// What a SUBSCRIBE says of a filter: QoS 1. With MQTT 5 what is retained is not sent, RETAIN is as it
/// was published, and what we publish ourselves does not come back; the last of them a shared
/// subscription may not ask for.
fn options(version: Version, filter: &str) -> u8 {
    match version {
        Version::V3 => 1,
        Version::V5 if filter.starts_with("$share/") => 0b0010_1001,
        Version::V5 => 0b0010_1101,
    }
}

/// Appends a SUBSCRIBE.
pub(crate) fn subscribe(out: &mut Vec<u8>, version: Version, id: u16, filters: &[String]) {
    let mut body = header(version, id);
    for filter in filters {
        text(&mut body, filter);
        body.push(options(version, filter));
    }
    packet(out, 0x82, &body);
}

/// Appends an UNSUBSCRIBE.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, version: Version, id: u16, filters: &[String]) {
    let mut body = header(version, id);
    for filter in filters {
        text(&mut body, filter);
    }
    packet(out, 0xA2, &body);
}

fn header(version: Version, id: u16) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    body
}

/// Appends the PUBACK of each of these, in order.
pub(crate) fn acknowledge(out: &mut Vec<u8>, ids: &[u16]) {
    for id in ids {
        let [high, low] = id.to_be_bytes();
        out.extend_from_slice(&[0x40, 2, high, low]);
    }
}

/// Appends a PINGREQ.
pub(crate) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT; the session stays.
pub(crate) fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

/// The answer to a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connack {
    /// Come in.
    Accepted {
        /// Whether the broker has kept our session.
        session: SessionPresent,
        /// The keepalive it asks for instead of ours.
        keep_alive_s: Option<u16>,
        /// It says that it has no shared subscriptions.
        lacks_shared: bool,
    },
    /// It does not know this version of MQTT.
    WrongVersion,
    /// It says why not.
    Refused(String),
}

/// Reads a CONNACK; `None` if it is none.
pub(crate) fn connack(version: Version, body: &[u8]) -> Option<Connack> {
    let (&[flags, code], rest) = body.split_first_chunk::<2>()?;
    match (version, code) {
        // A broker that knows 3.1.1 only answers in that.
        (Version::V5, 0x84 | 1) | (Version::V3, 1) => return Some(Connack::WrongVersion),
        (Version::V3, 2..) => return Some(Connack::Refused(return_code(code))),
        _ => {}
    }
    let properties = properties(version, rest);
    if code != 0 {
        let said = properties.iter().find_map(|property| match property {
            Property::ReasonString(reason) => Some(reason.val()),
            _ => None,
        });
        let reason = reason_code(code);
        return Some(Connack::Refused(said.map_or_else(
            || reason.clone(),
            |said| format!("{reason} ({})", said.escape_debug()),
        )));
    }
    let mut keep_alive_s = None;
    let mut lacks_shared = false;
    for property in &properties {
        match property {
            Property::ServerKeepAlive(it) => keep_alive_s = Some(it.val()),
            Property::SharedSubscriptionAvailable(it) => lacks_shared = it.val() == 0,
            _ => {}
        }
    }
    let session = if flags & 1 == 0 { SessionPresent::No } else { SessionPresent::Yes };
    Some(Connack::Accepted { session, keep_alive_s, lacks_shared })
}

fn properties(version: Version, bytes: &[u8]) -> Vec<Property> {
    match version {
        Version::V5 => Properties::parse(bytes).map(|(all, _)| all.to_vec()).unwrap_or_default(),
        Version::V3 => Vec::new(),
    }
}

/// Reads a SUBACK: the packet identifier, and for each filter why it was refused, or `None`.
pub(crate) fn suback(version: Version, body: &[u8]) -> Option<(u16, Vec<Option<String>>)> {
    let (id, mut rest) = body.split_first_chunk::<2>()?;
    if version == Version::V5 {
        let (_, length) = Properties::parse(rest).ok()?;
        rest = rest.get(length..)?;
    }
    let refusal = |&code: &u8| match (code, version) {
        (0..=2, _) => None,
        (_, Version::V3) => Some("it was refused".to_owned()),
        (code, Version::V5) => Some(reason_code(code)),
    };
    Some((u16::from_be_bytes(*id), rest.iter().map(refusal).collect()))
}

/// Why an MQTT 3.1.1 broker refuses a CONNECT.
fn return_code(code: u8) -> String {
    match code {
        2 => "client identifier not allowed".to_owned(),
        3 => "the broker is not available".to_owned(),
        4 => "wrong user or password".to_owned(),
        5 => "not authorized: wrong user or password, or not allowed".to_owned(),
        code => format!("return code {code}"),
    }
}

/// A reason code of MQTT 5 in words.
pub(crate) fn reason_code(code: u8) -> String {
    let words = match code {
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "refused for a reason of the broker's own",
        0x85 => "client identifier not allowed",
        0x86 => "wrong user or password",
        0x87 => "not authorized: wrong user or password, or not allowed",
        0x88 => "the broker is not available",
        0x89 => "the broker is busy",
        0x8A => "banned",
        0x8B => "the broker is shutting down",
        0x8C => "another way to log in is asked for",
        0x8D => "nothing was heard of us in time",
        TAKEN_OVER => "another client has connected with the same client identifier",
        0x8F => "the filter is not allowed",
        0x93 => "too much was unacknowledged",
        0x95 => "a packet was too large",
        0x97 => "a quota is used up",
        0x98 => "an administrator closed the connection",
        0x9C => "use another server",
        0x9D => "the server has moved",
        0x9E => "there are no shared subscriptions",
        0xA2 => "there are no wildcards in subscriptions",
        code => return format!("reason code {code:#04x}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_goes_on_with_the_session() {
        let said = Connect {
            client_id: "b",
            user: Some("u"),
            password: Some("p"),
            keep_alive_s: 30,
            session_expiry_s: 9,
            receive_max: 7,
        };
        let mut out = Vec::new();
        connect(&mut out, Version::V3, &said);
        assert_eq!(out, b"\x10\x13\0\x04MQTT\x04\xC0\0\x1E\0\x01b\0\x01u\0\x01p");
        out.clear();
        connect(&mut out, Version::V5, &said);
        let expected =
            b"\x10\x1C\0\x04MQTT\x05\xC0\0\x1E\x08\x11\0\0\0\x09\x21\0\x07\0\x01b\0\x01u\0\x01p";
        assert_eq!(out, expected);
    }

    #[test]
    fn subscriptions_ask_for_qos_1_and_nothing_retained() {
        let mut out = Vec::new();
        subscribe(&mut out, Version::V5, 1, &["a/+".to_owned()]);
        assert_eq!(out, b"\x82\x09\0\x01\0\0\x03a/+\x2D");
        out.clear();
        subscribe(&mut out, Version::V5, 1, &["$share/g/a".to_owned()]);
        assert_eq!(out.last(), Some(&0x29));
        out.clear();
        subscribe(&mut out, Version::V3, 1, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(out, b"\x82\x0A\0\x01\0\x01a\x01\0\x01b\x01");
    }

    #[test]
    fn answers_to_connect_are_told_apart() {
        let accepted = |session, keep_alive_s, lacks_shared| {
            Some(Connack::Accepted { session, keep_alive_s, lacks_shared })
        };
        let (yes, no) = (SessionPresent::Yes, SessionPresent::No);
        assert_eq!(connack(Version::V3, &[1, 0]), accepted(yes, None, false));
        assert_eq!(connack(Version::V5, &[0, 0, 0]), accepted(no, None, false));
        let more = [0, 0, 5, 0x13, 0, 9, 0x2A, 0];
        assert_eq!(connack(Version::V5, &more), accepted(no, Some(9), true));
        assert_eq!(connack(Version::V5, &[0, 1]), Some(Connack::WrongVersion));
        assert_eq!(connack(Version::V5, &[0, 0x84, 0]), Some(Connack::WrongVersion));
        let refused = |text: &str| Some(Connack::Refused(text.to_owned()));
        assert_eq!(connack(Version::V3, &[0, 4]), refused("wrong user or password"));
        let said = [0, 0x86, 5, 0x1F, 0, 2, b'n', b'o'];
        assert_eq!(connack(Version::V5, &said), refused("wrong user or password (no)"));
        assert_eq!(connack(Version::V3, &[0]), None);
    }

    #[test]
    fn refused_filters_are_told() {
        let found = suback(Version::V5, &[0, 1, 0, 1, 0x87]).expect("a SUBACK");
        assert_eq!((found.0, found.1.len(), found.1[0].is_none()), (1, 2, true));
        assert!(found.1[1].as_ref().is_some_and(|why| why.starts_with("not authorized")));
        let found = suback(Version::V3, &[0, 9, 0x80]);
        assert_eq!(found, Some((9, vec![Some("it was refused".to_owned())])));
    }
}
