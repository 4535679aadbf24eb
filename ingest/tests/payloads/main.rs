//! What payloads of other fleets come to: they go in as their documentation shows them, and come
//! out as the readings a person would expect.

mod families;
mod faults;

use std::sync::Arc;

use bellwire_ingest::decode::{Decoded, Decoder, Output};
use bellwire_ingest::mapping::Mappings;
use bellwire_model::{PublishRef, QoS, SharedNames, Timestamp, Value};

/// 2026-01-01T00:00:00Z
const RECEIVED: Timestamp = Timestamp::from_secs(1_767_225_600);

/// `device metric=value` of each reading, and `@seconds` where its time is not that of receipt.
fn decode(mappings: &str, topic: &str, payload: &[u8]) -> (Vec<String>, Decoded) {
    let mappings = Mappings::parse(mappings).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(mappings.find(topic).is_some(), "{topic} is telemetry");
    let names = SharedNames::default();
    let mut decoder = Decoder::new(names.clone());
    decoder.set_mappings(Arc::new(mappings));
    let mut out = Output::default();
    let publish = PublishRef {
        topic,
        payload,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 1,
    };
    let decoded = decoder.decode(&publish, RECEIVED, &mut out);
    let names = names.read();
    let mut lines = Vec::new();
    for span in &out.spans {
        let first = span.first as usize;
        for reading in &out.readings[first..first + span.len as usize] {
            assert_eq!((reading.device, reading.at), (span.device, span.at));
            let (device, metric) = (names.device(reading.device), names.metric(reading.metric));
            let value = match &reading.value {
                Value::Number(number) => number.to_string(),
                Value::Text(text) => format!("{text:?}"),
            };
            let at = match reading.at {
                RECEIVED => String::new(),
                at => format!("@{}", at.as_micros() as f64 / 1e6),
            };
            lines.push(format!("{device} {metric}={value}{at}"));
        }
    }
    assert_eq!(lines.len(), out.readings.len(), "every reading is in one span");
    (lines, decoded)
}
