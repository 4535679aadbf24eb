//! Unpacks one record of publishes into a group; the same for *judge* and for *keep* behind it.

use bellwire_model::publish::PublishIter;
use bellwire_model::{DeviceId, DeviceKey, DevicePatch, Presence, PublishRef, Quarantined};

use crate::decode::{Decoded, Decoder, Fault};
use crate::group::{Entry, Fate, Group, Heard, When};
use crate::ports::Moment;
use crate::repetition::Repetition;
use crate::replay;

/// Decodes every publish of a record and enters what becomes of it into `group`.
///
/// `repetition` says of each publish, by its ordinal, whether it repeats an earlier one; of one that
/// answers a command, whether that waits for it.
pub(crate) fn unpack(
    moment: Moment,
    publishes: PublishIter<'_>,
    decoder: &mut Decoder,
    group: &mut Group,
    mut repetition: impl FnMut(u32, &PublishRef<'_>, &mut Decoded) -> Repetition,
) {
    for (ordinal, publish) in (0..).zip(publishes) {
        // The record's checksum held and `PublishBatch` wrote it; a later version may differ.
        let Ok(publish) = publish else { continue };
        let first_reading = group.output.readings.len();
        let (first_span, first_unit) = (group.output.spans.len(), group.output.units.len());
        let first_labels = group.output.labels.len();
        decoder.set_place(moment.position, ordinal);
        let mut decoded = decoder.decode(&publish, moment.received_at, &mut group.output);
        let fate = match repetition(ordinal, &publish, &mut decoded) {
            Repetition::Repeated => {
                group.output.readings.truncate(first_reading);
                group.output.spans.truncate(first_span);
                group.output.units.truncate(first_unit);
                group.output.labels.truncate(first_labels);
                group.duplicates.push((moment.position, ordinal));
                Fate::Duplicate
            }
            Repetition::New => match decoded.fault {
                Some(fault) => {
                    let device = decoded.device.map(|device| decoder.device_id(device));
                    let kept = replay::hashes(&group.output.readings[first_reading..], decoder);
                    let whose = (device, kept);
                    group.quarantined.push(quarantine(moment, ordinal, &publish, whose, fault));
                    Fate::Quarantined
                }
                None => Fate::Stored,
            },
        };
        let Some(device) = decoded.device else { continue };
        if let Some(told) = decoded.told.filter(|_| fate != Fate::Duplicate) {
            let said = told.presence.into_iter();
            group.presence.extend(said.map(|(who, presence)| (who, presence, moment.received_at)));
            group.rebirths.extend(told.rebirth);
            group.n_lost += told.n_lost;
        }
        let spans = group.output.spans[first_span..].iter();
        let telling = spans.filter(|span| span.seq.is_some() || span.device != device);
        let received_at = moment.received_at;
        group.heard.extend(telling.map(|span| Heard {
            device: span.device,
            received_at,
            seq: span.seq,
            when: When::Now,
        }));
        let n_readings = group.output.readings.len() - first_reading;
        group.entries.push(Entry {
            device,
            received_at: moment.received_at,
            newest: decoded.newest,
            fate,
            n_readings: u32::try_from(n_readings).unwrap_or(u32::MAX),
        });
    }
}

/// Enters what a record says of devices that came or went. A device that can have no key is left out.
pub(crate) fn unpack_presence(
    moment: Moment,
    changes: &[(&str, Presence)],
    decoder: &mut Decoder,
    group: &mut Group,
) {
    for (device, presence) in changes {
        if let Some(device) = decoder.device(device) {
            group.presence.push((device, *presence, moment.received_at));
        }
    }
}

/// Enters what a record says of refused publishes. Of a device that can have no key it is left out.
pub(crate) fn unpack_refused(
    moment: Moment,
    counts: &[(&str, u32)],
    decoder: &mut Decoder,
    group: &mut Group,
) {
    let keyed = counts.iter().filter_map(|(device, n)| Some((decoder.key(device)?, *n)));
    group.refused.extend(keyed.map(|(device, n)| (device, n, moment.received_at)));
}

/// The devices that a record of the registry is about. One that can have no key is left out.
pub(crate) fn unpack_devices(
    changes: Vec<(&str, DevicePatch)>,
    decoder: &mut Decoder,
) -> Vec<(DeviceKey, DevicePatch)> {
    let known =
        changes.into_iter().filter_map(|(device, patch)| Some((decoder.device(device)?, patch)));
    known.collect()
}

/// A publish as it goes to quarantine: whose it is, and which of its readings are stored.
pub(crate) fn quarantine(
    moment: Moment,
    ordinal: u32,
    publish: &PublishRef<'_>,
    (device, kept): (Option<DeviceId>, Box<[u64]>),
    fault: Fault,
) -> Quarantined {
    Quarantined {
        position: moment.position,
        ordinal,
        received_at: moment.received_at,
        device,
        topic: publish.topic.into(),
        payload: publish.payload.into(),
        reason: fault.reason,
        detail: fault.detail,
        kept: Some(kept),
    }
}
