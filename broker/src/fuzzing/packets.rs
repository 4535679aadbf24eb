//! Packets that a client may send, made by dice: every type, both versions, with the properties
//! that MQTT 5 allows.

use super::Dice;

pub(super) const CONNECT_V3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x0A\0\x01c";
pub(super) const CONNECT_V5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x0A\0\0\x01c";

/// The version that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    V5,
}

const TOPICS: [&str; 9] =
    ["t/a", "t/b/reject", "t/b/retry", "other", "other/deep/down", "/", "a/b", "$SYS/x", "t/ü"];
const FILTERS: [&str; 9] =
    ["t/a", "#", "other/#", "+/+", "$share/g/other", "$share/g/#", "a/b", "/", "$SYS/#"];

/// A CONNECT of `version`.
pub(super) fn connect(version: Version, dice: &mut Dice) -> Vec<u8> {
    let will = dice.percent(30).then(|| dice.below(3));
    let user = dice.percent(20);
    let mut flags = if dice.percent(60) { 0x02 } else { 0 };
    flags |= will.map_or(0, |qos| 0x04 | bits(qos) << 3 | u8::from(dice.percent(30)) << 5);
    flags |= if user { 0xC0 } else { 0 };
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([if version == Version::V3 { 4 } else { 5 }, flags, 0, *dice.of(&[&0, &10, &60])]);
    if version == Version::V5 {
        properties(&mut body, dice, &[0x11, 0x21, 0x27, 0x22, 0x19, 0x17, 0x26, 0x15]);
    }
    text(&mut body, dice.of(&["", "a", "b", "client-with-a-name"]));
    if will.is_some() {
        if version == Version::V5 {
            properties(&mut body, dice, &[0x18, 0x01, 0x02, 0x03, 0x08, 0x09, 0x26]);
        }
        text(&mut body, dice.of(&TOPICS));
        text(&mut body, "gone");
    }
    if user {
        text(&mut body, "user");
        text(&mut body, "password");
    }
    packet(0x10, &body)
}

/// Any other packet that a client of `version` may send.
pub(super) fn any(version: Version, dice: &mut Dice) -> Vec<u8> {
    match dice.below(16) {
        0..6 => publish(version, dice),
        6 | 7 => subscribe(version, dice),
        8 => unsubscribe(version, dice),
        9 => answer(0x40, version, dice),
        10 => answer(0x50, version, dice),
        11 | 12 => answer(0x62, version, dice),
        13 => answer(0x70, version, dice),
        14 => packet(0xC0, &[]),
        _ => rare(version, dice),
    }
}

fn publish(version: Version, dice: &mut Dice) -> Vec<u8> {
    let qos = dice.below(3);
    let dup = u8::from(qos > 0 && dice.percent(20)) << 3;
    let mut body = Vec::new();
    let by_alias = version == Version::V5 && dice.percent(10);
    text(&mut body, if by_alias { "" } else { dice.of(&TOPICS) });
    if qos > 0 {
        id(&mut body, dice);
    }
    if version == Version::V5 {
        properties(&mut body, dice, &[0x01, 0x02, 0x23, 0x08, 0x09, 0x26, 0x03]);
    }
    let payload_bytes = dice.below(60);
    body.extend((0..payload_bytes).map(|_| dice.byte()));
    packet(0x30 | dup | bits(qos) << 1 | u8::from(dice.percent(20)), &body)
}

fn subscribe(version: Version, dice: &mut Dice) -> Vec<u8> {
    let mut body = Vec::new();
    id(&mut body, dice);
    if version == Version::V5 {
        properties(&mut body, dice, &[0x0B, 0x26]);
    }
    for _ in 0..=dice.below(3) {
        text(&mut body, dice.of(&FILTERS));
        let more =
            if version == Version::V5 { dice.of(&[&0, &0x04, &0x08, &0x10, &0x20]) } else { &0 };
        body.push(bits(dice.below(3)) | more);
    }
    packet(0x82, &body)
}

fn unsubscribe(version: Version, dice: &mut Dice) -> Vec<u8> {
    let mut body = Vec::new();
    id(&mut body, dice);
    if version == Version::V5 {
        properties(&mut body, dice, &[0x26]);
    }
    for _ in 0..=dice.below(2) {
        text(&mut body, dice.of(&FILTERS));
    }
    packet(0xA2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
fn answer(first: u8, version: Version, dice: &mut Dice) -> Vec<u8> {
    let mut body = Vec::new();
    id(&mut body, dice);
    if version == Version::V5 && dice.percent(30) {
        body.push(*dice.of(&[&0, &0x10, &0x80, &0x92]));
        properties(&mut body, dice, &[0x1F, 0x26]);
    }
    packet(first, &body)
}

fn rare(version: Version, dice: &mut Dice) -> Vec<u8> {
    let mut body = Vec::new();
    if version == Version::V5 {
        body.push(*dice.of(&[&0, &0x04, &0x18]));
        properties(&mut body, dice, &[0x11, 0x1F, 0x15, 0x16, 0x26]);
    }
    let is_auth = version == Version::V5 && dice.percent(30);
    packet(if is_auth { 0xF0 } else { 0xE0 }, &body)
}

/// One of few packet identifiers, so that they meet again.
fn id(body: &mut Vec<u8>, dice: &mut Dice) {
    body.extend([0, bits(dice.below(5)) + 1]);
}

/// Up to three of the properties `allowed`, or none at all.
fn properties(body: &mut Vec<u8>, dice: &mut Dice, allowed: &[u8]) {
    let mut all = Vec::new();
    if dice.percent(50) {
        for _ in 0..dice.below(4) {
            property(&mut all, allowed[dice.below(allowed.len())], dice);
        }
    }
    varint(body, all.len());
    body.extend(all);
}

fn property(out: &mut Vec<u8>, identifier: u8, dice: &mut Dice) {
    out.push(identifier);
    match identifier {
        // One byte.
        0x01 | 0x17 | 0x19 => out.push(bits(dice.below(2))),
        // Two bytes: server keepalive, maxima, alias.
        0x13 | 0x21 | 0x22 | 0x23 => out.extend([0, bits(dice.below(4))]),
        // Four bytes: expiries, delay, maximum packet size.
        0x02 | 0x11 | 0x18 | 0x27 => out.extend([0, 0, bits(dice.below(2)), bits(dice.below(256))]),
        // A variable byte integer: subscription identifier.
        0x0B => varint(out, dice.below(400)),
        // A pair of texts.
        0x26 => {
            text(out, "name");
            text(out, dice.of(&["", "value", "ü"]));
        }
        _ => text(out, dice.of(&["", "reply/to", "text/plain"])),
    }
}

fn bits(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
    out.extend(text.as_bytes());
}

pub(super) fn varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push(bits(n & 0x7F) | 0x80);
        n >>= 7;
    }
    out.push(bits(n));
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    varint(&mut packet, body.len());
    packet.extend(body);
    packet
}
