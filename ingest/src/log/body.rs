//! How the parts of a record's body are laid out; little endian throughout.

use std::time::Duration;

use bellwire_model::{DeviceId, Presence};

use crate::policy::TimePolicy;

/// Splits `session_bytes u32 | session` from what is behind it.
pub(super) fn split_session(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bytes, rest) = body.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*bytes)).ok()?)
}

/// A policy's body: `future_max u64 | past_max u64`, microseconds, little endian.
pub(super) const POLICY_BYTES: usize = 16;
/// As `past_max`: there is none.
const NO_LIMIT: u64 = u64::MAX;

pub(super) fn read_policy(body: &[u8]) -> Option<TimePolicy> {
    let (future_max, past_max) = body.split_first_chunk()?;
    let past_max = u64::from_le_bytes(past_max.try_into().ok()?);
    Some(TimePolicy {
        future_max: Duration::from_micros(u64::from_le_bytes(*future_max)),
        past_max: (past_max != NO_LIMIT).then_some(Duration::from_micros(past_max)),
    })
}

pub(super) fn write_policy(policy: &TimePolicy, buffer: &mut Vec<u8>) {
    // What is longer than half a million years is no limit.
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(NO_LIMIT);
    buffer.extend_from_slice(&micros(policy.future_max).to_le_bytes());
    buffer.extend_from_slice(&policy.past_max.map_or(NO_LIMIT, micros).to_le_bytes());
}

/// `online u8 | device_bytes u16 | device`, again and again.
pub(super) fn read_presence(mut body: &[u8]) -> Option<Vec<(&str, Presence)>> {
    let mut changes = Vec::new();
    while let Some((online, rest)) = body.split_first() {
        let (bytes, rest) = rest.split_first_chunk()?;
        let (device, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*bytes)))?;
        changes.push((std::str::from_utf8(device).ok()?, Presence::from(*online != 0)));
        body = rest;
    }
    Some(changes)
}

/// `count u32 | device_bytes u16 | device`, again and again.
pub(super) fn read_refused(mut body: &[u8]) -> Option<Vec<(&str, u32)>> {
    let mut counts = Vec::new();
    while !body.is_empty() {
        let (count, rest) = body.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let (device, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*bytes)))?;
        counts.push((std::str::from_utf8(device).ok()?, u32::from_le_bytes(*count)));
        body = rest;
    }
    Some(counts)
}

pub(super) fn write_refused(counts: &[(DeviceId, u32)], buffer: &mut Vec<u8>) {
    for (device, count) in counts {
        let device = device.as_str().as_bytes();
        let bytes = u16::try_from(device.len()).expect("a DeviceId fits into u16");
        buffer.extend_from_slice(&count.to_le_bytes());
        buffer.extend_from_slice(&bytes.to_le_bytes());
        buffer.extend_from_slice(device);
    }
}

pub(super) fn write_presence(changes: &[(DeviceId, Presence)], buffer: &mut Vec<u8>) {
    for (device, presence) in changes {
        let device = device.as_str().as_bytes();
        let bytes = u16::try_from(device.len()).expect("a DeviceId fits into u16");
        buffer.push(u8::from(presence.is_online()));
        buffer.extend_from_slice(&bytes.to_le_bytes());
        buffer.extend_from_slice(device);
    }
}
