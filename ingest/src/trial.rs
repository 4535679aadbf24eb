//! What a publish would come to under some mappings: to show it, with nothing stored.

use std::sync::Arc;

use bellwire_model::{
    DeviceId, Label, MetricName, Presence, PublishRef, QoS, Reading, SharedNames, Timestamp, Value,
};

use crate::decode::{Decoder, Fault, LabelsOf, Output, UnitOf};
use crate::mapping::Mappings;
use crate::policy::{Terms, TimePolicy};
use crate::topics;

/// Who reads a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A built-in topic.
    Builtin,
    /// The first mapping that matches: its pattern.
    Mapping(String),
    /// None: the topic is ordinary MQTT, or a mapping leaves it out.
    Nobody,
}

/// One reading that would be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedReading {
    /// Whose.
    pub device: DeviceId,
    /// Of what.
    pub metric: MetricName,
    /// Event time.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
    /// In which unit, if the payload says it.
    pub unit: Option<Arc<str>>,
    /// The device's own counter.
    pub seq: Option<u64>,
}

/// What a publish would come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Who reads the topic.
    pub reader: Reader,
    /// Whose account it would be in.
    pub device: Option<DeviceId>,
    /// What would be stored, in order.
    pub readings: Vec<TriedReading>,
    /// Which devices are there by it, or no more.
    pub presence: Vec<(DeviceId, Presence)>,
    /// What devices say of themselves.
    pub labels: Vec<(DeviceId, Label)>,
    /// Why it would be in quarantine.
    pub fault: Option<Fault>,
}

/// Tries a publish that is received at `received_at`.
#[must_use]
pub fn try_publish(
    mappings: &Arc<Mappings>,
    policy: TimePolicy,
    (topic, payload): (&str, &[u8]),
    received_at: Timestamp,
) -> Trial {
    let reader = match mappings.find(topic) {
        _ if topics::claims(topic) => Reader::Builtin,
        Some(found) => Reader::Mapping(found.mapping.topic.to_string()),
        None => Reader::Nobody,
    };
    if reader == Reader::Nobody {
        return Trial {
            reader,
            device: None,
            readings: Vec::new(),
            presence: Vec::new(),
            labels: Vec::new(),
            fault: None,
        };
    }
    let names = SharedNames::default();
    let mut decoder = Decoder::new(names.clone());
    decoder.set_terms(Terms { policy, mappings: Arc::clone(mappings) });
    let mut out = Output::default();
    let qos = QoS::AtLeastOnce;
    let publish = PublishRef { topic, payload, qos, dup: false, retain: false, packet_id: 1 };
    let decoded = decoder.decode(&publish, received_at, &mut out);
    let names = names.read();
    let unit_of = |reading: &Reading| {
        let of = |unit: &&UnitOf| (unit.device, unit.metric) == (reading.device, reading.metric);
        out.units.iter().find(of).map(|found| Arc::clone(&found.unit))
    };
    let of_device = |said: &LabelsOf| {
        let device = names.device(said.device).clone();
        said.labels.iter().map(move |label| (device.clone(), label.clone())).collect::<Vec<_>>()
    };
    let presence = decoded.told.iter().flat_map(|told| &told.presence);
    let readings = out.spans.iter().flat_map(|span| {
        let first = span.first as usize;
        out.readings[first..first + span.len as usize].iter().map(|reading| TriedReading {
            device: names.device(reading.device).clone(),
            metric: names.metric(reading.metric).clone(),
            at: reading.at,
            value: reading.value.clone(),
            unit: unit_of(reading),
            seq: span.seq,
        })
    });
    Trial {
        reader,
        device: decoded.device.map(|device| names.device(device).clone()),
        readings: readings.collect(),
        presence: presence.map(|(who, is)| (names.device(*who).clone(), *is)).collect(),
        labels: out.labels.iter().flat_map(of_device).collect(),
        fault: decoded.fault,
    }
}
