//! Payloads from quarantine, read again after the mapping was mended.
//!
//! A replay is a record of the log, so *judge* and *keep* do the same with it. All of the payload
//! must be readable now, else it stays where it is. What was readable before is stored already and
//! is left out; the account goes over from quarantined to stored (`docs/decisions/0052`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bellwire_model::{LogPosition, Names, Reading, SharedNames};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::decode::{Decoded, Decoder, Fault, Output};
use crate::group::{Entry, Fate, Group, Heard, Unshelved, When};
use crate::log::Replay;
use crate::nodes::SharedNodes;
use crate::policy::Terms;
use crate::ports::Moment;

/// How many replays are remembered, so that none is done twice.
pub const REMEMBERED_MAX: usize = 100_000;

/// Which payloads were replayed, so that a second replay of one comes to nothing: whoever asks for it
/// saw the payload in the database before *keep* had taken it from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replays {
    /// The record of the latest replay of each payload.
    latest: BTreeMap<(u64, u32), u64>,
    /// In the order of their records, some of them with a later one since.
    order: VecDeque<(u64, (u64, u32))>,
    /// What is before it is forgotten.
    floor: u64,
}

impl Replays {
    /// Whether the replay at `position` is done: its payload is still in quarantine once all
    /// before it are done. A replay by what was seen very long ago is not, as it cannot be told.
    pub fn admit(&mut self, replay: &Replay, position: LogPosition) -> bool {
        let place = (replay.place.0.0, replay.place.1);
        let was_seen = |record: u64| record < replay.seen_at.0;
        if replay.seen_at.0 < self.floor || self.latest.get(&place).is_some_and(|&at| !was_seen(at))
        {
            return false;
        }
        self.latest.insert(place, position.0);
        self.order.push_back((position.0, place));
        while self.order.len() > REMEMBERED_MAX {
            let Some((record, place)) = self.order.pop_front() else { break };
            if self.latest.get(&place) == Some(&record) {
                self.latest.remove(&place);
                self.floor = record + 1;
            }
        }
        true
    }
}

/// What is the same of a reading that is stored and of one that is read again: device, metric, time.
fn hash(reading: &Reading, names: &Names) -> u64 {
    let mut hasher = Xxh3::new();
    for name in [names.device(reading.device).as_str(), names.metric(reading.metric).as_str()] {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&reading.at.as_micros().to_le_bytes());
    hasher.digest()
}

/// The hashes of readings that are stored though their payload is not understood whole.
pub(crate) fn hashes(readings: &[Reading], decoder: &Decoder) -> Box<[u64]> {
    if readings.is_empty() {
        return [].into();
    }
    let names = decoder.names().read();
    readings.iter().map(|reading| hash(reading, &names)).collect()
}

/// Reads a payload from quarantine again and enters what becomes of it into `group`: all of it, or
/// nothing. `admit` says whether it was not replayed before; it is asked only if that is all that
/// is left to know.
///
/// Gives what it came to if it has an entry now.
pub(crate) fn unpack_replay(
    moment: Moment,
    replay: &Replay,
    decoder: &mut Decoder,
    group: &mut Group,
    admit: impl FnOnce() -> bool,
) -> Option<Decoded> {
    let mut out = Output::default();
    decoder.set_place(moment.position, 0);
    let decoded = decoder.decode_again(&replay.publish(), replay.received_at, &mut out);
    let device = decoded.device.filter(|_| decoded.fault.is_none())?;
    if !admit() {
        group.duplicates.push((moment.position, 0));
        return None;
    }
    let n_readings = append_new(replay, out, device, decoder.names(), group);
    let from = replay.device.as_ref();
    group.unshelved.push(Unshelved {
        place: replay.place,
        device: from.and_then(|device| decoder.key(device.as_str())),
    });
    group.entries.push(Entry {
        device,
        received_at: replay.received_at,
        // A clock that was off then says nothing of now.
        newest: None,
        fate: Fate::Replayed,
        n_readings,
    });
    Some(decoded)
}

/// Appends those readings that are not stored yet, with their instants; says how many.
fn append_new(
    replay: &Replay,
    out: Output,
    device: bellwire_model::DeviceKey,
    names: &SharedNames,
    group: &mut Group,
) -> u32 {
    // An instant of a payload may have a metric twice.
    let mut kept: HashMap<u64, u32> = HashMap::new();
    replay.kept.iter().for_each(|&hash| *kept.entry(hash).or_default() += 1);
    let names = names.read();
    let mut is_new = |reading: &Reading| {
        if kept.is_empty() {
            return true;
        }
        match kept.get_mut(&hash(reading, &names)) {
            Some(n @ 1..) => {
                *n -= 1;
                false
            }
            _ => true,
        }
    };
    let before = group.output.readings.len();
    for mut span in out.spans {
        let first = group.output.readings.len();
        let of_span = &out.readings[span.first as usize..(span.first + span.len) as usize];
        group.output.readings.extend(of_span.iter().filter(|it| is_new(it)).cloned());
        let len = group.output.readings.len() - first;
        if len == 0 {
            continue;
        }
        let is_whole = len == span.len as usize;
        span.first = u32::try_from(first).unwrap_or(u32::MAX);
        span.len = u32::try_from(len).unwrap_or(u32::MAX);
        group.output.spans.push(span);
        // Where a part was stored, the counter was heard then.
        if is_whole && (span.seq.is_some() || span.device != device) {
            let (device, received_at) = (span.device, replay.received_at);
            let when = When::Before;
            group.heard.push(Heard { device, received_at, seq: span.seq, when });
        }
    }
    group.output.units.extend(out.units);
    u32::try_from(group.output.readings.len() - before).unwrap_or(u32::MAX)
}

/// How many readings a replay would store now.
///
/// # Errors
/// Why the payload still cannot be read; as little as now for one that names no device.
pub fn try_replay(replay: &Replay, terms: &Terms, nodes: &SharedNodes) -> Result<u32, Fault> {
    let mut decoder = Decoder::with_nodes(SharedNames::default(), nodes.clone());
    decoder.set_terms(Terms { policy: terms.policy, mappings: Arc::clone(&terms.mappings) });
    // Behind everything that is known of nodes.
    let position = LogPosition(u64::MAX);
    let moment = Moment { position, received_at: replay.received_at };
    let mut group = Group::default();
    match unpack_replay(moment, replay, &mut decoder, &mut group, || true) {
        Some(_) => Ok(group.entries[0].n_readings),
        None => Err(fault(replay, &mut decoder)),
    }
}

fn fault(replay: &Replay, decoder: &mut Decoder) -> Fault {
    let mut out = Output::default();
    let decoded = decoder.decode_again(&replay.publish(), replay.received_at, &mut out);
    decoded.fault.unwrap_or_else(|| Fault {
        reason: bellwire_model::RejectReason::BadTopic,
        detail: "neither topic nor payload names a device".into(),
    })
}

#[cfg(test)]
mod tests;
