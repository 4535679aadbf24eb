//! What can be wrong with a packet. The faults know where a packet's length is: bytes that go
//! missing or come in with the length set right reach deeper than those that do not.

use super::Dice;
use super::packets::{Version, any, connect, packet};

/// Bytes that bounds are made of.
const EDGES: [u8; 9] = [0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF];

/// What a client sends, and where in it packets with faults begin.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// Where the packets with a fault begin, ascending.
    pub mutated_at: Vec<u64>,
}

impl Stream {
    fn add(&mut self, mut packet: Vec<u8>, percent_mutated: usize, dice: &mut Dice) {
        if dice.percent(percent_mutated) {
            self.mutated_at.push(self.bytes.len() as u64);
            for _ in 0..=dice.below(2) {
                packet = mutate(packet, dice);
            }
        }
        self.bytes.extend(packet);
    }
}

/// A connection's worth of packets: CONNECT, mostly a good one, and up to 8 more, of which most
/// have a fault or two.
pub fn mutated_stream(dice: &mut Dice) -> Stream {
    let version = if dice.percent(50) { Version::V3 } else { Version::V5 };
    let mut stream = Stream::default();
    stream.add(connect(version, dice), 10, dice);
    for _ in 0..=dice.below(8) {
        stream.add(any(version, dice), 70, dice);
    }
    stream
}

/// `bytes`, a packet, with a fault.
fn mutate(bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let Some((first, body)) = take_apart(&bytes) else { return damage(bytes, dice) };
    match dice.below(8) {
        // Whatever it is, length and all.
        0 => damage(bytes, dice),
        // Other flags, another type.
        1 => packet(first ^ 1 << dice.below(8), body),
        // Too short or too long for its length.
        2 => bytes[..dice.below(bytes.len() + 1)].to_vec(),
        3 => [&bytes[..], body].concat(),
        // The length is right, the rest is not.
        _ => packet(first, &damage(body.to_vec(), dice)),
    }
}

/// The first byte and the body of a packet, if its length is right.
fn take_apart(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let length_bytes = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    Some((first, &rest[length_bytes..]))
}

/// `bytes` with something in them changed, lost, added or repeated.
fn damage(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(bytes.len() + 1);
    let until = at + dice.below(bytes.len() - at + 1);
    match dice.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = EDGES[dice.below(EDGES.len())],
        2 if at + 1 < bytes.len() => {
            // A length inside: too much, or nothing.
            let length = dice.of(&[&[0, 0], &[0, 1], &[0xFF, 0xFF], &[0x7F, 0xFF]]);
            bytes[at..at + 2].copy_from_slice(length);
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..until)),
        5 => {
            let same = bytes[at..until].to_vec();
            bytes.splice(at..at, same);
        }
        _ => {
            let n = dice.below(8);
            let strange: Vec<u8> = (0..n).map(|_| dice.byte()).collect();
            bytes.splice(at..at, strange);
        }
    }
    bytes
}
